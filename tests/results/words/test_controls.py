import pytest

from made_trials import pair
from spikeduel.results.run import ControlledContender, ControlRow
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.words.controls import Gain, gain, sentences, timing_is_needless, titled

BETTER, WORSE = Conclusion.A_BETTER, Conclusion.B_BETTER
EQUAL, UNKNOWN = Conclusion.EQUIVALENT, Conclusion.INCONCLUSIVE
NAMES = {
    "relu_twin": ("ReLU twin", None),
    "quantised_twin": ("quantised twin", 3),
    "one_step": ("one time step", None),
    "shuffled": ("shuffled in time", None),
    "nearest_neighbour": ("nearest neighbour", None),
}


def row(control, conclusion, difference=0.02, **changes):
    title, bits = NAMES[control]
    about = {"control": control, "title": title, "meaning": "", "spikes": control in ("one_step", "shuffled")}
    if conclusion is None:
        return ControlRow(**about, reason="it broke.")
    shown = pair(difference, conclusion=conclusion, **changes)
    found = Difference(**{name: getattr(shown, name) for name in Difference.__struct_fields__})
    return ControlRow(**about, bits=bits, accuracy=shown.accuracy_b, found=found)


def controlled(num_steps=4, **conclusions):
    rows = [row(name, found) for name, found in conclusions.items()]
    return ControlledContender(contender="conv-lif", num_steps=num_steps, seeds=1, accuracy=0.9, rows=rows)


@pytest.mark.parametrize(
    ("relu", "quantised", "expected"),
    [
        (BETTER, BETTER, Gain.GAINS),
        (BETTER, UNKNOWN, Gain.NOT_SHOWN),
        (BETTER, WORSE, Gain.COSTS),
        (EQUAL, EQUAL, Gain.NOT_SHOWN),
        (UNKNOWN, WORSE, Gain.COSTS),
        (BETTER, None, Gain.GAINS),
        (None, None, None),
    ],
)
def test_what_spiking_adds_is_what_its_twins_lack(relu, quantised, expected):
    assert gain(controlled(relu_twin=relu, quantised_twin=quantised, shuffled=BETTER)) is expected


@pytest.mark.parametrize(
    ("shuffled", "one_step", "num_steps", "expected"),
    [
        (BETTER, EQUAL, 4, True),
        (BETTER, UNKNOWN, 4, True),
        (BETTER, WORSE, 4, True),
        (BETTER, BETTER, 4, False),
        (UNKNOWN, EQUAL, 4, False),
        (BETTER, EQUAL, 1, False),
        (BETTER, None, 4, False),
        (None, EQUAL, 4, False),
    ],
)
def test_timing_that_is_used_is_not_always_needed(shuffled, one_step, num_steps, expected):
    assert timing_is_needless(controlled(num_steps, shuffled=shuffled, one_step=one_step)) is expected


def test_the_sentences():
    found = controlled(relu_twin=WORSE, quantised_twin=BETTER, one_step=EQUAL, shuffled=BETTER, nearest_neighbour=None)
    assert sentences(found) == [
        "What spiking adds to conv-lif (T = 4, one seed; conv-lif − control, 95 % interval):",
        "ReLU twin +2.00 (+1.00 to +3.00): the control is better.",
        "quantised twin (3 bits) +2.00 (+1.00 to +3.00): conv-lif is better.",
        "one time step +2.00 (+1.00 to +3.00): equivalent.",
        "shuffled in time +2.00 (+1.00 to +3.00): conv-lif is better.",
        "Timing matters to this network, but one trained with a single step is as accurate.",
        "Left out: it broke.",
        "Spiking over 4 steps costs conv-lif accuracy, at these settings. Accuracy does not show what energy it may "
        "save.",
    ]


@pytest.mark.parametrize(
    ("relu", "text"),
    [
        (BETTER, "Spiking over 4 steps gains conv-lif accuracy over its twins, at these settings."),
        (EQUAL, "Spiking over 4 steps is not shown to gain conv-lif accuracy."),
    ],
)
def test_the_other_summaries(relu, text):
    assert sentences(controlled(relu_twin=relu))[-1].startswith(text)


def test_several_seeds_and_reservations():
    held_back = {"seeds": 2, "reservation": Reservation.FEW_SEEDS}
    rows = [row("relu_twin", UNKNOWN, -0.1, **held_back), row("nearest_neighbour", UNKNOWN, **held_back)]
    found = ControlledContender(contender="conv-lif", num_steps=4, seeds=2, accuracy=0.9, rows=rows)
    first, twin, *_ = sentences(found)
    assert "mean over 2 seeds" in first
    # Wherever a sentence names a difference, it is the row's: contender − control.
    assert twin.startswith(
        "ReLU twin −10.00 (−11.00 to −9.00): inconclusive: the interval excludes 0, but with 2 seeds"
    )


def test_with_one_step_nothing_is_told_of_time():
    found = controlled(1, relu_twin=EQUAL, one_step=EQUAL, shuffled=BETTER)
    text = " ".join(sentences(found))
    assert "one time step" not in text
    assert "shuffled" not in text
    assert "1 step " in text


def test_titles():
    assert [titled(row(name, EQUAL)) for name in ("relu_twin", "quantised_twin")] == [
        "ReLU twin", "quantised twin (3 bits)",
    ]  # fmt: skip
