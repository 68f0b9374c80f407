"""Conditions of findings on a run, such as too few seeds; `findings.toml` has the texts."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.results.accuracy import (
    constant_accuracy,
    effective_images,
    images_by_class,
    measures,
    no_better_than_chance,
    of_seeds,
)
from spikeduel.results.findings import Finding, Values, find, finds, ranked
from spikeduel.results.run import Budget, Dataset, Pair, twins
from spikeduel.results.significance import (
    Conclusion,
    Reservation,
)
from spikeduel.results.trials import Trial, times_as_long
from spikeduel.statistics import (
    MAX_SEEDS,
    MIN_GROUPS,
    MIN_IN_CLASS,
    detectable as detectable_on,
    smallest_p,
)
from spikeduel.system.grouped import grouped
from spikeduel.system.negligible import (
    MAX_DETECTABLE,
    MAX_EPOCHS_RATIO,
    MAX_UNNAMED_DETECTABLE,
)
from spikeduel.system.registry import library_of

SMALL_TEST_SET = 500
"""Test images below which one weighs enough to be named."""
TOO_FEW_GROUPS = 10
"""Tested groups below which a trait of one can pass for a trait of a contender."""
MUCH_LONGER = 4
"""Times as long that contenders are to train that have learned nothing."""
SEARCH_TRIALS = 10
"""Trials of each contender in a search of settings that is proposed."""
NO_ERRORS = 0.1
"""Share of a constant prediction's errors. A contender at chance that has fewer on training images
does not learn more from longer training.
"""


def search_option() -> str | None:
    """Return the option that searches better settings, with a number of trials; None without a
    feature that searches.
    """
    for feature in providing("before_training"):
        option, *_ = fields(providing("Options")[feature])
        return f"--{option.name} {SEARCH_TRIALS}"
    return None


def searches(features: Mapping[str, Any]) -> list[Any]:
    """Return the conclusions of features that searched the contenders' own settings."""
    return [features[name] for name in providing("before_training") if name in features]


@dataclass(frozen=True)
class RunContext:
    """A run as finders see it; `features` as in results.json."""

    experiment: Experiment
    dataset: Dataset
    trials: Sequence[Trial]
    pairs: Sequence[Pair] = ()
    features: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget | None = None

    @cached_property
    def tested(self) -> dict[str, list[Trial]]:
        return grouped((trial.contender, trial) for trial in self.trials if trial.test)

    @cached_property
    def always_at_chance(self) -> list[str]:
        """Contenders not shown to be better than chance."""
        return sorted(name for name, trials in self.tested.items() if no_better_than_chance(trials))

    @cached_property
    def pretrained(self) -> dict[str, str | None]:
        """Pretrained weights, by trained contender."""
        trained = [trial for trial in self.trials if trial.derived_from is None]
        return {trial.contender: trial.pretrained for trial in trained}

    def times_as_long(self, pair: Pair) -> float | None:
        """Return how many times as long the leader was trained; None if not longer."""
        leader, other = (
            self.tested.get(name, []) for name in (pair.leader_first.a, pair.leader_first.b)
        )
        return times_as_long(leader, other, self.budget is not None)

    def reserved(self) -> list[Pair]:
        """Return the pairs, without a better one if one is at chance or the better one trained
        longer.
        """
        at_chance = {*self.always_at_chance}
        return [
            pair
            if not pair.conclusion.better
            else pair.withheld(Reservation.AT_CHANCE)
            if {pair.a, pair.b} & at_chance
            else pair.withheld(Reservation.LONGER_TRAINING)
            if not pair.negligible and self.times_as_long(pair)
            else pair
            for pair in self.pairs
        ]

    @property
    def longer_training(self) -> str:
        """The option that trains `MUCH_LONGER` times as long."""
        if self.budget:
            return f"--minutes {math.ceil(MUCH_LONGER * self.budget.minutes)}"
        return f"--epochs {MUCH_LONGER * self.experiment.num_epochs}"

    @property
    def has_searched(self) -> bool:
        """True if a feature found the contenders' own settings."""
        return bool(searches(self.features))

    @property
    def search(self) -> str | None:
        """The option that searches settings; None if none can."""
        if self.has_searched or self.dataset.folds:
            return None
        return search_option()

    @property
    def equal_epochs(self) -> str | None:
        """The option that gives all contenders the most epochs of one; None if they are equal."""
        names = self.experiment.contenders
        epochs = {self.experiment.for_contender(name).epochs or 0 for name in names}
        return f"--epochs {max(epochs)}" if len(epochs) > 1 else None

    @property
    def has_few_groups(self) -> bool:
        effective = self.dataset.effective_groups_tested or self.dataset.groups_tested
        return bool(effective and effective < TOO_FEW_GROUPS)

    @cached_property
    def inconclusive(self) -> list[Pair]:
        """Open pairs of several seeds."""
        return [
            pair
            for pair in self.pairs
            if pair.seeds > 1
            and pair.conclusion is Conclusion.INCONCLUSIVE
            and pair.reservation not in (Reservation.LONGER_TRAINING, Reservation.AT_CHANCE)
        ]

    @property
    def few_seeds_needed(self) -> int | None:
        """Seeds below which no open pair can be conclusive; None if all have as many."""
        return max(
            (pair.fewest_seeds for pair in self.inconclusive if pair.seeds < pair.fewest_seeds),
            default=None,
        )

    @property
    def pairs_by_reach(self) -> tuple[list[Pair], list[Pair]]:
        """Open pairs that more seeds would settle on these images, and the others."""
        larger = [
            pair
            for pair in self.inconclusive
            if abs(pair.difference) > (pair.detectable_at_best or 0.0)
        ]
        return larger, [pair for pair in self.inconclusive if pair not in larger]


