"""How good a converted ReLU network is over T steps, beside its source, on Fashion-MNIST's whole
test set.

    python -m benchmarks.export.conversion RUN [--seeds 1] [--percentile 99.9]

RUN is a run of recipe matched on fashion-mnist (`spikeduel compare fashion-mnist --recipe
matched`), whose dense-relu and conv-relu are converted, for each T apart. The result goes to
benchmarks/results/conversion.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import shared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks import converting
from spikeduel.engine.networks.models import load_model
from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
from spikeduel.features.conversion import conversion
from spikeduel.sentences.comparison import load_run

RESULT = "conversion.json"
CONTENDERS = ("dense-relu", "conv-relu")
STEPS = (4, 8, 16, 32, 64)


def main() -> None:
    parser = shared.parser(__doc__, seeds=1, percentile=99.9)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()

    experiment = load_run(options.run).experiment
    prepared, split = shared.loaded(experiment)
    test = EvaluationBatches(*prepared.arrays, split.test)
    sample = torch.as_tensor(
        np.asarray(prepared.images[np.sort(split.train[: conversion.NUM_IMAGES])])
    )
    result: dict[str, Any] = {
        "settings": {
            "percentile": options.percentile,
            "images": len(sample),
            "limit": experiment.limit,
        },
        "n": len(split.test),
        "rows": [],
    }
    for contender in CONTENDERS:
        for seed in range(options.seeds):
            source = load_model(options.run / "models" / f"{contender}-seed{seed}.safetensors")
            row: dict[str, Any] = {
                "contender": contender,
                "seed": seed,
                "precision": source.precision,
                "converted": {},
            }
            row["accuracy"] = predict_in_one_pass(source, test).accuracy
            layers = converting.traced(source.module, source.card.image_shape)
            scales = converting.activation_scales(source, sample, options.percentile, layers)
            row["scales"] = list(scales.values())
            result["rows"].append(row)
            for num_steps in STEPS:
                found = predict_in_one_pass(
                    converting.converted(source, sample, num_steps, options.percentile), test
                )
                row["converted"][num_steps] = {
                    "accuracy": found.accuracy,
                    "tie_share": float(found.tied.mean()),
                }
                print(contender, seed, num_steps, row["converted"][num_steps], flush=True)
                shared.write(RESULT, result)


if __name__ == "__main__":
    main()
