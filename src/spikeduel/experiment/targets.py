"""What a recommendation is for: a question, or a device that a feature knows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spikeduel.features import providing

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
        """What it does not run; "" if it runs both."""
        if self.spiking and self.other:
            return ""
        return "runs spiking networks only" if self.spiking else "runs no spiking networks"


DEVICES: dict[str, Target] = {
    name: target for targets in providing("TARGETS").values() for name, target in targets.items()
}
"""Devices by name."""

if TYPE_CHECKING:
    TargetName = str
else:
    TargetName = Literal[(*QUESTIONS, *DEVICES)]
