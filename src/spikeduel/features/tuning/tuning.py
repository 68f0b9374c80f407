"""Equal tuning by random search (Bergstra and Bengio 2012), judged on validation images. Expected
best: Dodge et al. 2019, "Show your work".
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.data.cache import digest_of
from spikeduel.experiment.fields import checked
from spikeduel.experiment.settings import (
    FEATURE_SETTINGS,
    SETTINGS,
    TUNABLE,
    Experiment,
    without_epochs,
    write_experiment,
)
from spikeduel.features.tuning.tuning_results import (
    ExpectedBest,
    Range,
    TunedContender,
    TunedOn,
    TuningRecord,
    TuningTrial,
    tuning_rows,
)
from spikeduel.sentences.columns import render
from spikeduel.sentences.comparison import load_run
from spikeduel.system import __version__, files, typed
from spikeduel.system.errors import InputError, naming, unknown
from spikeduel.system.numbers import duration
from spikeduel.system.progress import Labelled, Progress
from spikeduel.system.sentences import counted
from spikeduel.training import auto_settings, plan, run_folder
from spikeduel.training.auto_settings import ResolvedExperiment
from spikeduel.training.contenders import Contender, Trial, describe_all, trials_of
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.plan import Plan
from spikeduel.training.store import Place, Store, TrialRecord, opened

SEED = 0
"""Seed of the draws."""
TRAINING_SEED = 10_000
"""Seed of every training: above those of comparisons, which test the chosen settings by trainings
that no choice has seen.
"""
DIGITS = 3
"""Significant digits of a drawn setting, so that tables show exactly what was trained."""


RANGES: dict[str, Range] = {
    "learning_rate": Range(1e-5, 1e-1, log=True),
    "threshold": Range(0.5, 2.0),
    "beta": Range(0.5, 0.99),
    "num_steps": Range(choices=(4, 8, 16, 25)),
}
"""Ranges that are tuned by default."""


def read_ranges(path: Path) -> dict[str, Range]:
    r"""Read ranges for `tune` from a TOML file, a table for each setting.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of Range
        Ranges by setting.

    Raises
    ------
    InputError
        If the file is missing or wrong.

    Examples
    --------
    >>> import spikeduel as sd
    >>> from pathlib import Path
    >>> _ = Path("ranges.toml").write_text("[learning_rate]\nlow = 1e-4\nhigh = 1e-2\nlog = true")
    >>> sd.read_ranges(Path("ranges.toml"))["learning_rate"].high
    0.01
    """
    content = typed.read_toml(Path(path), dict[str, Any])
    ranges = {}
    with naming(path):
        if not content:
            raise InputError("names no setting to tune, such as [learning_rate] with low and high.")
        for name, table in content.items():
            if name not in TUNABLE:
                common = "All others are common to all contenders."
                raise unknown("setting to tune", name, TUNABLE, common)
            with naming(f"[{name}]"):
                asked = typed.converted(table, Range)
            # The setting's own limits decide what the ends may be.
            ends: list[Any] = [
                end if end is None else checked(name, end, SETTINGS[name].type)
                for end in (asked.low, asked.high, *asked.choices)
            ]
            ranges[name] = Range(ends[0], ends[1], asked.log, tuple(ends[2:]))
    return ranges


def draw(ranges: Mapping[str, Range], number: int) -> dict[str, Any]:
    """Draw the settings of trial `number`, common ones first: contenders try the same learning
    rate.
    """
    # NumPy keeps its old generator's numbers for good: a tuning is found again.
    random = np.random.RandomState(np.random.SeedSequence([SEED, number]).generate_state(1)[0])
    order = sorted(ranges, key=lambda name: (TUNABLE[name] != "any", name))
    drawn = {name: _drawn(ranges[name], random) for name in order}
    return {name: drawn[name] for name in ranges}


def _drawn(within: Range, random: np.random.RandomState) -> Any:
    low, high = within.low, within.high
    if low is None or high is None:
        return within.choices[random.uniform(size=len(within.choices)).argmax()]
    is_whole = isinstance(low, int) and isinstance(high, int)
    # Half a step more makes both ends as likely as the numbers between.
    half = 0.5 if is_whole else 0.0
    if within.log:
        value = math.exp(random.uniform(math.log(low - half), math.log(high + half)))
    else:
        value = random.uniform(low - half, high + half)
    value = math.floor(value + 0.5) if is_whole else float(f"{value:.{DIGITS}g}")
    return min(max(value, low), high)


def expected_best(accuracies: Sequence[float]) -> list[ExpectedBest]:
    """Return mean and standard deviation of the best accuracy of 1, 2, … trials; `low` and `high`
    are one deviation away, within the accuracies seen. The first accuracy is always included.
    """
    first, drawn = accuracies[0], np.maximum(accuracies[1:], accuracies[0])
    curve = []
    for num_trials in range(1, len(accuracies) + 1):
        mean, deviation = (
            expected_maximum(drawn, num_trials - 1) if num_trials > 1 else (first, 0.0)
        )
        curve.append(
            ExpectedBest(
                trials=num_trials,
                mean=mean,
                standard_deviation=deviation,
                low=max(mean - deviation, first),
                high=min(mean + deviation, max(accuracies)),
            )
        )
    return curve


def expected_maximum(values: Sequence[float] | np.ndarray, n: int) -> tuple[float, float]:
    """Return mean and standard deviation of the largest of `n` independent draws from `values`.

    Dodge et al. 2019, equations 5 to 7: P(max ≤ v) = P̂(v)ⁿ; somewhat too low for `n` near the
    number of values (Tang et al. 2020, "Showing your work doesn't always work").
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    share = np.arange(len(ordered) + 1) / len(ordered)
    probability = np.diff(share**n)
    mean = float(probability @ ordered)
    return mean, float(probability @ (ordered - mean) ** 2) ** 0.5


