"""Each caveat as one sentence, and what to do; and what could overturn a conclusion, in a few
words.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from spikeduel.results import caveats as c
from spikeduel.results.audit import Audit
from spikeduel.results.caveats import Caveat, Overturn
from spikeduel.results.significance import smallest_p
from spikeduel.results.uncertainty import ADVISED_SEEDS
from spikeduel.results.words import audit
from spikeduel.results.words.audit import filled
from spikeduel.results.words.numbers import hundredths, in_minutes, per_cent, points
from spikeduel.system.sentences import counted, listed

_SENTENCES: dict[Any, str] = {
    c.Leakage: (
        "Leakage: {shared:.0%} of the test images have relatives in training (same person, or "
        "duplicates). The scores measure memory as much as recognition. "
        "{official:Divide the data anew.|Use --split default, which keeps groups whole.}"
    ),
    c.FewShared: "{shared:.2%} of the test images have copies in training: at most that share of a score is memory.",
    c.OneSeed: f"One seed: a difference of a point or more can be chance. Use --seeds {ADVISED_SEEDS}.",
    c.FewTestImages: (
        "{num_test:test image}: one image is worth {worth:.1f} "
        "points.{folds_help: --folds 5 tests all images.|}"
    ),
    c.FewGroups: (
        "The test images come from {tested:group}{more: of {known:,}|}"
        "{uneven:, so unequal that they count as {weigh:.2g}|}: what is special to these groups "
        "weighs heavily, and "
        "more seeds do not help.{one_seed: With one seed, p cannot fall below {floor:.2g}.|}"
        "{folds_help: Use --folds 5 to test all groups.|}"
    ),
    c.AtChance: (
        "{contenders}: not shown to be better than always naming the test images' most frequent "
        "class{is_known: ({share})|}. "
        "{stopped_early:The stopping rule ended training, so --epochs changes nothing. |}"
        "{improving:Train longer (--epochs).|Try other settings (--tune 10).}"
    ),
    c.SometimesAtChance: (
        "{contender}: in {num} of {of:training} not shown to be better than always naming the "
        "test images' most frequent class."
    ),
    c.ControlAtChance: (
        "The control {control} of {contender} learned nothing: it is not shown to be better than "
        "always naming the test images' most frequent class, and shows no cause. Train longer "
        "(--epochs)."
    ),
    c.BelowNearestNeighbour: (
        "A nearest-neighbour baseline on small grey images scores "
        "{accuracy:.1%}{first_fold: of the first fold|}, above {contenders}. Add images, tune "
        "(--tune 10), or look for leaks (the data audit)."
    ),
    c.SameWeights: (
        "Same weights, shape for shape: {twins}. "
        "{only:Their shape explains no difference.|Other pairs differ in shape as well as in spiking.}"
    ),
    c.StartsFromTwin: (
        "{started}, and trained on: part of a lead can come from the longer training. --set "
        "start=fresh trains each from nothing."
    ),
    c.Confounded: (
        "The networks differ in shape as well as in spiking: a difference cannot be put down to "
        "spikes alone. --recipe strong, or events on recordings, compares equal weights."
    ),
    c.InFolds: "Scores are means over {folds:fold}. Folds share training images: they are not independent data.",
    c.Untuned: "Settings are the same for all contenders and tuned for none. --tune 10 tunes each equally.",
    c.OwnSettings: "Contenders have settings of their own ({own}). No tuning shows that each was tuned equally.",
    c.Tuned: (
        "Each contender was tuned with {num_trials:trial} of at most {most_epochs:epoch}, on "
        "validation images and with one seed; all other settings are common."
    ),
    c.StillRising: "From {half} to {num_trials} trials the expected best still rose: {rises}. Try more trials.",
    c.CloseSettings: (
        "{num_val:validation image}: an accuracy on them is uncertain by {error_points:.1f} "
        "points (standard error). Within that of the best lie {close_ones} of "
        "{num_trials:setting}: choosing the best is partly luck."
    ),
    c.UnevenTuning: "The same number of trials covers more settings more thinly. Settings tuned: {numbers}.",
    c.FailedTuning: "{failed} of {num_trials:tuning trial} of {contender} failed.",
    c.KeepsSettings: "{contender} keeps the settings it had: none of its tuning trials was finished.",
    c.Pretrained: (
        "Pretrained on other images: "
        "{origins}.{alone:| The others learned from these images alone.} If test images were "
        "among those, the score is too high."
    ),
    c.FromNothing: (
        "{contenders} started from nothing: pretrained weights, which such networks mostly gain "
        "from, could not be had. --pretrained yes says why, and what to do."
    ),
    c.OwnSteps: (
        "{contender} makes its own {num_steps:time step} (direct encoding): encoding {encoding} "
        "does not reach it."
    ),
    c.InFloat32: "{contenders} trained in float32, the others in bf16. --precision 32 makes epoch times comparable.",
    c.BusyMachine: (
        "The machine was busy when answers were timed (load {load:.1f} on {cores:core}): its times "
        "are unreliable."
    ),
    c.BusyBudget: (
        "The machine was busy when training steps were timed: the contenders may have got fewer "
        "epochs than fit into {time}. Train again when it is idle, or give --epochs."
    ),
    c.NotTrained: (
        "Converted, not trained: {origins}, over {num_steps:step}, each layer scaled by "
        "percentile {percentile:g} of its activations. More steps (--set conversion_steps=N) come "
        "nearer to the source."
    ),
    c.NotConverted: "{contender} could not be converted to a spiking network: {reason}",
    c.DifferentEpochs: (
        "The contenders trained for different numbers of epochs, "
        "{equal_time:in the same time|by the same stopping rule}."
    ),
    c.EpochLimit: "{contenders} improved until the limit of {epochs:epoch}: more (--epochs) might help.",
    c.Limited: "Training and validation were limited to {limit:image} (--limit).",
    c.FailedTrials: "Failed and left out: {failed}.",
    c.FailedMeasure: "Not measured: {measure} of {trial} ({why}). The same command tries again.",
    c.NotCounted: "Operations and energy of {contender} are not known: {reason}",
    c.TestUses: (
        "{uses:,} models were tested on these images from this store, {here:,} of them in this "
        "run. Choosing models by test score inflates it: choose on validation."
    ),
    c.TestedEveryEpoch: (
        "The test images were also asked after every epoch of {trainings:training} (--optimism), "
        "for the report only: nothing was chosen by the answers."
    ),
    c.LabelsToCheck: (
        "{suspects:label} of {examined:,} may be wrong: networks that had not seen these images "
        "find another class far more probable. Look at them (labels.csv in the run's folder); "
        "none was changed or left out."
    ),
    c.DataNote: "{text}",
}
_COULD_OVERTURN: dict[Any, str] = {
    c.RelativesApart: "a split that keeps relatives together ({shared:.0%} of test images have some in training)",
    c.FewGroups: (
        "more groups of test images ({tested}{more: of {known:,}|} "
        "tested{folds_help:; --folds 5 tests them all|})"
    ),
    c.AnotherTraining: f"another training (one seed cannot show the variance over seeds; use --seeds {ADVISED_SEEDS})",
    c.EnoughSeeds: f"more seeds (fewer than {{fewest}} cannot make a lead conclusive; use --seeds {ADVISED_SEEDS})",
    c.MoreSeeds: (
        "{is_known:more seeds (about {needed} would show a difference of {margin_points:g} points, if there is one)|"
        "more than {most} seeds (as many as a difference of {margin_points:g} points takes)}"
    ),
    c.MoreImages: "more test images (these show differences from {about:about |}{least} up, with any number of seeds)",
    c.MoreTuning: "more trials of tuning, or wider ranges for it",
    c.OtherSettings: "other settings, which were tuned for none of them",
}


def sentence(caveat: Caveat, audited: Audit | None = None) -> str:
    """What `caveat` says, as people read it; a problem that an audit found is put in words by
    `audited`.
    """
    if isinstance(caveat, c.AuditProblem):
        problem = caveat.finding.kind.replace("_", " ")
        return f"Data audit: {audit.sentence(caveat.finding, audited) if audited else problem}"
    return filled(_SENTENCES[type(caveat)], **structs.asdict(caveat), **_derived(caveat))


def reason(given: Overturn) -> str:
    """What could overturn the conclusion, in a few words."""
    return filled(_COULD_OVERTURN[type(given)], **structs.asdict(given), **_derived(given))


def _derived(given: Caveat | Overturn) -> dict[str, Any]:
    """What a sentence tells beside the numbers that `given` has."""
    match given:
        case c.AtChance(chance=chance):
            return {"is_known": chance is not None, "share": per_cent(chance or 0.0)}
        case c.FewTestImages(num_test=num_test):
            return {"worth": 100 / num_test}
        case c.FewGroups(tested=tested, known=known, effective=effective):
            uneven = {"uneven": effective is not None, "weigh": effective or tested}
            return {"more": tested < known, "floor": smallest_p(tested), **uneven}
        case c.SameWeights(pairs=pairs):
            return {"twins": "; ".join(f"{a} and {b}" for a, b in pairs)}
        case c.StartsFromTwin(sources=sources):
            return {
                "started": listed(
                    [f"{a} started from the trained weights of {b}" for a, b in sources.items()]
                )
            }
        case c.OwnSettings(settings=settings):
            return {
                "own": "; ".join(f"{name}: {assigned(values)}" for name, values in settings.items())
            }
        case c.StillRising(gains=gains, num_trials=num_trials):
            rises = listed([f"{name} by {100 * gain:.1f} points" for name, gain in gains.items()])
            return {"half": num_trials // 2, "rises": rises}
        case c.CloseSettings(close=close, error=error):
            others = listed(
                [f"{counted(number, 'other')} of {name}" for name, number in close.items()]
            )
            return {"close_ones": others, "error_points": 100 * error}
        case c.UnevenTuning(settings=settings):
            return {"numbers": ", ".join(f"{name} {number}" for name, number in settings.items())}
        case c.BusyBudget(minutes=minutes):
            return {"time": in_minutes(minutes)}
        case c.NotTrained(sources=sources):
            return {
                "origins": listed([f"{name} from {source}" for name, source in sources.items()])
            }
        case c.Pretrained(weights=weights):
            return {"origins": listed([f"{name} ({origin})" for name, origin in weights.items()])}
        case c.FailedTrials(titles=titles):
            return {"failed": "; ".join(titles)}
        case c.FailedMeasure(reason=why):
            return {"why": why.rstrip(".")}
        case c.MoreSeeds(needed=needed, margin=margin):
            return {"is_known": needed is not None, "margin_points": float(hundredths(margin))}
        case c.MoreImages(detectable=detectable, assumed=assumed):
            return {"least": points(detectable), "about": assumed}
    return {}


def assigned(settings: Mapping[str, float | str | None]) -> str:
    """Settings and their values as text; an unset one has its customary value."""

    def text(value: float | str | None) -> str:
        return value if isinstance(value, str) else "customary" if value is None else f"{value:g}"

    return ", ".join(f"{name} {text(value)}" for name, value in settings.items())
