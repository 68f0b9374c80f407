"""What `spikeduel plan` says before anything is trained, as types."""

from typing import Literal

from spikeduel.results.power import Luck
from spikeduel.results.significance import Probability
from spikeduel.system.typed import Amount, Count, Frozen, Positive

SEEDS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
"""Numbers of seeds of which a plan gives the chances and the times."""
Source = Literal["given", "run", "store", "assumed"]
"""How it is known how much accuracy varies over seeds."""


class Case(Frozen):
    """The chance that the lead is found with each of `SEEDS`: for contenders `a` and `b`, or for
    any two whose accuracy on an unlimited test set varies by `spread` over seeds.
    """

    luck: Luck
    chances: list[Probability]
    seeds_needed: Count | None
    a: str | None = None
    b: str | None = None
    spread: Amount | None = None


class ContenderTime(Frozen):
    """How long a contender trains: mean epochs (at most so many, unless `from_store`), seconds an
    epoch, and of one seed in all folds. `from_store`: as its earlier trainings took; else some
    training steps were timed.
    """

    contender: str
    epochs: Amount
    epoch_seconds: Amount
    seed_seconds: Amount
    from_store: bool


class Forecast(Frozen):
    """How many seeds a true `lead` takes, and how long they train. `trained` seeds are in the
    store, whole.

    `spread_of` is the data set of the run that the spread is of, where it is another than
    `dataset`.
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
    spread_of: str | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def seed_seconds(self) -> float:
        """How long one seed of all contenders trains."""
        return sum(each.seed_seconds for each in self.times)

    def seconds(self, seeds: int) -> float:
        """How long so many seeds will train, without those that are."""
        return max(0, seeds - self.trained) * self.seed_seconds

    @property
    def seeds_needed(self) -> int | None:
        """With which the lead is found in 80 % of every case; None where 100 are too few."""
        needed = [case.seeds_needed for case in self.cases]
        known = [each for each in needed if each is not None]
        return max(known) if len(known) == len(needed) else None