_FREE = {
    *("recipe", "seeds", "epochs", "minutes", "limit", "dataset", "data_dir"),
    *("device", "per_contender", "target"),
    *("tolerance", "skip_unreadable", *FEATURE_SETTINGS),
}
"""Settings that may change after tuning; data are compared by content."""


@dataclass(frozen=True)
class Tuning:
    """Result of `tune`.

    Parameters
    ----------
    experiment : Experiment
        The experiment with tuned settings.
    record : TuningRecord
        Content of tuning.json.

    Examples
    --------
    >>> import spikeduel as sd
    >>> tuning = sd.tune(sd.recipes.strong("digits", epochs=1), num_trials=2)
    >>> [contender.contender for contender in tuning.record.contenders]
    ['vgg-lif', 'vgg-relu', 'resnet-silu']
    """

    experiment: Experiment
    record: TuningRecord

    def table(self) -> str:
        """Return every trial as text."""
        return render(tuning_rows(self.record))

    def conclusions(
        self, experiment: Experiment, prepared: Prepared, split: Split
    ) -> dict[str, TuningRecord]:
        """Return the record, by the feature's name, if it made the settings of `experiment`: same
        settings but `_FREE`, same data, no image of this test set. Else return {}.
        """
        record, now = self.record, typed.plain(experiment)
        is_same = (
            record.per_contender is not None
            and all(
                now[name] == value
                for name, value in record.experiment.items()
                if name in now.keys() - _FREE
            )
            and record.dataset.fingerprint == prepared.fingerprint
            and record.dataset.test == digest_of(np.sort(split.test))
            and without_epochs(record.per_contender) == experiment.own_settings
        )
        return {"tuning": record} if is_same else {}


