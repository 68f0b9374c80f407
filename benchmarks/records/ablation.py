"""What makes the contenders strong: each setting changed alone, with what that does to accuracy and
to training time.

    python -m benchmarks.records.ablation fashion-mnist [--data-dir PATH] [--images N] [--epochs N] [--seeds
        N] [--only NAME …]

Trains the recipe `strong` and one variant a row, with the same seeds, and looks at validation
images only: no test image is asked. The result goes to benchmarks/results/ablation-DATASET.json
after each variant, beside those that are there, and what the store holds is not trained again. One
thread, so that seconds are those of a CPU; an epoch's are their median, so that other work costs
little. `records.py --write` puts the table at the end of docs/records.md.
"""

import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import shared
from spikeduel.data import Split
from spikeduel.experiment.recipes import strong
from spikeduel.experiment.settings import Experiment
from spikeduel.training import contenders
from spikeduel.training.store import Store, TrialRecord

MAX_VALIDATION = 10_000
BOTH: dict[str, dict[str, Any]] = {
    "as it is": {},
    "Adam": {"optimizer": "adam", "learning_rate": 1e-3},
    "AdamW": {"optimizer": "adamw"},
    "learning rate halved": {"learning_rate": 0.005},
    "learning rate doubled": {"learning_rate": 0.02},
    "no weight decay": {"weight_decay": 0.0},
    "four times the weight decay": {"weight_decay": 0.2},
    "whitened first layer": {"whitening": True},
    "no augmentation": {"augmentation": "none"},
    "flip and reflecting translation": {"augmentation": "translate-flip"},
    "flip and affine": {"augmentation": "affine-flip"},
    "flip and cutout": {"augmentation": "flip-cutout"},
    "dropout": {"dropout": 0.2},
    "average pooling": {"pooling": "avg"},
    "batches of 64": {"batch_size": 64},
    "batches of 256": {"batch_size": 256},
    "width 16": {"width": 16},
    "width 32": {"width": 32},
    "wide late layers": {"contenders": ("tricks:wide_late_lif", "tricks:wide_late_relu")},
    "identities at first": {"contenders": ("tricks:identities_lif", "tricks:identities_relu")},
}
SPIKING: dict[str, dict[str, Any]] = {
    "from nothing": {"start": "fresh"},
    "half of its twin's learning rate": {"per_contender": {"vgg-lif": {"learning_rate": 0.005}}},
    "a quarter of its twin's learning rate": {
        "per_contender": {"vgg-lif": {"learning_rate": 0.0025}}
    },
    "T = 2": {"num_steps": 2},
    "T = 8": {"num_steps": 8},
    "triangle surrogate": {"surrogate": "triangular"},
    "wider surrogate": {"surrogate_alpha": 1.0},
    "narrower surrogate": {"surrogate_alpha": 4.0},
    "threshold 1": {"threshold": 1.0},
    "threshold 0.25": {"threshold": 0.25},
    "beta 0.25": {"beta": 0.25},
    "beta 0.8": {"beta": 0.8},
    "no leak": {"neuron": "if"},
    "learned leak": {"neuron": "plif"},
    "reset to zero": {"reset_mechanism": "zero"},
    "each step's loss": {"contenders": ("tricks:EachStepLIF",)},
    "parallel neurons": {"neuron": "parallel_neurons:PSN"},
    "parallel neurons, causal": {"neuron": "parallel_neurons:MaskedPSN"},
}
VARIANTS = {**BOTH, **SPIKING}


def main() -> None:
    parser = shared.parser(__doc__, "dataset", data_dir=str, epochs=4, seeds=2, store=str)
    parser.add_argument(
        "--images", type=int, help="train on this many, and validate on up to 10,000 others"
    )
    parser.add_argument("--only", nargs="*", help="these variants alone")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))  # for tricks and parallel_neurons
    torch.set_num_threads(1)
    given = {name: getattr(options, name) for name in ("data_dir", "epochs", "seeds")}
    base = strong(options.dataset, **given, contenders=("vgg-lif", "vgg-relu"))
    prepared, split = shared.loaded(base)
    if options.images:
        order = np.random.default_rng(0).permutation(split.train)
        train, val = order[: options.images], order[options.images :][:MAX_VALIDATION]
        split = replace(split, train=np.sort(train), val=np.sort(val))
    store = Store(options.store)
    base = shared.fitted(base, prepared, split, store)
    images = f" --images {options.images}" if options.images else ""
    counts = f"--epochs {options.epochs} --seeds {options.seeds}"
    command = f"python -m benchmarks.records.ablation {options.dataset}{images} {counts}"
    for name in options.only or VARIANTS:
        experiment = replace(base, **VARIANTS[name])
        found = measured(experiment, prepared, split, store)
        keep(name, found, experiment, split, command)


def keep(
    name: str, found: dict[str, Any], experiment: Experiment, split: Split, command: str
) -> None:
    """Puts what was `found` of a variant into the file of results, beside the others."""
    path = f"ablation-{experiment.dataset}.json"
    rows = {row["variant"]: row for row in shared.read(path, {"rows": []})["rows"]}
    rows[name] = {
        "variant": name,
        "settings": VARIANTS[name],
        "spiking_only": name in SPIKING,
        "contenders": {**rows.get(name, {}).get("contenders", {}), **found},
    }
    document = {
        "command": command,
        "dataset": experiment.dataset,
        "training_images": len(split.train),
        "validation_images": len(split.val),
        "epochs": experiment.epochs,
        "rows": [rows[each] for each in VARIANTS if each in rows],
    }
    shared.write(path, document)


def measured(experiment: Experiment, prepared: Any, split: Any, store: Store) -> dict[str, Any]:
    """Each twin's validation accuracies by seed, and its median training minutes."""
    trials = contenders.trials_of(experiment, prepared, split)
    found: dict[str, Any] = {}
    for each, record in shared.finished(trials, prepared, store, test=False):
        kind = "vgg-lif" if each.card.family == "snn" else "vgg-relu"
        entry = found.setdefault(kind, {"accuracies": [], "minutes": []})
        entry["accuracies"].append(record.best.val_accuracy if record.best else None)
        entry["minutes"].append(minutes(record))
    return {
        name: {**entry, "minutes": statistics.median(entry["minutes"])}
        for name, entry in found.items()
    }


def minutes(record: TrialRecord) -> float:
    """What the training took, by its median epoch."""
    return len(record.epoch_seconds) * statistics.median(record.epoch_seconds) / 60


if __name__ == "__main__":
    main()
