"""Who takes less at equal accuracy: the duels of studies/frontier.toml, each with its families of
cheaper networks.

    python benchmarks/frontier.py --data NAME=PATH … [--only NAME …] [--seeds N] [--minutes M]
        [--threads N] [--runs DIR]
    python benchmarks/frontier.py --write

NAME=PATH says where a data set of the study lies: the files of a known one, or a folder. What the
store under `--runs` holds is not trained again. The results go to benchmarks/results/frontier.json
by data set; `--write` makes docs/frontier.md and its figures of them.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from spikeduel.comparing import compare
from spikeduel.data.catalogue import DATASETS
from spikeduel.settings import studies
from spikeduel.system import files
from spikeduel.system.hardware import compute_on
from spikeduel.system.progress import TerminalProgress
from spikeduel.system.typed import plain, write_json

HERE = Path(__file__).parent
RESULT = HERE / "results" / "frontier.json"
STUDY = HERE.parent / "studies" / "frontier.toml"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/frontier"))
    options = parser.parse_args()
    if options.threads:
        compute_on(options.threads)
    paths = dict(given.split("=", 1) for given in options.data)
    study = studies.read(STUDY, lambda name: name.startswith("n-mnist"), DATASETS.__contains__)
    for duel in study.duels:
        experiment, name = duel.experiment, study.label(duel)
        if options.only and name not in options.only:
            continue
        where = {"data_dir": paths.get(name)} if name in DATASETS else {"dataset": paths[name]}
        experiment = replace(
            experiment,
            **where,
            seeds=options.seeds or experiment.seeds,
            minutes=options.minutes or experiment.minutes,
        )
        made = compare(experiment, options.runs / name, options.runs / "store", TerminalProgress())
        results = made.results
        known = files.read_json(RESULT) if RESULT.is_file() else {}
        entry = {
            "settings": {
                setting: getattr(experiment, setting)
                for setting in ("contenders", "minutes", "seeds", "limit", "recipe")
            },
            "budget": plain(results.budget),
            "chosen": plain(results.rules.chosen) if results.rules else {},
            "counts": plain(results.dataset.counts),
            "environment": results.environment,
            "accuracy": {
                contender: [trial.test.accuracy for trial in results.of(contender) if trial.test]
                for contender in results.contenders
            },
            "seconds": {
                contender: [sum(trial.epoch_seconds) for trial in results.of(contender)]
                for contender in results.contenders
            },
            "frontier": plain(results.comparison.frontier),
        }
        write_json(RESULT, {**known, name: entry})


if __name__ == "__main__":
    main()
