"""Fixtures of the tests of cheaper networks."""

import pytest

from spikeduel.features.compression.frontier_results import CompressedVariant
from spikeduel.results.cost_results import Range


@pytest.fixture
def cheaper():
    """Makes a cheaper network of which everything is made up."""

    def make(contender, accuracy=0.9, energy=9.0, spiking=False):
        amount = Range(low=energy, high=2 * energy)
        return CompressedVariant(
            contender=contender,
            name="8_bits",
            title="8 bits",
            spiking=spiking,
            val_accuracy=accuracy,
            accuracy=accuracy,
            ci95=Range(low=accuracy - 0.02, high=accuracy + 0.02),
            rate=None,
            num_steps=None,
            seconds=1.0,
            amounts={"mac-ac": amount, "weights": amount, "yan": amount},
        )

    return make
