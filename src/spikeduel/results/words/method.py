"""Rules of a comparison in words: the report's section on the method."""

from collections.abc import Sequence

from spikeduel.results.run import Budget, Dataset, Results, SetRules
from spikeduel.results.trials import Trial
from spikeduel.results.words.numbers import as_text, assigned, in_minutes, per_cent
from spikeduel.settings import Experiment
from spikeduel.system.sentences import counted, listed

_SPLITS = {
    "official": "official: the data set's own test images; validation images come out of the rest",
    "stratified": "stratified: at random, with the same class proportions on every side",
    "grouped": "grouped: images of one group, such as one person, stay on one side",
    "published": "published: as in the study, at random over files, whatever they show",
}


def rules(results: Results) -> list[tuple[str, str]]:
    """Return the rules of a comparison as pairs of a term and an explanation."""
    dataset, experiment, trials = results.dataset, results.experiment, results.trials
    counts, folds = dataset.counts, len(dataset.folds or [])
    own_settings = experiment.own_settings
    tests = (
        f"{folds} folds, which test each of {counts.test:,} once"
        if folds
        else f"{counts.test:,} test"
    )
    spiking = [trial for trial in trials if trial.spiking]
    inputs, other = _inputs(results, spiking)
    single = any("learning_rate" in own_settings.get(name, {}) for name in experiment.contenders)
    rate = "of each contender's own (below)" if single else f"{experiment.learning_rate:g}"
    waits = (
        f"stops after {counted(experiment.patience or 0, 'epoch')} without a validation loss that "
        "is 0.01 lower"
    )
    stops = "never stops early" if experiment.patience is None else waits
    in_folds, number = " in each fold" if folds else "", experiment.seeds
    chance = f"each contender was trained once{in_folds}; part of any difference can be chance"
    several = f"each contender was trained {number} times{in_folds}; numbers are mean ± sd"
    epochs = experiment.epochs or max(trial.epochs for trial in trials)
    rows = {
        "data": _data(dataset),
        "images": f"{counts.train:,} training, {counts.val:,} validation, {tests}",
        "split": _split(dataset),
        "frames": _frames(experiment) if dataset.noun == "recording" else "",
        "spiking input": "; ".join(inputs),
        "other input": "" if len(spiking) == len(trials) else other,
        "training": (
            f"{_OPTIMIZERS[experiment.optimizer]}, learning rate {rate}{_schedule(experiment)}, "
            f"batches of "
            f"{experiment.batch_size}, at most {counted(epochs, 'epoch')}; {stops}; keeps the "
            f"weights of "
            f"{'the best validation accuracy' if experiment.constant_rate else 'the last epoch'}. "
            "All contenders: same images, same batches, same rules."
        ),
        "start": _start(results),
        "time": _time(results.budget, experiment.budget_by),
        "made strong by": _strengths(experiment),
        "augmentation": _augmentation(experiment.augmentation),
        "chosen for the set": _chosen(results.rules),
        "own settings": as_text(own_settings),
        "seeds": f"1: {chance}" if number == 1 else f"{number}: {several}",
        "recipe": experiment.recipe,
    }
    return [(term, text) for term, text in rows.items() if text]


_OPTIMIZERS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "muon": "Muon, and AdamW for the first and last layer",
}


_AUGMENTATIONS = {
    "shift": "moved a little",
    "translate": "moved a little",
    "affine": "turned, stretched and moved a little",
    "threshold": "mirrored by turns",
    "cutout": "covered in a small square",
    "mixup": "mixed in pairs",
    "droptime": "left without a stretch of time",
    "dropplace": "left without a part of the field",
    "droprandom": "left without events drawn at random",
    "eventdrop": "left without a time, a part or single events",
    "jitter": "moved event by event",
}


def _augmentation(names: str) -> str:
    """Return the augmentation in words, with the names that set it; empty for none."""
    if names == "none":
        return ""
    told = listed([_AUGMENTATIONS.get(name, name) for name in names.split("-")])
    return f"training images are {told} ({names})"


