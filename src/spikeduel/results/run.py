"""Types of results.json, and values derived from them."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, structs

from spikeduel.auditing.audit_results import Audit, Counts, JudgedLabels, SuspectLabel
from spikeduel.data.events.recordings import EventRates
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.results.accuracy import common_seeds, counted_seeds, measures
from spikeduel.results.cost_results import EnergyAccountings, Group, Range
from spikeduel.results.findings import Finding, with_id
from spikeduel.results.power import Power
from spikeduel.results.significance import Conclusion, Difference, Measure
from spikeduel.results.trials import Trial
from spikeduel.system import typed
from spikeduel.system.grouped import grouped
from spikeduel.system.typed import Amount, Count, Frozen, Share

SCHEMA: Final = 3
"""Version of results.json, raised when keys are renamed or removed."""
TOLERATED_SHARE = 0.01
"""Share of an official test set that may have near-duplicates in training."""


class GroupSizes(Frozen):
    """Images in the largest and the median group."""

    largest: Count
    median: float


class Dataset(Frozen):
    """The data and its split.

    `counts`: with folds, means over folds, and all test images. `shared_groups`: share of test
    images whose group is in training; `effective_groups_tested`: equal groups that would weigh as
    much. `test_uses`: models of this store that predicted these test images, `test_uses_here` in
    this run, `tested_every_epoch` after every epoch. `own_validation`: the data come with a
    validation set, but no test set. `can_fold`: `--folds 5` would test more images.
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
    can_fold: bool = False
    audit: Audit | None = None
    test_uses: Count | None = None
    test_uses_here: Count | None = None
    tested_every_epoch: Count = 0
    events: EventRates | None = None

    @property
    def noun(self) -> str:
        return self.audit.noun if self.audit else "image"

    @property
    def testing_more(self) -> str | None:
        """The option, or the change of the data, that would test more of these images."""
        if self.can_fold:
            return "--folds 5"
        return "rename val to test" if self.own_validation else None

    @property
    def leaks(self) -> bool:
        """True if near-duplicates of test images in training can explain a score; a few in an
        official test set cannot.
        """
        shared = self.shared_groups or 0
        return shared >= TOLERATED_SHARE if self.split == "official" else shared > 0


class Pair(Difference, kw_only=True):
    """Contenders `a` and `b` over the seeds that all contenders finished: a − b.

    Accuracies, in the `measure`, and test images (`only_a_right`) are means over seeds. `power`:
    chance to find a lead of one point, None with one seed.
    """

    a: str
    b: str
    accuracy_a: Share
    accuracy_b: Share
    only_a_right: float
    only_b_right: float
    power: Power | None = None

    @property
    def leader(self) -> str:
        """The more accurate contender, `a` if both are equal."""
        return self.a if self.difference >= 0 else self.b

    def accuracy(self, contender: str) -> float:
        return self.accuracy_a if contender == self.a else self.accuracy_b

    @property
    def shows_better(self) -> bool:
        """True if one is better over seeds, and not negligibly."""
        return self.conclusion.better and not self.negligible and self.seeds > 1

    @property
    def leader_first(self) -> "Pair":
        """The pair with the leader first."""
        return self.ordered(self.leader)

    def ordered(self, first: str) -> "Pair":
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
        )


Quantity = Literal[
    "accuracy", "training", "latency", "energy", "memory", "size", "operations", "flash", "ram"
]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
Evidence = Literal[
    "significant",
    "these models",
    "with memory",
    "on the device",
    "not significant",
    "all agree",
    "disputed",
    "overlap",
    "equivalent",
    "the same",
    "not learned",
    "not measured",
]
"""Evidence that a contender is the best in a quantity. "significant" accuracy: by the pair's test;
times: in every training, by more than measurements differ. "these models": of these trained
networks alone. Of energy: "all agree": all accountings do, or ranges are apart; "disputed": they do
not; "with memory": all accountings of the memory of both agree, not all others; "on the device":
the interval of the ratio there does not reach 1; "overlap": ranges do, in all accountings
of the memory of both. "the same": by less than measurements differ. "not learned": fewer than two
contenders have.
"""


