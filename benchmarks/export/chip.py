"""What the recipe chip costs: accuracy of its twins beside those of the default, and its NIR files.

    python -m benchmarks.export.chip [--dataset fashion-mnist-mini] [--seeds 2] [--epochs 8] [--store DIR]

Both recipes train vgg-lif and vgg-relu for the same epochs, and answer the whole test set.
Each spiking network of the recipe chip is exported to NIR, and its file is run by the programs that
are installed. What the store holds is not trained again. The result goes to
benchmarks/results/chip.json, under the name of the data set.
"""

import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel import predicting as evaluating
from spikeduel.data.loader import EvaluationBatches
from spikeduel.evaluation.predictions_of_model import ask
from spikeduel.experiment.recipes import EMBEDDED, RECIPES
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import compute_on
from spikeduel.system.progress import TerminalProgress
from spikeduel.system.typed import plain
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store

RESULT = "chip.json"
CONTENDERS = ("vgg-lif", "vgg-relu")
NUM_EXPORTED = 200


def main() -> None:
    parser = shared.parser(__doc__, dataset=EMBEDDED, seeds=2, epochs=8, store=Path("runs/chip"))
    options = parser.parse_args()
    compute_on(1)

    store, progress = Store(options.store), TerminalProgress()
    settings = {"dataset": options.dataset, "epochs": options.epochs, "seeds": options.seeds}
    result: dict[str, Any] = {**settings, "rows": []}
    for seed, contender, name in product(range(options.seeds), CONTENDERS, ("strong", "chip")):
        experiment = RECIPES[name](
            options.dataset, epochs=options.epochs, contenders=CONTENDERS, device="cpu"
        )
        prepared, split = shared.loaded(experiment)
        fitted = shared.fitted(experiment, prepared, split, store)
        (made,) = (
            made
            for made in contenders.trials_of(replace(fitted, seeds=seed + 1), prepared, split)
            if (made.card.contender, made.card.seed) == (contender, seed)
        )
        record = trial.run(made, prepared, store, progress, test=False)
        model = trial.load_of(made.key, made, store)
        test = EvaluationBatches(*prepared.arrays, split.test)
        row: dict[str, Any] = {
            "recipe": name,
            "contender": contender,
            "seed": seed,
            "test": ask(model, test).accuracy,
            "n": len(split.test),
            "minutes": sum(record.epoch_seconds) / 60,
        }
        if made.card.family == "snn":
            row["nir"] = exported(model, experiment, store)
        result["environment"] = record.environment
        result["rows"].append(row)
        print(row, flush=True)
        shared.write(RESULT, {**shared.read(RESULT, {}), options.dataset: result}, as_it_is=True)


def exported(model: Any, experiment: Any, store: Store) -> Any:
    """Return the programs that gave the model's answers, or why there is no file."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            check = evaluating.export(
                model,
                Path(folder) / "a.nir",
                "nir",
                experiment=experiment,
                num_images=NUM_EXPORTED,
                store=store.root,
            )
        except InputError as error:
            return str(error)
    return plain(check.programs)


if __name__ == "__main__":
    main()
