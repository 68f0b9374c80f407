"""Plan of a comparison: trials, stored results, time, and chance to find a difference."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from spikeduel import data
from spikeduel.data import NO_TEST_SET, Prepared, Split
from spikeduel.engine.encoders import EVENTS
from spikeduel.engine.networks import libraries
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.experiment.settings import Experiment
from spikeduel.system import registry
from spikeduel.system.numbers import duration
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted, listed
from spikeduel.system.typed import Amount, Frozen
from spikeduel.training import timing
from spikeduel.training.auto_settings import ResolvedExperiment
from spikeduel.training.contenders import Trial, check, trials_of
from spikeduel.training.run_folder import located
from spikeduel.training.store import Store, TrialRecord


class ContenderTime(Frozen):
    """Training time of a contender, by its stored trials or some training steps: mean epochs (at
    most, unless `from_store`), seconds of an epoch, and of a seed in all folds.
    """

    contender: str
    epochs: Amount
    epoch_seconds: Amount
    seed_seconds: Amount
    from_store: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan(ResolvedExperiment):
    """All that a comparison trains. `records` has None for the `trials` to be trained."""

    trials: tuple[Trial, ...]
    records: tuple[TrialRecord | None, ...]
    times: tuple[ContenderTime, ...]

    @property
    def missing(self) -> list[Trial]:
        both = zip(self.trials, self.records, strict=True)
        return [trial for trial, record in both if record is None]

    @property
    def seconds(self) -> dict[str, float | None]:
        """Training time of each missing trial by its title, None if unknown."""
        seconds = self.seconds_by_contender
        return {trial.card.title: seconds.get(trial.card.contender) for trial in self.missing}

    @property
    def seconds_by_contender(self) -> dict[str, float]:
        """Training time of a trial of each contender, if known."""
        return {time.contender: time.epochs * time.epoch_seconds for time in self.times}


def loaded(
    experiment: Experiment, progress: Progress
) -> tuple[Experiment, Prepared, tuple[Split, ...]]:
    """Check names, make paths absolute, load and split the data. Raises `InputError`."""
    check(experiment)
    experiment = located(experiment)
    prepared = data.load(experiment, progress.track, say=progress.say)
    return experiment, prepared, data.splits(prepared, experiment)


def make(
    resolved: ResolvedExperiment,
    prepared: Prepared,
    splits: Sequence[Split],
    store: Store,
    progress: Progress,
    timed: dict[str, float] | None = None,
) -> Plan:
    """Plan a trial for each contender, seed and fold, and time the contenders without trials in the
    store. `timed` as in `timing.epoch_seconds`; without it, a short training is not timed.
    """
    trials = trials_of(resolved.experiment, prepared, *splits, contenders=resolved.contenders)
    plan = Plan(
        **vars(resolved),
        trials=tuple(trials),
        records=tuple(store.record(trial.key) for trial in trials),
        times=(),
    )
    seconds_of = dict(resolved.budget.epoch_seconds) if resolved.budget else {}
    if (
        timed is None
        and not seconds_of
        and sum(map(timing.num_steps, plan.missing)) <= timing.MAX_UNTIMED_STEPS
    ):
        return plan
    first = {trial.card.contender: trial for trial in reversed(trials)}
    stored: dict[str, list[TrialRecord]] = {contender.name: [] for contender in plan.contenders}
    for record in filter(None, plan.records):
        stored[record.settings["contender"]].append(record)
    new = [first[name] for name in stored if not stored[name] and name not in seconds_of]
    seconds_of |= timing.epoch_seconds(new, prepared, progress, timed)
    times = []
    for name, records in stored.items():
        epochs: float = first[name].experiment.num_epochs
        if records:
            epochs = statistics.fmean(len(record.history) for record in records)
            seconds = [second for record in records for second in record.epoch_seconds]
            seconds_of[name] = statistics.fmean(seconds or [0.0])
        if name in seconds_of:
            times.append(
                ContenderTime(
                    contender=name,
                    epochs=epochs,
                    epoch_seconds=seconds_of[name],
                    seed_seconds=epochs * seconds_of[name] * len(splits),
                    from_store=bool(records),
                )
            )
    return replace(plan, times=tuple(times))


def of_data(prepared: Prepared, splits: Sequence[Split]) -> str:
    """Return a sentence on the data and their split, and one on a missing test set."""
    split, folds = splits[0], f", in the first of {len(splits)} folds" if len(splits) > 1 else ""
    channels, height, width = prepared.image_shape
    noun, look = "images", "grey" if channels == 1 else "colour"
    if binning := prepared.preprocessing.binning:
        noun, look = "recordings", f"pixels in {counted(binning.num_frames, 'frame')}"
    return (
        f"{prepared.name}: {len(split.train):,} training, {len(split.val):,} validation and "
        f"{len(split.test):,} test {noun}{folds}, {height}×{width} {look}, "
        f"{len(prepared.classes)} classes." + f" {NO_TEST_SET}" * prepared.own_validation
    )


def of_plan(plan: Plan, at_once: int = 1, num_variants: int = 0) -> list[str]:
    """Return sentences on the contenders, their training time and its end, and on the variants of
    them that are trained then.
    """
    experiment, cards = plan.experiment, [contender.card for contender in plan.contenders]
    text = f"{' against '.join(experiment.contenders)}, {counted(experiment.seeds, 'seed')}"
    if steps := sorted({card.num_steps for card in cards if card.num_steps}):
        encodings = sorted({card.encoding for card in cards if card.encoding})
        seen = "events in frames" if encodings == [EVENTS] else f"{' or '.join(encodings)} encoding"
        over = f"{' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}"
        text += f"; {seen} over {over}"
    lines = [f"{text}.", *filter(None, (_of_foreign(card, experiment) for card in cards))]
    lines.append(_of_time(plan, num_variants))
    if (at_once := min(at_once, len(plan.missing))) > 1:
        lines.append(f"{at_once} train at a time, so that it is done sooner.")
    return lines


def _of_time(plan: Plan, num_variants: int) -> str:
    trials, missing, budget = plan.trials, plan.missing, plan.budget
    variants = counted(num_variants, "variant")
    if not missing:
        then = f" If it lacks some of their {variants}, these follow." if num_variants else ""
        return f"Nothing to train: {counted(len(trials), 'trial')} in the store.{then}"
    num_stored = len(trials) - len(missing)
    stored = f" ({num_stored} of {len(trials)} trials are in the store)" if num_stored else ""
    seconds = [estimate for estimate in plan.seconds.values() if estimate is not None]
    if len(seconds) < len(missing):
        then = f", then up to {variants}" if num_variants else ""
        to_train = f"{counted(len(missing), 'trial')} to train{stored}"
        return f"{to_train}, at most {most_epochs(plan)}{then}."
    names = {trial.card.contender for trial in missing}
    epochs = [
        f"{time.contender} {counted(round(time.epochs), 'epoch')}"
        for time in plan.times
        if time.contender in names
    ]
    minutes = ""
    if budget is not None:
        unit = "seed and fold" if plan.experiment.folds else "seed"
        why = "" if budget.given else " by the size of the set; --minutes changes that"
        minutes = f" ({budget.minutes:g} min a {unit}{why})"
    return (
        f"Training takes {'about' if budget else 'at most'} {duration(sum(seconds))}{stored}: "
        f"{listed(epochs)}{minutes}. It is done at {clock(sum(seconds))}; "
        f"{f'training {variants} of them, ' if num_variants else ''}measuring and the report come "
        "after it."
    )


def most_epochs(plan: Plan) -> str:
    return f"{counted(max(trial.experiment.num_epochs for trial in plan.trials), 'epoch')} each"


def clock(seconds: float) -> str:
    """Return the time of day in `seconds` seconds, with the date unless today."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


def _of_foreign(card: ModelCard, experiment: Experiment) -> str | None:
    if registry.library_of(card.contender):
        size, weights = card.network["size"], card.network["weights"]
        start = f"from the pretrained weights {weights}"
        if not weights:
            why = libraries.why_not_pretrained(card.contender, experiment.pretrained) or ""
            start = f"from nothing ({why.rstrip('.')})"
        edge = f"of {size}×{size}" if size else "as they are prepared"
        return f"{card.contender}: starts {start}; it sees images {edge}."
    if card.foreign is None:
        return None
    if card.kind != "snn":
        return f"{card.contender}: called as any other network that does not spike."
    how = f"called over {card.num_steps} time steps with {card.encoding} encoding"
    if card.foreign.way == "loop":
        how = f"makes its own {card.num_steps} time steps of the analogue image"
    if card.precision == "32" and experiment.precision == "auto":
        how += "; in float32, as in its own library"
    return f"{card.contender}: {how}."
