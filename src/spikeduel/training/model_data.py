"""The data of a trained model: found again, prepared as the model takes them, and split as in its
training.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split, catalogue
from spikeduel.data.audited import file_counts
from spikeduel.data.inventory import pictures_left_out
from spikeduel.data.splits import evenly
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model
from spikeduel.experiment import effects
from spikeduel.experiment.settings import Experiment, read_experiment
from spikeduel.system.errors import InputError, visible
from spikeduel.system.progress import Progress
from spikeduel.training.store import Place, images_digest, opened

_NAME_IT = (
    "Name the data, or where they are now: DATASET, or --dataset DATASET (in Python: "
    "experiment=Experiment(dataset=…))."
)


def trained_on(model: Model, settings: Mapping[str, Any] | None = None) -> Experiment:
    """Return an experiment with `settings` on the data of the model's run or card.

    Raises `InputError` for absent data or user code: opening a file must never run code.
    """
    experiment, source_note = Experiment(dataset=model.card.dataset), ""
    of_run = model.file and model.file.resolve().parent.parent / "experiment.toml"
    if of_run and of_run.is_file():
        # The card says how images are grouped.
        experiment = replace(read_experiment(of_run).without_features(), group_by=None)
        source_note = f" ({of_run} says so)"
    experiment = replace(experiment, **(settings or {}))
    name, folder = experiment.dataset, experiment.data_dir
    of = f"{model.card.contender} was trained on {visible(name)[:300] or 'data without a name'}"
    if name not in data.datasets() and data.home(name) is None and not data.is_packed(name):
        raise InputError(f"{of}, which cannot be found here{source_note}. {_NAME_IT}")
    if folder is not None and not Path(folder).expanduser().exists():
        raise InputError(
            f"{of} from {visible(folder)[:300]}, where nothing is now{source_note}. Say where "
            f"its files are now: --data-dir."
        )
    return experiment


def require_the_same(card: ModelCard, experiment: Experiment, progress: Progress) -> None:
    """Raise `InputError` unless `experiment` has the data that the card names."""
    prepared = data.load(experiment, progress.track, card.preprocessing, progress.say)
    names = ("fingerprint", "ungrouped")
    then = [mark for name in names if (mark := card.trained_on.get(name))]
    if then and prepared.fingerprint not in then:
        raise InputError(
            f"{card.contender} was trained on {visible(card.dataset)[:80]} with the fingerprint "
            f"{then[-1][:12]}, and {experiment.dataset} has the fingerprint "
            f"{prepared.fingerprint[:12]}: these are other data. {_NAME_IT}"
        )


def prepared_for(card: ModelCard, experiment: Experiment, progress: Progress) -> Prepared:
    """Return the data of `experiment`, prepared as in the training of `card`, with notes on files
    that are left out. Raises `InputError` for other shapes, classes or frames.
    """
    prepared = data.load(experiment, progress.track, card.preprocessing, progress.say)
    if counted := file_counts(experiment, prepared):
        for ignored in counted.ignored:
            progress.say(f"note: {prepared.name}: ignored {ignored}")
        for line in pictures_left_out(counted):
            progress.say(f"warning: {prepared.name}: {line}")
    binning = card.preprocessing.binning
    if binning and catalogue.binned(prepared, experiment, None).preprocessing != card.preprocessing:
        why = f"{card.contender} takes its own {binning.num_frames} frames of a recording"
        names = effects.chosen(experiment) & {"num_steps", "bin_ms", "image_size"}
        effects.refuse(dict.fromkeys(sorted(names), why))
    if prepared.image_shape != card.image_shape:
        raise InputError(
            f"{card.contender} takes images of shape {list(card.image_shape)} (channels, height, "
            f"width), and {prepared.name} has {list(prepared.image_shape)}."
        )
    if prepared.classes != card.classes:
        raise InputError(
            f"{card.contender} knows the classes {', '.join(card.classes)}; {prepared.name} has "
            f"{', '.join(prepared.classes)}. They must be the same."
        )
    return prepared


def tested_split(
    card: ModelCard, experiment: Experiment, progress: Progress, store: Place
) -> tuple[Prepared, Split]:
    """Return `split_for`, and note the use of the test images in `store`."""
    prepared, split = split_for(card, experiment, progress)
    try:
        opened(store).note_test_use(images_digest(prepared, split.test))
    except InputError as error:
        progress.say(f"this use of the test images is not counted: {error}")
    return prepared, split


def split_for(
    card: ModelCard, experiment: Experiment, progress: Progress
) -> tuple[Prepared, Split]:
    prepared = prepared_for(card, experiment, progress)
    split = split_as_trained(card, prepared, experiment)
    return prepared, data.split(prepared, experiment) if split is None else split


def split_as_trained(card: ModelCard, prepared: Prepared, experiment: Experiment) -> Split | None:
    """Return the split of the training of `card`, None if it was of other data."""
    grouped, then = prepared, card.trained_on
    if then.get("group_by") is not None and prepared.fingerprint == then["ungrouped"]:
        grouped = data.regrouped(prepared, then["group_by"])
        if grouped.fingerprint != then["fingerprint"]:
            raise InputError(
                f"group_by {then['group_by']}: no longer groups these images as when "
                f"{card.contender} was trained. Restore the file, or train again."
            )
    if grouped.fingerprint != then.get("fingerprint"):
        return None
    as_then = {name: then[name] for name in ("limit", "folds")}
    fold = then.get("fold") or 0
    return data.split(grouped, replace(experiment, **as_then), fold)


def images_at(prepared: Prepared, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.array(prepared.images[indices]), np.array(prepared.labels[indices], np.int64)


def test_images(
    model: Model,
    experiment: Experiment | None,
    most: int,
    progress: Progress | None = None,
    store: Place = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return at most `most` test images, evenly spread: uint8 `[N, C, H, W]`, int64 `[N]`, and the
    data set's name (default: that of the training). The use is noted in `store`. Raises
    `InputError`.
    """
    progress = progress or Progress()
    if experiment is None:
        experiment = trained_on(model)
        require_the_same(model.card, experiment, progress)
    prepared, split = tested_split(model.card, experiment, progress, store)
    return *images_at(prepared, evenly(split.test, most)), prepared.name