def find_caveats(run: RunContext) -> list[Finding]:
    """Return the caveats of a run, the gravest first, those of features included."""
    providing("Conclusion")  # their modules register what finds caveats
    audit = run.dataset.audit.problems if run.dataset.audit else []
    return ranked([*find("run", run), *audit])


@finds("leakage")
def leakage(run: RunContext) -> Iterator[Values]:
    if run.dataset.leaks:
        official = run.dataset.split == "official"
        remedy = "divide the data anew" if official else "take the data set socofing"
        yield {"shared": run.dataset.shared_groups, "official": official, "remedy": remedy}


@finds("one_seed")
def one_seed(run: RunContext) -> Iterator[Values]:
    if run.experiment.seeds == 1:
        yield {}


@finds("few_test_images")
def few_test_images(run: RunContext) -> Iterator[Values]:
    number = run.dataset.counts.test
    if number < SMALL_TEST_SET:
        yield {"num_test": number, "worth": 1 / number, "remedy": run.dataset.testing_more}


@finds("few_groups")
def few_groups(run: RunContext) -> Iterator[Values]:
    tested, all_groups = run.dataset.groups_tested, run.dataset.groups
    if tested and all_groups and run.has_few_groups:
        effective = run.dataset.effective_groups_tested or tested
        folds_help = tested < all_groups and run.dataset.split == "grouped"
        too_few = run.experiment.seeds == 1 and tested < MIN_GROUPS
        yield {
            "tested": tested,
            "known": all_groups,
            "some_untested": tested < all_groups,
            "effective": effective if tested - effective >= 0.5 else None,
            "smallest_p": smallest_p(tested) if too_few else None,
            "remedy": run.dataset.testing_more if folds_help else None,
        }


@finds("in_folds")
def in_folds(run: RunContext) -> Iterator[Values]:
    if run.dataset.folds:
        yield {"folds": len(run.dataset.folds)}


@finds("test_uses")
def test_uses(run: RunContext) -> Iterator[Values]:
    here = run.dataset.test_uses_here or sum(trial.status == "done" for trial in run.trials)
    if (run.dataset.test_uses or 0) > here:
        yield {"uses": run.dataset.test_uses, "here": here}


