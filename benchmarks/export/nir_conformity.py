"""A published NIR graph on N-MNIST: imported here, beside the accuracies that others got with it.

    python -m benchmarks.export.nir_conformity GRAPH.nir RECORDINGS [--only RULE …]

GRAPH.nir is paper/02_cnn/cnn_sinabs.nir of github.com/neuromorphs/NIR. RECORDINGS is N-MNIST or a
part of it, as folders of classes or a CSV; recordings of its training set are right more often than
those of its test set, on which the published accuracies are. The graph is imported and asked about
all recordings as `spikeduel import GRAPH.nir --dataset RECORDINGS --bin-ms 1 --num-steps 300` and
`spikeduel evaluate … --part all` do it.

A second implementation, in this file alone, reads the graph with nir and follows NIR's rules; it
must give the same scores. It then breaks one rule after the other as the programs do (RULES), so
that the difference of a program's accuracy is traced to a rule. Rules "event by event" have no
frames: each layer takes its input's events one after the other, as the cores of the chip Speck do.
An interval is Clopper and Pearson's, of 95 %. Results, without recordings and weights, go to
benchmarks/results/nir-conformity.json.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numba import njit
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from benchmarks import shared
from spikeduel import data, predicting as evaluating
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import events
from spikeduel.exporters import exporting
from spikeduel.inputs.preprocessing import unpacked
from spikeduel.system import hardware
from spikeduel.system.hardware import Compute, compute_on
from spikeduel.system.progress import Progress, TerminalProgress

RESULT = "nir-conformity.json"
NUM_STEPS, BIN_MS, BATCH = 300, 1.0, 20
MAX_STEPS = 340
"""Frames of 1 ms that no recording of N-MNIST fills."""


@dataclass(frozen=True)
class Rule:
    """Rules of a simulation, NIR's by default.

    A spike `subtracts` the threshold instead of resetting to 0; a neuron fires `several` spikes a
    step, keeps above −threshold (`floor`), leaks by `beta`, and fires a step late (`delayed`). Pools
    take the `mean`. Inputs are 0 or 1 (`binary`). Weights have `bits`, a scale each layer.
    `by_event` looks at the threshold after each event, without frames; thresholds are then whole
    numbers of the weights' scale, and `several`, `beta`, `delayed`, `mean` and `binary` do not count.
    """

    subtracts: bool = False
    several: bool = False
    floor: bool = False
    beta: float = 1.0
    delayed: bool = False
    mean: bool = False
    binary: bool = False
    bits: int | None = None
    by_event: bool = False
    bin_ms: float = BIN_MS
    num_steps: int = NUM_STEPS


NIRS = Rule()
SINABS = Rule(subtracts=True, several=True, floor=True)
RULES = {
    "NIR's": NIRS,
    "Sinabs's reset": SINABS,
    "Sinabs's reset, 8 bits": replace(SINABS, bits=8),
    "leak, subtracting reset": replace(NIRS, beta=0.9, subtracts=True),
    "spikes a step late, subtracting reset": replace(NIRS, delayed=True, subtracts=True),
    "input of 0 or 1": replace(NIRS, binary=True),
    "subtracting reset": replace(NIRS, subtracts=True),
    "mean pooling": replace(NIRS, mean=True),
    "8 bits": replace(NIRS, bits=8),
    "all frames": replace(NIRS, num_steps=MAX_STEPS),
    "frames of 0.25 ms": replace(NIRS, bin_ms=0.25, num_steps=4 * NUM_STEPS),
    "event by event": replace(NIRS, by_event=True),
    "event by event, subtracting reset": replace(NIRS, by_event=True, subtracts=True),
    "event by event, Sinabs's reset": replace(SINABS, by_event=True),
    "event by event, Sinabs's reset, 8 bits": replace(SINABS, by_event=True, bits=8),
}
"""NIR's first. Sinabs's reset subtracts, for each of several spikes a step, and keeps membranes above
−threshold. Event by event, an event lets a neuron fire once, at most. Speck's states of 16 bits
cannot overflow here: they stay between −threshold and threshold + 127."""
PUBLISHED = {
    "Lava": (98.15, "NIR's"),
    "Nengo": (98.11, "NIR's"),
    "Norse": (98.11, "NIR's"),
    "SpiNNaker 2": (98.20, "input of 0 or 1"),
    "Sinabs": (98.47, "Sinabs's reset, 8 bits"),
    "Speck (chip)": (95.40, "event by event, Sinabs's reset, 8 bits"),
    "snnTorch": (97.85, "leak, subtracting reset"),
    "Spyx": (97.12, "spikes a step late, subtracting reset"),
}
"""Accuracy in % on N-MNIST's 10,000 test recordings, and the rule in this file that is the nearest
to the program's: as its importer, or the script of paper/02_cnn, has it. Lava's first layer gives
the spikes of Norse's and Nengo's (cnn_plots.ipynb). Speck gets the recordings' events, not frames,
and networks in int8 (speck_accuracy.py, and discretize.py of Sinabs)."""


def main() -> None:
    parser = shared.parser(__doc__)
    parser.add_argument("graph", type=Path)
    parser.add_argument("recordings")
    parser.add_argument("--only", choices=RULES, nargs="+", help="these rules; others are kept")
    options = parser.parse_args()
    compute_on(1)
    progress = TerminalProgress()
    graph = Graph(options.graph)
    document = shared.read(RESULT) if options.only else {"rules": {}}
    document["environment"] = hardware.environment(Compute("cpu", "32"))
    document["nir"] = hardware.package_version("nir")
    for name in options.only or RULES:
        rule = RULES[name]
        frames, labels = _recordings(options.recordings, rule, progress)
        simulate = graph.counts_by_event if rule.by_event else graph.scores
        scores, spikes = simulate(frames, rule, progress)
        document["rules"][name] = {**asdict(rule), **_accuracy(scores, labels), "spikes": spikes}
        if rule == NIRS:
            document["imported"] = _imported(options, frames, labels, scores)
        document["programs"] = {
            program: {
                "published": published / 100,
                "in_interval": _holds(document["imported"], published / 100),
                "rule": nearest,
                "in_interval_by_rule": nearest in document["rules"]
                and _holds(document["rules"][nearest], published / 100),
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
    model = evaluating.import_model(options.graph, recordings, num_steps=NUM_STEPS)
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


def _recordings(dataset: str, rule: Rule, progress: Progress) -> tuple[Any, np.ndarray]:
    """Return recordings that index to frames uint8 `[B, 2·T, H, W]`, and labels `[N]`."""
    experiment = events(dataset, bin_ms=rule.bin_ms, num_steps=rule.num_steps)
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
            x = torch.from_numpy(batch).float().unflatten(1, (rule.num_steps, 2)).transpose(0, 1)
            x = x.clamp(max=1) if rule.binary else x
            layers = []
            for node in self.nodes:
                x = _over_time(node, x, rule)
                if isinstance(node, nir.IF):
                    layers.append(float(x.sum(dtype=torch.float64)))
            parts.append(x.mean(0))
            sums.append(layers)
        return torch.cat(parts).numpy(), (np.sum(sums, 0) / len(frames)).tolist()

    def counts_by_event(
        self, recordings: Any, rule: Rule, progress: Progress
    ) -> tuple[np.ndarray, list[float]]:
        """Return the classes' spikes `[N, K]`, and each spiking layer's spikes a recording."""
        classes, sums = [], []
        for row in progress.track(range(len(recordings)), "simulating", len(recordings)):
            layers = _by_event(self.nodes, unpacked(recordings.events_of(row)), rule)
            classes.append(np.bincount(layers[-1][:, 0], minlength=len(self.nodes[-1].v_threshold)))
            sums.append([len(spikes) for spikes in layers])
        return np.stack(classes), np.mean(sums, 0).tolist()


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
        return mean if rule.mean else mean * float(np.prod(node.kernel_size))
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


def _by_event(nodes: list[Any], seen: Any, rule: Rule) -> list[np.ndarray]:
    """Return the spikes `[E, 3]` (channel, row, column) of each spiking layer, in their order.

    The graph has neither biases nor kernels of unequal sides.
    """
    events, layers = np.stack([seen.p, seen.y, seen.x], 1), []
    for node, neurons in pairwise([*nodes, None]):
        if isinstance(node, nir.Flatten):
            inputs = np.ravel_multi_index(tuple(events.T), tuple(node.input_type["input"]))
            events = np.pad(inputs[:, None], ((0, 0), (0, 2)))
        elif isinstance(node, nir.SumPool2d):
            events = events // (1, *node.kernel_size)
        elif not isinstance(node, nir.IF):
            is_linear = isinstance(node, nir.Affine)
            weight = node.weight[..., None, None] if is_linear else node.weight
            stride, padding = (1, 0) if is_linear else (int(node.stride[0]), int(node.padding[0]))
            shape = (*neurons.v_threshold.shape, 1, 1)[:3]
            threshold = float(neurons.v_threshold.flat[0])
            if rule.bits is not None:
                scale = _scale(weight, rule.bits)
                weight, threshold = np.rint(weight / scale), float(np.rint(threshold / scale))
            floor = -threshold if rule.floor else -np.inf
            weight = np.ascontiguousarray(weight.transpose(1, 2, 3, 0), dtype=np.float64)
            places = _fired_by_event(
                events, weight, stride, padding, shape, threshold, floor, rule.subtracts
            )
            events = np.stack(np.unravel_index(places, shape), 1)
            layers.append(events)
    return layers


@njit
def _fired_by_event(events, weight, stride, padding, shape, threshold, floor, subtracts):  # type: ignore[no-untyped-def]
    """Return the places `[E]` in `shape` of neurons that fire. `weight` is `[C, K, K, O]`.

    An event reaches its neurons by rows, columns and channels; the chip's own order is not known.
    """
    num_channels, height, width = shape
    last = weight.shape[1] - 1
    v = np.zeros(shape)
    fired = [0 for _ in range(0)]
    for channel, y, x in events:
        top, left = y + padding, x + padding
        for row in range(max(0, -((last - top) // stride)), min(height - 1, top // stride) + 1):
            for column in range(
                max(0, -((last - left) // stride)), min(width - 1, left // stride) + 1
            ):
                into = weight[channel, top - row * stride, left - column * stride]
                for output in range(num_channels):
                    mem = max(v[output, row, column] + into[output], floor)
                    if mem >= threshold:
                        fired.append((output * height + row) * width + column)
                        mem = mem - threshold if subtracts else 0.0
                    v[output, row, column] = mem
    return np.array(fired)


if __name__ == "__main__":
    main()
