"""What may be concluded from a run, as data: what a careful reader objects, and what could overturn
it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from spikeduel.results import caveats as c
from spikeduel.results import power
from spikeduel.results.accuracy import (
    no_better_than_chance,
    share_of_most_frequent,
    unlearned_controls,
)
from spikeduel.results.caveats import Caveat, Overturn
from spikeduel.results.run import Budget, Dataset, Neither, Pair, twins
from spikeduel.results.significance import FEWEST_GROUPS, MARGIN, Conclusion
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.results.uncertainty import MOST_SEEDS
from spikeduel.settings import Experiment
from spikeduel.system.registry import library_of

SMALL_TEST_SET = 500
FAR_TOO_FEW = 3
"""Test images that show no lead below so many points have to be more before anything else is worth
doing.
"""
FEW_GROUPS = 10
"""Groups tested below which what sets the groups apart can pass for what sets the contenders
apart.
"""
LAST_EPOCHS = 0.25
"""Share of the epochs: where the best one lies among these last, more of them might be better."""
STILL_RISING = 0.005
"""Gain in the expected best, from half the trials to all, above which more trials are worth naming:
half a point.
"""


def find_caveats(
    experiment: Experiment,
    dataset: Dataset,
    trials: Sequence[Trial],
    tuning: TuningRecord | None = None,
    not_converted: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> list[Caveat]:
    """What a careful reader objects, the gravest first. `not_converted`: contenders, and why they
    were not.
    """
    found: list[Caveat] = []
    shared = dataset.shared_groups or 0.0
    if dataset.leaks:
        found.append(c.Leakage(shared=shared, official=dataset.split == "official"))
    elif shared:
        found.append(c.FewShared(shared=shared))
    if experiment.seeds == 1:
        found.append(c.OneSeed())
    if dataset.counts.test < SMALL_TEST_SET:
        found.append(c.FewTestImages(num_test=dataset.counts.test, folds_help=dataset.can_fold))
    if few := few_groups(dataset, experiment.seeds):
        found.append(few)
    found += _of_accuracies(dataset, trials, stops=experiment.patience is not None)
    if pairs := twins(trials):
        found.append(
            c.SameWeights(pairs=pairs, only=len({trial.contender for trial in trials}) == 2)
        )
    elif len({trial.spiking for trial in trials}) > 1:
        found.append(c.Confounded())
    if started := {trial.contender: trial.starts_from for trial in trials if trial.starts_from}:
        found.append(c.StartsFromTwin(sources=started))
    if dataset.folds:
        found.append(c.InFolds(folds=len(dataset.folds)))
    if tuning is not None:
        found.append(c.Tuned(num_trials=tuning.num_trials, most_epochs=tuning.most_epochs))
        found += tuning_limits(tuning, dataset.counts.val)
    else:
        own = experiment.own_settings
        found.append(c.OwnSettings(settings=own) if own else c.Untuned())
    found += _of_other_libraries(experiment, trials)
    found += _of_starts(experiment, trials)
    if busy := [
        trial.latency.machine for trial in trials if trial.latency and trial.latency.machine.busy
    ]:
        found.append(
            c.BusyMachine(
                load=max(each.load_average or 0.0 for each in busy), cores=busy[0].cores or 1
            )
        )
    if budget and budget.busy:
        found.append(c.BusyBudget(minutes=budget.minutes))
    found += _of_conversions(experiment, trials, not_converted or {})
    if len({trial.epochs for trial in trials if trial.status == "done"}) > 1:
        timed = any("epochs" in settings for settings in (experiment.per_contender or {}).values())
        found.append(c.DifferentEpochs(equal_time=timed))
    rule = experiment.patience is not None
    limited = {
        trial.contender: trial.epochs for trial in trials if _improved_to_the_end(trial, rule)
    }
    # Where the learning rate falls to 0, it is meant to.
    if limited and experiment.schedule == "constant":
        found.append(c.EpochLimit(contenders=sorted(limited), epochs=max(limited.values())))
    if experiment.limit is not None:
        found.append(c.Limited(limit=experiment.limit))
    if failed := [trial.title for trial in trials if trial.status == "failed"]:
        found.append(c.FailedTrials(titles=failed))
    for trial in trials:
        found += [
            c.FailedMeasure(measure=n, trial=trial.title, reason=why)
            for n, why in trial.failed_measures.items()
        ]
    uncounted = {trial.contender: trial.not_counted for trial in trials if trial.not_counted}
    found += [c.NotCounted(contender=name, reason=reason) for name, reason in uncounted.items()]
    here = dataset.test_uses_here or sum(trial.status == "done" for trial in trials)
    if (dataset.test_uses or 0) > here:
        found.append(c.TestUses(uses=dataset.test_uses or 0, here=here))
    if dataset.tested_every_epoch:
        found.append(c.TestedEveryEpoch(trainings=dataset.tested_every_epoch))
    if dataset.labels and dataset.labels.suspects:
        found.append(
            c.LabelsToCheck(suspects=dataset.labels.suspects, examined=dataset.labels.examined)
        )
    conclusions = dataset.audit.conclusions if dataset.audit else ()
    found += [c.AuditProblem(finding=finding) for finding in conclusions if finding.is_problem]
    return [*found, *(c.DataNote(text=text) for text in dataset.notes)]


def _of_starts(experiment: Experiment, trials: Sequence[Trial]) -> list[Caveat]:
    """Who started from pretrained weights, and who had none."""
    found: list[Caveat] = []
    trained = {
        trial.contender: trial.pretrained for trial in trials if trial.converted_from is None
    }
    if started := {name: weights for name, weights in trained.items() if weights}:
        found.append(c.Pretrained(weights=started, alone=len(started) == len(trained)))
    if experiment.pretrained == "auto" and (
        bare := [n for n, w in trained.items() if library_of(n) and not w]
    ):
        found.append(c.FromNothing(contenders=bare))
    return found


def _of_conversions(
    experiment: Experiment, trials: Sequence[Trial], not_converted: Mapping[str, str]
) -> list[Caveat]:
    """Who was converted, and why others could not be."""
    found: list[Caveat] = []
    if sources := {t.contender: t.converted_from for t in trials if t.converted_from}:
        steps, percentile = experiment.conversion_steps, experiment.conversion_percentile
        found.append(c.NotTrained(sources=sources, num_steps=steps, percentile=percentile))
    found += [
        c.NotConverted(contender=name, reason=reason) for name, reason in not_converted.items()
    ]
    return found


def neither_twin(trials: Sequence[Trial], pairs: Sequence[Pair]) -> Neither | None:
    """The contender that is better than each one of all twins, the most accurate where there are
    several.
    """
    found = twins(trials)
    of_twins = {name for both in found for name in both}
    beats: dict[str, dict[str, float]] = {}
    for pair in pairs:
        if pair.conclusion.better and not pair.negligible:
            beats.setdefault(pair.leader, {})[pair.other] = pair.accuracy(pair.leader)
    better = [name for name, others in beats.items() if of_twins and of_twins <= set(others)]
    best = max(better, key=lambda name: max(beats[name].values()), default=None)
    return Neither(contender=best, twins=found) if best else None


def overturned_by(dataset: Dataset, pairs: Sequence[Pair], tuned: bool) -> list[Overturn]:
    """What would change the conclusions, the gravest first."""
    if not pairs:
        return []
    found: list[Overturn] = []
    if dataset.leaks:
        found.append(c.RelativesApart(shared=dataset.shared_groups or 0.0))
    seeds = max(pair.seeds for pair in pairs)
    if few := few_groups(dataset, seeds):
        found.append(few)
    undecided = [pair for pair in pairs if pair.conclusion is Conclusion.INCONCLUSIVE]
    if seeds == 1:
        found += _of_one_seed(dataset, pairs, bool(few))
    elif too_few := [pair.fewest_seeds for pair in undecided if pair.seeds < pair.fewest_seeds]:
        found.append(c.EnoughSeeds(fewest=max(too_few)))
    elif undecided:
        found += _seeds_or_images(undecided, bool(few))
    return [*found, c.MoreTuning() if tuned else c.OtherSettings()]


def _of_one_seed(dataset: Dataset, pairs: Sequence[Pair], few_groups: bool) -> list[Overturn]:
    """Another training; and more images, where these show no lead of a point, as trainings usually
    disagree. They come first where they are far too few.
    """
    luck = power.assumed_luck(power.ASSUMED_SPREADS[0], pairs[0].n, dataset.effective_groups_tested)
    least = min(1.0, power.IN_REACH * luck.images)
    found: list[Overturn] = [c.AnotherTraining()]
    if least > power.LEAD and not few_groups:
        found.insert(
            0 if least > FAR_TOO_FEW * power.LEAD else 1,
            c.MoreImages(detectable=least, assumed=True),
        )
    return found


def _seeds_or_images(undecided: Sequence[Pair], few_groups: bool) -> list[Overturn]:
    """What holds back pairs that are not decided: seeds, where any number of them would do on these
    images.

    With few groups, it has been said which images are wanted.
    """
    needed, margin = (
        [pair.seeds_needed for pair in undecided if pair.seeds_needed is not None],
        undecided[0].margin,
    )
    if len(needed) == len(undecided):
        return [c.MoreSeeds(needed=max(needed), most=MOST_SEEDS, margin=margin)]
    found: list[Overturn] = []
    # Older results, which have no power, do not tell how many seeds their differences take.
    shown = [
        pair
        for pair in undecided
        if pair.power and abs(pair.difference) > (pair.detectable_at_best or 0.0)
    ]
    if shown:
        hardest = max(shown, key=lambda pair: pair.seeds_for_difference or math.inf)
        more = {"needed": hardest.seeds_for_difference, "margin": abs(hardest.difference)}
        found.append(c.MoreSeeds(most=MOST_SEEDS, **more))
    if others := [pair for pair in undecided if pair not in shown]:
        at_best = max(pair.detectable_at_best or 0.0 for pair in others)
        if at_best > margin:
            found += [] if few_groups else [c.MoreImages(detectable=at_best)]
        elif not found:
            found.append(c.MoreSeeds(needed=None, most=MOST_SEEDS, margin=margin))
    return found


def few_groups(dataset: Dataset, seeds: int) -> c.FewGroups | None:
    """Where few groups of images are tested; None where they are enough, or there are none."""
    tested, known = dataset.groups_tested, dataset.groups
    effective = dataset.effective_groups_tested or tested
    if not tested or not known or not effective or effective >= FEW_GROUPS:
        return None
    folds_help = tested < known and dataset.split == "grouped" and dataset.can_fold
    one_seed = seeds == 1 and tested < FEWEST_GROUPS
    uneven = effective if tested - effective >= 0.5 else None
    return c.FewGroups(
        tested=tested, known=known, one_seed=one_seed, folds_help=folds_help, effective=uneven
    )


def tuning_limits(tuning: TuningRecord, num_val: int | None = None) -> list[Caveat]:
    """Where a tuning may have found too little, or chosen by luck; `num_val` validation images,
    unless it says so.
    """
    found: list[Caveat] = []
    gains = {each.contender: each.gain_of_last_doubling for each in tuning.contenders}
    if rising := {name: gain for name, gain in gains.items() if gain > STILL_RISING}:
        found.append(c.StillRising(gains=rising, num_trials=tuning.num_trials))
    if num_val := tuning.dataset.val or num_val:
        found += _close_settings(tuning, num_val)
    numbers = {each.contender: len(each.tuned) for each in tuning.contenders}
    if len(set(numbers.values())) > 1:
        found.append(c.UnevenTuning(settings=numbers))
    for each in tuning.contenders:
        if failed := sum(trial.status == "failed" for trial in each.trials):
            found.append(
                c.FailedTuning(
                    contender=each.contender, failed=failed, num_trials=tuning.num_trials
                )
            )
        if each.best is None:
            found.append(c.KeepsSettings(contender=each.contender))
    return found


def _close_settings(tuning: TuningRecord, num_val: int) -> list[Caveat]:
    """Where validation is too small to choose among settings, if that may cost more than counts as
    a difference.
    """
    close, largest = {}, 0.0
    for each in tuning.contenders:
        found = {
            trial.number: trial.validation.accuracy for trial in each.trials if trial.validation
        }
        best = found.pop(each.best, None) if each.best is not None else None
        if best is None:
            continue
        error = math.sqrt(best * (1 - best) / num_val)
        if error > MARGIN and (
            number := sum(best - accuracy <= error for accuracy in found.values())
        ):
            close[each.contender], largest = number, max(largest, error)
    if not close:
        return []
    return [
        c.CloseSettings(close=close, num_trials=tuning.num_trials, num_val=num_val, error=largest)
    ]


def _of_other_libraries(experiment: Experiment, trials: Sequence[Trial]) -> list[Caveat]:
    """What is not the same for networks that were not made for spikeduel."""
    foreign = {t.contender: t for t in trials if t.foreign and t.spiking}
    found: list[Caveat] = [
        c.OwnSteps(contender=name, num_steps=t.num_steps or 1, encoding=experiment.encoding)
        for name, t in foreign.items()
        if t.foreign and t.foreign.way == "loop" and experiment.encoding != "direct"
    ]
    others = {t.precision for t in trials if t.contender not in foreign}
    if slower := [name for name, t in foreign.items() if t.precision == "32" and "bf16" in others]:
        found.append(c.InFloat32(contenders=slower))
    return found


def _of_accuracies(dataset: Dataset, trials: Sequence[Trial], stops: bool) -> list[Caveat]:
    """Who did no better than the most frequent class, or worse than the audit's search for the most
    similar image.

    The former is asked of controls, too.

    `stops`: there is a rule that may end a training before the limit of epochs.
    """
    tested: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.test:
            tested.setdefault(trial.contender, []).append(trial)
    found: list[Caveat] = []
    if always := sorted(name for name, those in tested.items() if no_better_than_chance(those)):
        early = all(trial.stopped == "early" for name in always for trial in tested[name])
        improving = any(
            _improved_to_the_end(trial, stops) for name in always for trial in tested[name]
        )
        share = share_of_most_frequent([trial for name in always for trial in tested[name]])
        found.append(
            c.AtChance(contenders=always, chance=share, stopped_early=early, improving=improving)
        )
    for name, those in tested.items():
        at_chance = sum(no_better_than_chance([trial]) for trial in those)
        if at_chance and name not in always:
            found.append(c.SometimesAtChance(contender=name, num=at_chance, of=len(those)))
        found += [
            c.ControlAtChance(contender=name, control=title)
            for title in unlearned_controls(those).values()
        ]
    if dataset.audit and (probe := dataset.audit.probe.accuracy) is not None:
        # With folds, the audit looks at the images of the first one.
        firsts = {
            name: [t.test.accuracy for t in those if t.test and not t.fold]
            for name, those in tested.items()
        }
        if below := [
            name for name, those in firsts.items() if those and statistics.fmean(those) < probe
        ]:
            found.append(
                c.BelowNearestNeighbour(
                    contenders=below, accuracy=probe, first_fold=bool(dataset.folds)
                )
            )
    return found


def _improved_to_the_end(trial: Trial, stops: bool) -> bool:
    """Whether the limit of epochs ended it, and its best epoch was among the last quarter.

    With a stopping rule, so must be the epoch with the lowest loss: else the rule would soon have
    ended it anyway.
    """
    losses = [epoch.val_loss for epoch in trial.history]
    best = [trial.best_epoch, losses.index(min(losses)) if losses and stops else trial.best_epoch]
    late = [epoch is not None and epoch + 1 > trial.epochs * (1 - LAST_EPOCHS) for epoch in best]
    return trial.stopped == "limit" and all(late)
