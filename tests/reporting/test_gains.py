import statistics
from dataclasses import replace

import pytest
from matplotlib.colors import to_hex
from msgspec import structs

from made_results import make_pair
from spikeduel.reporting import gains, report, style
from spikeduel.results.run import ControlledContender, ControlRow
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.trials import ControlResult

MEASURED = {"relu_twin": 0.9, "shuffled": 0.6, "of <somebody>'s": 0.45}
SPIKES = {"relu_twin": False, "one_step": True, "shuffled": True, "of <somebody>'s": False}


def row(name):
    described = {"control": name, "title": f"the {name}", "meaning": f"what {name} is", "spikes": SPIKES[name]}
    if name not in MEASURED:
        return ControlRow(**described, reason="of a <reason>")
    pair = structs.asdict(make_pair("dense-snn", name, seeds=2))
    found = Difference(**{field: pair[field] for field in Difference.__struct_fields__})
    return ControlRow(**described, accuracy=MEASURED[name], bits=3 if name == "relu_twin" else None, found=found)


def with_controls(comparison, **changes):
    """The comparison, its spiking trials with `MEASURED`."""
    trials = [
        structs.replace(
            trial,
            controls={
                name: ControlResult(title=name, meaning="", spikes=SPIKES[name], n=20, accuracy=accuracy)
                for name, accuracy in MEASURED.items()
            },
        )
        if trial.spiking
        else trial
        for trial in comparison.results.trials
    ]
    controlled = ControlledContender(
        contender="dense-snn", num_steps=6, seeds=2, accuracy=0.675, rows=[row(name) for name in SPIKES]
    )
    concluded = structs.replace(comparison.results.comparison, controls=[structs.replace(controlled, **changes)])
    return replace(comparison, results=structs.replace(comparison.results, trials=trials, comparison=concluded))


@pytest.fixture
def comparison(make_run):
    return with_controls(make_run(seeds=2))


def test_the_figure_has_a_stroke_for_each_that_was_measured_warm_where_it_spikes(comparison):
    figure = gains.accuracies(comparison.results)
    figure.draw_without_rendering()
    (axes,) = [axes for axes in figure.axes if axes.get_visible()]
    strokes = [part for part in axes.collections if type(part).__name__ == "LineCollection"]
    drawn = {
        round(float(stroke.get_segments()[0][0][0]), 6): to_hex(stroke.get_color()[0]).upper() for stroke in strokes
    }
    own = [trial.test.accuracy for trial in comparison.results.of("dense-snn")]
    warm, cool = style.SPIKING_COLOURS[0], style.OTHER_COLOURS[0]
    assert drawn == {round(100 * statistics.fmean(own), 6): warm, 90: cool, 60: warm, 45: cool}
    assert [text.get_text() for text in axes.texts] == ["not measured"]
    assert len(axes.get_yticks()) == 1 + len(SPIKES)


def test_several_contenders_stand_side_by_side(comparison):
    concluded = comparison.results.comparison
    other = structs.replace(concluded.controls[0], contender="small-cnn")
    trials = [structs.replace(t, controls=comparison.results.trials[0].controls) for t in comparison.results.trials]
    both = structs.replace(concluded, controls=[*concluded.controls, other])
    figure = gains.accuracies(structs.replace(comparison.results, trials=trials, comparison=both))
    figure.draw_without_rendering()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["dense-snn, 6 steps", "small-cnn, 6 steps"]


def test_the_page_has_every_control_from_the_results_alone(comparison):
    page = report(comparison).read_text()
    for name in ("relu_twin (3 bits)", "one_step", "shuffled", "of &lt;somebody&gt;&#39;s"):
        assert f"the {name}" in page
    assert page.count("of a &lt;reason&gt;") == 2  # in the sentences and in the table
    assert "−2.00 to +0.10" in page
    assert (comparison.out / "figures" / "controls.png").is_file()


def test_what_too_few_seeds_hold_back_is_said(comparison):
    first, *others = comparison.results.comparison.controls[0].rows
    found = structs.replace(first.found, conclusion=Conclusion.INCONCLUSIVE, reservation=Reservation.FEW_SEEDS)
    page = report(with_controls(comparison, rows=[structs.replace(first, found=found), *others])).read_text()
    assert "inconclusive: too few seeds" in page


def test_without_controls_there_is_none(make_run):
    made = make_run()
    report(made)
    assert not (made.out / "figures" / "controls.png").exists()
