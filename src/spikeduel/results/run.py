"""A whole run as types: results.json, and tuning.json, which is part of it."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, structs

from spikeduel.results.audit import Audit, Counts, LabelCheck, SuspectLabel
from spikeduel.results.caveats import Caveat, Overturn
from spikeduel.results.controlled import ControlledContender, WithoutTime
from spikeduel.results.costs import Amount, Count, EventRates
from spikeduel.results.court import Court
from spikeduel.results.optimism import OptimismMeter
from spikeduel.results.power import Power
from spikeduel.results.significance import Conclusion, Difference
from spikeduel.results.trials import Share, Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.settings import Experiment
from spikeduel.system.typed import Frozen

SCHEMA: Final = 2
"""Version of results.json. Keys are added freely; renaming or removing one raises this."""


class GroupSizes(Frozen):
    """Images a group."""

    largest: Count
    median: float


class Dataset(Frozen):
    """The data and its split.

    With folds, `counts` holds the mean number of a fold's training and validation images, and that
    of all images that are tested; `folds` the counts of each. `shared_groups` is the share of test
    images whose group is also in training; `effective_groups_tested` is how many groups of one size
    would weigh as much as those of the test images; `test_uses` how many models were asked about
    these test images from this store, `test_uses_here` how many of them are this run's,
    `tested_every_epoch` in how many trainings they were asked after every epoch (`optimism`).
    `own_validation`: the data have a validation set of their own, and no test set. `labels`: judged
    by the trained networks, on images that they were not trained on; `suspect_labels` are the
    surest of those that look wrong (all stand in labels.csv).
    """

    name: str
    fingerprint: str
    classes: list[str]
    counts: Counts
    split: str
    image_shape: tuple[int, int, int] | None = None
    folds: list[Counts] | None = None
    groups: Count | None = None
    group_sizes: GroupSizes | None = None
    groups_tested: Count | None = None
    effective_groups_tested: float | None = None
    shared_groups: Share | None = None
    notes: list[str] = []
    own_validation: bool = False
    audit: Audit | None = None
    test_uses: Count | None = None
    test_uses_here: Count | None = None
    tested_every_epoch: Count = 0
    events: EventRates | None = None
    labels: LabelCheck | None = None
    suspect_labels: list[SuspectLabel] = []

    @property
    def noun(self) -> str:
        """What is learned from: an "image" or a "recording", by the audit."""
        return self.audit.noun if self.audit else "image"

    @property
    def can_fold(self) -> bool:
        """Whether `--folds` would test all images: not where some are set apart already, or it has
        folds.
        """
        return (
            not self.folds and not self.own_validation and self.split in ("stratified", "grouped")
        )

    @property
    def leaks(self) -> bool:
        """Whether relatives of test images in training can explain a score.

        Any will do for a split made here; a few copies in a data set's own test set are no reason
        to mistrust it.
        """
        shared = self.shared_groups or 0
        return shared >= TOLERATED_SHARE if self.split == "official" else shared > 0


TOLERATED_SHARE = 0.01
"""Of a data set's own test images, how many may have relatives in training before scores are called
memory.
"""


class Pair(Difference, kw_only=True):
    """Contenders `a` and `b`, over the seeds that both finished: the difference, a − b.

    `accuracy_a` and `accuracy_b` are means over seeds; `only_a_right` and `only_b_right` count test
    images, averaged over them; `seeds_a_ahead` and `seeds_b_ahead` leave out seeds with equal
    accuracies. `power` is the chance that a lead of one point would have been found, None with one
    seed.
    """

    a: str
    b: str
    measure: str = "accuracy"
    accuracy_a: Share
    accuracy_b: Share
    only_a_right: float
    only_b_right: float
    seeds_a_ahead: Count
    seeds_b_ahead: Count
    power: Power | None = None

    @property
    def leader(self) -> str:
        """Who has the higher accuracy; `a` where they are level."""
        return self.a if self.difference >= 0 else self.b

    @property
    def other(self) -> str:
        """The one that is not `leader`."""
        return self.b if self.leader == self.a else self.a

    @property
    def led(self) -> "Pair":
        """The same with the leader first: as a pair is named everywhere that people read."""
        return self if self.leader == self.a else self.turned

    @property
    def turned(self) -> "Pair":
        """The same with `b` first."""
        other = {Conclusion.A_BETTER: Conclusion.B_BETTER, Conclusion.B_BETTER: Conclusion.A_BETTER}
        return structs.replace(
            self,
            a=self.b,
            b=self.a,
            difference=-self.difference,
            ci95=(-self.ci95[1], -self.ci95[0]),
            ci90=(-self.ci90[1], -self.ci90[0]),
            conclusion=other.get(self.conclusion, self.conclusion),
            accuracy_a=self.accuracy_b,
            accuracy_b=self.accuracy_a,
            only_a_right=self.only_b_right,
            only_b_right=self.only_a_right,
            seeds_a_ahead=self.seeds_b_ahead,
            seeds_b_ahead=self.seeds_a_ahead,
        )

    def accuracy(self, contender: str) -> float:
        """The mean accuracy of one of the two."""
        return self.accuracy_a if contender == self.a else self.accuracy_b


class Neither(Frozen):
    """A contender that is better than both of all `twins`: whether they should spike is not the
    question.
    """

    contender: str
    twins: list[tuple[str, str]]


class Conclusions(Frozen):
    """What may be concluded: every two contenders with a seed in common, controls, what a careful
    reader objects; what the best epoch for the test would have shown in place of the chosen one;
    who, if anybody, makes the answer `neither` of the twins; and what recordings lose without time.
    """

    pairs: list[Pair] = []
    controls: list[ControlledContender] = []
    caveats: list[Caveat] = []
    overturned_by: list[Overturn] = []
    optimism: OptimismMeter | None = None
    neither: Neither | None = None
    without_time: WithoutTime | None = None


class SetRules(Frozen):
    """What the training images decided where an experiment left it open: `chosen` settings, by the
    number of images.

    The augmentation is chosen by the shares of them that look most like the mirror image of another
    of their class (`mirrored`), or like another that is `moved`, and by the fewest `epochs` of a
    contender, too.
    """

    num_train: Count
    chosen: dict[str, Any] = {}
    mirrored: Share | None = None
    moved: Share | None = None
    epochs: Count | None = None


class Budget(Frozen):
    """How long all contenders train together, a seed and fold; `given`, or by the size of the set.

    `epoch_seconds` were measured before training, and decided the `epochs`; `busy` says whether
    other work disturbed that.
    """

    minutes: Amount
    given: bool
    epoch_seconds: dict[str, Amount]
    epochs: dict[str, Count]
    busy: bool = False


class Results(Frozen):
    """The content of results.json."""

    schema: Literal[2]
    spikeduel: str
    created: str
    environment: dict[str, Any] | None
    dataset: Dataset
    experiment: Experiment
    trials: Annotated[list[Trial], Meta(min_length=1)]
    comparison: Conclusions
    tuning: TuningRecord | None = None
    court: Court | None = None
    rules: SetRules | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        sides = {len(self.dataset.classes)}
        for trial in self.trials:
            if trial.test is not None:
                found = {
                    len(trial.test.per_class),
                    len(trial.test.confusion),
                    *map(len, trial.test.confusion),
                }
                if found != sides:
                    raise ValueError(
                        f"trial {trial.title} was tested on other classes than those of the data "
                        f"set"
                    )

    @property
    def contenders(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(trial.contender for trial in self.trials))

    def of(self, contender: str, tested: bool = True) -> list[Trial]:
        """The trials of a contender: the tested ones, or all."""
        return [
            t
            for t in self.trials
            if t.contender == contender and (t.test is not None or not tested)
        ]

    def source_of(self, trial: Trial) -> Trial | None:
        """The one at whose trained weights `trial` starts, None where there is none."""
        source = (trial.starts_from, trial.seed, trial.fold)
        return next((t for t in self.trials if (t.contender, t.seed, t.fold) == source), None)

    @property
    def twins(self) -> list[tuple[str, str]]:
        """See `twins`."""
        return twins(self.trials)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of results.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Results),
    }
    for described in schema["$defs"].values():
        if "description" in described:
            described["description"] = inspect.cleandoc(described["description"])
    return schema


def twins(trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """The pairs (spiking contender, other) whose weights are the same, name for name and shape for
    shape.
    """
    weights = {t.contender: t for t in trials if t.weight_shapes and t.converted_from is None}
    return [
        (a, b)
        for a, spiking in weights.items()
        for b, other in weights.items()
        if spiking.spiking and not other.spiking and spiking.weight_shapes == other.weight_shapes
    ]
