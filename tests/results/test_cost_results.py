"""Traffic that follows from counts: words that move between memory and arithmetic, and one number of
an estimate.
"""

import pytest
from msgspec.structs import replace

from made_operations import both, layer, macs, over_time, plain, spiking
from spikeduel.engine.counting.operations import Traffic
from spikeduel.results.cost_results import Energy, Range
from spikeduel.system.errors import InputError
from spikeduel.system.typed import converted

FIRST, NEURONS, SECOND = spiking().layers
NUMBERS = plain().layers[0]
HALF_BLACK = replace(NUMBERS, input_zeros=0.5)
POOLED = replace(SECOND, input_bits=3)
SILENT = layer(
    "out", input="spikes", passes=both(2), inputs=4, outputs=5, weights=20, macs_a_pass=20
)
MIXED = layer(
    "x",
    input="mixed",
    passes=both(5),
    inputs=4,
    outputs=5,
    weights=20,
    macs_a_pass=20,
    macs=macs(both(40), both(30)),
    acs=over_time(7),
)


@pytest.mark.parametrize(
    ("moving", "way", "hardware", "traffic"),
    [
        # Numbers move once a pass; what is hoisted is read at both steps.
        (NUMBERS, "hoisted", "usual", Traffic(weights=44, activations=14)),
        (FIRST, "per_step", "usual", Traffic(weights=88, activations=28)),
        (FIRST, "hoisted", "usual", Traffic(weights=44, activations=14 + 8)),
        # By events: 4 biases; 5 of 10 inputs are not zero; 20 weights and sums, and 4 whole sums
        # read.
        (
            HALF_BLACK,
            "hoisted",
            "events",
            Traffic(weights=24, activations=5 + 4, addresses=5, membranes=40 + 4),
        ),
        # Spikes computed whole move bits, and weights once a step or once an image.
        (SECOND, "hoisted", "steps", Traffic(weights=50, activations=10, bits=8)),
        (SECOND, "hoisted", "image", Traffic(weights=25, activations=10, bits=8)),
        (NEURONS, "hoisted", "steps", Traffic(membranes=16, bits=8)),
        # 20 weights and, at both steps, 5 biases; 4 addresses read; sums there and back.
        (SECOND, "hoisted", "usual", Traffic(weights=30, addresses=4, membranes=40)),
        # 4 addresses written, each membrane read and written at both steps.
        (NEURONS, "hoisted", "usual", Traffic(addresses=4, membranes=16)),
        (SILENT, "hoisted", "usual", Traffic()),
    ],
)
def test_what_a_layer_moves(moving, way, hardware, traffic):
    assert moving.moved(way, hardware) == traffic


@pytest.mark.parametrize(
    ("computed", "way", "hardware", "macs_and_acs"),
    [
        (HALF_BLACK, "hoisted", "events", (20, 0)),
        (HALF_BLACK, "hoisted", "steps", (40, 0)),
        (HALF_BLACK, "hoisted", "image", (40, 0)),
        (SECOND, "hoisted", "events", (0, 20)),
        (SECOND, "hoisted", "steps", (0, 40)),
        # Sums of spikes that are computed whole are multiplied.
        (POOLED, "hoisted", "events", (0, 20)),
        (POOLED, "hoisted", "steps", (40, 0)),
        (MIXED, "per_step", "events", (30, 7)),
        (MIXED, "per_step", "steps", (40, 60)),
    ],
)
def test_what_a_layer_computes(computed, way, hardware, macs_and_acs):
    assert computed.done(way, hardware) == macs_and_acs


def test_a_layer_that_takes_both_has_passes_of_both():
    assert MIXED.passes_of("per_step") == (2, 3)


def test_ranges_that_touch_are_not_apart():
    low, high = Range(low=1, high=2), Range(low=2, high=3)
    assert not low.below(high)
    assert low.below(replace(high, low=2.5))
    assert not high.below(low)


def test_energy_by_no_table_is_refused():
    with pytest.raises(InputError, match="tables"):
        converted({"tables": {}}, Energy)
