"""Collect the measures, controls and pooled answers of trials after training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, Split
from spikeduel.measuring import latency
from spikeduel.results import optimism
from spikeduel.results.trials import Classification, ControlResult, Latency, Optimism
from spikeduel.system import files
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.store import Store, TrialRecord, images_digest

REARRANGED = ("redrawn", "shuffled_frames", "reversed")
"""Controls that change only when events come."""


@dataclass(frozen=True)
class Controlled:
    """Results and answers of one trial's controls by name, and `reasons` for missing ones."""

    results: dict[str, ControlResult]
    answers: dict[str, Classification]
    reasons: dict[str, str]


@dataclass(frozen=True)
class TrialOutcome:
    """A trained or failed trial: its record and its measures by name."""

    record: TrialRecord
    measured: Mapping[str, Any]
    failed_measures: Mapping[str, str] = field(default_factory=dict)
    latency: Latency | None = None
    controlled: Controlled | None = None
    optimism: Optimism | None = None

    @property
    def contender(self) -> str:
        return self.record.settings["contender"]

    @property
    def seed(self) -> int:
        return self.record.settings["seed"]

    @property
    def fold(self) -> int:
        """Fold that the trial was tested on, -1 without folds."""
        return -1 if self.record.fold is None else self.record.fold

    @property
    def training(self) -> str:
        """Key of the training that made the weights (a converted network's source)."""
        converted = self.record.settings.get("converted")
        return converted["key"] if converted else self.record.key

    @property
    def answers(self) -> Classification | None:
        """Answers to the test images, or None."""
        return self.measured.get("classification")

    @property
    def sees_no_time(self) -> bool:
        """True if rearranging events in time changes no answer; False if not asked."""
        if self.answers is None or self.controlled is None:
            return False
        of_controls = self.controlled.answers
        rearranged = [of_controls[name] for name in REARRANGED if name in of_controls]
        return bool(rearranged) and all(
            answers.predicted == self.answers.predicted for answers in rearranged
        )


def gather(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    controlled: Mapping[str, Controlled],
    prepared: Prepared,
    store: Store,
    progress: Progress,
) -> list[TrialOutcome]:
    """Time the answers of trials and gather all their results. `controlled` is by key."""
    timed = time_answers(trials, records, prepared, store, progress)
    outcomes = []
    for planned, record in zip(trials, records, strict=True):
        tested_after = None
        if record.status == "done" and record.test_right and record.best_epoch is not None:
            num_test = len(planned.split.test)
            tested_after = optimism.curve(record.test_right, num_test, record.best_epoch)
        outcomes.append(
            TrialOutcome(
                record=record,
                measured=trial.measured(planned, store) if record.status == "done" else {},
                failed_measures=store.failed_measures(record.key),
                latency=timed.get(record.key),
                controlled=controlled.get(record.key),
                optimism=tested_after,
            )
        )
    return outcomes


def time_answers(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    prepared: Prepared,
    store: Store,
    progress: Progress,
) -> dict[str, Latency]:
    """Return the latency of each contender's first finished trial, by key.

    All are measured in one sitting, unless the store has all of this machine at its idlest.
    """
    first: dict[str, Trial] = {}
    for planned, record in zip(trials, records, strict=True):
        if record.status == "done":
            first.setdefault(planned.card.contender, planned)
    timed = list(first.values())
    if not timed:
        return {}
    images = np.asarray(prepared.images[timed[0].split.test[: latency.NUM_IMAGES]])
    # Two processes would time each other; the second finds the first's results.
    with files.locked(
        store.root / "latency.lock",
        lambda: progress.say("another process is timing answers; waiting"),
    ):
        known = {planned.key: store.measure(planned.key, "latency", Latency) for planned in timed}
        here = latency.machine(timed[0].device)
        if all(
            kept
            and structs.replace(kept.machine, load_average=here.load_average) == here
            and (not kept.machine.busy or here.busy)
            for kept in known.values()
        ):
            return {key: kept for key, kept in known.items() if kept}
        taken = {}
        for planned in progress.track(timed, "timing answers", len(timed)):
            path, own_code = store.model_path(planned.key), planned.experiment.own_code
            measured = latency.latency(path, images, planned.device, own_code)
            taken[planned.key] = measured
            if measured.one_image is None:
                progress.say(f"  {planned.card.title}: not timed, {measured.reasons['process']}")
                continue
            # Whoever takes the trial's lock removes what lies there unfinished.
            with store.locked(planned.key):
                store.save_measure(planned.key, "latency", measured)
    return taken


@dataclass(frozen=True)
class TestUses:
    """Number of `models` that saw a run's test images, of those `here`, and of trainings tested
    after `every_epoch`.
    """

    models: int | None = None
    here: int | None = None
    every_epoch: int = 0


def test_uses(
    store: Store, prepared: Prepared, splits: Sequence[Split], outcomes: Sequence[TrialOutcome]
) -> TestUses:
    """Return the uses of the test images, with folds in the fold that other runs used most."""
    uses, every_epoch = [], 0
    for split in splits:
        keys = set()
        for outcome in outcomes:
            if outcome.record.fold == split.fold:
                keys |= {outcome.record.key} if outcome.record.status == "done" else set()
                results = outcome.controlled.results if outcome.controlled else {}
                keys |= {result.key for result in results.values() if result.key}
        images = images_digest(prepared, split.test)
        uses.append((store.test_uses(images, keys), len(keys)))
        every_epoch += store.tested_every_epoch(images)
    return TestUses(*max(uses, key=lambda use: use[0] - use[1]), every_epoch)


def tested(splits: Sequence[Split]) -> np.ndarray:
    """Return the indices of all test images, fold by fold, int64 `[N]`."""
    return np.concatenate([split.test for split in splits])


def pooled(
    outcomes: Sequence[TrialOutcome], contender: str, control: str | None = None
) -> dict[int, np.ndarray]:
    """Return true and predicted classes of a contender or control on `tested` images, int64 `[2,
    N]` by seed, without unfinished seeds.
    """
    folds = sorted({outcome.fold for outcome in outcomes})
    by_seed: dict[int, dict[int, np.ndarray]] = {}
    for outcome in outcomes:
        if outcome.contender == contender:
            answers = outcome.answers
            if control is not None:
                answers = outcome.controlled.answers.get(control) if outcome.controlled else None
            if answers:
                both = np.array([answers.truth, answers.predicted])
                by_seed.setdefault(outcome.seed, {})[outcome.fold] = both
    return {
        seed: np.concatenate([parts[fold] for fold in folds], axis=1)
        for seed, parts in by_seed.items()
        if len(parts) == len(folds)
    }


def right_of(seeds: Sequence[int], answers: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return True for right answers, bool `[S, N]`, of `answers` as from `pooled`."""
    return np.array([np.equal(*answers[seed]) for seed in seeds])


def trainings(outcomes: Sequence[TrialOutcome], contender: str) -> dict[int, list[str]]:
    """Return the keys of a contender's trainings, one for each fold, by seed."""
    by_seed: dict[int, list[str]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.fold):
        if outcome.contender == contender:
            by_seed.setdefault(outcome.seed, []).append(outcome.training)
    return by_seed
