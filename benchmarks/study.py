"""Redoes the 2023 study: every data set at hand, direct and rate encoding, SOCOFing with both splits.

    python benchmarks/study.py --socofing PATH/TO/SOCOFING [--only NAME …] [--runs DIR]

Each comparison is the one that `spikeduel compare` makes; what its store holds is not trained again. The results go
to benchmarks/results/study-<name>.json; `python benchmarks/tables.py` makes the README's tables of them.
"""

import argparse
import json
import resource
from pathlib import Path

from spikeduel.comparing import compare
from spikeduel.progress import TerminalProgress
from spikeduel.recipes import baseline

RESULTS = Path(__file__).parent / "results"
COMPARISONS = {
    "fashion-mnist-direct": {"dataset": "fashion-mnist", "encoding": "direct"},
    "socofing-published-direct": {"dataset": "socofing", "encoding": "direct", "split": "published"},
    "socofing-by-subject-direct": {"dataset": "socofing", "encoding": "direct"},
    "fashion-mnist-rate": {"dataset": "fashion-mnist", "encoding": "rate"},
    "socofing-by-subject-rate": {"dataset": "socofing", "encoding": "rate"},
    "socofing-published-rate": {"dataset": "socofing", "encoding": "rate", "split": "published"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--socofing", help="SOCOFing's folder or zip")
    parser.add_argument("--only", nargs="*", choices=list(COMPARISONS), default=list(COMPARISONS))
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="where the runs and their store go")
    options = parser.parse_args()
    progress = TerminalProgress()
    for name in options.only:
        settings = COMPARISONS[name]
        data_dir = options.socofing if settings["dataset"] == "socofing" else None
        progress.say(f"== {name}")
        comparison = compare(
            baseline(**settings, data_dir=data_dir), options.runs / name, options.runs / "store", progress
        )
        results = comparison.results
        # Where the files lie is nobody's business.
        results["experiment"]["data_dir"] = None
        results["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"study-{name}.json").write_text(json.dumps(results, indent=1) + "\n")
        print(comparison.table())


if __name__ == "__main__":
    main()