@finds("data_note")
def data_notes(run: RunContext) -> Iterator[Values]:
    for text in run.dataset.notes:
        yield {"text": text}


@finds("more_images")
def more_images(run: RunContext) -> Iterator[Values]:
    open_pairs = [pair for pair in run.pairs if not pair.excludes_zero]
    detectable, least = _detectable_at_best(open_pairs), MAX_UNNAMED_DETECTABLE
    num_images = effective_images(run.trials) or (run.pairs[0].n if run.pairs else 1)
    assumed = detectable_on(num_images) if open_pairs else 0.0
    # One seed measures no disagreement, and very few images measure it badly.
    is_assumed = assumed > detectable and (run.experiment.seeds == 1 or assumed > MAX_DETECTABLE)
    if is_assumed:
        detectable = assumed
    elif detectable <= least and run.inconclusive and not run.few_seeds_needed:
        detectable, least = _detectable_at_best(run.pairs_by_reach[1]), run.inconclusive[0].margin
    if detectable > least:
        yield {
            "detectable": detectable,
            "assumed": is_assumed,
            "remedy": run.dataset.testing_more,
        }


@finds("unbalanced")
def unbalanced(run: RunContext) -> Iterator[Values]:
    """Yield the smallest and largest class where balanced accuracy takes the place of accuracy."""
    measure, *others = measures(run.trials)
    if others:
        classes = next(trial.test.per_class for trial in run.trials if trial.test)
        images = zip(images_by_class(run.trials).tolist(), classes, strict=True)
        present = sorted((number, scores.name) for number, scores in images if number)
        yield {
            "balanced": measure == "balanced_accuracy",
            "fewest": MIN_IN_CLASS,
            "least": present[0][1],
            "least_images": present[0][0],
            "most": present[-1][1],
            "most_images": present[-1][0],
        }


@finds("enough_seeds")
def enough_seeds(run: RunContext) -> Iterator[Values]:
    if fewest := run.few_seeds_needed:
        yield {"fewest": fewest}


@finds("more_seeds")
def more_seeds(run: RunContext) -> Iterator[Values]:
    if not run.inconclusive or run.few_seeds_needed:
        return
    margin = run.inconclusive[0].margin
    needed = [pair.seeds_needed for pair in run.inconclusive if pair.seeds_needed is not None]
    larger, others = run.pairs_by_reach
    if len(needed) == len(run.inconclusive):
        number: int | None = max(needed)
    elif larger:
        hardest = max(larger, key=lambda pair: pair.seeds_for_difference or math.inf)
        number, margin = hardest.seeds_for_difference, abs(hardest.difference)
    elif _detectable_at_best(others) <= margin:
        number = None
    else:
        return
    more = number is not None and number > run.experiment.seeds
    yield {
        "is_known": number is not None,
        "needed": number,
        "most": MAX_SEEDS,
        "margin": margin,
        "remedy": f"--seeds {number}" if more else None,
    }


def _detectable_at_best(pairs: Sequence[Pair]) -> float:
    return max((pair.detectable_at_best or 0.0 for pair in pairs), default=0.0)


@finds("at_chance")
def at_chance(run: RunContext) -> Iterator[Values]:
    if contenders := run.always_at_chance:
        trials = [trial for name in contenders for trial in run.tested[name]]
        last = [trial.history[-1].train_accuracy or 0.0 for trial in trials if trial.history]
        errors = 1 - constant_accuracy(trials)
        fitted = bool(last) and 1 - statistics.fmean(last) < NO_ERRORS * errors
        stopped_early = not fitted and all(trial.stopped == "early" for trial in trials)
        longer, measure = not (fitted or stopped_early), measures(run.trials)[0]
        yield {
            "contenders": contenders,
            "chance": constant_accuracy(trials, measure),
            "balanced": measure == "balanced_accuracy",
            "stopped_early": stopped_early,
            "longer": longer,
            "remedy": run.longer_training if longer else "add images" if fitted else run.search,
        }