def tune(
    experiment: Experiment,
    num_trials: int,
    ranges: Mapping[str, Range] | None = None,
    store: Place = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    given: Collection[str] = (),
) -> Tuning:
    """Find settings of every contender, with equally many trials, on validation images.

    The first trial has the settings of `experiment`. Pass `experiment` of the result to `compare`.

    Parameters
    ----------
    experiment : Experiment
        Contenders and settings.
    num_trials : int
        Trials of each contender.
    ranges : mapping of Range by setting, optional
        Where to search. Default: `RANGES`.
    store : Store, Path or str, optional
        Where trained networks are kept.
    progress : Progress, optional
        Where to show progress.
    workers : Workers, optional
        Who trains. Default: this process.
    given : collection of str
        As in `compare`.

    Returns
    -------
    Tuning
        Tuned experiment, and the record of all trials.

    Raises
    ------
    InputError
        For a setting or range that cannot be used.

    Examples
    --------
    >>> import spikeduel as sd
    >>> tuning = sd.tune(sd.recipes.strong("digits", epochs=1), num_trials=2)
    >>> tuning.experiment.dataset
    'digits'
    """
    progress, store = progress or Progress(), opened(store)
    if experiment.folds is not None:
        raise InputError(
            "folds: each image is a test image of some fold, so that there are none to tune on. "
            "Tune without --folds, on other images than those that are to be tested."
        )
    files.require_writable(store.root)
    experiment, prepared, (split,) = plan.loaded(experiment, progress)
    ranges_by_contender(describe_all(experiment, prepared), num_trials, ranges)
    resolved = auto_settings.resolve(experiment, prepared, split, store, progress, given)
    first = replace(resolved, experiment=replace(resolved.experiment.without_features(), seeds=1))
    planned = plan.make(first, prepared, [split], store, progress)
    progress.say(announcement(planned, num_trials))
    return search(
        resolved,
        prepared,
        split,
        num_trials,
        ranges=ranges,
        store=store,
        progress=progress,
        workers=workers or Workers(),
    )


def announcement(planned: Plan, num_trials: int) -> str:
    """Return a sentence on the longest time that tuning takes."""
    num_contenders = counted(len(planned.contenders), "contender")
    text = f"Tuning: {counted(num_trials, 'trial')} of each of {num_contenders}, at most"
    if len(planned.times) < len(planned.contenders):
        return f"{text} {plan.most_epochs(planned)}."
    seconds = num_trials * sum(planned.seconds_by_contender.values())
    return (
        f"{text} {duration(seconds)}. It is done by {plan.clock(seconds)}; what the store has "
        "takes no time."
    )


def search(
    resolved: ResolvedExperiment,
    prepared: Prepared,
    split: Split,
    num_trials: int,
    ranges: Mapping[str, Range] | None,
    store: Store,
    progress: Progress,
    workers: Workers,
) -> Tuning:
    """Train `num_trials` trials of each contender and choose the best by validation accuracy.

    The first has the settings of `resolved`; the others draw from `ranges`. Raises `InputError`.
    """
    experiment, contenders = resolved.experiment, resolved.contenders
    tuned = ranges_by_contender(contenders, num_trials, ranges)
    settings = {
        name: _settings_tried(experiment.for_contender(name), limits, num_trials)
        for name, limits in tuned.items()
    }
    # Trial by trial, so that contenders are equally far if interrupted.
    jobs = [
        Job(
            _trial(experiment, name, settings[name][number], prepared, split),
            prepared,
            Labelled(progress, f"trial {number + 1} of {num_trials}"),
            test=False,
        )
        for number, name in itertools.product(range(num_trials), tuned)
    ]
    records = workers.run(jobs, store)
    entries = [
        _entry(contender, settings[contender.name], records[first :: len(contenders)])
        for first, contender in enumerate(contenders)
    ]
    chosen = dict(experiment.per_contender or {})
    for entry in entries:
        if entry.best is not None:
            name = entry.contender
            chosen[name] = {**chosen.get(name, {}), **entry.trials[entry.best].settings}
    best_settings = replace(experiment, per_contender=chosen or None)
    record = TuningRecord(
        schema=1,
        spikeduel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=records[-1].environment,
        dataset=TunedOn(
            name=prepared.name,
            fingerprint=prepared.fingerprint,
            test=digest_of(np.sort(split.test)),
            val=len(split.val),
        ),
        experiment=typed.plain(experiment),
        num_trials=num_trials,
        seed=TRAINING_SEED,
        ranges=dict(RANGES if ranges is None else ranges),
        contenders=entries,
        per_contender=best_settings.per_contender,
    )
    return Tuning(best_settings, record)


def _settings_tried(
    first: Experiment, limits: Mapping[str, Range], num_trials: int
) -> list[dict[str, Any]]:
    """Return the settings of each trial of a contender, whose own experiment is `first`."""
    drawn = [draw(limits, number) for number in range(1, num_trials)]
    return [{name: getattr(first, name) for name in limits}, *drawn]


