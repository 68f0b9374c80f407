"""A published NIR graph on N-MNIST: imported here, beside the accuracies that others got with it.

    python -m benchmarks.export.nir_conformity GRAPH.nir RECORDINGS [--only RULE …]

GRAPH.nir is paper/02_cnn/cnn_sinabs.nir of github.com/neuromorphs/NIR. RECORDINGS is N-MNIST or a
part of it, as folders of classes or a CSV; recordings of its training set are right more often than
those of its test set, on which the published accuracies are. The graph is imported and asked about
all recordings as `spikeduel import GRAPH.nir --dataset RECORDINGS --bin-ms 1 --num-steps 300` and
`spikeduel evaluate … --part all` do it.

A second implementation, in this file alone, reads the graph with nir and follows NIR's rules; it
must give the same scores. It then follows the rules of each program (RULES), so that the difference
of its accuracy is traced to a rule. An interval is Clopper and Pearson's, of 95 %. Results, without recordings and weights, go to
benchmarks/results/nir-conformity.json.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from benchmarks import shared
from spikeduel import data
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import events
from spikeduel.exporters import exporting
from spikeduel.features.export import model_exchange
from spikeduel.system import hardware
from spikeduel.system.hardware import compute_on
from spikeduel.system.progress import Progress, TerminalProgress

RESULT = "nir-conformity.json"
NUM_STEPS, BIN_MS, BATCH = 300, 1.0, 20


@dataclass(frozen=True)
class Rule:
    """Rules of a simulation, NIR's by default.

    A spike `subtracts` the threshold instead of resetting to 0; a neuron fires `several` spikes a
    step, keeps above −threshold (`floor`), leaks by `beta`, and fires a step late (`delayed`). Inputs
    are 0 or 1 (`binary`). Weights have `bits`, a scale each layer.
    """

    subtracts: bool = False
    several: bool = False
    floor: bool = False
    beta: float = 1.0
    delayed: bool = False
    binary: bool = False
    bits: int | None = None


NIRS = Rule()
RULES = {
    "NIR's": NIRS,
    "Sinabs's reset, 8 bits": Rule(subtracts=True, several=True, floor=True, bits=8),
    "leak, subtracting reset": Rule(beta=0.9, subtracts=True),
    "spikes a step late, subtracting reset": Rule(delayed=True, subtracts=True),
    "input of 0 or 1": Rule(binary=True),
}
"""NIR's first. Sinabs's reset subtracts, for each of several spikes a step, and keeps membranes above
−threshold."""
PUBLISHED: dict[str, tuple[float, str | None]] = {
    "Lava": (98.15, "NIR's"),
    "Nengo": (98.11, "NIR's"),
    "Norse": (98.11, "NIR's"),
    "SpiNNaker 2": (98.20, "input of 0 or 1"),
    "Sinabs": (98.47, "Sinabs's reset, 8 bits"),
    "Speck (chip)": (95.40, None),
    "snnTorch": (97.85, "leak, subtracting reset"),
    "Spyx": (97.12, "spikes a step late, subtracting reset"),
}
"""Accuracy in % on N-MNIST's 10,000 test recordings, and the rule in this file that is the nearest
to the program's: as its importer, or the script of paper/02_cnn, has it. Lava's first layer gives
the spikes of Norse's and Nengo's (cnn_plots.ipynb). The chip takes events one by one, which no rule
does."""


def main() -> None:
    parser = shared.parser(__doc__, only=RULES)
    parser.add_argument("graph", type=Path)
    parser.add_argument("recordings")
    options = parser.parse_args()
    compute_on(1)
    progress = TerminalProgress()
    graph = Graph(options.graph)
    document = shared.read(RESULT, {"rules": {}})
    frames, labels = _recordings(options.recordings, progress)
    document["nir"] = hardware.package_version("nir")
    for name in options.only:
        rule = RULES[name]
        scores, spikes = graph.scores(frames, rule, progress)
        document["rules"][name] = {**asdict(rule), **_accuracy(scores, labels), "spikes": spikes}
        if rule == NIRS:
            document["imported"] = _imported(options, frames, labels, scores)
        document["programs"] = {
            program: {
                "published": published / 100,
                "in_interval": _holds(document["imported"], published / 100),
                "rule": nearest,
                "in_interval_by_rule": nearest in document["rules"]
                and _holds(document["rules"][str(nearest)], published / 100),
            }
            for program, (published, nearest) in PUBLISHED.items()
        }
        shared.write(RESULT, document)
        print(name, document["rules"][name], flush=True)


def _imported(
    options: argparse.Namespace, frames: Any, labels: np.ndarray, scores: np.ndarray
) -> dict[str, Any]:
    """Return the accuracy of spikeduel's import, and its agreement with the `scores` by NIR's
    rules.

    Its scores of a class are spikes and, where two classes spike as often, a share of one by the
    membrane.
    """
    recordings = events(options.recordings, bin_ms=BIN_MS)
    model = model_exchange.import_model(options.graph, recordings, num_steps=NUM_STEPS)
    ours = _scores(model, frames)
    spikes = np.rint(scores * NUM_STEPS)
    return {
        **_accuracy(ours, labels),
        "same_spikes": int((np.floor(ours + 1e-3) == spikes).all(1).sum()),
        "ties": int((np.sort(spikes)[:, -1] == np.sort(spikes)[:, -2]).sum()),
        "same_labels": int((ours.argmax(1) == scores.argmax(1)).sum()),
    }


def _accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    right, n = int((scores.argmax(1) == labels).sum()), len(labels)
    interval = binomtest(right, n).proportion_ci(0.95)
    return {"accuracy": right / n, "low": interval.low, "high": interval.high, "n": n}


def _holds(row: dict[str, Any], accuracy: float) -> bool:
    return bool(row["low"] <= accuracy <= row["high"])


def _recordings(dataset: str, progress: Progress) -> tuple[Any, np.ndarray]:
    """Return recordings that index to frames uint8 `[B, 2·T, H, W]`, and labels `[N]`."""
    experiment = events(dataset, bin_ms=BIN_MS, num_steps=NUM_STEPS)
    prepared = data.load(experiment, progress.track, say=progress.say)
    return prepared.images, np.asarray(prepared.labels)


def _batches(frames: Any) -> Iterator[np.ndarray]:
    for start in range(0, len(frames), BATCH):
        yield np.asarray(frames[np.arange(start, min(start + BATCH, len(frames)))])


def _scores(model: Any, frames: Any) -> np.ndarray:
    """Return spikeduel's scores `[N, K]`: the mean of the output over the steps."""
    parts = []
    for batch in map(torch.from_numpy, _batches(frames)):
        encoded = model.encode(batch, RandomKeys.for_content(batch))
        parts.append(exporting.reference_run(model, encoded).scores)
    return np.concatenate(parts)


