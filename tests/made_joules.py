"""Measured joules, made."""

from spikeduel.results.joules import EnergyWindow, MeasuredJoules, concluded
from spikeduel.results.trials import Machine

STEADY = [(None, 10.0), ("a", 30.0), ("b", 15.0), ("a", 30.0)] * 5 + [(None, 10.0)]
"""Five repeats of (network, watts): "a" takes 20 W above idle, "b" 5 W."""


def here(**changes):
    """Return a machine of two cores."""
    made = {
        "cpu": "made",
        "cores": 2,
        "threads": 2,
        "device": "cpu",
        "gpu": None,
        "torch": "2",
        "python": "3",
        "platform": "made",
        "load_average": 0.0,
    }
    return Machine(**{**made, **changes})


def windows_of(watts, seconds=10.0, answers=100, step=12.0):
    """Return windows of these (network, watts), a window every `step` seconds."""
    return [
        EnergyWindow(
            network=network,
            begins=step * place,
            seconds=seconds,
            joules=seconds * power,
            answers=answers if network else 0,
        )
        for place, (network, power) in enumerate(watts)
    ]


def measured(watts, **changes):
    """Return the conclusion from windows of these (network, watts)."""
    made = {
        "source": "rapl",
        "domains": ["package-0"],
        "step_seconds": 0.0,
        "range_share": 0.0,
        "settle_seconds": 2.0,
        "images": 100,
        "batch_size": 100,
        "machine": here(),
        "windows": windows_of(watts),
    }
    return concluded(MeasuredJoules(**{**made, **changes}))