def _trial(
    experiment: Experiment, name: str, tried: dict[str, Any], prepared: Prepared, split: Split
) -> Trial:
    """Return the trial of the contender `name` with the settings `tried`."""
    before = (experiment.per_contender or {}).get(name, {})
    alone = replace(
        experiment.without_features(),
        contenders=(name,),
        seeds=1,
        per_contender={name: {**before, **tried}},
    )
    (trial,) = trials_of(alone, prepared, split)
    return replace(
        trial,
        card=replace(trial.card, seed=TRAINING_SEED),
        settings={**trial.settings, "seed": TRAINING_SEED},
    )


def _entry(
    contender: Contender, settings: Sequence[dict[str, Any]], records: Sequence[TrialRecord]
) -> TunedContender:
    trials = [
        TuningTrial(
            number=number,
            settings=settings[number],
            key=record.key,
            status=record.status,
            error=record.error,
            best_epoch=record.best_epoch,
            stopped=record.stopped,
            epochs=len(record.history),
            training_seconds=sum(record.epoch_seconds),
            validation=record.best.validation if record.best and record.status == "done" else None,
        )
        for number, record in enumerate(records)
    ]
    # A failed trial counts as an accuracy of 0.
    accuracies = [trial.validation.accuracy if trial.validation else 0.0 for trial in trials]
    expected = expected_best(accuracies)
    done = [trial.number for trial in trials if trial.validation]
    return TunedContender(
        contender=contender.name,
        kind=contender.card.kind,
        tuned=list(settings[0]),
        trials=trials,
        best=max(done, key=accuracies.__getitem__) if done else None,
        expected_best=expected,
        gain_of_last_doubling=expected[-1].mean - expected[len(expected) // 2 - 1].mean,
    )


def ranges_by_contender(
    contenders: Sequence[Contender], num_trials: int, ranges: Mapping[str, Range] | None
) -> dict[str, dict[str, Range]]:
    """Return the `ranges` (default: `RANGES`) that affect each contender. Raises `InputError`."""
    if num_trials < 2:
        raise InputError(
            f"tuning takes at least 2 trials, the first with the given settings, not {num_trials}."
        )
    asked = RANGES if ranges is None else ranges
    by_contender = {}
    for contender in contenders:
        tunable = contender.effective
        taken = {name: limits for name, limits in asked.items() if name in tunable}
        by_contender[contender.name] = taken
        if not taken:
            raise InputError(
                f"the ranges leave {contender.name} nothing to tune. Add one that concerns it, as "
                f"learning_rate does."
            )
    idle = asked.keys() - {name for taken in by_contender.values() for name in taken}
    if ranges is not None and idle:
        raise InputError(
            f"the ranges name {min(idle)}, which has no effect on any contender here. Take it out."
        )
    return by_contender


def read_tuning(folder: Path, experiment: Experiment) -> Tuning | None:
    """Read the tuning of a tuning's folder, or of a run; None if absent, and if the run is damaged,
    which is then written again. Raises `InputError` if tuning.json is broken.
    """
    file = folder / "tuning.json"
    if file.is_file():
        try:
            return Tuning(experiment, typed.read_json(file, TuningRecord))
        except InputError as error:
            raise InputError(
                f"{error} Not a tuning, or a damaged one: tune again, or remove the file."
            ) from None
    with suppress(InputError):
        if record := load_run(folder).results.features.get("tuning"):
            return Tuning(experiment, record)
    return None


def write_tuning(tuned: Tuning, out: Path | str | None = None) -> Path:
    """Write experiment.toml and tuning.json into `out`, and return it.

    `out` defaults to `runs/<data set>-<recipe>-<hash>-tuning`. Raises `InputError`.
    """
    name = run_folder.default_name(tuned.experiment, tuned.record.dataset.fingerprint)
    folder = Path(out or f"runs/{name}-tuning")
    run_folder.require_writable(folder)
    write_experiment(folder / "experiment.toml", tuned.experiment)
    typed.write_json(folder / "tuning.json", tuned.record)
    return folder
