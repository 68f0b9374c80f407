import pytest
from msgspec import structs

from made_controls import BETTER, EQUAL, UNKNOWN, WORSE, controlled, row
from made_costs import control, energy_of
from made_trials import results, trial
from spikeduel.results.controlled import ControlledContender
from spikeduel.results.significance import Reservation
from spikeduel.results.words.controls import brief, how_controlled, of_controls
from spikeduel.results.words.verdict import titled

RUN = results([trial("conv-lif", 0.9)])


def test_the_sentences():
    found = controlled(
        relu_twin=WORSE,
        quantised_twin=BETTER,
        one_step=EQUAL,
        shuffled=BETTER,
        nearest_neighbour=None,
    )
    assert of_controls(RUN, found) == [
        "What spiking adds to conv-lif (T = 4, mean over 6 seeds; conv-lif − control, 95 % "
        "interval):",
        "ReLU twin +2.00 (+1.00 to +3.00): the control is better.",
        "quantised twin (3 bits) +2.00 (+1.00 to +3.00): conv-lif is better.",
        "one time step +2.00 (+1.00 to +3.00): equivalent.",
        "shuffled in time +2.00 (+1.00 to +3.00): conv-lif is better.",
        "Left out: it broke.",
        "conv-lif is more accurate than its quantised twin, and less than its ReLU twin, at these "
        "settings.",
        "Its 4 steps add nothing: trained with a single one, it is as accurate (within ±0.5 "
        "points).",
        "The order of its spikes in time matters to this trained network.",
        "Accuracy does not show what energy it may save.",
    ]


@pytest.mark.parametrize(
    ("conclusions", "text"),
    [
        (
            {"relu_twin": BETTER, "quantised_twin": BETTER},
            "Spiking over 4 steps gains conv-lif accuracy over its ReLU twin and quantised twin, "
            "at these settings.",
        ),
        (
            {"relu_twin": BETTER, "one_step": UNKNOWN},
            "conv-lif is more accurate than its ReLU twin, at these settings. Its 4 steps are not "
            "shown to add anything to a single one.",
        ),
        (
            {"relu_twin": WORSE, "one_step": WORSE},
            "Spiking over 4 steps costs conv-lif accuracy against its ReLU twin, at these "
            "settings. Trained with a single step, it is more accurate.",
        ),
        (
            {"relu_twin": WORSE, "quantised_twin": EQUAL},
            "conv-lif is less accurate than its ReLU twin, at these settings.",
        ),
        (
            {"relu_twin": EQUAL},
            "conv-lif is as accurate as its ReLU twin (within ±0.5 points), at these settings.",
        ),
        (
            {"relu_twin": EQUAL, "quantised_twin": UNKNOWN},
            "Spiking over 4 steps is not shown to gain conv-lif accuracy, nor to cost it.",
        ),
        (
            {"one_step": BETTER, "shuffled": WORSE},
            "Its 4 steps gain accuracy over a single one. With its spikes in random order, this "
            "trained network is more accurate.",
        ),
        (
            {"shuffled": EQUAL},
            "The order of its spikes in time does not matter to it (within ±0.5 points).",
        ),
    ],
)
def test_what_they_mean_together(conclusions, text):
    said = of_controls(RUN, controlled(**conclusions))
    assert " ".join(said[1 + len(conclusions) : -1]) == text


def test_one_seed_describes_and_does_not_conclude():
    found = controlled(
        seeds=1, relu_twin=BETTER, quantised_twin=BETTER, one_step=WORSE, shuffled=BETTER
    )
    assert of_controls(RUN, found) == [
        "What spiking adds to conv-lif (T = 4, one seed; conv-lif − control, 95 % interval):",
        "ReLU twin +2.00 (+1.00 to +3.00).",
        "quantised twin (3 bits) +2.00 (+1.00 to +3.00).",
        "one time step +2.00 (+1.00 to +3.00).",
        "shuffled in time +2.00 (+1.00 to +3.00).",
        "1 seed cannot show what spiking, time steps or the order of spikes do: these numbers "
        "describe these models only. Use --seeds 6.",
        "Accuracy does not show what energy it may save.",
    ]
    assert {brief(each, "conv-lif") for each in found.rows} == {"takes 4 seeds"}
    assert how_controlled(found) == ""


