"""Rules of a comparison in words: the report's section on the method."""

from spikeduel.results.run import Dataset, Results
from spikeduel.results.words.numbers import as_text, assigned, in_minutes, per_cent
from spikeduel.system.sentences import counted

_SPLITS = {
    "official": "official: the data set's own test images; validation images come out of the rest",
    "stratified": "stratified: at random, with the same class proportions on every side",
    "grouped": "grouped: images of one group, such as one person, stay on one side",
    "published": "published: as in the study, at random over files, whatever they show",
}
_OPTIMIZERS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "muon": "Muon, and AdamW for the first and last layer",
}


def rules(results: Results) -> list[tuple[str, str]]:
    """Return the rules of a comparison as pairs of a term and an explanation."""
    dataset, experiment, trials = results.dataset, results.experiment, results.trials
    recordings, folds = dataset.noun == "recording", len(dataset.folds or [])
    in_folds = " in each fold" if folds else ""
    numbers = "numbers are mean ± sd"
    if experiment.seeds == 1:
        numbers = "part of any difference can be chance"
    rows = {
        "data": _data(dataset),
        "images": _counts(dataset),
        "split": _split(dataset),
        "frames": _frames(results) if recordings else "",
        "spiking input": _spiking_input(results),
        "other input": _other_input(recordings)
        if any(not trial.spiking for trial in trials)
        else "",
        "training": _training(results),
        "start": "spiking contenders start at the trained weights of their twin among the "
        "contenders, and train on"
        if any(trial.starts_from for trial in trials)
        else "",
        "time": _time(results),
        "augmentation": "" if experiment.augmentation == "none" else experiment.augmentation,
        "chosen for the set": _chosen(results),
        "own settings": as_text(experiment.own_settings),
        "seeds": f"each contender was trained {counted(experiment.seeds, 'time')}{in_folds}; "
        f"{numbers}",
        "recipe": experiment.recipe,
    }
    return [(term, text) for term, text in rows.items() if text]


def _data(dataset: Dataset) -> str:
    text = f"{dataset.name}: {counted(len(dataset.classes), 'class')}"
    if dataset.image_shape is None:
        return text
    channels, height, width = dataset.image_shape
    text += f", {width}×{height} pixels"
    if dataset.noun == "recording":
        return text
    return f"{text}, {({1: 'grey', 3: 'colour'}).get(channels, f'{channels} channels')}"


def _counts(dataset: Dataset) -> str:
    counts, folds = dataset.counts, len(dataset.folds or [])
    tests = f"{counts.test:,} test"
    if folds:
        tests = f"{folds} folds, which test each of {counts.test:,} once"
    return f"{counts.train:,} training, {counts.val:,} validation, {tests}"


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


def _frames(results: Results) -> str:
    experiment = results.experiment
    long = "equal time" if experiment.bin_ms is None else f"{experiment.bin_ms:g} ms"
    number = counted(experiment.num_steps, "frame")
    return f"{number} of {long}; counts of events, darker and brighter apart"


def _spiking_input(results: Results) -> str:
    spiking = [trial for trial in results.trials if trial.spiking]
    if spiking and results.dataset.noun == "recording":
        return "one frame a step"
    inputs = [
        f"{trial.encoding} encoding, {counted(trial.num_steps or 1, 'step')}" for trial in spiking
    ]
    return "; ".join(dict.fromkeys(inputs))


def _other_input(recordings: bool) -> str:
    if recordings:
        return "all frames at once, or their mean, as the network wants"
    return "the analogue image, once; pixels from 0 to 1"


def _training(results: Results) -> str:
    experiment = results.experiment
    rate = f"{experiment.learning_rate:g}"
    if any("learning_rate" in own for own in experiment.own_settings.values()):
        rate = "of each contender's own (below)"
    if not experiment.constant_rate:
        rate += " at its highest, rising for a fifth and falling to 0"
    epochs = experiment.epochs or max(trial.epochs for trial in results.trials)
    stops = "never stops early"
    if experiment.patience is not None:
        stops = (
            f"stops after {counted(experiment.patience, 'epoch')} without a validation loss that "
            "is 0.01 lower"
        )
    kept = "the best validation accuracy" if experiment.constant_rate else "the last epoch"
    return (
        f"{_OPTIMIZERS[experiment.optimizer]}, learning rate {rate}, batches of "
        f"{experiment.batch_size}, at most {counted(epochs, 'epoch')}; {stops}; keeps the weights "
        f"of {kept}. All contenders: same images, same batches, same rules."
    )


def _time(results: Results) -> str:
    if (budget := results.budget) is None:
        return ""
    why = "" if budget.given else "by the size of the set, "
    each = "time" if results.experiment.budget_by == "time" else "epochs"
    measured = [f"{name} {time:.2g} s an epoch" for name, time in budget.epoch_seconds.items()]
    return (
        f"{in_minutes(budget.minutes)} for all contenders together, {why}the same {each} for each; "
        f"measured beforehand: {', '.join(measured)}"
    )


def _chosen(results: Results) -> str:
    """Return the settings that the data decided, and by what."""
    if (rules := results.rules) is None:
        return ""
    chosen = assigned({name.replace("_", " "): value for name, value in rules.chosen.items()})
    text = f"{chosen}, for {rules.num_train:,} training images"
    if rules.mirrored is None or rules.moved is None or rules.epochs is None:
        return text
    return (
        f"{text} and {counted(rules.epochs, 'epoch')}; {per_cent(rules.mirrored, 0)} of them look "
        f"most like another of their class in the mirror, {per_cent(rules.moved, 0)} like another "
        "that is moved"
    )
