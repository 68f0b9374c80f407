"""Types of results.json, and what is derived from them alone."""

import inspect
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, structs

from spikeduel.data.events.recordings import EventRates
from spikeduel.results.audit import Audit, Counts, LabelCheck, SuspectLabel
from spikeduel.results.controlled import ControlledContender, WithoutTime
from spikeduel.results.costs import Range
from spikeduel.results.energy_accountings import EnergyAccountings
from spikeduel.results.findings import Finding
from spikeduel.results.optimism import OptimismMeter
from spikeduel.results.power import Power
from spikeduel.results.significance import Conclusion, Difference
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.settings import Experiment
from spikeduel.system.typed import Amount, Count, Frozen, Share

SCHEMA: Final = 3
"""Version of results.json. Keys are added freely; renaming or removing one raises this."""
TOLERATED_SHARE = 0.01
"""Share of a data set's own test images that may have relatives in training before scores are
called memory.
"""


class GroupSizes(Frozen):
    """Images in the largest group, and in the median one."""

    largest: Count
    median: float


class Dataset(Frozen):
    """The data and its split.

    With folds, `counts` holds the mean number of a fold's training and validation images, and the
    number of all test images; `folds` the counts of each fold. `shared_groups` is the share of test
    images whose group is also in training; `effective_groups_tested` the number of equally large
    groups that would weigh as much as the groups of the test images. `test_uses` models of this
    store have answered these test images, `test_uses_here` of them in this run; in
    `tested_every_epoch` trainings they did so after every epoch (`optimism`). `own_validation`: the
    data come with a validation set, and no test set. `labels` counts labels that trained networks
    doubt on images they were not trained on; `suspect_labels` are the most doubtful (labels.csv has
    all).
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
        """Return "image" or "recording", by the audit."""
        return self.audit.noun if self.audit else "image"

    @property
    def can_fold(self) -> bool:
        """Return True if `--folds` would test more images than this split does."""
        return (
            not self.folds and not self.own_validation and self.split in ("stratified", "grouped")
        )

    @property
    def leaks(self) -> bool:
        """Return True if relatives of test images in training can explain a score.

        One is enough for a split made here; a few copies in a data set's own test set are no reason
        to mistrust it.
        """
        shared = self.shared_groups or 0
        return shared >= TOLERATED_SHARE if self.split == "official" else shared > 0


class Pair(Difference, kw_only=True):
    """Contenders `a` and `b`, over the seeds that both finished: the difference, a − b.

    `accuracy_a` and `accuracy_b` are means over seeds; `only_a_right` and `only_b_right` count test
    images, averaged over seeds; `seeds_a_ahead` and `seeds_b_ahead` leave out seeds with equal
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
        """Return the contender with the higher accuracy, `a` where both are equal."""
        return self.a if self.difference >= 0 else self.b

    @property
    def other(self) -> str:
        """Return the contender that is not the `leader`."""
        return self.b if self.leader == self.a else self.a

    def accuracy(self, contender: str) -> float:
        """Return the mean accuracy of one of the two."""
        return self.accuracy_a if contender == self.a else self.accuracy_b

    @property
    def shows_better(self) -> bool:
        """Return True if one of the two is shown to be better: not negligibly, and over seeds."""
        return self.conclusion.better and not self.negligible and self.seeds > 1

    @property
    def led(self) -> "Pair":
        """Return the pair with the leader first, as every table and sentence names it."""
        return self.ordered(self.leader)

    def ordered(self, first: str) -> "Pair":
        """Return the pair with contender `first` as `a`."""
        if first == self.a:
            return self
        swapped = {
            Conclusion.A_BETTER: Conclusion.B_BETTER,
            Conclusion.B_BETTER: Conclusion.A_BETTER,
        }
        return structs.replace(
            self,
            a=self.b,
            b=self.a,
            difference=-self.difference,
            ci95=(-self.ci95[1], -self.ci95[0]),
            ci90=(-self.ci90[1], -self.ci90[0]),
            conclusion=swapped.get(self.conclusion, self.conclusion),
            accuracy_a=self.accuracy_b,
            accuracy_b=self.accuracy_a,
            only_a_right=self.only_b_right,
            only_b_right=self.only_a_right,
            seeds_a_ahead=self.seeds_b_ahead,
            seeds_b_ahead=self.seeds_a_ahead,
        )