@pytest.mark.parametrize(
    ("conclusions", "seeds", "told"),
    [
        ({"relu_twin": BETTER, "one_step": EQUAL}, 6, True),
        ({"one_step": UNKNOWN}, 6, True),
        ({"one_step": WORSE}, 6, True),
        # Where nothing can be concluded, a reader is to know that too.
        ({"one_step": BETTER}, 1, True),
        ({"one_step": BETTER}, 6, False),
    ],
)
def test_a_single_step_that_may_do_as_well_is_told_with_its_energy(conclusions, seeds, told):
    one_step = control("one time step", 0.9, energy=energy_of(1.5e-6))
    trials = [
        trial("conv-lif", 0.9, seed=seed, energy=energy_of(6e-6), controls={"one_step": one_step})
        for seed in (0, 1)
    ]
    text = (
        "A single step takes 750 nJ to 1.50 µJ an answer, 4 steps 3.00 to 6.00 µJ (estimates, "
        "arithmetic alone, "
    )
    text += "hoisted)."
    assert (text in of_controls(results(trials), controlled(seeds=seeds, **conclusions))) is told
    # Not where it learned nothing, where its energy is not known, nor where it saves nothing.
    nothing = row("one_step", UNKNOWN, reservation=Reservation.CONTROL_AT_CHANCE)
    failed = structs.replace(controlled(), rows=[nothing])
    assert text not in of_controls(results(trials), failed)
    dear = structs.replace(one_step, energy=energy_of(7e-6))
    for other in (structs.replace(one_step, energy=None), dear):
        unknown = [structs.replace(each, controls={"one_step": other}) for each in trials]
        assert not any(
            "A single step" in said
            for said in of_controls(results(unknown), controlled(one_step=EQUAL))
        )


def test_several_seeds_and_reservations():
    held_back = {"reservation": Reservation.EXACT_TEST}
    rows = [
        row("relu_twin", UNKNOWN, -0.1, **held_back),
        row("nearest_neighbour", UNKNOWN, **held_back),
    ]
    found = ControlledContender(contender="conv-lif", num_steps=4, seeds=6, accuracy=0.9, rows=rows)
    first, twin, *_ = of_controls(RUN, found)
    assert "mean over 6 seeds" in first
    # Wherever a sentence names a difference, it is the row's: contender − control.
    assert twin.startswith(
        "ReLU twin −10.00 (−11.00 to −9.00): inconclusive: the interval excludes 0, but the exact"
    )


def test_a_control_that_takes_more_seeds_than_the_others_says_so():
    rows = [row("relu_twin", BETTER, seeds=4), row("shuffled", UNKNOWN, seeds=4, paired=True)]
    found = ControlledContender(contender="conv-lif", num_steps=4, seeds=4, accuracy=0.9, rows=rows)
    shuffled = "shuffled in time +2.00 (+1.00 to +3.00): takes 6 seeds, compared seed by seed."
    assert of_controls(RUN, found)[2] == shuffled
    assert brief(rows[1], "conv-lif") == "takes 6 seeds, compared seed by seed"


def test_with_one_step_nothing_is_told_of_time():
    found = controlled(1, relu_twin=BETTER, one_step=EQUAL, shuffled=BETTER)
    text = " ".join(of_controls(RUN, found))
    assert "one time step" not in text
    assert "shuffled" not in text
    assert "over 1 step " in text


def test_titles():
    assert [titled(row(name, EQUAL)) for name in ("relu_twin", "quantised_twin")] == [
        "ReLU twin",
        "quantised twin (3 bits)",
    ]
