"""Sentences that announce a comparison before it trains: data, contenders, time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from spikeduel.data import Prepared, Split
from spikeduel.networks import libraries
from spikeduel.networks.cards import ModelCard
from spikeduel.results.words.numbers import duration
from spikeduel.settings import Experiment
from spikeduel.spiking.encoders import EVENTS
from spikeduel.system import registry
from spikeduel.system.sentences import counted, listed
from spikeduel.trials.controls import CONTROLS
from spikeduel.trials.plan import Plan


def of_data(prepared: Prepared, splits: Sequence[Split]) -> str:
    """Return a sentence on the data and their split."""
    split, folds = splits[0], f", in the first of {len(splits)} folds" if len(splits) > 1 else ""
    channels, height, width = prepared.image_shape
    noun, look = "images", "grey" if channels == 1 else "colour"
    if binning := prepared.preprocessing.binning:
        noun, look = "recordings", f"pixels in {counted(binning.num_frames, 'frame')}"
    return (
        f"{prepared.name}: {len(split.train):,} training, {len(split.val):,} validation and "
        f"{len(split.test):,} test {noun}{folds}, {height}×{width} {look}, "
        f"{len(prepared.classes)} classes."
    )


def of_contenders(plan: Plan) -> str:
    """Return a sentence on the contenders and what they see, and a line for each foreign one."""
    experiment = plan.experiment
    cards = [contender.card for contender in plan.contenders]
    text = f"{' against '.join(experiment.contenders)}, {counted(experiment.seeds, 'seed')}"
    if steps := sorted({card.num_steps for card in cards if card.num_steps}):
        encodings = sorted({card.encoding for card in cards if card.encoding})
        seen = "events in frames" if encodings == [EVENTS] else f"{' or '.join(encodings)} encoding"
        over = f"{' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}"
        text += f"; {seen} over {over}"
    lines = [_of_foreign(card, experiment) for card in cards]
    return "\n".join([f"{text}.", *filter(None, lines)])


def of_training(plan: Plan, at_once: int = 1) -> list[str]:
    """Return sentences on how long the missing trials train, and when that is done."""
    text = _of_time(plan)
    if (at_once := min(at_once, len(plan.missing))) <= 1:
        return [text]
    if None in plan.seconds.values():
        return [text, f"{at_once} train at a time."]
    return [
        text,
        f"That is one trial after another; {at_once} train at a time, so that it is done sooner.",
    ]


def _of_time(plan: Plan) -> str:
    trials, missing = plan.trials, plan.missing
    if not missing:
        which = "The trial is" if len(trials) == 1 else f"All {len(trials)} trials are"
        return f"{which} in the store: nothing to train."
    num_stored = len(trials) - len(missing)
    stored = f" ({num_stored} of {len(trials)} trials are in the store)" if num_stored else ""
    known = [seconds for seconds in plan.seconds.values() if seconds is not None]
    if len(known) < len(missing):
        most = max(trial.experiment.num_epochs for trial in trials)
        return (
            f"{counted(len(missing), 'trial')} to train{stored}, at most {counted(most, 'epoch')} "
            "each."
        )
    seconds, limit = sum(known), "about" if plan.budget else "at most"
    names = {trial.card.contender for trial in missing}
    epochs = listed(
        [
            f"{time.contender} {counted(round(time.epochs), 'epoch')}"
            for time in plan.times
            if time.contender in names
        ]
    )
    controls = ""
    if plan.experiment.controls:
        # Controls of recordings train every contender again, for as long.
        again = sum(
            control.of_recordings and control.train is not None for control in CONTROLS.values()
        )
        is_recorded = plan.contenders[0].card.preprocessing.binning is not None
        controls = f", controls at {clock(seconds * (1 + again))}" if is_recorded else "; controls"
    after = ", measuring" if controls == "; controls" else "; measuring"
    return (
        f"Training takes {limit} {duration(seconds)}{stored}: {epochs}{_budget(plan)}. It is done "
        f"at {clock(seconds)}{controls}{after} and the report come after it."
    )


def _budget(plan: Plan) -> str:
    if plan.budget is None:
        return ""
    unit = "seed and fold" if plan.experiment.folds else "seed"
    why = "" if plan.budget.given else ", by the size of the set; --minutes changes that"
    return f" ({plan.budget.minutes:g} min a {unit}{why})"


def of_tuning(plan: Plan, num_trials: int) -> str:
    """Return a sentence on how long tuning takes at most, with `num_trials` of each contender."""
    num_contenders = counted(len(plan.contenders), "contender")
    text = f"Tuning: {counted(num_trials, 'trial')} of each of {num_contenders}, at most"
    if len(plan.times) < len(plan.contenders):
        most = max(trial.experiment.num_epochs for trial in plan.trials)
        return f"{text} {counted(most, 'epoch')} each."
    seconds = num_trials * sum(time.epochs * time.epoch_seconds for time in plan.times)
    return (
        f"{text} {duration(seconds)}. It is done by {clock(seconds)}; what the store has takes no "
        "time."
    )


def clock(seconds: float) -> str:
    """Return the time of day in so many seconds, with the date where that is another one."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


def _of_foreign(card: ModelCard, experiment: Experiment) -> str | None:
    """Return a line on a network that was not made for spikeduel, None for one of its own."""
    if registry.library_of(card.contender):
        return f"{card.contender}: {_start(card, experiment)}."
    if card.foreign is None:
        return None
    if card.family != "snn":
        how = "called as any other network that does not spike"
    elif card.foreign.way == "loop":
        how = (
            f"makes its own {card.num_steps} time steps, and gets the analogue image for them "
            "(direct encoding)"
        )
    else:
        how = (
            f"called over {card.num_steps} time steps with {card.encoding} encoding, its state "
            "reset before"
        )
    if card.family == "snn" and card.precision == "32" and experiment.precision == "auto":
        how += "; in float32, as in its own library"
    return f"{card.contender}: {how}."


def _start(card: ModelCard, experiment: Experiment) -> str:
    """Return the weights that a library's network starts from, and how it sees images."""
    side, weights = card.network["size"], card.network["weights"]
    larger = " (--image-size prepares them so)" if side and side > max(card.image_shape[1:]) else ""
    seen = (
        f"it sees images of {side}×{side}{larger}"
        if side
        else "it sees images as they are prepared"
    )
    if weights:
        return f"starts from the pretrained weights {weights}; {seen}"
    why = libraries.why_not_pretrained(card.contender, experiment.pretrained)
    return f"starts from nothing, not from pretrained weights ({(why or '').rstrip('.')}); {seen}"
