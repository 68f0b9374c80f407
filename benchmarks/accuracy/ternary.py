"""Do ternary spikes (−1, 0, 1) pay? vgg-lif with binary and with ternary spikes, by validation.

    python -m benchmarks.accuracy.ternary [--data-dir PATH] [--epochs 6] [--limit 12000] [--seeds 3] [--runs DIR]

On Fashion-MNIST, with two and with four time steps. The results go to
benchmarks/results/ternary.json: validation accuracy by seed, and spikes of either sign per neuron
and step. Test images are not used.

The neuron is that of Guo et al. 2024, "Ternary Spike: Learning Ternary Spikes for Spiking Neural
Networks" (arXiv:2312.06372), with a leak and a reset by subtraction as in `LIF`, and without
learned amplitudes: a batch norm before a neuron scales its input, which does the same as a learned
threshold.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import shared
from spikeduel.engine.kernels.reference import spike
from spikeduel.engine.networks.models import neurons_watched
from spikeduel.engine.neurons import Neuron, State
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import strong
from spikeduel.training import contenders
from spikeduel.training.store import Store
from spikeduel.training.trial import load_of

RESULT = "ternary.json"
NEURONS = {"binary": "lif", "ternary": "benchmarks.accuracy.ternary:TernaryLIF"}
STEPS = (2, 4)
IMAGES = 500
"""Validation images whose spikes are counted."""


class TernaryLIF(Neuron):
    """`LIF` that also sends −1 where the membrane is below −threshold, which adds the threshold."""

    def __init__(self, beta: float = 0.95, threshold: float = 1.0, surrogate: str = "atan") -> None:
        super().__init__()
        self.beta, self.threshold, self.surrogate = beta, threshold, surrogate

    def initial_state(self, current: Tensor) -> State:
        return {"mem": torch.zeros_like(current), "spk": torch.zeros_like(current)}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        mem = self.beta * state["mem"] + current - self.threshold * state["spk"]
        above, below = (spike(sign * mem - self.threshold, self.surrogate) for sign in (1, -1))
        spk = above - below
        return spk, {"mem": mem, "spk": spk.detach()}


def main() -> None:
    options = shared.parser(
        __doc__, data_dir=str, epochs=6, limit=12000, seeds=3, runs=Path("runs/ternary")
    ).parse_args()
    store, found = Store(options.runs / "store"), {}
    for num_steps in STEPS:
        for name, neuron in NEURONS.items():
            experiment = strong(
                "fashion-mnist",
                contenders=("vgg-lif",),
                neuron=neuron,
                num_steps=num_steps,
                epochs=options.epochs,
                limit=options.limit,
                seeds=options.seeds,
                data_dir=options.data_dir,
            )
            prepared, split = shared.loaded(experiment)
            experiment = shared.fitted(experiment, prepared, split, store)
            trials = contenders.trials_of(experiment, prepared, split)
            outcomes = shared.finished(trials, prepared, store, test=False)
            images = torch.from_numpy(np.array(prepared.images[split.val[:IMAGES]]))
            rates = []
            for trial in trials:
                model = load_of(trial.key, trial, store)
                with torch.inference_mode(), neurons_watched(model.module) as seen:
                    model.run(model.encode(images, RandomKeys.for_content(images)))
                spikes = [spk for _, spk, _ in seen.values()]
                rates.append(
                    float(sum(spk.abs().sum() for spk in spikes))
                    / sum(spk.numel() for spk in spikes)
                )
            found[f"{name}, {num_steps} steps"] = {
                "validation_accuracies": [
                    outcome.record.history[-1].validation.accuracy for outcome in outcomes
                ],
                "spikes_per_neuron_and_step": rates,
                "validation_images": len(split.val),
            }
    settings = {name: getattr(options, name) for name in ("epochs", "limit", "seeds")}
    shared.write(RESULT, {"settings": settings, "networks": found})


if __name__ == "__main__":
    main()
