"""Sentences that announce a comparison's data, contenders and time."""

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


def of_plan(plan: Plan, at_once: int = 1) -> list[str]:
    """Return sentences on the contenders, their training time and its end."""
    experiment, cards = plan.experiment, [contender.card for contender in plan.contenders]
    text = f"{' against '.join(experiment.contenders)}, {counted(experiment.seeds, 'seed')}"
    if steps := sorted({card.num_steps for card in cards if card.num_steps}):
        encodings = sorted({card.encoding for card in cards if card.encoding})
        seen = "events in frames" if encodings == [EVENTS] else f"{' or '.join(encodings)} encoding"
        over = f"{' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}"
        text += f"; {seen} over {over}"
    lines = [f"{text}.", *filter(None, (_of_foreign(card, experiment) for card in cards))]
    lines.append(_of_time(plan))
    if (at_once := min(at_once, len(plan.missing))) > 1:
        lines.append(f"{at_once} train at a time, so that it is done sooner.")
    return lines


def _of_time(plan: Plan) -> str:
    trials, missing = plan.trials, plan.missing
    if not missing:
        return f"Nothing to train: {counted(len(trials), 'trial')} in the store."
    num_stored = len(trials) - len(missing)
    stored = f" ({num_stored} of {len(trials)} trials are in the store)" if num_stored else ""
    known = [seconds for seconds in plan.seconds.values() if seconds is not None]
    if len(known) < len(missing):
        most = max(trial.experiment.num_epochs for trial in trials)
        return (
            f"{counted(len(missing), 'trial')} to train{stored}, at most {counted(most, 'epoch')} "
            "each."
        )
    names = {trial.card.contender for trial in missing}
    epochs = [
        f"{time.contender} {counted(round(time.epochs), 'epoch')}"
        for time in plan.times
        if time.contender in names
    ]
    limit, budget = "at most", ""
    if plan.budget is not None:
        unit = "seed and fold" if plan.experiment.folds else "seed"
        why = "" if plan.budget.given else ", by the size of the set; --minutes changes that"
        limit, budget = "about", f" ({plan.budget.minutes:g} min a {unit}{why})"
    later = "controls, measuring" if plan.experiment.controls else "measuring"
    return (
        f"Training takes {limit} {duration(sum(known))}{stored}: {listed(epochs)}{budget}. It is "
        f"done at {clock(sum(known))}; {later} and the report come after it."
    )


def of_tuning(plan: Plan, num_trials: int) -> str:
    """Return a sentence on the longest time that tuning takes."""
    num_contenders = counted(len(plan.contenders), "contender")
    text = f"Tuning: {counted(num_trials, 'trial')} of each of {num_contenders}, at most"
    if len(plan.times) < len(plan.contenders):
        most = max(trial.experiment.num_epochs for trial in plan.trials)
        return f"{text} {counted(most, 'epoch')} each."
    seconds = num_trials * sum(plan.seconds_by_contender.values())
    return (
        f"{text} {duration(seconds)}. It is done by {clock(seconds)}; what the store has takes no "
        "time."
    )


def clock(seconds: float) -> str:
    """Return the time of day in `seconds` seconds, with the date unless it is today."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


def _of_foreign(card: ModelCard, experiment: Experiment) -> str | None:
    if registry.library_of(card.contender):
        size, weights = card.network["size"], card.network["weights"]
        why = libraries.why_not_pretrained(card.contender, experiment.pretrained) or ""
        start = f"from the pretrained weights {weights}" if weights else "from nothing"
        reason = "" if weights else f" ({why.rstrip('.')})"
        side = f"of {size}×{size}" if size else "as they are prepared"
        return f"{card.contender}: starts {start}{reason}; it sees images {side}."
    if card.foreign is None:
        return None
    if card.family != "snn":
        how = "called as any other network that does not spike"
    elif card.foreign.way == "loop":
        how = f"makes its own {card.num_steps} time steps of the analogue image"
    else:
        how = f"called over {card.num_steps} time steps with {card.encoding} encoding"
    if card.family == "snn" and card.precision == "32" and experiment.precision == "auto":
        how += "; in float32, as in its own library"
    return f"{card.contender}: {how}."
