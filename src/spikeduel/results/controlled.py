"""Contenders beside their controls, as types; and what a set of recordings loses without time."""

from enum import StrEnum

from spikeduel.results.findings import Finding
from spikeduel.results.significance import Difference
from spikeduel.system.typed import Count, Frozen, Share


class ControlRow(Frozen):
    """A control of a contender: its mean `accuracy`, and the contender − the control.

    `found` is None where it was not measured; `reason` may say why. `spread` is the standard
    deviation over seeds of the difference. With fewer than `found.fewest_seeds` it describes these
    trainings, and shows no cause.
    """

    control: str
    title: str
    meaning: str
    spikes: bool
    accuracy: Share | None = None
    bits: Count | None = None
    spread: float | None = None
    found: Difference | None = None
    reason: str | None = None
    of_recordings: bool = False

    @property
    def conclusive(self) -> bool:
        """Return True if it has as many seeds as a conclusion on causes takes."""
        return self.found is not None and self.found.seeds >= self.found.fewest_seeds


class ControlledContender(Frozen):
    """A contender and its controls: a spiking one on images, any on recordings. `num_steps` is None
    without spikes.
    """

    contender: str
    num_steps: Count | None
    seeds: Count
    accuracy: Share
    rows: list[ControlRow]
    claims: list[Finding] = []
    text: str = ""

    @property
    def of_recordings(self) -> bool:
        """Return True if the controls changed the recordings that the contender saw."""
        return any(row.of_recordings for row in self.rows)


class TemporalLoss(StrEnum):
    """Loss of what a network can learn, when recordings have no time."""

    EVERYTHING = "everything"
    """Without it, the best is not shown to be better than a constant answer."""
    SOME = "some"
    NOTHING = "nothing"
    """The interval of what is lost ends within the margin."""
    NOT_SHOWN = "not_shown"
    """Neither that something is lost, nor that nothing is."""


class WithoutTime(Frozen):
    """Loss of a set of recordings without time: the best contender beside the best that sees no
    time.

    Both are the best on validation. `without` sees none because it was trained on frames that each
    hold all events (`trained_without`), or never does. `found` is `contender` − `without`.
    """

    contender: str
    accuracy: Share
    without: str
    accuracy_without: Share
    trained_without: bool
    found: Difference
    lost: TemporalLoss
    text: str = ""

    @property
    def conclusive(self) -> bool:
        """Return True if it has as many seeds as a conclusion on other trainings takes."""
        return self.found.seeds >= self.found.fewest_seeds
