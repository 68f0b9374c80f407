"""What an experiment leaves open, decided by the set and by the time that there is, before anything is trained."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.data.auditing.neighbours import gradients
from spikeduel.results.run import Budget, SetRules
from spikeduel.results.words.numbers import counted
from spikeduel.settings import Experiment, digest
from spikeduel.system import hardware, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import planning
from spikeduel.trials.augmenting import AUTO
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store
from spikeduel.trials.timing import seconds_of_an_epoch

SMALL, LARGE = 2_000, 10_000
"""Training images below which a set is small, and from which it is large."""
BATCH_SIZES = (32, 64, 128)
"""Of a small set, of one in between and of a large one: a small one needs steps more than it needs smooth ones."""
DROPOUT = 0.2
"""Of sets that are not large."""
MIRRORED = 0.1
"""Images are flipped in training where surely more of them look most like the mirror image of another."""
MOST_COMPARED = 4_000
USUAL_NUMBERS, USUAL_MINUTES = 5e6, 3.0
"""A set whose training images have so many numbers trains so long, where nothing is given; others by the root."""
FEWEST_MINUTES, MOST_MINUTES = 2.0, 30.0
MOST_EPOCHS = 200
"""More are trained only where minutes are given."""


@dataclass(frozen=True)
class Fitted:
    """An experiment in which nothing is open, and what decided it; None where nothing had to be decided."""

    experiment: Experiment
    rules: SetRules | None = None
    budget: Budget | None = None


def fit(
    experiment: Experiment, prepared: Prepared, splits: Sequence[Split], store: Store, progress: Progress
) -> Fitted:
    """Decides batch size, dropout and augmentation by the set, and epochs by the minutes. Trains nothing.

    The first split is looked at, its training images only. Epochs are kept in `store`: the same experiment gets the
    same again, however fast the machine is then.
    """
    split = splits[0]
    rules = of_set(experiment, prepared, split)
    experiment = replace(experiment, **rules.chosen)
    budget = None
    if experiment.epochs is None:
        budget = _kept(experiment, prepared, split, store, progress)
        experiment = _with_epochs(experiment, budget)
    return Fitted(replace(experiment, minutes=None), rules if rules.chosen else None, budget)


def of_set(experiment: Experiment, prepared: Prepared, split: Split) -> SetRules:
    """The settings that the set decides, where they are open, and by what."""
    num_train = len(split.train)
    size = (num_train >= SMALL) + (num_train >= LARGE)
    chosen: dict[str, Any] = {}
    mirrored = None
    if experiment.batch_size is None:
        chosen["batch_size"] = BATCH_SIZES[size]
    if experiment.dropout is None:
        chosen["dropout"] = DROPOUT if num_train < LARGE else 0.0
    if experiment.augmentation == AUTO:
        mirrored = share_mirrored(np.asarray(prepared.images), split.train, prepared.groups)
        moved = "affine" if num_train < SMALL else "translate"
        chosen["augmentation"] = f"{moved}-flip" if _is_above(MIRRORED, mirrored, num_train) else moved
    return SetRules(num_train=num_train, mirrored=mirrored, chosen=chosen)


def share_mirrored(images: np.ndarray, train: np.ndarray, groups: np.ndarray | None) -> float:
    """The share of training images that look more like the mirror image of another than like any other as it is.

    `images` uint8 `[N, C, H, W]`, of which `train` `[M]` are compared (some of many), by histograms of oriented
    gradients; images of one of `groups` are not. Where mirror images do not occur, as with letters, it is near 0.
    """
    import torch

    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(train)[:MOST_COMPARED])
    some = np.ascontiguousarray(images[chosen])
    as_is, mirror = gradients(some), gradients(np.ascontiguousarray(some[..., ::-1]))
    own = torch.eye(len(some), dtype=torch.bool)
    if groups is not None:
        _, numbers = np.unique(np.asarray(groups)[chosen], return_inverse=True)
        own = torch.from_numpy(numbers[:, None] == numbers)
    nearest = [torch.cdist(as_is, others).masked_fill_(own, math.inf).amin(1) for others in (as_is, mirror)]
    return float((nearest[1] < nearest[0]).float().mean())


def _is_above(limit: float, share: float, num_train: int) -> bool:
    """Whether a `share` of the compared images is above `limit` with 99 % confidence (Wilson's interval)."""
    from scipy.stats import binomtest

    compared = min(num_train, MOST_COMPARED)
    return bool(binomtest(round(share * compared), compared).proportion_ci(0.98, method="wilson").low > limit)


def usual_minutes(prepared: Prepared, split: Split) -> float:
    """How long all contenders train together where nothing is given: by the root of the number of pixels."""
    numbers = len(split.train) * math.prod(prepared.image_shape)
    minutes = USUAL_MINUTES * math.sqrt(numbers / USUAL_NUMBERS)
    return min(max(round(minutes, 1), FEWEST_MINUTES), MOST_MINUTES)


def _kept(experiment: Experiment, prepared: Prepared, split: Split, store: Store, progress: Progress) -> Budget:
    """The budget of `experiment`: found in the store, or measured now and kept there."""
    planned = planning.plan(replace(experiment, epochs=1, seeds=1), prepared, split)
    asked = {"minutes": experiment.minutes, "equal": experiment.equal}
    path = store.budget_path(digest([asked, [each.settings for each in planned]])[:16])
    try:
        return typed.read_json(path, Budget)
    except InputError:
        budget = _measured(experiment, planned, prepared, split, progress)
        typed.write_json(path, budget)
        return budget


def _measured(
    experiment: Experiment, planned: Sequence[Trial], prepared: Prepared, split: Split, progress: Progress
) -> Budget:
    minutes = experiment.minutes or usual_minutes(prepared, split)
    busy, seconds = (hardware.load_average() or 0.0) > (os.cpu_count() or 1), {}
    for each in planned:
        progress.say(f"  {each.card.contender}: timing some training steps")
        seconds[each.card.contender] = seconds_of_an_epoch(each, prepared, split)
    most = MOST_EPOCHS if experiment.minutes is None else math.inf
    if experiment.equal == "epochs":
        shared = sum(seconds.values())
        by_contender = dict.fromkeys(seconds, 60 * minutes / shared)
    else:
        by_contender = {name: 60 * minutes / len(seconds) / each for name, each in seconds.items()}
    epochs = {name: max(1, math.floor(min(each, most))) for name, each in by_contender.items()}
    given = experiment.minutes is not None
    return Budget(minutes=minutes, given=given, epoch_seconds=seconds, epochs=epochs, busy=busy)


def _with_epochs(experiment: Experiment, budget: Budget) -> Experiment:
    most = max(budget.epochs.values())
    if experiment.equal == "epochs":
        return replace(experiment, epochs=most)
    own = experiment.per_contender or {}
    each = {name: {**own.get(name, {}), "epochs": epochs} for name, epochs in budget.epochs.items()}
    return replace(experiment, epochs=most, per_contender=each)


def announcement(budget: Budget, trials: Sequence[Trial], store: Store) -> str:
    """How long those of `trials` train that the store lacks, and when they will be done."""
    missing = [each.card.contender for each in trials if store.record(each.key) is None]
    seconds = sum(budget.epochs[name] * budget.epoch_seconds[name] for name in missing)
    epochs = ", ".join(f"{name} {counted(number, 'epoch')}" for name, number in budget.epochs.items())
    why = "as given" if budget.given else "by the size of the set; --minutes changes that"
    text = f"{budget.minutes:g} minutes of training a seed ({why}): {epochs}."
    if budget.busy:
        text += " The machine was busy when steps were timed: more may fit, and --epochs sets them by hand."
    if not missing:
        return text
    done = datetime.now() + timedelta(seconds=seconds)
    return f"{text} Training will be done at about {done:%H:%M}, measuring and report some time after."
