"""What an experiment leaves open, decided by the set and by the time that there is, before anything
is trained.
"""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from msgspec import structs
from torch import Tensor

from spikeduel.auditing.neighbours import gradients
from spikeduel.data import Prepared, Split
from spikeduel.data.events.recordings import Recordings
from spikeduel.networks import building
from spikeduel.results.run import Budget, SetRules
from spikeduel.settings import Experiment
from spikeduel.system import files, load, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import planning
from spikeduel.trials.augmenting import AUTO, farthest, moved
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store
from spikeduel.trials.timing import seconds_of_an_epoch

SMALL, LARGE = 2_000, 10_000
"""Training images below which a set is small, and from which it is large."""
BATCH_SIZES = (32, 64, 128)
"""Of a small set, of one in between and of a large one: a small one needs steps more than it needs
smooth ones.
"""
DROPOUT = 0.2
"""Of sets that are not large."""
MOVED_FROM = (1, 6, 30)
"""Epochs from which images that all lie alike are moved, by the size of the set: in fewer, that
costs accuracy.
"""
ALIKE = 0.1
"""Images are flipped, or moved, in training where surely more of them look most like another that
is.
"""
USUAL_WIDTH, WIDEST, FEW = 24, 64, 8
"""A large set for which there is time for twice a `FEW` epochs has networks as wide as lets them
train a `FEW`.
"""
MOST_COMPARED = 4_000
USUAL_NUMBERS, USUAL_MINUTES = 5e6, 3.0
"""A set whose training images have so many numbers trains so long, where nothing is given; others
by the root.
"""
FEWEST_MINUTES, MOST_MINUTES = 2.0, 30.0
MOST_EPOCHS, MOST_POSSIBLE = 200, 1_000_000
"""More than the first are trained only where minutes are given, and more than the second never: see
`epochs`.
"""


@dataclass(frozen=True)
class Fitted:
    """An experiment in which nothing is open, and what decided it; None where nothing had to be
    decided.
    """

    experiment: Experiment
    rules: SetRules | None = None
    budget: Budget | None = None


def fit(
    experiment: Experiment,
    prepared: Prepared,
    splits: Sequence[Split],
    store: Store,
    progress: Progress,
) -> Fitted:
    """Decides batch size, dropout and augmentation by the set, and epochs by the minutes. Trains
    nothing.

    The first split is looked at, its training images only. Epochs are kept in `store`: the same
    experiment gets the same again, however fast the machine is then.
    """
    split = splits[0]
    rules = by_size(experiment, len(split.train))
    is_width_open = experiment.width is None and bool(_with_width(experiment))
    experiment = replace(
        experiment, **rules.chosen, width=USUAL_WIDTH if is_width_open else experiment.width
    )
    budget = None
    if experiment.epochs is None:
        # Those that an earlier budget gave to single contenders are no part of this one.
        experiment = replace(experiment, per_contender=experiment.own_settings)
        budget = _kept(experiment, prepared, split, store, progress)
        if is_width_open and (width := wider(budget, experiment, len(split.train))):
            rules = structs.replace(rules, chosen={**rules.chosen, "width": width})
            experiment = replace(experiment, width=width)
            budget = _kept(experiment, prepared, split, store, progress)
        experiment = _with_epochs(experiment, budget)
    if experiment.augmentation == AUTO:
        rules = by_looks(rules, experiment, prepared, split)
        experiment = replace(experiment, **rules.chosen)
    return Fitted(replace(experiment, minutes=None), rules if rules.chosen else None, budget)


def by_size(experiment: Experiment, num_train: int) -> SetRules:
    """The settings that the number of training images decides, where they are open."""
    chosen: dict[str, Any] = {}
    if experiment.batch_size is None:
        chosen["batch_size"] = BATCH_SIZES[_size(num_train)]
    if experiment.dropout is None:
        chosen["dropout"] = DROPOUT if num_train < LARGE else 0.0
    return SetRules(num_train=num_train, chosen=chosen)


def wider(budget: Budget, experiment: Experiment, num_train: int) -> int | None:
    """The width with which the slowest of the contenders that have one train for a `FEW` epochs, on
    a large set, if that is more than `USUAL_WIDTH`. The time of an epoch goes with its square.
    """
    epochs = min(budget.epochs[each] for each in _with_width(experiment))
    if num_train < LARGE or epochs < 2 * FEW:
        return None
    return min(8 * math.floor(USUAL_WIDTH * math.sqrt(epochs / FEW) / 8), WIDEST)


def _with_width(experiment: Experiment) -> list[str]:
    """The contenders that take a width."""
    taken = {
        each: building.names_taken(building.architecture_of(each)) or ()
        for each in experiment.contenders
    }
    return [each for each, names in taken.items() if "width" in names]


def by_looks(rules: SetRules, experiment: Experiment, prepared: Prepared, split: Split) -> SetRules:
    """`rules` with the augmentation, which how images look decides, how many there are, and how
    long is trained.
    """
    # What moves to the left may be another class than what moves to the right.
    images = prepared.images.halves if isinstance(prepared.images, Recordings) else prepared.images
    found = alike(images, np.asarray(prepared.labels), split.train, prepared.groups)
    is_mirrored, is_moved = (_is_above(ALIKE, share, rules.num_train) for share in found)
    size = _size(rules.num_train)
    epochs = min(experiment.for_contender(each).num_epochs for each in experiment.contenders)
    parts = ["translate" if size else "affine"] if is_moved or epochs >= MOVED_FROM[size] else []
    augmentation = "-".join([*parts, *(["flip"] if is_mirrored else [])]) or "none"
    return structs.replace(
        rules,
        chosen={**rules.chosen, "augmentation": augmentation},
        mirrored=found.mirrored,
        moved=found.moved,
        epochs=epochs,
    )


