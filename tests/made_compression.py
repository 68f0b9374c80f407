"""Cheaper variants of a network."""

from spikeduel.features.compression.frontier_results import Member
from spikeduel.results.cost_results import Range


def member(contender: str, spiking: bool = False) -> Member:
    """A cheaper network of which everything is made up."""
    nine = Range(low=9.0, high=9.0)
    return Member(
        contender=contender,
        member="8_bits",
        title="8 bits",
        spiking=spiking,
        val_accuracy=0.9,
        accuracy=0.9,
        ci95=Range(low=0.8, high=1.0),
        rate=None,
        num_steps=None,
        seconds=1.0,
        amounts={"weights": nine, "yan": nine},
    )
