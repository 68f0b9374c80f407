"""Power of a comparison, and the forecast of a plan, as JSON has them."""

import math
from typing import Literal

from spikeduel.results.significance import Probability
from spikeduel.statistics import Variability, detection_power, seeds_needed
from spikeduel.system.typed import Amount, Count, Frozen, Positive


class Power(Frozen):
    """The `probability` to find a true `lead`; `seeds_needed`: for 80 %, None if over 100."""

    lead: Probability
    seeds: Positive
    comparisons: Positive
    probability: Probability
    seeds_needed: Count | None
    variability: Variability


def power(variability: Variability, lead: float, num_seeds: int, comparisons: int = 1) -> Power:
    return Power(
        lead=lead,
        seeds=num_seeds,
        comparisons=comparisons,
        probability=detection_power(variability, lead, num_seeds, comparisons),
        seeds_needed=seeds_needed(variability, lead, comparisons),
        variability=variability,
    )


SEEDS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
Source = Literal["given", "store", "assumed"]
"""Source of the spread of accuracy over seeds."""


class Case(Frozen):
    """The chance with each of `SEEDS`: for `a` and `b`, or for any two contenders whose accuracy on
    an unlimited test set varies by `deviation` over seeds.
    """

    variability: Variability
    probabilities: list[Probability]
    seeds_needed: Count | None
    a: str | None = None
    b: str | None = None
    deviation: Amount | None = None


class ContenderTime(Frozen):
    """Training time of a contender, by its stored trials or some training steps: mean epochs (at
    most, unless `from_store`), seconds of an epoch, and of a seed in all folds.
    """

    contender: str
    epochs: Amount
    epoch_seconds: Amount
    seed_seconds: Amount
    from_store: bool


class Forecast(Frozen):
    """Seeds that a true `lead` takes, and their training time; `trained` ones are whole in the
    store.
    """

    dataset: str
    test_images: Positive
    lead: Probability
    comparisons: Positive
    source: Source
    cases: list[Case]
    times: list[ContenderTime]
    trained: Count
    folds: Count | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def seed_seconds(self) -> float:
        return sum(time.seed_seconds for time in self.times)

    def seconds(self, seeds: int) -> float:
        """Return the training time of `seeds`, without those in the store."""
        return max(0, seeds - self.trained) * self.seed_seconds

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that find the lead with a chance of at least 80 %, in the hardest case; None if
        `MAX_SEEDS` are too few for one.
        """
        needed = [case.seeds_needed or math.inf for case in self.cases]
        return None if math.inf in needed else int(max(needed))
