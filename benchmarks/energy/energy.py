"""Energy of the study's networks, estimated from their operations on the whole test set, in every
counting and table.

    python -m benchmarks.energy.energy RUN [RUN …] [--seed 0]

RUN is a run's folder; its models are asked about their own test images. The ReLU twin of a spiking
network is computed from its shape, without a zero among its hidden activations. The result goes to
benchmarks/results/energy.json, in microjoules of an image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel import data, energy
from spikeduel.data.loader import EvaluationBatches
from spikeduel.energy.rescaling import relu_twin
from spikeduel.engine.counting.operations import Layer
from spikeduel.engine.networks.models import load_model
from spikeduel.evaluation.costing import operations
from spikeduel.results import cost_results as costs
from spikeduel.sentences.comparison import load_run
from spikeduel.system.typed import plain

RESULT = "energy.json"


def main() -> None:
    parser = shared.parser(__doc__, seed=0)
    parser.add_argument("runs", nargs="+", type=Path)
    options = parser.parse_args()
    rows = [row for run in options.runs for row in of_run(run, options.seed)]
    shared.write(RESULT, {"unit": "µJ an image", "rows": rows})


def of_run(run: Path, seed: int) -> list[dict[str, Any]]:
    comparison = load_run(run)
    prepared = data.load(comparison.experiment)
    split = data.split(prepared, comparison.experiment)
    batches = EvaluationBatches(*prepared.arrays, split.test)
    rows = []
    for trial in comparison.results.trials:
        if trial.seed != seed or not trial.model:
            continue
        model = load_model(run / trial.model)
        counted = operations(model, batches).operations
        if counted is None:
            continue
        rows.append(
            {
                "run": run.name,
                "contender": trial.contender,
                "encoding": trial.encoding,
                "num_steps": counted.num_steps,
                "test_images": counted.images,
                "microjoules": in_microjoules(counted.layers),
                "relu_twin": in_microjoules(relu_twin(counted).layers) if trial.spiking else None,
            }
        )
    return rows


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


if __name__ == "__main__":
    main()