class Neither(Frozen):
    """A `contender` that is better than both networks of every pair of `twins`."""

    contender: str
    twins: list[tuple[str, str]]


Quantity = Literal["accuracy", "training", "answer", "energy", "memory", "size"]


class Evidence(StrEnum):
    """Evidence that a leader leads.

    `SHOWN` of accuracy: by the test of the pair; of times: in every training, and by more than two
    measurements of one thing differ; of energy: by all accountings. `THESE`: of these trained
    networks alone, one of each contender. `SAME` of bytes: less than a tenth apart.
    """

    SHOWN = "shown"
    THESE = "these models"
    NOT_SHOWN = "not shown"
    EQUIVALENT = "equivalent"
    SAME = "the same"
    NOT_MEASURED = "not measured"


class Reason(StrEnum):
    """Why a contender is to be taken, or none is."""

    BETTER = "better"
    HIGHER = "higher"
    FASTER = "faster"
    TOO_FEW = "too_few_images"
    LEAKAGE = "leakage"
    NOTHING_LEARNED = "nothing_learned"
    NOT_FINISHED = "not_finished"
    ALONE = "alone"


class Lead(Frozen):
    """The best contender in one quantity, against the best of the other kind (`over`).

    `values` by contender: a share, seconds of a training (with the training of the twin it starts
    from), seconds an answer, joules an answer (with memory on the chip), bytes of a process that
    answers, bytes of the weights. `by`: a difference in accuracy, else how many times as much
    `over` takes. In energy the leader is cheaper in `cheaper_in` of `judged` accountings.
    """

    quantity: Quantity
    values: dict[str, Range] = {}
    leader: str | None = None
    over: str | None = None
    by: float | None = None
    evidence: Evidence = Evidence.NOT_MEASURED
    cheaper_in: int | None = None
    judged: int | None = None


class Step(Frozen):
    """A next step: options to add to the run's own command, minutes of training, and the objection
    that it answers. Without options, only other data would help.
    """

    options: list[str]
    minutes: float | None
    answers: Finding


class Answer(Frozen):
    """The contender to `take`, None where there is none, and the `reason`; the `rival` it is
    compared with; a `Lead` for each quantity; the next `steps`. `text` says it in a line or two.
    """

    take: str | None
    reason: Reason
    rival: str | None = None
    pair: Pair | None = None
    leads: list[Lead] = []
    steps: list[Step] = []
    text: str = ""

    def lead(self, quantity: Quantity) -> Lead:
        """Return the lead in a quantity."""
        return next(
            (lead for lead in self.leads if lead.quantity == quantity), Lead(quantity=quantity)
        )


class Conclusions(Frozen):
    """Conclusions: every two contenders with a seed in common, controls, caveats, what
    could overturn the verdict; what reporting the best epoch for the test would have shown; a
    contender better than both twins; what recordings lose without time; and the answer.
    """

    pairs: list[Pair] = []
    controls: list[ControlledContender] = []
    caveats: list[Finding] = []
    overturned_by: list[Finding] = []
    optimism: OptimismMeter | None = None
    neither: Neither | None = None
    without_time: WithoutTime | None = None
    answer: Answer = Answer(take=None, reason=Reason.NOT_FINISHED)
    verdict: str = ""

    def pair(self, one: str, other: str) -> Pair | None:
        """Return the pair of two contenders; None where they have no seed in common."""
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {one, other}), None)


class SetRules(Frozen):
    """Settings that the training images decided where the experiment left them open.

    The augmentation is chosen by the shares of training images that look most like the mirror image
    of another of their class (`mirrored`) or like another one that is `moved`, and by the fewest
    `epochs` of a contender.
    """

    num_train: Count
    chosen: dict[str, Any] = {}
    mirrored: Share | None = None
    moved: Share | None = None
    epochs: Count | None = None


