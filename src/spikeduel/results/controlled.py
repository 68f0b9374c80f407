"""Types of contenders beside their controls, and of what recordings lose without time."""

from typing import Literal

from spikeduel.results.findings import Finding
from spikeduel.results.significance import Difference
from spikeduel.system.typed import Count, Frozen, Share


class ControlRow(Frozen):
    """A control: its mean `accuracy`, and the contender − the control; None with a `reason` where
    not measured. `spread`: standard deviation over seeds.
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
        """Return True with as many seeds as a conclusion on causes takes."""
        return self.found is not None and self.found.seeds >= self.found.fewest_seeds


class ControlledContender(Frozen):
    """A contender and its controls; `num_steps` is None without spikes."""

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


TemporalLoss = Literal["everything", "some", "nothing", "not shown"]
"""Loss without time. "everything": no better than a constant answer without it; "nothing": the
interval ends within the margin; "not shown": neither a loss nor none.
"""


class WithoutTime(Frozen):
    """The best contender on recordings beside the best that sees no time, both chosen on
    validation.

    `trained_without`: trained on frames that each hold all events. `found` is `contender` −
    `without`.
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
        """Return True with as many seeds as a conclusion on other trainings takes."""
        return self.found.seeds >= self.found.fewest_seeds