@finds("sometimes_at_chance")
def sometimes_at_chance(run: RunContext) -> Iterator[Values]:
    for name, trials in run.tested.items():
        number = sum(no_better_than_chance([trial]) for trial in trials)
        if number and name not in run.always_at_chance:
            yield {"contender": name, "num": number, "of": len(trials)}


@finds("below_nearest_neighbour")
def below_nearest_neighbour(run: RunContext) -> Iterator[Values]:
    measure, below = measures(run.trials)[0], []
    audit = run.dataset.audit
    probe = getattr(audit.probe, measure) if audit and audit.probe else None
    for name, trials in run.tested.items():
        # With folds, the audit is of the first one.
        first = [trial for trial in trials if not trial.fold]
        accuracies = of_seeds(first, measure).values()
        if accuracies and statistics.fmean(accuracies) < (probe or 0.0):
            below.append(name)
    if below:
        yield {
            "contenders": below,
            "accuracy": probe,
            "balanced": measure == "balanced_accuracy",
            "first_fold": bool(run.dataset.folds),
        }


@finds("same_shapes")
def same_shapes(run: RunContext) -> Iterator[Values]:
    if pairs := twins(run.trials):
        yield {"pairs": pairs, "only": len({trial.contender for trial in run.trials}) == 2}


@finds("confounded")
def confounded(run: RunContext) -> Iterator[Values]:
    if not twins(run.trials) and len({trial.spiking for trial in run.trials}) > 1:
        yield {}


@finds("longer_training")
def longer_training(run: RunContext) -> Iterator[Values]:
    for pair in run.pairs:
        if pair.difference and (times := run.times_as_long(pair)):
            yield {
                "contender": pair.leader_first.a,
                "other": pair.leader_first.b,
                "times": times,
                "by_time": run.budget is not None,
                "remedy": run.equal_epochs,
            }


@finds("starts_with_relu")
def starts_with_relu(run: RunContext) -> Iterator[Values]:
    if epochs := {t.contender: t.relu_epochs for t in run.trials if t.relu_epochs}:
        yield {"epochs": epochs}


@finds("own_settings")
def own_settings(run: RunContext) -> Iterator[Values]:
    if not run.has_searched and run.experiment.own_settings:
        yield {"settings": run.experiment.own_settings}


@finds("for_chips")
def for_chips(run: RunContext) -> Iterator[Values]:
    if run.experiment.recipe == "chip":
        yield {}


@finds("untuned")
def untuned(run: RunContext) -> Iterator[Values]:
    if not run.has_searched and not run.experiment.own_settings:
        yield {"remedy": run.search}


@finds("in_float32")
def in_float32(run: RunContext) -> Iterator[Values]:
    foreign = {t.contender: t.precision for t in run.trials if t.foreign and t.spiking}
    others = {trial.precision for trial in run.trials if trial.contender not in foreign}
    slower = [name for name, precision in foreign.items() if precision == "32"]
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


@finds("epoch_limit")
def epoch_limit(run: RunContext) -> Iterator[Values]:
    unfinished = {trial.contender for trial in run.trials if trial.converged is False}
    # `at_chance` says whether more training helps those.
    if improving := sorted(unfinished - {*run.always_at_chance}):
        yield {"contenders": improving}


@finds("busy_machine")
def busy_machine(run: RunContext) -> Iterator[Values]:
    machines = [trial.latency.machine for trial in run.trials if trial.latency]
    if busy := [machine for machine in machines if machine.busy]:
        load = max(machine.load_average or 0.0 for machine in busy)
        yield {"load": load, "cores": busy[0].cores or 1}


@finds("busy_budget")
def busy_budget(run: RunContext) -> Iterator[Values]:
    if run.budget is None:
        return
    times = {
        name: statistics.fmean(seconds) / planned
        for name, planned in run.budget.epoch_seconds.items()
        if (seconds := [s for trial in run.tested.get(name, ()) for s in trial.epoch_seconds])
    }
    if slower := {name: ratio for name, ratio in times.items() if ratio > MAX_EPOCHS_RATIO}:
        yield {"times": slower, "time": run.budget.minutes}


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