class Budget(Frozen):
    """Minutes that all contenders train together, a seed and fold; `given`, or by the size of the
    set.

    `epoch_seconds` were measured before training, and decided the `epochs`; `busy` means that other
    work disturbed the measurement.
    """

    minutes: Amount
    given: bool
    epoch_seconds: dict[str, Amount]
    epochs: dict[str, Count]
    busy: bool = False


class Results(Frozen):
    """The content of results.json."""

    schema: Literal[3]
    spikeduel: str
    created: str
    environment: dict[str, Any] | None
    dataset: Dataset
    experiment: Experiment
    trials: Annotated[list[Trial], Meta(min_length=1)]
    comparison: Conclusions
    tuning: TuningRecord | None = None
    energy_accountings: EnergyAccountings | None = None
    rules: SetRules | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        num_classes = len(self.dataset.classes)
        for trial in self.trials:
            if trial.test is not None:
                confusion = trial.test.confusion
                lengths = {len(trial.test.per_class), len(confusion), *map(len, confusion)}
                if lengths != {num_classes}:
                    raise ValueError(
                        f"trial {trial.title} was tested on other classes than those of the data "
                        f"set"
                    )
        answer = self.answer
        named = {answer.take, answer.rival} - {None}
        named |= {name for lead in answer.leads for name in (*lead.values, lead.leader, lead.over)}
        if not named - {None} <= set(self.contenders):
            raise ValueError("the answer is about other contenders than those of the trials")

    @property
    def answer(self) -> Answer:
        """Return which contender to take, computed when the results were put together."""
        return self.comparison.answer

    @property
    def contenders(self) -> list[str]:
        """Return the names of the contenders, in order."""
        return list(dict.fromkeys(trial.contender for trial in self.trials))

    def of(self, contender: str, tested: bool = True) -> list[Trial]:
        """Return the trials that a contender's numbers are means of (`counted_seeds`), or all."""
        seeds = self.counted_seeds(contender) if tested else ()
        return [
            trial
            for trial in self.trials
            if trial.contender == contender
            and (not tested or (trial.test is not None and trial.seed in seeds))
        ]

    def counted_seeds(self, contender: str) -> set[int]:
        """Return the seeds that every contender finished in all folds, so that all numbers of a
        table are over the same seeds; where there are none, the seeds that `contender` finished.

        A contender that finished no seed is left out of this.
        """
        num_folds = len({trial.fold for trial in self.trials})
        tested: dict[str, list[int]] = {}
        for trial in self.trials:
            if trial.test is not None:
                tested.setdefault(trial.contender, []).append(trial.seed)
        whole = {
            name: {seed for seed in seeds if seeds.count(seed) == num_folds}
            for name, seeds in tested.items()
        }
        finished = [seeds for seeds in whole.values() if seeds]
        common = set.intersection(*finished) if whole.get(contender) else set()
        return common or whole.get(contender) or set(tested.get(contender, ()))

    def source_of(self, trial: Trial) -> Trial | None:
        """Return the trial at whose trained weights `trial` starts; None where there is none."""
        source = (trial.starts_from, trial.seed, trial.fold)
        return next(
            (other for other in self.trials if (other.contender, other.seed, other.fold) == source),
            None,
        )

    @property
    def twins(self) -> list[tuple[str, str]]:
        """Return the pairs (spiking contender, other) of the same weights (see `twins`)."""
        return twins(self.trials)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of results.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Results),
    }
    for described in schema["$defs"].values():
        if "description" in described:
            described["description"] = inspect.cleandoc(described["description"])
    return schema


def twins(trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """Return the pairs (spiking contender, other) whose weights have the same names and shapes."""
    weights = {
        trial.contender: trial
        for trial in trials
        if trial.weight_shapes and trial.converted_from is None
    }
    return [
        (a, b)
        for a, spiking in weights.items()
        for b, other in weights.items()
        if spiking.spiking and not other.spiking and spiking.weight_shapes == other.weight_shapes
    ]
