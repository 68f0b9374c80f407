"""Findings on a run: what a careful reader objects, and what could overturn its conclusions.

A function for each finding of `findings.toml`; the table says what it means.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from spikeduel.results import power
from spikeduel.results.accuracy import (
    no_better_than_chance,
    share_of_most_frequent,
    unlearned_controls,
)
from spikeduel.results.findings import Finding, Values, find, finds, ranked
from spikeduel.results.run import Budget, Dataset, Neither, Pair, twins
from spikeduel.results.significance import FEWEST_GROUPS, MARGIN, Conclusion, smallest_p
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.results.uncertainty import MOST_SEEDS
from spikeduel.settings import Experiment
from spikeduel.system.registry import library_of

SMALL_TEST_SET = 500
"""Test images below which one image weighs enough to be named."""
FAR_TOO_FEW = 3
"""Points: test images that show no smaller lead have to be more before anything else is tried."""
FEW_GROUPS = 10
"""Tested groups below which a trait of one group can pass for a trait of a contender."""
LAST_EPOCHS = 0.25
"""Share of the epochs: a best epoch among these last ones says that more epochs might help."""
STILL_RISING = 0.005
"""Gain in the expected best, from half the trials to all, that is worth naming: half a point."""


@dataclass(frozen=True)
class TuningContext:
    """A tuning, and how many validation images chose the settings, where that is known."""

    tuning: TuningRecord
    num_val: int | None


@dataclass(frozen=True)
class RunContext:
    """A run as finders see it; `not_converted` has a reason for each contender."""

    experiment: Experiment
    dataset: Dataset
    trials: Sequence[Trial]
    pairs: Sequence[Pair] = ()
    tuning: TuningRecord | None = None
    not_converted: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None

    @cached_property
    def tested(self) -> dict[str, list[Trial]]:
        """The tested trials of each contender."""
        tested: dict[str, list[Trial]] = {}
        for trial in self.trials:
            if trial.test:
                tested.setdefault(trial.contender, []).append(trial)
        return tested

    @cached_property
    def always_at_chance(self) -> list[str]:
        """Contenders not shown to be better than chance over all their trials."""
        return sorted(name for name, trials in self.tested.items() if no_better_than_chance(trials))

    @cached_property
    def foreign(self) -> dict[str, Trial]:
        """A trial of each spiking network that another library made."""
        return {trial.contender: trial for trial in self.trials if trial.foreign and trial.spiking}

    @cached_property
    def pretrained(self) -> dict[str, str | None]:
        """The pretrained weights of each contender that was trained."""
        return {
            trial.contender: trial.pretrained
            for trial in self.trials
            if trial.converted_from is None
        }

    @property
    def stops_early(self) -> bool:
        """Return True if a rule may end a training before the limit of epochs."""
        return self.experiment.patience is not None

    @property
    def seeds(self) -> int:
        """Seeds that pairs of contenders have in common, at most."""
        return max((pair.seeds for pair in self.pairs), default=0)

    @cached_property
    def inconclusive(self) -> list[Pair]:
        """Pairs of several seeds that stay open."""
        if self.seeds <= 1:
            return []
        return [pair for pair in self.pairs if pair.conclusion is Conclusion.INCONCLUSIVE]

    @property
    def few_seeds_needed(self) -> int | None:
        """Seeds below which no lead of an open pair can be conclusive; None if all have as many."""
        too_few = [p.fewest_seeds for p in self.inconclusive if p.seeds < p.fewest_seeds]
        return max(too_few, default=None)


def find_caveats(run: RunContext) -> list[Finding]:
    """Return what a careful reader objects to a run, the gravest first."""
    tuning = tuning_limits(run.tuning, run.dataset.counts.val) if run.tuning else []
    audit = run.dataset.audit.conclusions if run.dataset.audit else ()
    problems = [finding for finding in audit if finding.is_problem]
    return ranked([*find("run", run), *tuning, *problems])


def overturned_by(run: RunContext) -> list[Finding]:
    """Return what would change the conclusions on pairs, the gravest first."""
    return find("overturn", run) if run.pairs else []


def tuning_limits(tuning: TuningRecord, num_val: int | None = None) -> list[Finding]:
    """Return where a tuning may have found too little, or chosen by chance.

    `num_val`: validation images, where the record does not say.
    """
    return find("tuning", TuningContext(tuning, tuning.dataset.val or num_val))


def neither_twin(trials: Sequence[Trial], pairs: Sequence[Pair]) -> Neither | None:
    """Return the contender that is better than every twin, the most accurate of several."""
    found = twins(trials)
    of_twins = {name for pair in found for name in pair}
    beats: dict[str, dict[str, float]] = {}
    for pair in pairs:
        if pair.conclusion.better and not pair.negligible:
            beats.setdefault(pair.leader, {})[pair.other] = pair.accuracy(pair.leader)
    better = [name for name, others in beats.items() if of_twins and of_twins <= set(others)]
    best = max(better, key=lambda name: max(beats[name].values()), default=None)
    return Neither(contender=best, twins=found) if best else None


# ---- the data and its split


@finds("leakage")
def leakage(run: RunContext) -> Iterator[Values]:
    if run.dataset.leaks:
        official = run.dataset.split == "official"
        yield {"shared": run.dataset.shared_groups or 0.0, "official": official}


@finds("few_shared")
def few_shared(run: RunContext) -> Iterator[Values]:
    if run.dataset.shared_groups and not run.dataset.leaks:
        yield {"shared": run.dataset.shared_groups}


@finds("one_seed")
def one_seed(run: RunContext) -> Iterator[Values]:
    if run.experiment.seeds == 1:
        yield {}


@finds("few_test_images")
def few_test_images(run: RunContext) -> Iterator[Values]:
    number = run.dataset.counts.test
    if number < SMALL_TEST_SET:
        remedy = "--folds 5" if run.dataset.can_fold else None
        yield {"num_test": number, "worth": 1 / number, "remedy": remedy}


def _tested_groups(dataset: Dataset) -> Iterator[Values]:
    """Yield how many groups are tested, where they are few."""
    tested, known = dataset.groups_tested, dataset.groups
    effective = dataset.effective_groups_tested or tested
    if tested and known and effective and effective < FEW_GROUPS:
        folds_help = tested < known and dataset.split == "grouped" and dataset.can_fold
        yield {
            "tested": tested,
            "known": known,
            "some_untested": tested < known,
            "effective": effective if tested - effective >= 0.5 else None,
            "remedy": "--folds 5" if folds_help else None,
        }


@finds("few_groups")
def few_groups(run: RunContext) -> Iterator[Values]:
    for groups in _tested_groups(run.dataset):
        too_few = run.experiment.seeds == 1 and groups["tested"] < FEWEST_GROUPS
        yield groups | {"smallest_p": smallest_p(groups["tested"]) if too_few else None}


@finds("in_folds")
def in_folds(run: RunContext) -> Iterator[Values]:
    if run.dataset.folds:
        yield {"folds": len(run.dataset.folds)}


@finds("test_uses")
def test_uses(run: RunContext) -> Iterator[Values]:
    here = run.dataset.test_uses_here or sum(trial.status == "done" for trial in run.trials)
    if (run.dataset.test_uses or 0) > here:
        yield {"uses": run.dataset.test_uses, "here": here}


@finds("tested_every_epoch")
def tested_every_epoch(run: RunContext) -> Iterator[Values]:
    if run.dataset.tested_every_epoch:
        yield {"trainings": run.dataset.tested_every_epoch}


@finds("doubted_labels")
def doubted_labels(run: RunContext) -> Iterator[Values]:
    labels = run.dataset.labels
    if labels and labels.suspects:
        yield {"suspects": labels.suspects, "examined": labels.examined}


@finds("data_note")
def data_notes(run: RunContext) -> Iterator[Values]:
    for text in run.dataset.notes:
        yield {"text": text}


# ---- accuracies


@finds("at_chance")
def at_chance(run: RunContext) -> Iterator[Values]:
    if contenders := run.always_at_chance:
        trials = [trial for name in contenders for trial in run.tested[name]]
        yield {
            "contenders": contenders,
            "chance": share_of_most_frequent(trials),
            "stopped_early": all(trial.stopped == "early" for trial in trials),
            "improving": any(_improved_to_the_end(trial, run.stops_early) for trial in trials),
        }


@finds("sometimes_at_chance")
def sometimes_at_chance(run: RunContext) -> Iterator[Values]:
    for name, trials in run.tested.items():
        number = sum(no_better_than_chance([trial]) for trial in trials)
        if number and name not in run.always_at_chance:
            yield {"contender": name, "num": number, "of": len(trials)}


@finds("control_at_chance")
def control_at_chance(run: RunContext) -> Iterator[Values]:
    for name, trials in run.tested.items():
        for title in unlearned_controls(trials).values():
            yield {"contender": name, "control": title}


@finds("below_nearest_neighbour")
def below_nearest_neighbour(run: RunContext) -> Iterator[Values]:
    probe = run.dataset.audit.probe.accuracy if run.dataset.audit else None
    if probe is None:
        return
    # With folds, the audit looks at the images of the first fold.
    accuracies = {
        name: [trial.test.accuracy for trial in trials if trial.test and not trial.fold]
        for name, trials in run.tested.items()
    }
    below = [
        name for name, found in accuracies.items() if found and statistics.fmean(found) < probe
    ]
    if below:
        yield {"contenders": below, "accuracy": probe, "first_fold": bool(run.dataset.folds)}


# ---- what else sets the contenders apart


@finds("same_weights")
def same_weights(run: RunContext) -> Iterator[Values]:
    if pairs := twins(run.trials):
        yield {"pairs": pairs, "only": len({trial.contender for trial in run.trials}) == 2}


@finds("confounded")
def confounded(run: RunContext) -> Iterator[Values]:
    if not twins(run.trials) and len({trial.spiking for trial in run.trials}) > 1:
        yield {}


@finds("starts_from_twin")
def starts_from_twin(run: RunContext) -> Iterator[Values]:
    if sources := {t.contender: t.starts_from for t in run.trials if t.starts_from}:
        yield {"sources": sources}


@finds("tuned")
def tuned(run: RunContext) -> Iterator[Values]:
    if run.tuning:
        yield {"num_trials": run.tuning.num_trials, "most_epochs": run.tuning.most_epochs}


@finds("own_settings")
def own_settings(run: RunContext) -> Iterator[Values]:
    if not run.tuning and run.experiment.own_settings:
        yield {"settings": run.experiment.own_settings}


@finds("untuned")
def untuned(run: RunContext) -> Iterator[Values]:
    if not run.tuning and not run.experiment.own_settings:
        yield {}


@finds("own_steps")
def own_steps(run: RunContext) -> Iterator[Values]:
    encoding = run.experiment.encoding
    for name, trial in run.foreign.items():
        if trial.foreign and trial.foreign.way == "loop" and encoding != "direct":
            yield {"contender": name, "num_steps": trial.num_steps or 1, "encoding": encoding}


@finds("in_float32")
def in_float32(run: RunContext) -> Iterator[Values]:
    others = {trial.precision for trial in run.trials if trial.contender not in run.foreign}
    slower = [name for name, trial in run.foreign.items() if trial.precision == "32"]
    if slower and "bf16" in others:
        yield {"contenders": slower}


@finds("pretrained")
def pretrained(run: RunContext) -> Iterator[Values]:
    if weights := {name: origin for name, origin in run.pretrained.items() if origin}:
        yield {"weights": weights, "alone": len(weights) == len(run.pretrained)}


@finds("from_nothing")
def from_nothing(run: RunContext) -> Iterator[Values]:
    bare = [name for name, origin in run.pretrained.items() if library_of(name) and not origin]
    if bare and run.experiment.pretrained == "auto":
        yield {"contenders": bare}


@finds("not_trained")
def not_trained(run: RunContext) -> Iterator[Values]:
    if sources := {t.contender: t.converted_from for t in run.trials if t.converted_from}:
        yield {
            "sources": sources,
            "num_steps": max(t.num_steps or 1 for t in run.trials if t.converted_from),
        }


@finds("not_converted")
def not_converted(run: RunContext) -> Iterator[Values]:
    for name, reason in run.not_converted.items():
        yield {"contender": name, "reason": reason}


@finds("different_epochs")
def different_epochs(run: RunContext) -> Iterator[Values]:
    if len({trial.epochs for trial in run.trials if trial.status == "done"}) > 1:
        own = (run.experiment.per_contender or {}).values()
        yield {"equal_time": any("epochs" in settings for settings in own)}


@finds("epoch_limit")
def epoch_limit(run: RunContext) -> Iterator[Values]:
    epochs = {
        trial.contender: trial.epochs
        for trial in run.trials
        if _improved_to_the_end(trial, run.stops_early)
    }
    # A learning rate that falls to 0 is meant to improve until the end.
    if epochs and run.experiment.constant_rate:
        yield {"contenders": sorted(epochs), "epochs": max(epochs.values())}


def _improved_to_the_end(trial: Trial, stops_early: bool) -> bool:
    """Return True if the limit of epochs ended the training, its best epoch among the last quarter.

    With a stopping rule, so must be the epoch with the lowest loss: else the rule would soon have
    ended the training anyway.
    """
    losses = [epoch.val_loss for epoch in trial.history]
    lowest = losses.index(min(losses)) if losses and stops_early else trial.best_epoch
    start = trial.epochs * (1 - LAST_EPOCHS)
    late = all(epoch is not None and epoch + 1 > start for epoch in (trial.best_epoch, lowest))
    return trial.stopped == "limit" and late


# ---- what went wrong, or was left out


@finds("busy_machine")
def busy_machine(run: RunContext) -> Iterator[Values]:
    machines = [trial.latency.machine for trial in run.trials if trial.latency]
    if busy := [machine for machine in machines if machine.busy]:
        load = max(machine.load_average or 0.0 for machine in busy)
        yield {"load": load, "cores": busy[0].cores or 1}


@finds("busy_budget")
def busy_budget(run: RunContext) -> Iterator[Values]:
    if run.budget and run.budget.busy:
        yield {"time": run.budget.minutes}


@finds("limited")
def limited(run: RunContext) -> Iterator[Values]:
    if run.experiment.limit is not None:
        yield {"limit": run.experiment.limit}


@finds("failed_trials")
def failed_trials(run: RunContext) -> Iterator[Values]:
    if titles := [trial.title for trial in run.trials if trial.status == "failed"]:
        yield {"titles": titles}


@finds("failed_measure")
def failed_measures(run: RunContext) -> Iterator[Values]:
    for trial in run.trials:
        for measure, reason in trial.failed_measures.items():
            yield {"measure": measure, "trial": trial.title, "reason": reason.rstrip(".")}


@finds("not_counted")
def not_counted(run: RunContext) -> Iterator[Values]:
    reasons = {trial.contender: trial.not_counted for trial in run.trials if trial.not_counted}
    for name, reason in reasons.items():
        yield {"contender": name, "reason": reason}


# ---- a tuning


@finds("still_rising")
def still_rising(context: TuningContext) -> Iterator[Values]:
    tuning = context.tuning
    gains = {tuned.contender: tuned.gain_of_last_doubling for tuned in tuning.contenders}
    if rising := {name: gain for name, gain in gains.items() if gain > STILL_RISING}:
        number = tuning.num_trials
        yield {"gains": rising, "half": number // 2, "num_trials": number}


@finds("close_settings")
def close_settings(context: TuningContext) -> Iterator[Values]:
    if not context.num_val:
        return
    close, largest = {}, 0.0
    for tuned in context.tuning.contenders:
        accuracies = {
            trial.number: trial.validation.accuracy for trial in tuned.trials if trial.validation
        }
        best = accuracies.pop(tuned.best, None) if tuned.best is not None else None
        if best is None:
            continue
        error = math.sqrt(best * (1 - best) / context.num_val)
        number = sum(best - accuracy <= error for accuracy in accuracies.values())
        if error > MARGIN and number:
            close[tuned.contender], largest = number, max(largest, error)
    if close:
        yield {
            "close": close,
            "num_trials": context.tuning.num_trials,
            "num_val": context.num_val,
            "error": largest,
        }


@finds("uneven_tuning")
def uneven_tuning(context: TuningContext) -> Iterator[Values]:
    numbers = {tuned.contender: len(tuned.tuned) for tuned in context.tuning.contenders}
    if len(set(numbers.values())) > 1:
        yield {"settings": numbers}


@finds("failed_tuning")
def failed_tuning(context: TuningContext) -> Iterator[Values]:
    for tuned in context.tuning.contenders:
        if failed := sum(trial.status == "failed" for trial in tuned.trials):
            number = context.tuning.num_trials
            yield {"contender": tuned.contender, "failed": failed, "num_trials": number}


@finds("keeps_settings")
def keeps_settings(context: TuningContext) -> Iterator[Values]:
    for tuned in context.tuning.contenders:
        if tuned.best is None:
            yield {"contender": tuned.contender}


# ---- what could overturn the conclusions


@finds("relatives_apart")
def relatives_apart(run: RunContext) -> Iterator[Values]:
    if run.dataset.leaks:
        yield {"shared": run.dataset.shared_groups or 0.0}


@finds("more_groups")
def more_groups(run: RunContext) -> Iterator[Values]:
    for groups in _tested_groups(run.dataset):
        del groups["effective"]
        yield groups


@finds("another_training")
def another_training(run: RunContext) -> Iterator[Values]:
    if run.seeds == 1:
        yield {}


@finds("far_more_images")
def far_more_images(run: RunContext) -> Iterator[Values]:
    detectable = _detectable_by_one_seed(run)
    if detectable > FAR_TOO_FEW * power.LEAD:
        yield {"detectable": detectable}


def _detectable_by_one_seed(run: RunContext) -> float:
    """Return the lead that the test images show, if trainings disagree as they usually do.

    0 where that is not the question: with several seeds, or few groups of images.
    """
    if run.seeds != 1 or any(_tested_groups(run.dataset)):
        return 0.0
    variability = power.assumed_variability(
        power.ASSUMED_SPREADS[0], run.pairs[0].n, run.dataset.effective_groups_tested
    )
    return min(1.0, power.IN_REACH * variability.images)


@finds("enough_seeds")
def enough_seeds(run: RunContext) -> Iterator[Values]:
    if fewest := run.few_seeds_needed:
        yield {"fewest": fewest}


@finds("more_seeds")
def more_seeds(run: RunContext) -> Iterator[Values]:
    if not run.inconclusive or run.few_seeds_needed:
        return
    pairs, margin = run.inconclusive, run.inconclusive[0].margin
    needed = [pair.seeds_needed for pair in pairs if pair.seeds_needed is not None]
    larger, others = _by_reach(pairs)
    if len(needed) == len(pairs):
        yield _seeds(run, max(needed), margin)
    elif larger:
        hardest = max(larger, key=lambda pair: pair.seeds_for_difference or math.inf)
        yield _seeds(run, hardest.seeds_for_difference, abs(hardest.difference))
    elif _detectable_at_best(others) <= margin:
        yield _seeds(run, None, margin)


@finds("more_images")
def more_images(run: RunContext) -> Iterator[Values]:
    detectable = _detectable_by_one_seed(run)
    if power.LEAD < detectable <= FAR_TOO_FEW * power.LEAD:
        yield {"detectable": detectable, "assumed": True}
    # With few groups of images, `more_groups` names the images that are wanted.
    if not run.inconclusive or run.few_seeds_needed or any(_tested_groups(run.dataset)):
        return
    seeds_suffice = all(pair.seeds_needed is not None for pair in run.inconclusive)
    at_best = _detectable_at_best(_by_reach(run.inconclusive)[1])
    if not seeds_suffice and at_best > run.inconclusive[0].margin:
        yield {"detectable": at_best, "assumed": False}


def _seeds(run: RunContext, needed: int | None, margin: float) -> Values:
    """Return the values of `more_seeds`, with a remedy where more seeds than the run's are
    known.
    """
    values = {"is_known": needed is not None, "needed": needed, "most": MOST_SEEDS}
    more = needed is not None and needed > run.experiment.seeds
    return {**values, "margin": margin, "remedy": f"--seeds {needed}" if more else None}


def _by_reach(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs whose difference more seeds would show on these images, and the others."""
    larger = [
        pair
        for pair in pairs
        if pair.power and abs(pair.difference) > (pair.detectable_at_best or 0.0)
    ]
    return larger, [pair for pair in pairs if pair not in larger]


def _detectable_at_best(pairs: Sequence[Pair]) -> float:
    """Return the difference that any number of seeds shows on these images, 0 without pairs."""
    return max((pair.detectable_at_best or 0.0 for pair in pairs), default=0.0)


@finds("more_tuning")
def more_tuning(run: RunContext) -> Iterator[Values]:
    if run.tuning:
        trials = 2 * run.tuning.num_trials
        yield {"remedy": None if run.dataset.folds else f"--tune {trials}"}


@finds("other_settings")
def other_settings(run: RunContext) -> Iterator[Values]:
    if not run.tuning:
        yield {"remedy": None if run.dataset.folds else "--tune 10"}
