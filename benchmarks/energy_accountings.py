"""Which network is cheaper, by every published accounting, from the operations that runs keep; no
network runs.

    python benchmarks/energy_accountings.py RUN [RUN …] [--accounting FILE.toml …]

RUN is a run's folder. Each spiking contender stands against every other contender and its trained
controls. Prints the conclusion before, a vote of all accountings, although four of them are one
formula, and after, by families of accountings; and where the answers change. The result goes to
benchmarks/results/energy-accountings.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from spikeduel.energy import accounting
from spikeduel.energy.accounting import compare_run
from spikeduel.results.columns import render, text_rows
from spikeduel.results.comparison import load_run
from spikeduel.results.costs import AccountedPair
from spikeduel.results.words import costs as words
from spikeduel.system import hardware
from spikeduel.system.typed import plain

RESULT = Path(__file__).parent / "results" / "energy-accountings.json"
OF_DATA = ("dataset", "encoding", "num_steps", "epochs", "seeds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--accounting", nargs="*", default=[], metavar="FILE.toml")
    options = parser.parse_args()
    laws = [accounting.read(each) for each in options.accounting]
    found = [of_run(run, laws) for run in options.runs]
    environment = hardware.environment(hardware.resolve())
    RESULT.write_text(json.dumps({"environment": environment, "runs": found}, indent=1) + "\n")


def of_run(run: Path, laws: list[accounting.Accounting]) -> dict[str, Any]:
    comparison = load_run(run)
    accountings = compare_run(comparison.results, laws)
    settings = {
        name: value for name, value in plain(comparison.experiment).items() if name in OF_DATA
    }
    print(f"\n{run.name}: {settings}")
    cases = []
    for accounted in accountings.pairs if accountings else []:
        assert accountings is not None
        rows = text_rows(words.accounting_table(accounted, accountings), words.in_order(accounted))
        before, after = vote(accounted), words.summary(accounted)
        print(f"\nbefore: {before}\nafter: {after}\n{render(rows)}")
        said = {"before": before, "after": after, "by_family": accounted.by_family}
        cases.append({**said, **plain(accounted)})
    return {
        "run": run.name,
        "settings": settings,
        "accountings": accountings and plain(accountings.definitions),
        "cases": cases,
    }


def vote(accounted: AccountedPair) -> str:
    """Return the conclusion that counted each accounting once, relatives too."""
    judged = [result.cheaper for result in accounted.by_accounting if result.ratio]
    cheaper, dearer, left = (judged.count(side) for side in ("spiking", "other", None))
    return (
        f"{accounted.spiking} is cheaper than {accounted.other} in {cheaper} of {len(judged)} "
        f"accountings of energy, dearer in {dearer}, {left} open."
    )


if __name__ == "__main__":
    main()
