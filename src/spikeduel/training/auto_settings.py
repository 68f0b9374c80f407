"""Decide open settings, such as epochs and width, by training images and time budget."""

import math
import os
import statistics
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from torch import Tensor

from spikeduel.auditing.neighbours import gradients
from spikeduel.data import Prepared, Split, cache
from spikeduel.data.events.recordings import Recordings
from spikeduel.evaluation.measures import measured_after_epochs
from spikeduel.experiment import effects
from spikeduel.experiment.settings import Experiment
from spikeduel.results.run import Budget, Results, SetRules
from spikeduel.statistics import wilson
from spikeduel.system import files, load, typed
from spikeduel.system.errors import InputError
from spikeduel.system.grouped import grouped
from spikeduel.system.negligible import MAX_EPOCHS_RATIO
from spikeduel.system.numbers import duration
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted
from spikeduel.training import timing
from spikeduel.training.augmenting import AUTO, farthest, moved
from spikeduel.training.contenders import (
    Contender,
    describe_all,
    missing,
    trials_of,
)
from spikeduel.training.store import Store, TrialRecord

SMALL, LARGE = 2_000, 10_000
"""Training images: a set is small below the first number, large from the second."""
BATCH_SIZES = (32, 64, 128)
"""Batch sizes of small, medium and large sets."""
DROPOUT = 0.2
"""Dropout below `LARGE` training images."""
MOVED_FROM = (1, 6, 30)
"""Fewest epochs with moved images, for small, medium and large sets: fewer lose accuracy by it."""
ALIKE = 0.1
"""Share of images like a flipped, or moved, other one above which training does the same."""
MAX_COMPARED = 4_000
ROUNDING = 1e-3
"""Difference between distances that rounding can make: an image is no nearer by less."""
USUAL_WIDTH, MAX_WIDTH, USUAL_EPOCHS = 24, 64, 8
"""Widths of networks. A large set gets the width, up to `WIDEST`, at which `FEW` epochs fit."""
USUAL_NUMBERS, USUAL_MINUTES = 5e6, 3.0
"""Minutes of training without --minutes for a set of so many numbers; others by the square root."""
MIN_MINUTES, MAX_MINUTES = 2.0, 30.0
MAX_EPOCHS, MAX_EPOCHS_IN_TIME = 200, 1_000_000
"""Epochs at most, without --minutes and with them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResolvedExperiment:
    """An experiment as `asked` for and with its open settings decided; `rules` and `budget` are
    None if nothing was open. `idle`: reasons why tolerated settings have no effect.
    """

    asked: Experiment
    experiment: Experiment
    contenders: tuple[Contender, ...]
    rules: SetRules | None = None
    budget: Budget | None = None
    idle: Mapping[str, str] = field(default_factory=dict)
    budget_file: Path | None = None
    """File of the budget in the store."""


def replanned(
    resolved: ResolvedExperiment, records: Sequence[TrialRecord], progress: Progress
) -> ResolvedExperiment | None:
    """Return the experiment with the epochs that fit into the minutes by the seconds that the
    `records` took; None unless epochs were timed as far longer than that, or once it was done. The
    kept budget changes, and trainings are thrown away: none of them may have been tested.
    """
    asked, budget = resolved.asked, resolved.budget
    if (
        budget is None
        or resolved.budget_file is None
        or budget.revised
        or measured_after_epochs(asked)
    ):
        return None  # each training has been tested
    taken = grouped(
        (record.settings["contender"], seconds)
        for record in records
        for seconds in record.epoch_seconds
    )
    faster = {
        name: statistics.fmean(seconds)
        for name, seconds in taken.items()
        if budget.epoch_seconds.get(name, 0.0) > MAX_EPOCHS_RATIO * statistics.fmean(seconds)
    }
    seconds_of = budget.epoch_seconds | faster
    epochs = budget.epochs | epochs_within(budget.minutes, seconds_of, asked)
    if epochs == budget.epochs:
        return None
    for name in [name for name in epochs if epochs[name] != budget.epochs[name]]:
        progress.say(
            f"  {name}: an epoch took {duration(seconds_of[name])}, and "
            f"{duration(budget.epoch_seconds[name])} when it was timed before training; it is "
            f"trained anew, with {counted(epochs[name], 'epoch')} in place of "
            f"{budget.epochs[name]}"
        )
    budget = structs.replace(
        budget, epoch_seconds=seconds_of, epochs=epochs, busy=False, revised=True
    )
    typed.write_json(resolved.budget_file, budget)
    return ResolvedExperiment(
        asked=asked,
        experiment=_with_epochs(resolved.experiment, budget),
        contenders=resolved.contenders,
        rules=resolved.rules,
        budget=budget,
    )


def resolve(
    asked: Experiment,
    prepared: Prepared,
    split: Split,
    store: Store,
    progress: Progress,
    chosen_settings: Collection[str] = (),
    tolerated: Collection[str] = (),
) -> ResolvedExperiment:
    """Decide open settings: batch size and dropout by the number of training images of `split`,
    epochs and width by the time budget, augmentation by the images.

    Raises `InputError`, also for a setting without effect that is among the `chosen_settings`, or
    differs from the recipe's; `tolerated` ones get the recipe's value.
    """
    num_train, chosen, budget, budget_file = len(split.train), dict[str, Any](), None, None
    if asked.batch_size is None:
        chosen["batch_size"] = BATCH_SIZES[_size(num_train)]
    usual: dict[str, Any] = {"dropout": DROPOUT if num_train < LARGE else 0.0, "width": USUAL_WIDTH}
    usual = {name: value for name, value in usual.items() if getattr(asked, name) is None}
    contenders = describe_all(replace(asked, **chosen, **usual), prepared)
    taken = {
        name: usual[name]
        for name in usual
        if any(contender.takes(name) for contender in contenders)
    }
    experiment = replace(asked, **chosen, **taken)
    if "dropout" in taken:
        chosen["dropout"] = taken["dropout"]
    names = effects.chosen(asked) | set(chosen_settings)
    if idle := effects.idle(names, missing(asked, contenders, prepared)):
        effects.refuse({name: idle[name] for name in idle if name not in tolerated}, asked)
        asked = effects.without(asked, idle)
        return replace(resolve(asked, prepared, split, store, progress), idle=idle)
    if experiment.epochs is None:
        # An earlier budget's epochs of single contenders do not count.
        experiment = replace(experiment, per_contender=experiment.own_settings)
        budget, budget_file = _cached_budget(
            experiment, contenders, prepared, split, store, progress
        )
        width = _wider(budget, contenders, num_train) if asked.width is None else None
        if width is not None:
            chosen["width"] = width
            experiment = replace(experiment, width=width)
            contenders = describe_all(experiment, prepared)
            budget, budget_file = _cached_budget(
                experiment, contenders, prepared, split, store, progress
            )
        experiment = _with_epochs(experiment, budget)
    rules = SetRules(num_train=num_train, chosen=chosen)
    if experiment.augmentation == AUTO:
        rules = _by_looks(rules, experiment, prepared, split, progress)
        experiment = replace(experiment, **rules.chosen)
    return ResolvedExperiment(
        asked=asked,
        experiment=replace(experiment, minutes=None),
        contenders=tuple(contenders),
        rules=rules if rules.chosen else None,
        budget=budget,
        budget_file=budget_file,
    )


def _wider(budget: Budget, contenders: Sequence[Contender], num_train: int) -> int | None:
    """Return the width at which the slowest network trains for `FEW` epochs on a large set, None if
    at most `USUAL_WIDTH`. Time grows with the width's square.
    """
    with_width = [contender.name for contender in contenders if contender.takes("width")]
    epochs = min((budget.epochs[name] for name in with_width if name in budget.epochs), default=0)
    if num_train < LARGE or epochs < 2 * USUAL_EPOCHS:
        return None
    return min(8 * math.floor(USUAL_WIDTH * math.sqrt(epochs / USUAL_EPOCHS) / 8), MAX_WIDTH)


def _by_looks(
    rules: SetRules,
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    progress: Progress,
) -> SetRules:
    # Mirrored motion may be another class.
    images = prepared.images.halves if isinstance(prepared.images, Recordings) else prepared.images
    compared = images, np.asarray(prepared.labels), split.train, prepared.groups
    numbers = split.train, () if prepared.groups is None else prepared.groups
    key = typed.digest([MAX_COMPARED, prepared.fingerprint, *map(cache.digest_of, numbers)])[:24]
    path = cache.audits() / f"alike-{key}.json"
    shares = cache.cached_or_made(path, Alike, lambda: alike(*compared), progress)
    is_mirrored = _is_above(ALIKE, shares.mirrored, rules.num_train)
    is_moved = _is_above(ALIKE, shares.moved, rules.num_train)
    size = _size(rules.num_train)
    epochs = min(experiment.for_contender(name).num_epochs for name in experiment.contenders)
    parts = ["translate" if size else "affine"] if is_moved or epochs >= MOVED_FROM[size] else []
    augmentation = "-".join([*parts, *(["flip"] if is_mirrored else [])]) or "none"
    return structs.replace(
        rules,
        chosen={**rules.chosen, "augmentation": augmentation},
        mirrored=shares.mirrored,
        moved=shares.moved,
        epochs=epochs,
    )


def _size(num_train: int) -> int:
    return (num_train >= SMALL) + (num_train >= LARGE)


class Alike(typed.Frozen, frozen=True):
    """Shares of training images most like another image `mirrored` (of their class), or `moved`.

    `mirrored` is near 0 for letters or hands; `moved` is high where images lie alike, as in MNIST.
    """

    mirrored: float
    moved: float


def alike(
    images: np.ndarray, labels: np.ndarray, train: np.ndarray, groups: np.ndarray | None
) -> Alike:
    """Compare training images across groups by histograms of oriented gradients.

    `images` uint8 `[N, C, H, W]`, `train` `[M]` indices; two channels are the halves of a
    recording.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(train)[:MAX_COMPARED])
    some, truth = torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen])
    numbers = torch.arange(len(some))
    if groups is not None:
        numbers = torch.from_numpy(np.unique(np.asarray(groups)[chosen], return_inverse=True)[1])
    same = numbers[:, None] == numbers

    def looks(images: Tensor) -> Tensor:
        parts = images.split(1, 1) if images.shape[1] == 2 else [images]
        return torch.cat([gradients(part.numpy()) for part in parts], 1)

    as_is = looks(some)

    def nearest(others: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cdist(as_is, others).masked_fill_(same, math.inf).min(1)

    before = nearest(as_is)[0] - ROUNDING
    mirrored, whose = nearest(looks(some.flip(3).contiguous()))
    ways = (farthest(some.shape[2]), 0), (0, farthest(some.shape[3]))
    others = torch.stack([nearest(looks(moved(some, *way).contiguous()))[0] for way in ways])
    return Alike(
        mirrored=float(((mirrored < before) & (truth[whose] == truth)).float().mean()),
        moved=float((others < before).float().mean()),
    )


def _is_above(limit: float, share: float, num_train: int) -> bool:
    """Return True if `share` is above `limit` with 99 % confidence."""
    compared = min(num_train, MAX_COMPARED)
    return wilson(round(share * compared) / compared, compared, tail=0.01)[0] > limit


def _cached_budget(
    experiment: Experiment,
    contenders: Sequence[Contender],
    prepared: Prepared,
    split: Split,
    store: Store,
    progress: Progress,
) -> tuple[Budget, Path]:
    """Return the budget from the store, or measure and keep it, and its file.

    A busy machine's budget is measured again on an idle one, unless all trials used it.
    """
    one_epoch = replace(experiment.without_features(), epochs=1, seeds=1)
    trials = trials_of(one_epoch, prepared, split, contenders=contenders)
    key = typed.digest([experiment.minutes, [trial.settings for trial in trials]])[:16]
    path = store.root / "budgets" / f"{key}.json"
    # Two processes would time each other, and decide on different epochs.
    with files.locked(
        path.with_suffix(".lock"), lambda: progress.say("another process is timing steps; waiting")
    ):
        is_busy = load.is_busy(load.load_average(), os.cpu_count() or 1)
        with suppress(InputError):
            stored = typed.read_json(path, Budget)
            if not stored.busy or is_busy:
                return stored, path
            by_stored = _with_epochs(experiment, stored)
            if by_stored.augmentation == AUTO:
                rules = SetRules(num_train=len(split.train), chosen={})
                looks = _by_looks(rules, by_stored, prepared, split, progress)
                by_stored = replace(by_stored, **looks.chosen)
            planned = trials_of(by_stored, prepared, split, contenders=contenders)
            if all(store.record(trial.key) for trial in planned):
                return stored, path
        numbers = len(split.train) * math.prod(prepared.image_shape)
        usual = round(USUAL_MINUTES * math.sqrt(numbers / USUAL_NUMBERS), 1)
        minutes = experiment.minutes or min(max(usual, MIN_MINUTES), MAX_MINUTES)
        seconds_of = timing.epoch_seconds(trials, prepared, progress)
        budget = Budget(
            minutes=minutes,
            given=experiment.minutes is not None,
            epoch_seconds=seconds_of,
            epochs=epochs_within(minutes, seconds_of, experiment),
            busy=is_busy,
        )
        typed.write_json(path, budget)
    return budget, path


def epochs_within(
    minutes: float, seconds_of: dict[str, float], experiment: Experiment
) -> dict[str, int]:
    """Return each contender's epochs, at least one, for an equal share of `minutes`. The time is
    that of whole epochs of the slowest contender: a faster one that filled its minutes would train
    longer.
    """
    shares = {name: seconds * len(seconds_of) for name, seconds in seconds_of.items()}
    most = MAX_EPOCHS if experiment.minutes is None else MAX_EPOCHS_IN_TIME
    an_epoch = max(shares.values())
    whole = math.floor(60 * minutes / an_epoch) * an_epoch or 60 * minutes
    # Rounding must not take the last epoch.
    return {
        name: max(1, math.floor(min((1 + 1e-9) * whole / seconds, most)))
        for name, seconds in shares.items()
    }


def decided(results: Results) -> Experiment:
    """Return a run's experiment with all that its rules and its budget decided."""
    chosen = results.rules.chosen if results.rules else {}
    experiment = replace(results.experiment, **chosen)
    if results.budget:
        experiment = _with_epochs(experiment, results.budget)
    return replace(experiment, minutes=None)


def _with_epochs(experiment: Experiment, budget: Budget) -> Experiment:
    settings_of = experiment.per_contender or {}
    by_contender = {
        name: {**settings_of.get(name, {}), "epochs": epochs}
        for name, epochs in budget.epochs.items()
    }
    return replace(
        experiment, epochs=max(budget.epochs.values(), default=1), per_contender=by_contender
    )
