"""How well the four networks of recipe matched train, and what its settings were chosen by.

    python benchmarks/matched.py [--seeds 2] [--limit 6000] [--store DIR]

Variants differ from the recipe in one setting; they are looked at by validation accuracy alone.
What the store holds is not trained again. The result goes to benchmarks/results/matched.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeduel import data
from spikeduel.results.trials import Classification
from spikeduel.settings.recipes import matched
from spikeduel.system.progress import TerminalProgress
from spikeduel.trials import contenders, trial
from spikeduel.trials.store import Store

RESULT = Path(__file__).parent / "results" / "matched.json"
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("dense-lif", {"beta": 0.5}),
    ("dense-lif", {"beta": 0.8}),
    ("dense-lif", {"beta": 1.0}),
    ("dense-lif", {"num_steps": 8}),
    ("dense-lif", {"learning_rate": 2e-3}),
    ("dense-relu", {"learning_rate": 2e-3}),
    ("conv-lif", {"learning_rate": 2e-3}),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=6000)
    parser.add_argument("--store", type=Path, default=Path("runs/matched"))
    options = parser.parse_args()

    experiment = matched("fashion-mnist", seeds=options.seeds, limit=options.limit)
    prepared = data.load(experiment)
    split, store, progress = (
        data.split(prepared, experiment),
        Store(options.store),
        TerminalProgress(),
    )

    def run(contender: str, seed: int, **changes: Any) -> dict[str, Any]:
        changed = replace(experiment, contenders=(contender,), seeds=seed + 1, **changes)
        planned = contenders.trials_of(changed, prepared, split)[seed]
        record = store.record(planned.key) or trial.run(planned, prepared, store, progress)
        tested = store.measure(record.key, "classification", Classification)
        return {
            "validation": max(epoch.val_accuracy for epoch in record.history),
            "validation_loss": min(epoch.val_loss for epoch in record.history),
            "test": tested and tested.accuracy,
            "environment": record.environment,
        }

    found = {
        name: [run(name, seed) for seed in range(options.seeds)] for name in experiment.contenders
    }
    variants = [(name, changes, run(name, 0, **changes)) for name, changes in VARIANTS]
    settings = (
        "dataset",
        "limit",
        "encoding",
        "num_steps",
        "beta",
        "hidden",
        "batch_size",
        "learning_rate",
        "epochs",
    )
    result = {
        "settings": {name: getattr(experiment, name) for name in settings},
        "environment": found["dense-lif"][0]["environment"],
        "contenders": {
            name: {
                key: [one[key] for one in of_seeds]
                for key in ("validation", "validation_loss", "test")
            }
            for name, of_seeds in found.items()
        },
        "variants_seed_0": [
            {
                "contender": name,
                **changes,
                "validation": one["validation"],
                "validation_loss": one["validation_loss"],
            }
            for name, changes, one in variants
        ],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
