"""Types of a verification: what of a run's files does not follow from the others."""

from typing import Any

from spikeduel.system.typed import Count, Frozen, Share

MAX_UNEQUAL = 1.0
"""Share of unequal predictions of a training elsewhere, as a multiple of its share of errors. Two
seeds of a network differ by up to 0.8 times that share in records/fashion-mnist-mini.zip.
"""


class Discrepancy(Frozen):
    """A place of a file that does not follow from the others; None is nothing. `missing`: the whole
    file is; `unknown`: spikeduel writes no such file.
    """

    file: str
    place: str
    stored: Any
    computed: Any
    missing: bool = False
    unknown: bool = False


class Verification(Frozen):
    """`checked`: places compared, by file or folder of files."""

    name: str
    checked: dict[str, Count]
    discrepancies: list[Discrepancy]

    @property
    def holds(self) -> bool:
        return not self.discrepancies


class TrainedAgain(Frozen):
    """A trial that was trained again. `stored`, `accuracy`: before and now; None if it failed.

    `equal`: share of equal predictions; `same`: all are. `alike`: threads, precision, processor and
    torch are those of the run, so that all must be. If not, accuracy may differ by `noise`.
    """

    trial: str
    stored: Share
    accuracy: Share | None
    equal: Share
    same: bool
    alike: bool
    noise: Share

    @property
    def least_equal(self) -> float:
        """Smallest share of equal predictions of a training elsewhere."""
        return max(0.0, 1 - MAX_UNEQUAL * (1 - (self.accuracy or 0.0)) - self.noise)

    @property
    def holds(self) -> bool:
        if self.accuracy is None or self.alike:
            return self.same and self.accuracy == self.stored
        is_near = abs(self.accuracy - self.stored) <= self.noise
        return is_near and self.equal >= self.least_equal
