"""What a careful reader objects to a comparison, and what could overturn it: each a struct with its
numbers.

`concluding` finds them; `words.caveats` turns each into a sentence.
"""

from typing import Any, Union

import msgspec

from spikeduel.results.audit import Finding
from spikeduel.system.typed import Amount, Count, Share


def _kind(name: str, meaning: str, **fields: Any) -> Any:
    """A frozen struct with these fields, each a type or (type, default), which JSON tags with its
    name as `type`.
    """
    options: dict[str, Any] = {"tag": True, "frozen": True, "kw_only": True, "module": __name__}
    listed = [
        (field, *(kind if isinstance(kind, tuple) else (kind,))) for field, kind in fields.items()
    ]
    listed.append(("text", str, ""))
    return msgspec.defstruct(name, listed, namespace={"__doc__": meaning}, **options)


# ---- what a careful reader objects

Leakage = _kind(
    "Leakage",
    "Relatives of test images are in training; `official`: by the data's split.",
    shared=Share,
    official=bool,
)
FewShared = _kind(
    "FewShared", "A few of the data's own test images have copies in training.", shared=Share
)
OneSeed = _kind("OneSeed", "One seed.")
FewTestImages = _kind(
    "FewTestImages",
    "A small test set; `folds_help`: folds would test all images.",
    num_test=Count,
    folds_help=bool,
)
FewGroups = _kind(
    "FewGroups",
    "Few groups of test images: `tested` of `known`; `folds_help` if folds would test them all. "
    "`effective`: as many equal ones would weigh the same as these; None if they are nearly equal.",
    tested=Count,
    known=Count,
    one_seed=bool,
    folds_help=bool,
    effective=(float | None, None),
)
AtChance = _kind(
    "AtChance",
    "Contenders not shown to be better than always naming the test images' most frequent class, "
    "whose share is `chance`; `stopped_early`: all their trainings did; `improving`: one got "
    "better until the limit of epochs.",
    contenders=list[str],
    chance=(Share | None, None),
    stopped_early=bool,
    improving=(bool, False),
)
SometimesAtChance = _kind(
    "SometimesAtChance", "One, in `num` of `of` trainings.", contender=str, num=Count, of=Count
)
ControlAtChance = _kind(
    "ControlAtChance",
    "A trained control, by title, not shown to be better than that class.",
    contender=str,
    control=str,
)
BelowNearestNeighbour = _kind(
    "BelowNearestNeighbour",
    "Contenders below the audit's untrained nearest neighbour; `first_fold` if that looked at the "
    "first fold.",
    contenders=list[str],
    accuracy=Share,
    first_fold=bool,
)
SameWeights = _kind(
    "SameWeights",
    "Twins among the contenders; `only` if there are no others.",
    pairs=list[tuple[str, str]],
    only=bool,
)
StartsFromTwin = _kind(
    "StartsFromTwin",
    "Contenders that started at the trained weights of others, and trained on.",
    sources=dict[str, str],
)
Confounded = _kind("Confounded", "Networks that differ in shape as well as in spiking.")
InFolds = _kind("InFolds", "Scores are means over folds.", folds=Count)
Untuned = _kind("Untuned", "Common settings, tuned for nobody.")
OwnSettings = _kind(
    "OwnSettings",
    "Settings of single contenders, of which no tuning is known.",
    settings=dict[str, dict[str, float]],
)
Tuned = _kind(
    "Tuned", "Equally many trials for each contender.", num_trials=Count, most_epochs=Count
)
StillRising = _kind(
    "StillRising",
    "Contenders whose expected best still rose, by `gains`, from half the trials to all.",
    gains=dict[str, float],
    num_trials=Count,
)
CloseSettings = _kind(
    "CloseSettings",
    "Numbers of settings, beside the chosen ones, that lie within one standard `error` of the "
    "best validation accuracy, which is that of `num_val` images and larger than what counts as a "
    "difference.",
    close=dict[str, Count],
    num_trials=Count,
    num_val=Count,
    error=Share,
)
UnevenTuning = _kind(
    "UnevenTuning", "Numbers of settings tuned, which differ.", settings=dict[str, Count]
)
FailedTuning = _kind(
    "FailedTuning", "Tuning trials that failed.", contender=str, failed=Count, num_trials=Count
)
KeepsSettings = _kind(
    "KeepsSettings", "A contender none of whose tuning trials was finished.", contender=str
)
Pretrained = _kind(
    "Pretrained",
    "The weights, learned on other images, that contenders started from; `alone`: all contenders "
    "did.",
    weights=dict[str, str],
    alone=bool,
)
FromNothing = _kind(
    "FromNothing",
    "Networks of libraries whose pretrained weights could not be had.",
    contenders=list[str],
)
OwnSteps = _kind(
    "OwnSteps",
    "A foreign network that makes its steps itself.",
    contender=str,
    num_steps=Count,
    encoding=str,
)
InFloat32 = _kind(
    "InFloat32",
    "Networks of other libraries that were trained in float32 beside others in bf16.",
    contenders=list[str],
)
BusyMachine = _kind(
    "BusyMachine",
    "More was running than a run itself while answers were timed, by the load average.",
    load=float,
    cores=Count,
)
BusyBudget = _kind(
    "BusyBudget",
    "More was running than a run itself while it was timed how many epochs fit into so many "
    "`minutes`.",
    minutes=Amount,
)
NotTrained = _kind(
    "NotTrained",
    "Converted networks and their sources.",
    sources=dict[str, str],
    num_steps=Count,
    percentile=float,
)
NotConverted = _kind(
    "NotConverted", "A contender that could not be converted.", contender=str, reason=str
)
DifferentEpochs = _kind(
    "DifferentEpochs",
    "Different numbers of epochs, by `equal_time` or by the stopping rule.",
    equal_time=(bool, False),
)
EpochLimit = _kind(
    "EpochLimit",
    "Contenders that ran until the limit of epochs and were best among the last of them.",
    contenders=list[str],
    epochs=Count,
)
Limited = _kind("Limited", "Training and validation limited to so many images.", limit=Count)
FailedTrials = _kind("FailedTrials", "Trials that failed and are left out.", titles=list[str])
FailedMeasure = _kind(
    "FailedMeasure", "A measure of a trial that failed.", measure=str, trial=str, reason=str
)
NotCounted = _kind(
    "NotCounted", "A contender whose operations are not known.", contender=str, reason=str
)
TestUses = _kind(
    "TestUses",
    "Models asked about these test images, and how many are this run's.",
    uses=Count,
    here=Count,
)
TestedEveryEpoch = _kind(
    "TestedEveryEpoch",
    "The test images were asked after every epoch of so many trainings, for the optimism meter.",
    trainings=Count,
)
LabelsToCheck = _kind(
    "LabelsToCheck",
    "Labels that half of the trainings or more doubt, of `examined` that they did not see.",
    suspects=Count,
    examined=Count,
)
AuditProblem = _kind("AuditProblem", "A problem that the audit of the data found.", finding=Finding)
DataNote = _kind("DataNote", "A note that comes with the data set.", text=str)

