"""What a careful reader objects to a comparison, and what could overturn it: each a struct with its numbers.

`concluding` finds them; `words.caveats` turns each into a sentence.
"""

from spikeduel.results.audit import Finding
from spikeduel.results.costs import Count, Share
from spikeduel.system.typed import Frozen


class Leakage(Frozen, tag=True):
    """A split with relatives of test images in training; `official` if it is the data's own."""

    shared: Share
    official: bool


class FewShared(Frozen, tag=True):
    """A few of the data's own test images have copies in training."""

    shared: Share


class OneSeed(Frozen, tag=True):
    """One seed."""


class FewTestImages(Frozen, tag=True):
    """A small test set; `folds_help` if folds would test all images."""

    num_test: Count
    folds_help: bool


class FewGroups(Frozen, tag=True):
    """Few groups of test images: `tested` of `known`; `folds_help` if folds would test them all."""

    tested: Count
    known: Count
    one_seed: bool
    folds_help: bool


class AtChance(Frozen, tag=True):
    """Contenders no better than naming the most frequent class; `stopped_early` if all their trainings did."""

    contenders: list[str]
    stopped_early: bool


class SometimesAtChance(Frozen, tag=True):
    """One contender, in `num` of `of` trainings."""

    contender: str
    num: Count
    of: Count


class BelowNearestNeighbour(Frozen, tag=True):
    """Contenders below the audit's untrained nearest neighbour; `first_fold` if that looked at the first fold."""

    contenders: list[str]
    accuracy: Share
    first_fold: bool


class SameWeights(Frozen, tag=True):
    """Twins among the contenders; `only` if there are no others."""

    pairs: list[tuple[str, str]]
    only: bool


class Confounded(Frozen, tag=True):
    """Networks that differ in shape as well as in spiking."""


class InFolds(Frozen, tag=True):
    """Scores are means over folds."""

    folds: Count


class Untuned(Frozen, tag=True):
    """Common settings, tuned for nobody."""


class OwnSettings(Frozen, tag=True):
    """Settings of single contenders, of which no tuning is known."""

    settings: dict[str, dict[str, float]]


class Tuned(Frozen, tag=True):
    """Equally many trials for each contender."""

    num_trials: Count
    most_epochs: Count


class StillRising(Frozen, tag=True):
    """Contenders whose expected best still rose, by `gains`, from half the trials to all."""

    gains: dict[str, float]
    num_trials: Count


class UnevenTuning(Frozen, tag=True):
    """Numbers of settings tuned, which differ."""

    settings: dict[str, Count]


class FailedTuning(Frozen, tag=True):
    """Tuning trials that failed."""

    contender: str
    failed: Count
    num_trials: Count


class KeepsSettings(Frozen, tag=True):
    """A contender none of whose tuning trials was finished."""

    contender: str


class OwnSteps(Frozen, tag=True):
    """A network of another library that makes its steps itself."""

    contender: str
    num_steps: Count
    encoding: str


class InFloat32(Frozen, tag=True):
    """Networks of other libraries that computed in float32 beside others in bf16."""

    contenders: list[str]


class NotTrained(Frozen, tag=True):
    """Converted networks and their sources."""

    sources: dict[str, str]
    num_steps: Count
    percentile: float


class DifferentEpochs(Frozen, tag=True):
    """The stopping rule gave different numbers of epochs."""


class EpochLimit(Frozen, tag=True):
    """Contenders that ran until the limit of epochs and were best among the last of them."""

    contenders: list[str]
    epochs: Count


class Limited(Frozen, tag=True):
    """Training and validation limited to so many images."""

    limit: Count


class FailedTrials(Frozen, tag=True):
    """Trials that failed and are left out."""

    titles: list[str]


class FailedMeasure(Frozen, tag=True):
    """A measure of a trial that failed."""

    measure: str
    trial: str
    reason: str


class NotCounted(Frozen, tag=True):
    """A contender whose operations are not known."""

    contender: str
    reason: str


class TestUses(Frozen, tag=True):
    """Models that were asked about these test images, and how many of them are this run's."""

    uses: Count
    here: Count


class AuditProblem(Frozen, tag=True):
    """A problem that the audit of the data found."""

    finding: Finding


class DataNote(Frozen, tag=True):
    """A note that comes with the data set."""

    text: str


Caveat = (
    Leakage | FewShared | OneSeed | FewTestImages | FewGroups | AtChance | SometimesAtChance | BelowNearestNeighbour
    | SameWeights | Confounded | InFolds | Untuned | OwnSettings | Tuned | StillRising | UnevenTuning | FailedTuning
    | KeepsSettings | OwnSteps | InFloat32 | NotTrained | DifferentEpochs | EpochLimit | Limited | FailedTrials
    | FailedMeasure | NotCounted | TestUses | AuditProblem | DataNote
)  # fmt: skip


class RelativesApart(Frozen, tag=True):
    """A split that keeps relatives together."""

    shared: Share


class AnotherTraining(Frozen, tag=True):
    """One seed cannot show the spread over seeds."""


class EnoughSeeds(Frozen, tag=True):
    """Too few seeds for any lead to be conclusive."""

    fewest: Count


class MoreSeeds(Frozen, tag=True):
    """About `needed` seeds would show a difference of `margin`; None: more than are looked for (`most`)."""

    needed: Count | None
    most: Count
    margin: Share


class MoreImages(Frozen, tag=True):
    """These test images show differences from `detectable` up, with any number of seeds."""

    detectable: Share


class MoreTuning(Frozen, tag=True):
    """More trials of tuning, or wider ranges."""


class OtherSettings(Frozen, tag=True):
    """Settings that were tuned for nobody."""


Overturn = (
    RelativesApart | FewGroups | AnotherTraining | EnoughSeeds | MoreSeeds | MoreImages | MoreTuning | OtherSettings
)