Reason = Literal[
    "better",
    "higher",
    "cheaper",
    "too_few_images",
    "leakage",
    "longer_training",
    "nothing_learned",
    "no_common_seed",
    "none_runs",
    "not_finished",
    "runs_alone",
    "alone",
]
"""Why a contender is recommended, or none. "cheaper": in `Recommendation.decided_by`;
"no_common_seed": no seed was finished by all; "none_runs", "runs_alone": none, or only this one,
runs on the device asked for.
"""


class QuantityComparison(Frozen):
    """The best contender in a quantity, against the best `other` one of the other kind.

    `values`: a share, seconds of a training, seconds and joules per inference (with memory on
    the chip; for Loihi by its accounting, of networks that do not run there on a GPU or a CPU,
    which do not lead), bytes of a process, bytes of weights; in int8 (left out if not asked)
    operations per inference, bytes of constants and of variables, which stand in place of the other
    bytes for a microcontroller. `difference`: of accuracies; else a ratio. `by_group`: the
    contender that each accounting of a group calls cheaper, None where ranges overlap.
    """

    quantity: Quantity
    values: dict[str, Range] = {}
    leader: str | None = None
    other: str | None = None
    difference: float | None = None
    evidence: Evidence = "not measured"
    by_group: dict[Group, list[str | None]] = {}


class Step(Frozen):
    """A next step: options for the run's command, minutes of training, the objection that it
    removes. No options: only other data would help.
    """

    options: list[str]
    minutes: float | None
    resolves: Finding


class Recommendation(Frozen):
    """The `recommended` contender, if any, and why; its `runner_up`; a comparison of each quantity;
    next `steps`.

    `decided_by`: quantity that decides among contenders that are accurate enough. `level`: others
    of its kind that too few test images tell apart from it. `pair`: `recommended` and
    `runner_up`; for the reason "too_few_images" the two that are not significantly different.
    """

    recommended: str | None
    reason: Reason
    decided_by: Quantity = "latency"
    level: list[str] = []
    runner_up: str | None = None
    pair: Pair | None = None
    quantities: list[QuantityComparison] = []
    steps: list[Step] = []
    text: str = ""

    def quantity(self, quantity: Quantity) -> QuantityComparison:
        compared = {comparison.quantity: comparison for comparison in self.quantities}
        return compared.get(quantity, QuantityComparison(quantity=quantity))


class Conclusions(Frozen):
    """Conclusions of a run; `pairs`: every two contenders, if all have a seed in common."""

    pairs: list[Pair] = []
    caveats: list[Finding] = []
    recommendation: Recommendation = Recommendation(recommended=None, reason="not_finished")

    def pair(self, a: str, b: str) -> Pair | None:
        """Return the pair of two contenders; None without a common seed."""
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {a, b}), None)


class SetRules(Frozen):
    """Settings that the training images decided.

    `mirrored`, `moved`: shares that look like another's mirror image or moved copy; `epochs`: the
    fewest of a contender.
    """

    num_train: Count
    chosen: dict[str, Any] = {}
    mirrored: Share | None = None
    moved: Share | None = None
    epochs: Count | None = None


class Budget(Frozen):
    """Minutes that all contenders train together, a seed and fold; `given`, or by the size of the
    set.

    `epoch_seconds`: timed before training, or taken by epochs that were far faster; `busy`: other
    work ran then; `revised`: epochs were planned anew by what they took, which is done once.
    """

    minutes: Amount
    given: bool
    epoch_seconds: dict[str, Amount]
    epochs: dict[str, Count]
    busy: bool = False
    revised: bool = False