class Graph:
    """A chain of a NIR graph's nodes, simulated step by step of `Rule`."""

    def __init__(self, path: Path) -> None:
        graph = nir.read(path)
        following = dict(graph.edges)
        name, self.nodes = following["input"], list[Any]()
        while name != "output":
            self.nodes.append(graph.nodes[name])
            name = following[name]

    @torch.inference_mode()
    def scores(self, frames: Any, rule: Rule, progress: Progress) -> tuple[np.ndarray, list[float]]:
        """Return the mean output over the steps `[N, K]`, and each spiking layer's spikes a
        recording.
        """
        parts, sums = [], []
        for batch in progress.track(_batches(frames), "simulating", -(-len(frames) // BATCH)):
            x = torch.from_numpy(batch).float().unflatten(1, (NUM_STEPS, 2)).transpose(0, 1)
            x = x.clamp(max=1) if rule.binary else x
            layers = []
            for node in self.nodes:
                x = _over_time(node, x, rule)
                if isinstance(node, nir.IF):
                    layers.append(float(x.sum(dtype=torch.float64)))
            parts.append(x.mean(0))
            sums.append(layers)
        return torch.cat(parts).numpy(), (np.sum(sums, 0) / len(frames)).tolist()


def _over_time(node: Any, x: Tensor, rule: Rule) -> Tensor:
    """Return the output `[T, B, …]` of a node."""
    if isinstance(node, nir.IF):
        return _fired(x, torch.from_numpy(node.v_threshold), rule)
    return _computed(node, x.flatten(0, 1), rule).unflatten(0, x.shape[:2])


def _computed(node: Any, x: Tensor, rule: Rule) -> Tensor:
    if isinstance(node, nir.Flatten):
        return x.flatten(1)
    if isinstance(node, nir.SumPool2d):
        mean = F.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride))
        return mean * float(np.prod(node.kernel_size))
    weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    if rule.bits is not None:
        scale = _scale(weight, rule.bits)
        weight = (weight / scale).round() * scale
    if isinstance(node, nir.Affine):
        return F.linear(x, weight, bias)
    sides = (tuple(node.stride), tuple(node.padding), tuple(node.dilation))
    return F.conv2d(x, weight, bias, *sides, int(node.groups))


def _scale(weight: Any, bits: int) -> float:
    """Return the weight of one step: the least with which both ends fit, as Sinabs has it."""
    most = 2 ** (bits - 1)
    return max(float(weight.max()) / (most - 1), -float(weight.min()) / most)


def _fired(currents: Tensor, threshold: Tensor, rule: Rule) -> Tensor:
    v, spikes = torch.zeros_like(currents[0]), torch.empty_like(currents)
    for step, current in enumerate(currents):
        if not rule.delayed:
            v = rule.beta * v + current
        fires = (v > threshold).to(v.dtype)
        if rule.several:
            fires = (v / threshold).floor().clamp(min=0)
        v = v - fires * threshold if rule.subtracts else v * (1 - fires)
        if rule.floor:
            v = torch.maximum(v, -threshold)
        if rule.delayed:
            v = rule.beta * v + current
        spikes[step] = fires
    return spikes


if __name__ == "__main__":
    main()