def _size(num_train: int) -> int:
    """0 for a small set, 1 for one in between, 2 for a large one."""
    return (num_train >= SMALL) + (num_train >= LARGE)


class Alike(NamedTuple):
    """The shares of training images that look more like another that is changed than like any as it
    is: `mirrored`, and of their own class, or `moved` (the mean of down and right).

    Where mirror images do not occur, as with letters, or are another class, as with left and right
    hands, the first is near 0; the second, where all images lie alike, as MNIST's do.
    """

    mirrored: float
    moved: float


def alike(
    images: np.ndarray, labels: np.ndarray, train: np.ndarray, groups: np.ndarray | None
) -> Alike:
    """Of images uint8 `[N, C, H, W]` with `labels` `[N]`, of which `train` `[M]` are compared (some
    of many), by histograms of oriented gradients; images of one of `groups` are not. Two channels
    are the halves of a recording.
    """
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(train)[:MOST_COMPARED])
    some, truth = torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen])
    own = torch.eye(len(some), dtype=torch.bool)
    if groups is not None:
        _, numbers = np.unique(np.asarray(groups)[chosen], return_inverse=True)
        own = torch.from_numpy(numbers[:, None] == numbers)

    def looks(images: Tensor) -> Tensor:
        parts = images.split(1, 1) if images.shape[1] == 2 else [images]
        return torch.cat([gradients(part.numpy()) for part in parts], 1)

    as_is = looks(some)

    def nearest(others: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cdist(as_is, others).masked_fill_(own, math.inf).min(1)

    def changed(images: Tensor) -> tuple[Tensor, Tensor]:
        return nearest(looks(images.contiguous()))

    before, _ = nearest(as_is)
    mirrored, whose = changed(some.flip(3))
    down, right = (
        changed(moved(some, *by))[0]
        for by in ((farthest(some.shape[2]), 0), (0, farthest(some.shape[3])))
    )
    return Alike(
        mirrored=float(((mirrored < before) & (truth[whose] == truth)).float().mean()),
        moved=float((torch.stack([down, right]) < before).float().mean()),
    )


def _is_above(limit: float, share: float, num_train: int) -> bool:
    """Whether a `share` of the compared images is above `limit` with 99 % confidence (Wilson's
    interval).
    """
    from scipy.stats import binomtest

    compared = min(num_train, MOST_COMPARED)
    return bool(
        binomtest(round(share * compared), compared).proportion_ci(0.98, method="wilson").low
        > limit
    )


def usual_minutes(prepared: Prepared, split: Split) -> float:
    """How long all contenders train together where nothing is given: by the root of the number of
    pixels.
    """
    numbers = len(split.train) * math.prod(prepared.image_shape)
    minutes = USUAL_MINUTES * math.sqrt(numbers / USUAL_NUMBERS)
    return min(max(round(minutes, 1), FEWEST_MINUTES), MOST_MINUTES)


def _kept(
    experiment: Experiment, prepared: Prepared, split: Split, store: Store, progress: Progress
) -> Budget:
    """The budget of `experiment`: found in the store, or measured now and kept there.

    One that was measured while the machine was busy is measured anew once it is not, unless all has
    been trained by it.
    """
    planned = planning.plan(replace(experiment, epochs=1, seeds=1), prepared, split)
    asked = {"minutes": experiment.minutes, "equal": experiment.equal}
    path = store.budget_path(typed.digest([asked, [each.settings for each in planned]])[:16])
    # Two at once would time each other, and train for different numbers of epochs.
    with files.locked(
        path.with_suffix(".lock"), lambda: progress.say("another process is timing steps; waiting")
    ):
        with suppress(InputError):
            known = typed.read_json(path, Budget)
            if not known.busy or is_busy_now():
                return known
            if all(
                store.record(each.key)
                for each in planning.plan(_with_epochs(experiment, known), prepared, split)
            ):
                return known
        budget = _measured(experiment, planned, prepared, split, progress)
        typed.write_json(path, budget)
    return budget


def is_busy_now() -> bool:
    """Return True if other work disturbs what is timed now, see `load.is_busy`."""
    return load.is_busy(load.load_average(), os.cpu_count() or 1)


def _measured(
    experiment: Experiment,
    planned: Sequence[Trial],
    prepared: Prepared,
    split: Split,
    progress: Progress,
) -> Budget:
    minutes = experiment.minutes or usual_minutes(prepared, split)
    busy, seconds = is_busy_now(), {}
    for each in progress.track(planned, "  timing some training steps", len(planned)):
        seconds[each.card.contender] = seconds_of_an_epoch(each, prepared, split)
    most = MOST_EPOCHS if experiment.minutes is None else MOST_POSSIBLE
    if experiment.equal == "epochs":
        shared = sum(seconds.values())
        by_contender = dict.fromkeys(seconds, 60 * minutes / shared)
    else:
        by_contender = {name: 60 * minutes / len(seconds) / each for name, each in seconds.items()}
    epochs = {name: max(1, math.floor(min(each, most))) for name, each in by_contender.items()}
    given = experiment.minutes is not None
    return Budget(minutes=minutes, given=given, epoch_seconds=seconds, epochs=epochs, busy=busy)


def _with_epochs(experiment: Experiment, budget: Budget) -> Experiment:
    own = experiment.per_contender or {}
    if experiment.equal == "time":
        own = {
            name: {**own.get(name, {}), "epochs": epochs} for name, epochs in budget.epochs.items()
        }
    return replace(experiment, epochs=max(budget.epochs.values()), per_contender=own)
