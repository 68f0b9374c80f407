"""What is said before anything is trained: the data, the contenders, how long it takes and when it
is done.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from spikeduel.data import Prepared, Split
from spikeduel.networks import libraries
from spikeduel.networks.cards import ModelCard
from spikeduel.results.forecast import ContenderTime
from spikeduel.results.run import Budget
from spikeduel.results.words.power import duration
from spikeduel.settings import Experiment
from spikeduel.spiking.encoders import EVENTS
from spikeduel.system import registry
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted, listed
from spikeduel.trials.controls import CONTROLS
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.timing import contender_times
from spikeduel.trials.trial import trained

FEW_STEPS = 500
"""Training steps in all that are not worth being timed beforehand."""


def of_data(prepared: Prepared, splits: Sequence[Split]) -> str:
    """The data and their split, in a sentence."""
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


def of_contenders(experiment: Experiment, cards: Sequence[ModelCard]) -> str:
    """The contenders and what they see, in a sentence, and a line for each foreign network."""
    text = f"{' against '.join(experiment.contenders)}, {counted(experiment.seeds, 'seed')}"
    if steps := sorted({card.num_steps for card in cards if card.num_steps}):
        encodings = sorted({card.encoding for card in cards if card.encoding})
        seen = "events in frames" if encodings == [EVENTS] else f"{' or '.join(encodings)} encoding"
        over = f"{' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}"
        text += f"; {seen} over {over}"
    if experiment.recording_change != "none":
        text += f"; recordings are {experiment.recording_change}"
    return f"{text}." + "".join(f"\n{line}" for line in foreign_lines(experiment, cards))


def expect(
    trials: Sequence[Trial],
    budget: Budget | None,
    times: Sequence[ContenderTime],
    store: Store,
    progress: Progress,
    at_once: int = 1,
) -> dict[str, float | None]:
    """Says how long `trials` will train by these `times`, and returns it, in seconds by title, for
    those that the store lacks.
    """
    records = [trained(each, store) for each in trials]
    progress.say(of_training(trials, records, times, budget))
    missing = seconds_of_trials(trials, records, times)
    if (at_once := min(at_once, len(missing))) > 1:
        timed = None not in missing.values()
        before, after = (
            ("That is one trial after another; ", ", so that it is done sooner")
            if timed
            else ("", "")
        )
        progress.say(f"{before}{at_once} train at a time{after}.")
    return missing


def of_tuning(
    trials: Sequence[Trial],
    num_trials: int,
    budget: Budget | None,
    prepared: Prepared,
    store: Store,
    progress: Progress,
) -> str:
    """How long tuning takes at most: so many times as long as `trials`, the first of each
    contender.
    """
    found = times(trials, budget, prepared, store, progress)
    text = f"Tuning: {counted(num_trials, 'trial')} of each of {counted(len(trials), 'contender')}"
    if len(found) < len(trials):
        return f"{text}, at most {counted(max(each.experiment.num_epochs for each in trials), 'epoch')} each."
    seconds = num_trials * sum(each.epochs * each.epoch_seconds for each in found)
    return f"{text}, at most {duration(seconds)}. It is done by {clock(seconds)}; what the store has takes no time."


def lacking(trials: Sequence[Trial], store: Store) -> list[Trial]:
    """Those of the contenders of which a trial is to be trained."""
    missing = {each.card.contender for each in trials if trained(each, store) is None}
    return [each for each in trials if each.card.contender in missing]


def times(
    trials: Sequence[Trial],
    budget: Budget | None,
    prepared: Prepared,
    store: Store,
    progress: Progress,
    timed: Mapping[str, float] | None = None,
) -> list[ContenderTime]:
    """How long a training of each contender takes. Steps of those are timed that neither the store
    nor a budget knows, nor `timed` (seconds an epoch, by contender); without `timed`, not where all
    are so short that timing would be longer.
    """
    if not trials or (
        budget is None and timed is None and sum(map(_num_steps, trials)) <= FEW_STEPS
    ):
        return []
    records = [store.record(each.key) for each in trials]
    known = {**(timed or {}), **(budget.epoch_seconds if budget else {})}
    return contender_times(trials, records, known, prepared, progress)


def _num_steps(trial: Trial) -> int:
    return (
        math.ceil(len(trial.split.train) / trial.experiment.images_a_step)
        * trial.experiment.num_epochs
    )


def seconds_of_trials(
    trials: Sequence[Trial], records: Sequence[TrialRecord | None], times: Sequence[ContenderTime]
) -> dict[str, float | None]:
    """How long each trial that the store lacks will train, by its title; None where that is not
    known.
    """
    of_one = {each.contender: each.epochs * each.epoch_seconds for each in times}
    both = zip(trials, records, strict=True)
    return {
        each.card.title: of_one.get(each.card.contender) for each, record in both if record is None
    }


def of_training(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord | None],
    times: Sequence[ContenderTime],
    budget: Budget | None = None,
) -> str:
    """How long those of `trials` train that the store lacks (`records` has None for them), and when
    that is done.
    """
    missing = seconds_of_trials(trials, records, times)
    if not missing:
        return f"{'The trial is' if len(trials) == 1 else f'All {len(trials)} trials are'} in the store: nothing to train."
    num_held = len(trials) - len(missing)
    held = f" ({num_held} of {len(trials)} trials are in the store)" if num_held else ""
    known = [seconds for seconds in missing.values() if seconds is not None]
    if len(known) < len(missing):
        most = max(each.experiment.num_epochs for each in trials)
        return f"{counted(len(missing), 'trial')} to train{held}, at most {counted(most, 'epoch')} each."
    seconds, limit = sum(known), "about" if budget else "at most"
    epochs = listed([f"{each.contender} {counted(round(each.epochs), 'epoch')}" for each in times])
    text = f"Training takes {limit} {duration(seconds)}{held}: {epochs}{_why(budget, trials)}. "
    text += f"It is done at {clock(seconds)}"
    if not trials[0].experiment.controls:
        return f"{text}; measuring and the report come after it."
    if trials[0].card.preprocessing.binning is None:
        return f"{text}; controls, measuring and the report come after it."
    # Those of recordings train every contender again, for as long.
    again = sum(
        control.of_recordings and control.train is not None for control in CONTROLS.values()
    )
    return f"{text}, controls at {clock(seconds * (1 + again))}; measuring and the report come after it."


def _why(budget: Budget | None, trials: Sequence[Trial]) -> str:
    """What decided the numbers of epochs."""
    if budget is None:
        return ""
    of = "seed and fold" if any(each.split.fold is not None for each in trials) else "seed"
    why = "" if budget.given else ", by the size of the set; --minutes changes that"
    return f" ({budget.minutes:g} min a {of}{why})"


def clock(seconds: float) -> str:
    """The time of day that it will be then, with the date where that is another one."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


def foreign_lines(experiment: Experiment, cards: Sequence[ModelCard]) -> list[str]:
    """What to say beforehand of the networks that were not made for spikeduel, a line each."""
    lines = {}
    for card in cards:
        if registry.library_of(card.contender):
            lines[card.contender] = f"{card.contender}: {_start(card, experiment)}."
        if card.foreign is None:
            continue
        if card.family != "snn":
            said = "called as any other network that does not spike"
        elif card.foreign.way == "loop":
            said = f"makes its own {card.num_steps} time steps, and gets the analogue image for them (direct encoding)"
        else:
            said = f"called over {card.num_steps} time steps with {card.encoding} encoding, its state reset before"
        at_32 = card.family == "snn" and card.precision == "32" and experiment.precision == "auto"
        lines[card.contender] = (
            f"{card.contender}: {said}{'; in float32, as in its own library' if at_32 else ''}."
        )
    return list(lines.values())


def _start(card: ModelCard, experiment: Experiment) -> str:
    """From which weights a library's network starts, or why from none; and how it sees images."""
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
