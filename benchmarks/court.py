"""Which network is cheaper, by every published accounting, from the operations that runs keep; no
network runs.

    python benchmarks/court.py RUN [RUN …] [--accounting FILE.toml …]

RUN is a run's folder. Each spiking contender stands against every other contender and its trained
controls. Prints who is cheaper in how many accountings, and where the answers change; the result
goes to benchmarks/results/court.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from spikeduel.measuring.energy import accounting
from spikeduel.measuring.energy.pairwise import compare_run
from spikeduel.results.columns import render
from spikeduel.results.comparison import load_run
from spikeduel.results.court import Side
from spikeduel.results.words import court as words
from spikeduel.system import hardware
from spikeduel.system.typed import plain

RESULT = Path(__file__).parent / "results" / "court.json"
SIDES: tuple[Side | None, ...] = ("spiking", "other", None)
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
    court = compare_run(comparison.results, laws)
    settings = {
        name: value for name, value in plain(comparison.experiment).items() if name in OF_DATA
    }
    print(f"\n{run.name}: {settings}")
    cases = []
    for case in court.cases if court else []:
        assert court is not None
        print(
            f"\n{words.summary(case)}\n{words.nearest(case, court) or ''}\n{render(words.rows(case, court))}"
        )
        sides = {side or "open": len(case.found(side)) for side in SIDES}
        cases.append({"cheaper_in": sides, "judged": case.judged, **plain(case)})
    return {
        "run": run.name,
        "settings": settings,
        "accountings": court and plain(court.accountings),
        "cases": cases,
    }


if __name__ == "__main__":
    main()
