"""Results of two networks that were counted by hand."""

import pytest

import factories
from made_operations import plain, spiking


@pytest.fixture
def results():
    """A spiking network and a CNN, zeros skipped to nothing skipped: 4 to 10 µJ, or 30 to 40 per
    step, against 5 to 8; with memory 1 to 3 mJ against 2 to 4.
    """
    snn = factories.energy_of((4e-6, 10e-6), (30e-6, 40e-6), (1e-3, 3e-3))
    cnn = factories.energy_of((5e-6, 8e-6), None, (2e-3, 4e-3))
    trials = [
        factories.trial("dense-snn", 0.5, operations=spiking(), energy=snn),
        factories.trial("small-cnn", 0.5, operations=plain(), energy=cnn),
    ]
    return factories.results(trials)
