import pytest
from msgspec import structs

from made_costs import followed, leaving, with_accuracy, with_trial
from made_pages import told
from made_results import make_pair
from spikeduel.reporting import recorded, style
from spikeduel.results.anytime import Received
from spikeduel.results.controlled import ControlledContender, ControlRow
from spikeduel.results.significance import Difference
from spikeduel.settings.recipes import baseline


@pytest.fixture
def results(make_prepared, make_results):
    """A spiking network that was followed over two frames, and another that needs all."""
    made = make_results(make_prepared(), baseline(seeds=1))
    early = followed([0.4, 0.8], [leaving(0.9, 0.7, [15, 5])])
    received = Received(milliseconds=[10.0, 30.0], events=[100.0, 500.0])
    return with_accuracy(
        with_trial(made, 0, anytime=structs.replace(early, received=received)), 1, 0.6
    )


def test_accuracy_is_told_by_what_had_come(results):
    rows = told(recorded.while_it_happens(results))
    for unit, came, on_leaving in (("milliseconds", (10, 30), 15), ("events", (100, 500), 200)):
        by_unit = [row for row in rows if unit in row]
        followed_rows, star, late = by_unit[:2], by_unit[2], by_unit[3]
        assert [(row["steps"], row["accuracy, %"], row[unit]) for row in followed_rows] == [
            (1, 40, came[0]),
            (2, 80, came[1]),
        ]
        # Three of four leave after the first frame.
        assert (star["accuracy, %"], star[unit]) == (70, on_leaving)
        assert (late["contender"], late["accuracy, %"], late[unit]) == ("small-cnn", 60, came[1])


def test_of_images_there_is_none(make_prepared, make_results):
    assert recorded.while_it_happens(make_results(make_prepared(), baseline(seeds=1))) is None


@pytest.mark.parametrize("canvas", [style.DESKTOP, style.PHONE])
def test_a_control_tells_what_it_took(results, canvas):
    pair = structs.asdict(make_pair("dense-snn", "reversed"))
    found = Difference(**{field: pair[field] for field in Difference.__struct_fields__})
    row = ControlRow(
        control="reversed",
        title="time reversed",
        meaning="",
        spikes=True,
        accuracy=0.7,
        found=found,
        of_recordings=True,
    )
    controlled = ControlledContender(
        contender="dense-snn", num_steps=2, seeds=1, accuracy=0.7, rows=[row]
    )
    comparison = structs.replace(results.comparison, controls=[controlled])
    with style.drawn_for(canvas):
        figure = recorded.time_controls(structs.replace(results, comparison=comparison))
    margin, line, dot = told(figure)
    assert margin == {"margin of equivalence, points": 100 * results.experiment.equivalence_margin}
    assert line == dot
    assert (line["control"], line["change, points"]) == ("time reversed", pytest.approx(1.23))
    bounds = [line[f"95 % interval {end}, points"] for end in ("from", "to")]
    assert bounds == pytest.approx([-0.1, 2])
