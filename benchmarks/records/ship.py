"""Puts a trained network of a run into the package, with a card of what is known of it; or checks
those in it.

    python -m benchmarks.records.ship RUN CONTENDER NAME --command "spikeduel compare …" --limits "…"
    python -m benchmarks.records.ship --check [--data-dir PATH]

RUN is the folder of a `spikeduel compare`. The network is that of the first seed, whatever the
others reached. `--check` evaluates each shipped network afresh, on the images that come with the
package, and on its whole test set.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import shared
from spikeduel import data
from spikeduel.engine.networks import shipped
from spikeduel.engine.networks.models import Model, load_model
from spikeduel.engine.networks.shipped import Checked, Origin
from spikeduel.evaluation.correctness import classified
from spikeduel.experiment.settings import Experiment
from spikeduel.sentences.comparison import load_run
from spikeduel.statistics import wilson
from spikeduel.system import typed

CHECKED_ON = {"fashion-mnist": "fashion-mnist-mini", "mnist": "digits"}
"""For a data set, one that comes with the package."""


def embedded(name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The test images of a set that comes with the package, uint8 `[N, 1, side, side]`, and labels
    `[N]`.

    Those of "digits", 8×8, are drawn as MNIST's are: 20 pixels a side, in the middle.
    """
    experiment = Experiment(dataset=name)
    prepared = data.load(experiment)
    test = data.split(prepared, experiment).test
    images = torch.from_numpy(np.asarray(prepared.images[test]))
    if name == "digits":
        border = (side - 20) // 2
        images = (
            F.interpolate(images.float(), size=(20, 20), mode="bilinear").round().to(torch.uint8)
        )
        images = F.pad(images, (border,) * 4)
    return images.numpy(), np.asarray(prepared.labels)[test]


def checked(model: Model, name: str) -> Checked:
    """How many of the embedded images `model` gets right."""
    images, labels = embedded(name, model.card.image_shape[1])
    return Checked(
        dataset=name, right=int((model.predict(images)[0] == labels).sum()), n=len(labels)
    )


def main() -> None:
    parser = shared.parser(__doc__, check=False)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("contender", nargs="?")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--command", help="the command that made the run")
    parser.add_argument("--limits", help="what the network is not good for, in a sentence")
    parser.add_argument("--data-dir", help="files of the full test sets, for --check")
    options = parser.parse_args()
    given = (options.run, options.contender, options.name, options.command, options.limits)
    if options.check:
        check(options.data_dir)
    elif None in given:
        parser.error("RUN, CONTENDER, NAME, --command and --limits are all needed; or --check")
    else:
        ship(*given)


def ship(run: Path, contender: str, name: str, command: str, limits: str) -> None:
    results = load_run(run).results
    trial = next(each for each in results.of(contender) if each.seed == 0)
    if (
        trial.test is None
        or trial.operations is None
        or trial.energy is None
        or trial.model is None
    ):
        raise SystemExit(f"{run}: {trial.title} was not measured.")
    file = shipped.FOLDER / f"{name}.safetensors"
    shutil.copyfile(run / trial.model, file)
    right = round(trial.test.accuracy * trial.test.n)
    low, high = wilson(right / trial.test.n, trial.test.n)
    totals, joules = trial.operations.totals, trial.energy.leading.of().range
    if joules is None:
        raise SystemExit(f"{run}: the energy of {trial.title} is not known.")
    environment = results.environment or {}
    origin = Origin(
        name=name,
        dataset=results.dataset.name,
        recipe=results.experiment.recipe,
        seed=trial.seed,
        accuracy=trial.test.accuracy,
        low=low,
        high=high,
        n=trial.test.n,
        checked=checked(load_model(file), CHECKED_ON[results.dataset.name]),
        parameters=trial.parameters or 0,
        num_steps=trial.num_steps,
        macs=totals.macs.dense.hoisted,
        acs=totals.acs.total,
        joules=(joules.low, joules.high),
        epochs=trial.epochs,
        training_seconds=round(sum(trial.epoch_seconds)),
        machine=f"{environment.get('cpu', '')}, threads: {environment.get('threads', '')}",
        command=command,
        date=results.created[:10],
        limits=limits,
    )
    typed.write_json(shipped.FOLDER / f"{name}.json", origin)
    print(typed.plain(origin))


def check(data_dir: str | None) -> None:
    for origin in shipped.origins():
        model = load_model(origin.name)
        found = checked(model, origin.checked.dataset)
        print(
            f"{origin.name}: {found.right} of {found.n} of {found.dataset} (card: "
            f"{origin.checked.right})"
        )
        experiment = Experiment(dataset=origin.dataset, data_dir=data_dir)
        prepared = data.load(experiment)
        test = data.split(prepared, experiment).test
        predicted = model.predict(np.asarray(prepared.images[test]))[0]
        seen = classified(prepared.classes, np.asarray(prepared.labels)[test], predicted)
        print(
            f"  {seen.accuracy:.4f} of {seen.n:,} of {origin.dataset} (card: {origin.accuracy:.4f})"
        )


if __name__ == "__main__":
    main()
