"""What defines an experiment, and the named ones."""

from spikeduel.settings.experiment import NUMERICS_VERSION, TUNABLE, Experiment
from spikeduel.settings.reading import digest, read_experiment, with_settings, write_experiment

__all__ = [
    "NUMERICS_VERSION",
    "TUNABLE",
    "Experiment",
    "digest",
    "read_experiment",
    "with_settings",
    "write_experiment",
]
