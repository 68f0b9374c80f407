"""Every contender's trials, and the best of each."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.networks import models
from spikeduel.networks.models import ModelCard
from spikeduel.results.run import DrawnFrom, ExpectedBest, TunedContender, TunedOn, TuningRecord, TuningTrial
from spikeduel.results.words.caveats import assigned
from spikeduel.results.words.tables import expected_best_rows, render, tuning_rows
from spikeduel.settings import TUNABLE, Experiment
from spikeduel.system import __version__, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import planning, trial
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.tuning.ranges import RANGES, SEED, Range, draw


def expected_best(accuracies: Sequence[float]) -> list[ExpectedBest]:
    """The best accuracy that 1, 2, … trials find: its mean and standard deviation, and `low` and `high`, which are one
    standard deviation away, as far as such accuracies were seen.

    The first of `accuracies` is always among the trials; the others are draws, and any of them might have come first.
    """
    first, drawn = accuracies[0], np.maximum(accuracies[1:], accuracies[0])
    curve = []
    for num_trials in range(1, len(accuracies) + 1):
        mean, spread = expected_maximum(drawn, num_trials - 1) if num_trials > 1 else (first, 0.0)
        low, high = max(mean - spread, first), min(mean + spread, max(accuracies))
        curve.append(ExpectedBest(trials=num_trials, mean=mean, standard_deviation=spread, low=low, high=high))
    return curve


def expected_maximum(values: Sequence[float] | np.ndarray, n: int) -> tuple[float, float]:
    """Mean and standard deviation of the largest of `n` independent draws from the empirical distribution of `values`.

    Dodge et al. 2019, equations 5 to 7: P(max ≤ v) = P̂(v)ⁿ. Draws repeat, so that for `n` near the number of values
    the mean is somewhat too low (Tang et al. 2020, "Showing your work doesn't always work").
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    share = np.arange(len(ordered) + 1) / len(ordered)
    probability = np.diff(share**n)
    mean = float(probability @ ordered)
    return mean, float(probability @ (ordered - mean) ** 2) ** 0.5


_FREE = ("recipe", "seeds", "epochs", "limit", "dataset", "data_dir", "device", "per_contender")
"""What a comparison may change after tuning. Epochs are told, and data are compared by content."""


@dataclass(frozen=True)
class Tuning:
    """What `tune` found: the experiment with each contender's own settings, and the content of tuning.json."""

    experiment: Experiment
    record: TuningRecord

    def table(self) -> str:
        """Every trial, and the expected best against the number of trials, as text."""
        return "\n\n".join(map(render, (tuning_rows(self.record), expected_best_rows(self.record))))


