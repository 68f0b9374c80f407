"""Types of the frontier: cheaper variants of contenders, and their costs at equal accuracy."""

from collections.abc import Iterator
from typing import Literal

from spikeduel.analysis.run_findings import RunContext
from spikeduel.results.accuracy import unlearned_variants
from spikeduel.results.cost_results import Group, Kind, Range
from spikeduel.results.findings import Values, finds
from spikeduel.system.typed import Amount, Count, Frozen, Share


class CompressedVariant(Frozen):
    """A cheaper variant of a contender; means over seeds.

    `val_accuracy` decides, `accuracy` with `ci95` is on test images. `rate`: spikes per neuron and
    step. `num_steps`: their mean, if it exits early. `seconds`: of training. `amounts`: by
    accounting, in its unit; "weights": bytes of them, "time": measured seconds of an inference.
    `accuracy_lost`: by an early exit on test images, against the network whose validation accuracy
    it keeps.
    """

    contender: str
    name: str
    title: str
    spiking: bool
    val_accuracy: Share
    accuracy: Share
    ci95: Range
    rate: Amount | None
    num_steps: Amount | None
    seconds: Amount
    amounts: dict[str, Range]
    accuracy_lost: float | None = None


RatioResult = Literal["less", "more", "open", "not testable", "no interval"]
"""Cost of the spiking contender at equal accuracy, by the 95 % interval of a ratio."""


class RatioAt(Frozen):
    """The spiking contender's amount over the other's at equal accuracy, by one accounting.

    `ratio`: over the accounting's own ranges. `low`, `high`: 95 % interval over seeds and images of
    both its ends, without bootstrap samples in which neither reaches the accuracy; None
    where one misses the accuracy in more than 2.5 % of the samples, or most samples are
    discarded. `cheaper`: by the interval. `reached`: share of all samples in which each reaches
    the accuracy; empty if there are no samples.
    """

    accounting: str
    group: Group
    ratio: Range
    low: float | None
    high: float | None
    cheaper: Kind | None
    reached: dict[Kind, Share] = {}

    @property
    def result(self) -> RatioResult:
        """Return "not testable" if the interval has no end and shows nothing."""
        if self.cheaper is not None:
            return "less" if self.cheaper == "spiking" else "more"
        if self.low is not None and self.high is not None:
            return "open"
        return "not testable" if self.reached or self.low or self.high else "no interval"


class EqualAccuracy(Frozen):
    """Ratios of the least costs of a test accuracy that lies on the curves of both.

    `cheapest`: titles of the networks that cost least by most accountings, by contender.
    """

    accuracy: Share
    ratios: list[RatioAt]
    cheapest: dict[str, str] = {}


class BreakEven(Frozen):
    """Spikes per neuron and step at which a spiking contender takes as much as its quantised
    twin, by one accounting.

    `rate`: over the accounting's own ranges, mean over seeds; below its low end the contender takes
    less, above its high end more: 0 where more at any rate, 1 where less at any. `ci95`: from two
    seeds on, of both ends.
    """

    accounting: str
    group: Group
    measured: Amount
    rate: Range
    ci95: Range | None


class FrontierPair(Frozen):
    """A spiking contender beside one without spikes."""

    spiking: str
    other: str
    at: list[EqualAccuracy]
    break_even: list[BreakEven] = []


class CostKind(Frozen):
    """Name of a cost in tables, and its group of accountings."""

    label: str
    group: Group


class Conclusion(Frozen):
    """Cheaper variants with common `seeds`. `accountings`: names in `amounts` that all
    variants have; `left_out`: reasons by contender and variant.
    """

    seeds: Count
    accountings: dict[str, CostKind]
    variants: list[CompressedVariant]
    pairs: list[FrontierPair]
    left_out: dict[str, dict[str, str]] = {}
    text: str = ""


@finds("compressed_at_chance")
def compressed_at_chance(run: RunContext) -> Iterator[Values]:
    for name, trials in run.tested.items():
        if titles := list(unlearned_variants(trials, compressed=True).values()):
            yield {"contender": name, "variants": titles}
