"""Power of a comparison, as JSON has it."""

from spikeduel.results.significance import Probability
from spikeduel.statistics import Variability, detection_power, seeds_needed
from spikeduel.system.typed import Count, Frozen, Positive


class Power(Frozen):
    """The `probability` to find a true `difference`; `seeds_needed`: for 80 %, None if over 100."""

    difference: Probability
    seeds: Positive
    comparisons: Positive
    probability: Probability
    seeds_needed: Count | None
    variability: Variability


def power(
    variability: Variability, difference: float, num_seeds: int, comparisons: int = 1
) -> Power:
    return Power(
        difference=difference,
        seeds=num_seeds,
        comparisons=comparisons,
        probability=detection_power(variability, difference, num_seeds, comparisons),
        seeds_needed=seeds_needed(variability, difference, comparisons),
        variability=variability,
    )