def search(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    num_trials: int,
    ranges: Mapping[str, Range] | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Trains `num_trials` trials of each contender, with seed 0, and chooses the best validation accuracy of each.

    The first trial has the settings that `experiment` comes with; the others are drawn from `ranges`. All have its
    epoch limit and stopping rule, and no test image is looked at. What the store holds is not trained again. Where
    two are equally good, the earlier is chosen. Raises `InputError`.
    """
    store, progress = store or Store(), progress or Progress()
    if num_trials < 2:
        raise InputError(
            f"tuning takes at least 2 trials, the first of which has the given settings, not {num_trials}."
        )
    cards = {name: planning.describe(name, experiment.for_contender(name), prepared) for name in experiment.contenders}
    own = _own_ranges(experiment, cards, ranges)
    found: dict[str, list[TuningTrial]] = {name: [] for name in cards}
    # Trial by trial, so that contenders are equally far whenever it is interrupted.
    for number in range(num_trials):
        for name in cards:
            given = {setting: getattr(experiment.for_contender(name), setting) for setting in own[name]}
            settings = draw(own[name], number) if number else given
            progress.say(f"{name}, trial {number + 1} of {num_trials}: {assigned(settings)}")
            planned = planning.plan(_alone(experiment, name, settings), prepared, split)[0]
            record = trial.train(planned, prepared, split, store, progress)
            found[name].append(_trial_entry(number, settings, record))
    contenders = [_contender_entry(name, cards[name].family, list(own[name]), found[name]) for name in cards]
    best = _with_the_best(experiment, contenders)
    return Tuning(
        best,
        TuningRecord(
            schema=1,
            spikeduel=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=record.environment,
            dataset=TunedOn(name=prepared.name, fingerprint=prepared.fingerprint, test=_digest(split.test)),
            experiment=typed.plain(experiment),
            num_trials=num_trials,
            seed=SEED,
            sampler="random",
            ranges={name: typed.converted(typed.plain(each), DrawnFrom) for name, each in (ranges or RANGES).items()},
            contenders=contenders,
            per_contender=best.per_contender,
        ),
    )


def _own_ranges(
    experiment: Experiment, cards: Mapping[str, ModelCard], ranges: Mapping[str, Range] | None
) -> dict[str, dict[str, Range]]:
    """What each contender tunes: of `ranges`, what has an effect on it."""
    given = RANGES if ranges is None else ranges
    effective = {"num_steps", *models.neuron_settings(experiment.neuron)}
    if experiment.surrogate == "straight_through_estimator":
        effective.discard("surrogate_alpha")
    own = {
        name: {
            s: r
            for s, r in given.items()
            if s in planning.effective(card) and (TUNABLE[s] == "any" or (card.family == "snn" and s in effective))
        }
        for name, card in cards.items()
    }
    for name in own:
        if not own[name]:
            raise InputError(
                f"the ranges leave {name} nothing to tune, which would not be equal. Add one that concerns it, such "
                "as learning_rate."
            )
    idle = [] if ranges is None else [s for s in ranges if not any(s in each for each in own.values())]
    if idle:
        raise InputError(f"the ranges name {idle[0]}, which has no effect on any contender here. Take it out.")
    return own


def _alone(experiment: Experiment, name: str, settings: Mapping[str, Any]) -> Experiment:
    own = {**(experiment.per_contender or {}).get(name, {}), **settings}
    return replace(experiment, contenders=(name,), seeds=1, per_contender={name: own})


def _trial_entry(number: int, settings: dict[str, Any], record: TrialRecord) -> TuningTrial:
    best = record.best if record.status == "done" else None
    return TuningTrial(
        number=number,
        settings=settings,
        key=record.key,
        status=record.status,
        error=record.error,
        epochs=len(record.history),
        best_epoch=record.best_epoch,
        stopped=record.stopped,
        training_seconds=sum(record.epoch_seconds),
        validation=best.validation if best else None,
    )


def _contender_entry(name: str, family: Any, names: list[str], trials: list[TuningTrial]) -> TunedContender:
    # A failed trial leaves nobody better off: as good as an accuracy of 0.
    accuracies = [each.validation.accuracy if each.validation else 0.0 for each in trials]
    expected = expected_best(accuracies)
    done = [each.number for each in trials if each.validation]
    return TunedContender(
        contender=name,
        family=family,
        tuned=names,
        trials=trials,
        best=max(done, key=accuracies.__getitem__) if done else None,
        expected_best=expected,
        gain_of_last_doubling=expected[-1].mean - expected[len(expected) // 2 - 1].mean,
    )


def _with_the_best(experiment: Experiment, contenders: list[TunedContender]) -> Experiment:
    own = dict(experiment.per_contender or {})
    for each in contenders:
        if each.best is not None:
            own[each.contender] = {**own.get(each.contender, {}), **each.trials[each.best].settings}
    return replace(experiment, per_contender=own or None)


def read_tuning(path: Path, experiment: Experiment) -> Tuning | None:
    """The tuning in a tuning.json beside the file that `experiment` comes from; None where there is no such file.

    Raises `InputError` where the file is broken.
    """
    if not Path(path).is_file():
        return None
    try:
        return Tuning(experiment, typed.read_json(path, TuningRecord))
    except InputError as error:
        raise InputError(f"{error} Not a tuning, or a damaged one: tune again, or remove the file.") from None


def record_for(tuning: Tuning | None, experiment: Experiment, prepared: Prepared, split: Split) -> TuningRecord | None:
    """The tuning's record if it is what `experiment` has its settings from: at the same common settings but those of
    `_FREE`, on the same data, without an image of this test set. Else None: what cannot be shown is not claimed.
    """
    if tuning is None or experiment.per_contender is None:
        return None
    record, now = tuning.record, typed.plain(experiment)
    same = all(now[name] == value for name, value in record.experiment.items() if name in now and name not in _FREE)
    same_data = (record.dataset.fingerprint, record.dataset.test) == (prepared.fingerprint, _digest(split.test))
    return record if same and same_data and record.per_contender == experiment.per_contender else None


def _digest(indices: np.ndarray) -> str:
    return hashlib.sha256(np.asarray(indices, np.int64).tobytes()).hexdigest()