# ---- what could overturn the conclusions

RelativesApart = _kind("RelativesApart", "A split that keeps relatives together.", shared=Share)
AnotherTraining = _kind("AnotherTraining", "One seed cannot show the spread over seeds.")
EnoughSeeds = _kind("EnoughSeeds", "Too few seeds for any lead to be conclusive.", fewest=Count)
MoreSeeds = _kind(
    "MoreSeeds",
    "About `needed` seeds would show a difference of `margin`, which is what counts as one, or "
    "what was found; None: more than are looked for (`most`).",
    needed=Count | None,
    most=Count,
    margin=Share,
)
MoreImages = _kind(
    "MoreImages",
    "These test images show differences from `detectable` up, with any number of seeds; `assumed` "
    "where one seed cannot say how often trainings disagree.",
    detectable=Share,
    assumed=(bool, False),
)
MoreTuning = _kind("MoreTuning", "More trials of tuning, or wider ranges.")
OtherSettings = _kind("OtherSettings", "Settings that were tuned for nobody.")

CAVEATS = (
    Leakage,
    FewShared,
    OneSeed,
    FewTestImages,
    FewGroups,
    AtChance,
    SometimesAtChance,
    ControlAtChance,
    BelowNearestNeighbour,
    SameWeights,
    StartsFromTwin,
    Confounded,
    InFolds,
    Untuned,
    OwnSettings,
    Tuned,
    StillRising,
    CloseSettings,
    UnevenTuning,
    FailedTuning,
    KeepsSettings,
    Pretrained,
    FromNothing,
    OwnSteps,
    InFloat32,
    BusyMachine,
    BusyBudget,
    NotTrained,
    NotConverted,
    DifferentEpochs,
    EpochLimit,
    Limited,
    FailedTrials,
    FailedMeasure,
    NotCounted,
    TestUses,
    TestedEveryEpoch,
    LabelsToCheck,
    AuditProblem,
    DataNote,
)
OVERTURNS = (
    RelativesApart,
    FewGroups,
    AnotherTraining,
    EnoughSeeds,
    MoreSeeds,
    MoreImages,
    MoreTuning,
    OtherSettings,
)
LEAKS = (
    "test_in_training",
    "stretch_test_in_training",
    "cut_groups",
    "leakage",
    "near_test_in_training",
    "moved_test_in_training",
)
"""Kinds of an audit's findings that let a network answer test images from memory."""
Caveat = Union[CAVEATS]  # type: ignore[valid-type]  # noqa: UP007
Overturn = Union[OVERTURNS]  # type: ignore[valid-type]  # noqa: UP007


def is_leak(caveat: Caveat) -> bool:
    """Whether it says that scores measure memory, so that it has to be read before any of them."""
    problem = isinstance(caveat, AuditProblem) and caveat.finding.kind in LEAKS
    return problem or isinstance(caveat, Leakage)