def _schedule(experiment: Experiment) -> str:
    return (
        "" if experiment.constant_rate else " at its highest, rising for a fifth and falling to 0"
    )


def _start(results: Results) -> str:
    """Say where spiking contenders start, unless that is at fresh weights."""
    if not any(trial.starts_from for trial in results.trials):
        return ""
    return (
        "spiking contenders start at the trained weights of their twin among the contenders, and "
        "train on"
    )


def _time(budget: Budget | None, by: str) -> str:
    if budget is None:
        return ""
    why = "" if budget.given else "by the size of the set, "
    seconds = ", ".join(
        f"{name} {time:.2g} s an epoch" for name, time in budget.epoch_seconds.items()
    )
    shared = "the same time for each" if by == "time" else "the same epochs for each"
    minutes = f"{in_minutes(budget.minutes)} for all contenders together, {why}{shared}"
    return f"{minutes}; measured beforehand: {seconds}"


def _strengths(experiment: Experiment) -> str:
    """Return the settings that make networks strong, where they are on."""
    parts = {
        f"weight decay {experiment.weight_decay:g}": experiment.optimizer != "adam"
        and experiment.weight_decay > 0,
        f"label smoothing {experiment.label_smoothing:g}": experiment.label_smoothing > 0,
        f"dropout {experiment.dropout or 0:g}": (experiment.dropout or 0) > 0,
        "a whitening first layer": experiment.whitening,
    }
    return ", ".join(text for text, on in parts.items() if on)


def _chosen(rules: SetRules | None) -> str:
    """Return the settings that the data decided, and by what."""
    if rules is None:
        return ""
    chosen = assigned({name.replace("_", " "): value for name, value in rules.chosen.items()})
    text = f"{chosen}, for {rules.num_train:,} training images"
    if rules.mirrored is None or rules.moved is None or rules.epochs is None:
        return text
    return (
        f"{text} and {counted(rules.epochs, 'epoch')}; {per_cent(rules.mirrored, 0)} of them look "
        f"most like another of "
        "their class in the mirror (they are flipped where that is surely above 10 %), "
        f"{per_cent(rules.moved, 0)} like another that is moved (they are moved where that is "
        f"surely above 10 %, in "
        "long training, and always below 2,000 images)"
    )


def _inputs(results: Results, spiking: Sequence[Trial]) -> tuple[list[str], str]:
    """Return the inputs of spiking contenders, each text once, and the input of others."""
    if results.dataset.noun == "recording":
        return ["one frame a step"] * bool(
            spiking
        ), "all frames at once, or their mean, as the network wants"
    steps = [
        f"{trial.encoding} encoding, {counted(trial.num_steps or 1, 'step')}" for trial in spiking
    ]
    return list(dict.fromkeys(steps)), "the analogue image, once; pixels from 0 to 1"


def _frames(experiment: Experiment) -> str:
    """Return how recordings become frames."""
    number = counted(experiment.num_steps, "frame")
    long = "equal time" if experiment.bin_ms is None else f"{experiment.bin_ms:g} ms"
    return f"{number} of {long}; counts of events, darker and brighter apart"


def _data(dataset: Dataset) -> str:
    text = f"{dataset.name}: {counted(len(dataset.classes), 'class')}"
    if dataset.image_shape is None:
        return text
    channels, height, width = dataset.image_shape
    if dataset.noun == "recording":
        return f"{text}, {width}×{height} pixels"
    colours = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return f"{text}, {width}×{height} pixels, {colours}"


def _split(dataset: Dataset) -> str:
    text = _SPLITS.get(dataset.split, dataset.split)
    if dataset.own_validation:
        text += "; of the training images, since validation images are the data set's own"
    if dataset.groups is None:
        return text
    details = [counted(dataset.groups, "group")]
    if sizes := dataset.group_sizes:
        details.append(f"{sizes.median:g} images in the median, {sizes.largest:,} at most")
    if dataset.groups_tested:
        details.append(f"{counted(dataset.groups_tested, 'group')} tested")
    return f"{text} ({', '.join(details)})"