class Results(Frozen):
    """The content of results.json.

    `features`: the conclusion of each feature, of the type that the feature names, or as it was
    read if the feature is not installed.
    """

    schema: Literal[3]
    spikeduel: str
    created: str
    environment: dict[str, Any] | None
    dataset: Dataset
    experiment: Experiment
    trials: Annotated[list[Trial], Meta(min_length=1)]
    comparison: Conclusions
    energy_accountings: EnergyAccountings | None = None
    rules: SetRules | None = None
    budget: Budget | None = None
    features: dict[str, Any] = {}

    def __post_init__(self) -> None:
        types = providing("Conclusion")
        typed_values = {
            name: typed.converted(value, types[name]) if name in types else value
            for name, value in self.features.items()
        }
        structs.force_setattr(self, "features", typed_values)
        recommendation = self.recommendation
        named = {recommendation.recommended, recommendation.runner_up}
        named |= {
            name
            for compared in recommendation.quantities
            for name in (*compared.values, compared.leader, compared.other)
        }
        if not named <= {None, *self.contenders}:
            raise ValueError(
                "the recommendation is about other contenders than those of the trials"
            )

    @property
    def measures(self) -> list[Measure]:
        """The measures to show, the one by which contenders are compared first."""
        return measures(self.trials)

    @property
    def measure(self) -> Measure:
        return self.measures[0]

    @property
    def recommendation(self) -> Recommendation:
        return self.comparison.recommendation

    @property
    def unlearned(self) -> list[str]:
        """Contenders at chance: they lead in nothing and are compared with none."""
        at_chance = with_id(self.comparison.caveats, "at_chance")
        return [name for finding in at_chance for name in finding.values["contenders"]]

    @property
    def contenders(self) -> list[str]:
        return list(dict.fromkeys(trial.contender for trial in self.trials))

    def of(self, contender: str, tested: bool = True) -> list[Trial]:
        """Return a contender's trials: those behind its numbers (`counted_seeds`), or all."""
        seeds = self.counted_seeds(contender) if tested else ()
        return [
            trial
            for trial in self.trials
            if trial.contender == contender
            and (not tested or (trial.test is not None and trial.seed in seeds))
        ]

    @property
    def finished_seeds(self) -> dict[str, set[int]]:
        """The seeds that each contender finished in all folds."""
        num_folds = len({trial.fold for trial in self.trials})
        tested = grouped((trial.contender, trial.seed) for trial in self.trials if trial.test)
        return {
            name: {seed for seed in seeds if seeds.count(seed) == num_folds}
            for name, seeds in tested.items()
        }

    @property
    def common_seeds(self) -> set[int]:
        """The seeds that all contenders finished, other than those that finished none."""
        return common_seeds(self.finished_seeds.values())

    def counted_seeds(self, contender: str) -> list[int]:
        """Return the seeds that count in a contender's numbers."""
        return counted_seeds(self.finished_seeds).get(contender, [])

    @property
    def twins(self) -> list[tuple[str, str]]:
        return twins(self.trials)

    @property
    def suspect_labels(self) -> list[SuspectLabel]:
        """Labels that features judge to be wrong."""
        judged = [entry for entry in self.features.values() if isinstance(entry, JudgedLabels)]
        return [suspect for entry in judged for suspect in entry.suspects]


def json_schema() -> dict[str, Any]:
    of_features = providing("Conclusion")
    # One call: types of different features may have the same name.
    (results, *references), types = msgspec.json.schema_components([Results, *of_features.values()])
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **results,
        "$defs": types,
    }
    features = dict(zip(of_features, references, strict=True))
    types["Results"]["properties"]["features"]["properties"] = features
    for described in types.values():
        if "description" in described:
            described["description"] = inspect.cleandoc(described["description"])
        if "properties" in described:
            described["additionalProperties"] = False
    return schema


def twins(trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """Return the pairs (spiking, other) whose weights have the same names and shapes."""
    weights = {
        trial.contender: trial
        for trial in trials
        if trial.weight_shapes and trial.derived_from is None
    }
    return [
        (a, b)
        for a, spiking in weights.items()
        for b, other in weights.items()
        if spiking.spiking and not other.spiking and spiking.weight_shapes == other.weight_shapes
    ]
