"""Energy of the study's networks, estimated from their operations on the whole test set, in every
counting and table.

    python benchmarks/energy.py RUN [RUN …] [--seed 0]

RUN is a run's folder; its models are asked about their own test images. The ReLU twin of a spiking
network is computed from its shape, without a zero among its hidden activations. The result goes to
benchmarks/results/energy.json, with the figures computed by hand beside it where there are some
(arithmetic alone, 45 nm, 32-bit floats, in microjoules).

`before_and_after` sets what was said when spikes alone skipped zeros, padding was multiplied and
numbers alone reused weights beside what is said now: for each run, what each contender takes and
who takes least, by each way of counting.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from spikeduel import data, energy
from spikeduel.counting.operations import Layer, Operations
from spikeduel.data.loader import EvaluationBatches
from spikeduel.energy.accounting import MAX_RATE
from spikeduel.energy.rescaling import relu_twin, scaled
from spikeduel.measuring.costing import operations
from spikeduel.networks.models import Model, load_model
from spikeduel.results import costs
from spikeduel.results.comparison import load_run
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware
from spikeduel.system.typed import plain

RESULT = Path(__file__).parent / "results" / "energy.json"
SHOWN = (
    "macs",
    "acs",
    "neurons",
    "spikes_per_neuron_and_step",
    "leaks",
    "resets",
    "membrane_reads",
    "traffic",
)
EXPECTED: dict[str, dict[str, Any]] = {
    "socofing": {"dense-snn": {"per_step": 1108, "hoisted": 44}, "small-cnn": {"per_step": 122}},
    "fashion-mnist": {
        "dense-snn": {"per_step": 92, "hoisted": 3.7},
        "small-cnn": {"per_step": 6.8},
    },
}
"""Microjoules computed by hand as most papers count, before there was a counter; of spiking
networks for direct encoding. They multiply the padding of convolutions, which `padding` says.
"""
MODELS: dict[str, costs.Memory] = {"arithmetic": "compute", "with_memory": "on_chip"}
"""Memory models that the README shows."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [row for run in options.runs for row in of_run(run, options.seed)]
    changes = [
        before_and_after([row for row in rows if row["run"] == run.name]) for run in options.runs
    ]
    document = {
        "unit": "µJ an image",
        "environment": hardware.environment(hardware.resolve()),
        "before_and_after": changes,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n")
    for change in changes:
        print(json.dumps(change, indent=1))


def of_run(run: Path, seed: int) -> list[dict[str, Any]]:
    comparison = load_run(run)
    prepared = data.load(comparison.experiment)
    split = data.split(prepared, comparison.experiment)
    batches = EvaluationBatches(*prepared.held, split.test)
    rows = []
    for trial in comparison.results.trials:
        if trial.seed != seed or not trial.model:
            continue
        model = load_model(run / trial.model)
        counted = operations(model, batches).operations
        if counted is None:
            continue
        totals = plain(counted.totals)
        by_hand = EXPECTED.get(prepared.name, {}).get(trial.contender)
        rows.append(
            {
                "run": run.name,
                "contender": trial.contender,
                "encoding": trial.encoding,
                "num_steps": counted.num_steps,
                "test_images": counted.images,
                "totals": {
                    **{name: totals[name] for name in SHOWN},
                    "acs": counted.totals.acs.total,
                },
                "layers": [by_layer(layer) for layer in counted.layers],
                "padding": padding(model),
                "microjoules": in_microjoules(counted.layers),
                "relu_twin": in_microjoules(relu_twin(counted).layers) if trial.spiking else None,
                "break_even_rate_against_relu_twin": break_even(counted) if trial.spiking else None,
                "often": firing_often(counted) if trial.spiking else None,
                "expected": by_hand if trial.encoding in ("direct", None) else None,
            }
        )
    return rows


def by_layer(layer: Layer) -> dict[str, Any]:
    """What energies follow from: the counts of a layer, without its time steps."""
    counts = plain(layer)
    return {
        name: value["total"] if isinstance(value, dict) and "total" in value else value
        for name, value in counts.items()
    }


def padding(model: Model) -> float:
    """Multiplications by the padding of convolutions in one pass, which most libraries count and
    spikeduel does not.
    """
    found: list[int] = []

    def count(conv: nn.Conv2d, inputs: Any, output: Any) -> None:
        ones = torch.ones(1, 1, *inputs[0].shape[-2:])
        seen = F.conv2d(
            ones,
            torch.ones(1, 1, *conv.kernel_size),
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
        )
        beyond = math.prod(conv.kernel_size) * seen.numel() - int(seen.sum())
        found.append(beyond * conv.in_channels // conv.groups * conv.out_channels)

    hooks = [
        part.register_forward_hook(count)
        for part in model.module.modules()
        if isinstance(part, nn.Conv2d)
    ]
    if hooks:
        with torch.no_grad():
            nothing = torch.zeros(1, *model.card.image_shape, dtype=torch.uint8)
            model.module(model.encode(nothing, RandomKeys.for_evaluation(np.arange(1))))
    for hook in hooks:
        hook.remove()
    return float(sum(found))


OFTEN = 0.3
"""A high rate, in spikes per neuron and step, at which fetching weights spike by spike is dear."""


def firing_often(counted: Operations) -> dict[str, Any]:
    """Microjoules with memory of the network if it fired so often, then and now, and of its twin in
    a pass a step.
    """
    table, measured = energy.read(energy.HEADLINE), counted.totals.spikes_per_neuron_and_step
    often = scaled(counted, OFTEN / measured, counted.num_steps) if measured else counted
    now, twin = (
        energy.joules(operations.layers, table, "on_chip", neurons=True)
        for operations in (often, relu_twin(counted))
    )
    return {
        "rate": OFTEN,
        "spike_by_spike": round(1e6 * (now.dense or 0.0), 4),
        "range": [round(1e6 * end, 4) for end in (now.range.low, now.range.high)]
        if now.range
        else None,
        "twin_at_every_step": round(1e6 * counted.num_steps * (twin.dense or 0.0), 4),
    }


def before_and_after(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What each contender of a run takes by the leading table, and who takes least, hoisted; then
    and now.
    """
    one = energy.read(energy.HEADLINE).picojoules
    then: dict[str, dict[str, float]] = {name: {} for name in MODELS}
    skipped: dict[str, float] = {}
    computed: dict[str, float] = {}
    ranges: dict[str, list[float]] = {}
    for row in rows:
        name, found = row["contender"], row["microjoules"][energy.HEADLINE]
        more = 0.0 if row["encoding"] else 1e-6 * (one.multiply + one.add) * row["padding"]
        for title, memory in MODELS.items():
            then[title][name] = round(found[memory]["hoisted"]["dense"] + more, 4)
        bounds = found["compute"]["hoisted"]["range"]
        skipped[name], computed[name] = bounds["low"], bounds["high"]
        ranges[name] = list(found["on_chip"]["hoisted"]["range"].values())

    def least(joules: dict[str, float]) -> dict[str, Any]:
        return {"microjoules": joules, "least": min(joules, key=joules.__getitem__)}

    first = min(ranges, key=lambda name: ranges[name][0])
    apart = all(ranges[first][1] < low for name, (low, _) in ranges.items() if name != first)
    return {
        "run": rows[0]["run"],
        "before": {title: least(joules) for title, joules in then.items()},
        "after": {
            "arithmetic, zeros skipped by all": least(skipped),
            "arithmetic, nothing skipped": least(computed),
            "with memory": {"microjoules": ranges, "least": first if apart else None},
        },
    }


def in_microjoules(layers: Sequence[Layer]) -> dict[str, Any]:
    """By table, memory and way: the range, with zeros skipped by all, and as most papers
    count (dense).
    """

    def micro(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: micro(inner) for key, inner in value.items()}
        return None if value is None else round(1e6 * value, 4)

    found = {name: plain(energy.estimate(layers, energy.read(name))) for name in energy.NAMES}
    return {
        name: {memory: micro(entry[memory]) for memory in costs.MEMORIES}
        for name, entry in found.items()
    }


def break_even(counted: Operations) -> dict[str, Any]:
    """By table and memory model: the spikes per neuron and step at which network and ReLU twin cost
    the same.

    "any" where the network is cheaper at any rate.
    """
    twin, steps = relu_twin(counted), counted.num_steps

    def rate(table: str, memory: costs.Memory) -> float | str | None:
        found = energy.break_even_rate(counted, twin, energy.read(table), steps, memory)
        if math.isnan(found):
            return None
        return {0.0: "none", MAX_RATE: "any"}.get(found, found)

    return {
        name: {memory: rate(name, memory) for memory in costs.MEMORIES} for name in energy.NAMES
    }


if __name__ == "__main__":
    main()
