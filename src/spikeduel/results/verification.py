"""Types of a verification: what of a run's files does not follow from the others."""

from typing import Any

from spikeduel.system.typed import Count, Frozen, Share


class Discrepancy(Frozen):
    """A place of a file that does not follow from the others; None is nothing. `missing`: the whole
    file is.
    """

    file: str
    place: str
    stored: Any
    computed: Any
    missing: bool = False


class Verification(Frozen):
    """`checked`: places compared, by file or folder of files."""

    name: str
    checked: dict[str, Count]
    discrepancies: list[Discrepancy]

    @property
    def holds(self) -> bool:
        return not self.discrepancies


class TrainedAgain(Frozen):
    """A trial that was trained once more. `same`: every answer is; `alike`: threads, precision,
    processor and torch are those of the run, so that every answer must be. `noise`: three standard
    deviations of accuracy over seeds.
    """

    trial: str
    stored: Share
    accuracy: Share | None
    same: bool
    alike: bool
    noise: Share

    @property
    def holds(self) -> bool:
        if self.alike or self.accuracy is None:
            return self.same
        return abs(self.accuracy - self.stored) <= self.noise
