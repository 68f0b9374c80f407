"""Energy of the study's networks, estimated from their operations on the whole test set, in every counting and table.

    python benchmarks/energy.py RUN [RUN …] [--seed 0]

RUN is a run's folder; its models are asked about their own test images. The ReLU twin of a spiking network is computed
from its shape, with every multiplication (dense). The result goes to benchmarks/results/energy.json, with the figures
that were published beside it where there are some (compute only, 45 nm, 32-bit floats, dense, in microjoules).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spikeduel import data
from spikeduel.measuring import energy
from spikeduel.measuring.costing import operations
from spikeduel.networks.model_files import load_model
from spikeduel.results.comparison import load_run
from spikeduel.results.costs import MEMORIES, Layer, Operations
from spikeduel.system import hardware
from spikeduel.system.typed import plain
from spikeduel.trials.training import EvaluationBatches

RESULT = Path(__file__).parent / "results" / "energy.json"
SHOWN = ("macs", "acs", "neurons", "spikes_per_neuron_and_step", "leaks", "resets", "membrane_reads", "traffic")
EXPECTED: dict[str, dict[str, Any]] = {
    "socofing": {"dense-snn": {"per_step": 1108, "hoisted": 44}, "small-cnn": {"per_step": 122}},
    "fashion-mnist": {"dense-snn": {"per_step": 92, "hoisted": 3.7}, "small-cnn": {"per_step": 6.8}},
}
"""Microjoules that were computed by hand, before there was a counter; of spiking networks for direct encoding."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [row for run in options.runs for row in of_run(run, options.seed)]
    environment = hardware.environment(hardware.resolve())
    RESULT.write_text(json.dumps({"unit": "µJ an image", "environment": environment, "rows": rows}, indent=1) + "\n")
    for row in rows:
        print(
            row["run"], row["contender"], row["encoding"], row["microjoules"]["45nm-fp32"]["compute"], row["expected"]
        )


def of_run(run: Path, seed: int) -> list[dict[str, Any]]:
    comparison = load_run(run)
    prepared = data.load(comparison.experiment)
    split = data.split(prepared, comparison.experiment)
    batches = EvaluationBatches(*prepared.held, split.test)
    rows = []
    for trial in comparison.results.trials:
        if trial.seed != seed or not trial.model:
            continue
        counted = operations(load_model(run / trial.model), batches).operations
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
                "totals": {**{name: totals[name] for name in SHOWN}, "acs": counted.totals.acs.total},
                "microjoules": in_microjoules(counted.layers),
                "relu_twin": in_microjoules(energy.relu_twin(counted)) if trial.spiking else None,
                "break_even_rate_against_relu_twin": break_even(counted) if trial.spiking else None,
                "expected": by_hand if trial.encoding in ("direct", None) else None,
            }
        )
    return rows


def in_microjoules(layers: Sequence[Layer]) -> dict[str, Any]:
    """By table, memory and scope: per step and hoisted, MACs dense and effective."""

    def micro(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: micro(inner) for key, inner in value.items()}
        return None if value is None else round(1e6 * value, 4)

    found = {name: plain(energy.estimate(layers, energy.read(name))) for name in energy.NAMES}
    return {name: {memory: micro(entry[memory]) for memory in MEMORIES} for name, entry in found.items()}


def break_even(counted: Operations) -> dict[str, Any]:
    """By table and memory model: the spikes per neuron and step at which network and ReLU twin cost the same."""
    twin, steps = energy.relu_twin(counted), counted.num_steps
    return {
        name: {memory: energy.break_even_rate(counted, twin, energy.read(name), steps, memory) for memory in MEMORIES}
        for name in energy.NAMES
    }


if __name__ == "__main__":
    main()
