"""Time of training the families of cheaper networks."""

from spikeduel.experiment.settings import Experiment
from spikeduel.features.compression import Settings

FAMILY_TIME = 2.5
"""Training of a family of cheaper networks, in that of its contender."""


def later_trainings(experiment: Experiment) -> dict[str, float]:
    """Return the time of the families, in that of the contenders; empty without the setting."""
    is_on = isinstance(experiment, Settings) and experiment.frontier
    return {"cheaper networks": FAMILY_TIME} if is_on else {}
