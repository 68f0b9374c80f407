"""Definitions, and small texts of the report's sections."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from spikeduel.results import columns
from spikeduel.results.columns import one_digit, percent, span
from spikeduel.results.run import Dataset, Results
from spikeduel.results.trials import EarlyExit, Trial
from spikeduel.results.tuned import DrawnFrom
from spikeduel.results.words import answer, costs, energy_accountings
from spikeduel.results.words.numbers import (
    as_text,
    assigned,
    counted,
    in_minutes,
    listed,
    per_cent,
)
from spikeduel.system import typed

DEFINITIONS: dict[str, str] = {
    **columns.definitions(),
    **{str(quantity): text for quantity, text in answer.MEANINGS.items()},
    "the rule": answer.RULE.removeprefix("The rule: "),
    "confusion matrix": (
        "Rows: true classes. Columns: answers. Correct answers lie on the diagonal; a dark cell "
        "off it is a pair of classes that is often confused."
    ),
    "worst first": "Those that the most trainings of all contenders get wrong come first.",
    "MAC": "A multiply-accumulate: multiplies a number by a weight and adds it up.",
    "AC": "An accumulate: adds up the weight of a spike.",
    "hoisted": costs.TWO_WAYS,
    "range of energy": costs.ZEROS,
    "Pareto front": "No other network is better for less.",
    "early exit": (
        "An image leaves once the network is sure enough, by a threshold chosen on validation "
        "images."
    ),
    "confidence": "The probability that a network gives to its answer.",
    "as most count": (
        "Every multiplication, and of spikes only those that come, so that spiking networks alone "
        "skip zeros; with memory, numbers are computed whole and spikes one by one."
    ),
    "changes at": energy_accountings.CHANGES_AT,
    "siblings": (
        "Images of one group, equal ones and near duplicates; of recordings also those that share "
        "a stretch."
    ),
    "expected best": (
        "The mean over all orders of the trials, ± standard deviation (Dodge et al. 2019, “Show "
        "your work”)."
    ),
}
"""Words of the report, each in a sentence or two: shown where a word is hovered over or tapped."""


def title(results: Results) -> str:
    names = results.contenders
    against = " against ".join(names) if len(names) < 3 else listed(names)
    return f"{against} on {results.dataset.name}"


def num_tested(tested: Sequence[Trial]) -> str:
    """Return the number of test images of a seed, in all folds."""
    counts: Counter[int] = Counter()
    for trial in tested:
        counts[trial.seed] += trial.test.n if trial.test else 0
    return span(list(counts.values()))


def errors(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return the errors of `confusion` `[K, K]`: (times, true class, answer), the most frequent
    first.
    """
    cells = [
        (count, truth, answer)
        for truth, of_class in enumerate(confusion)
        for answer, count in enumerate(of_class)
        if count and truth != answer
    ]
    return sorted(cells, key=lambda cell: -cell[0])


def settings(values: Any) -> list[tuple[str, str]]:
    """Return a dictionary or dataclass as rows, without unset values."""
    return [
        (name, as_text(value))
        for name, value in (typed.plain(values) or {}).items()
        if value is not None
    ]


def drawn_from(values: DrawnFrom) -> str:
    """Return the range of a tuned setting."""
    if values.choices:
        return f"one of {', '.join(f'{choice:g}' for choice in values.choices)}"
    return f"{values.low:g} to {values.high:g}{', log-uniform' if values.log else ''}"


def early_exits(results: Results) -> list[str]:
    """Return a sentence on the early exit of each contender."""
    sentences = []
    for name in results.contenders:
        known = [trial.anytime for trial in results.of(name) if trial.anytime]
        exits = [over_time.early_exit for over_time in known if over_time.early_exit]
        if exits and len(exits[0].curve) > 1:
            sentences.append(f"{name}: {_early_exit(exits)}")
    return sentences


def _early_exit(exits: Sequence[EarlyExit]) -> str:
    last, num_images = exits[-1], min(choice.validation.n for choice in exits)
    cost = f"at most {100 * last.tolerance:g} points of accuracy"
    shown_by = counted(num_images, "validation image")
    if num_images < (last.validation.fewest or 0):
        return (
            f"no early exit: {shown_by} are too few to show that it costs {cost}; at least "
            f"{last.validation.fewest:,} are needed."
        )
    without = sum(choice.threshold is None for choice in exits)
    if without == len(exits):
        return f"no early exit: no threshold was shown to cost {cost}."
    steps = statistics.fmean(choice.mean_steps for choice in exits)
    some = f" ({without} of {len(exits)} trainings have no early exit)" if without else ""
    return (
        f"images leave after {steps:.1f} of {len(last.exit_steps)} steps on average{some}. That "
        f"costs {cost}, as {shown_by} show with {100 * (last.confidence or 0):g} % confidence."
    )


def of_encoding(name: str, tested: Sequence[Trial]) -> str:
    """Return the effect of random encoding and tie-breaks on accuracy."""
    spreads = [trial.test.encoding_spread for trial in tested if trial.test]
    deviations = [
        spread.standard_deviation
        for spread in spreads
        if spread and spread.standard_deviation is not None
    ]
    ties = [trial.test.tie_share or 0.0 for trial in tested if trial.spiking and trial.test]
    sentences = []
    if deviations:
        sentences.append(
            f"encoding the test images anew moves accuracy by "
            f"{percent(statistics.fmean(deviations))} points (standard deviation)."
        )
    if any(ties):
        sentences.append(
            f"{one_digit(statistics.fmean(ties))} % of the answers were ties in spike counts, "
            f"decided by the summed membrane potential."
        )
    return f"{name}: {' '.join(sentences)}" if sentences else ""


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
    """Return the rules as (term, explanation)."""
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
    """Return the settings that the data decided."""
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
