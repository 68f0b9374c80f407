"""Targets of a recommendation: questions, and devices that features know."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spikeduel.features import providing

ONLY_SPIKING, NO_SPIKING = "runs spiking networks only", "runs no spiking networks"
QUESTIONS = ("accuracy", "speed", "energy", "size", "cpu", "gpu", "cortex-m")


@dataclass(frozen=True)
class Target:
    """A device whose energy per inference decides: its `title`, whether networks with and without
    spikes run on it, and how far estimates are from a measurement there.
    """

    title: str
    spiking: bool
    other: bool
    distance: str

    def runs(self, spiking: bool) -> bool:
        return self.spiking if spiking else self.other

    @property
    def limit(self) -> str:
        """The restriction to a kind of network, in words; "" if it runs both."""
        if self.spiking and self.other:
            return ""
        return ONLY_SPIKING if self.spiking else NO_SPIKING


DEVICES: dict[str, Target] = {
    name: target for targets in providing("TARGETS").values() for name, target in targets.items()
}
"""Devices by name."""

if TYPE_CHECKING:
    TargetName = str
else:
    TargetName = Literal[(*QUESTIONS, *DEVICES)]
