"""Which network is cheaper, by every published accounting, from the operations that runs keep; no
network runs.

    python -m benchmarks.energy.energy_accountings RUN [RUN …] [--accounting FILE.toml …]

RUN is a run's folder. Each spiking contender stands against every other contender and its trained
variants. Prints the conclusion by groups of accountings, and where it changes. The result goes to
benchmarks/results/energy-accountings.json.
"""

from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel.energy import accounting
from spikeduel.energy.accounting import compare_run
from spikeduel.sentences import cost_sentences as words
from spikeduel.sentences.columns import render, text_rows
from spikeduel.sentences.comparison import load_run
from spikeduel.system.typed import plain

RESULT = "energy-accountings.json"
OF_DATA = ("dataset", "encoding", "num_steps", "epochs", "seeds")


def main() -> None:
    parser = shared.parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--accounting", nargs="*", default=[], metavar="FILE.toml")
    options = parser.parse_args()
    laws = [accounting.read(each) for each in options.accounting]
    found = [of_run(run, laws) for run in options.runs]
    shared.write(RESULT, {"runs": found})


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
        after = words.summary(accounted)
        print(f"\n{after}\n{render(rows)}")
        said = {"after": after, "by_group": accounted.by_group}
        cases.append({**said, **plain(accounted)})
    return {
        "run": run.name,
        "settings": settings,
        "accountings": accountings and plain(accountings.definitions),
        "cases": cases,
    }


if __name__ == "__main__":
    main()
