import statistics
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from msgspec import structs

from made_pages import told
from made_results import failed, make_pair, with_trials
from made_trials import results as results_of
from made_trials import trial
from spikeduel.reporting import (
    confusion_matrix,
    figures,
    learning,
    learning_curves,
    report,
    samples,
    style,
)
from spikeduel.results.controlled import ControlledContender, ControlRow
from spikeduel.results.optimism import curve
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.trials import ControlResult, Epoch
from spikeduel.settings.recipes import baseline


@pytest.mark.parametrize(
    ("num_classes", "shape"), [(2, (1, 8, 8)), (10, (3, 9, 7)), (50, (1, 28, 28))]
)
def test_samples_show_each_class_before_and_after(make_prepared, num_classes, shape):
    prepared = make_prepared(num_classes, shape)

    figure = samples(prepared)

    pictures = [axes for axes in figure.axes if axes.images]
    shown = min(num_classes, figures.MOST_SAMPLES)
    assert len(pictures) == 2 * shown
    assert [axes.get_title() for axes in pictures[:shown]] == [f"class {k}" for k in range(shown)]
    after = np.asarray(pictures[shown + 1].images[0].get_array())
    np.testing.assert_array_equal(after, style.as_picture(prepared.images[1]))
    figure.draw_without_rendering()


def test_without_originals_the_prepared_images_are_shown(make_prepared):
    figure = samples(make_prepared(3, samples=False))

    assert len([axes for axes in figure.axes if axes.images]) == 3


def test_learning_curves_show_every_history(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=1))

    panels = learning_curves(results).axes

    drawn = {(line.get_color(), line.get_linestyle()): line.get_ydata() for line in panels[1].lines}
    assert len(drawn) == 4
    solid = drawn[style.SPIKING_COLOURS[0], "-"]
    assert list(solid) == [epoch.val_accuracy for epoch in results.trials[0].history]
    assert list(panels[0].lines[0].get_xdata()) == [1, 2, 3, 4, 5]


def test_several_seeds_are_thin_lines_and_their_mean(make_prepared, make_results):
    made = make_results(make_prepared(), baseline(seeds=3))
    results = with_trials(made, history=lambda t: t.history[: 4 if t is made.trials[0] else None])

    lines = [
        line
        for line in learning_curves(results).axes[1].lines
        if line.get_color() == style.SPIKING_COLOURS[0] and line.get_linestyle() == "-"
    ]

    assert sorted(len(line.get_ydata()) for line in lines) == [4, 4, 5, 5]
    (mean,) = [line for line in lines if line.get_linewidth() == 2.0]
    third = [trial.history[2].val_accuracy for trial in results.of("dense-snn")]
    assert mean.get_ydata()[2] == pytest.approx(np.mean(third))


def test_a_failed_trial_is_no_part_of_the_mean(make_prepared, make_results):
    made = make_results(make_prepared(), baseline(seeds=2))
    first, second, *others = made.trials
    broken = structs.replace(failed(first), history=[Epoch(val_loss=9.0, val_accuracy=0.1)])
    results = structs.replace(made, trials=[broken, failed(second), *others])

    figure = learning_curves(results)
    figure.draw_without_rendering()

    (mean,) = [
        line
        for line in figure.axes[1].lines
        if line.get_linewidth() == 2.0
        and line.get_color() == style.SPIKING_COLOURS[0]
        and line.get_linestyle() == "-"
    ]
    assert list(mean.get_ydata()) == [epoch.val_accuracy for epoch in results.trials[2].history]


def course(*accuracies):
    return [Epoch(val_loss=1.0, val_accuracy=accuracy) for accuracy in accuracies]


def test_a_line_of_accuracy_over_time_begins_where_its_own_twin_ended():
    trials = [
        trial("cnn", 0.5, fold=0, seconds=[60, 60], history=course(0.2, 0.3)),
        trial("snn", 0.5, fold=0, seconds=[30], history=course(0.4), starts_from="cnn"),
        trial("cnn", 0.5, fold=1, seconds=[120], history=course(0.6)),
        trial("snn", 0.5, fold=1, seconds=[60, 60], history=course(0.7, 0.8), starts_from="cnn"),
        # Its twin failed.
        trial("snn", seed=1, starts_from="cnn"),
    ]

    axes = learning.accuracy_over_time(results_of(trials)).axes[0]

    drawn = {"-": [], "--": []}
    for line in axes.lines:
        kind = "-" if line.get_linestyle() == "-" else "--"
        drawn[kind].append((list(line.get_xdata()), list(line.get_ydata())))
    assert ([1, 2], [0.2, 0.3]) in drawn["-"]
    assert ([2.5], [0.4]) in drawn["-"]
    assert ([3, 4], [0.7, 0.8]) in drawn["-"]
    assert drawn["--"] == [([2, 2.5], [0.3, 0.4]), ([2, 3], [0.6, 0.7])]


@pytest.mark.parametrize("num_classes", [2, 10, 20])
def test_the_counts_stand_in_their_cells(num_classes, random):
    counts = random.integers(0, 3, (num_classes, num_classes)) * 1000

    axes = confusion_matrix(
        counts, [f"a class with a long name, {k}" for k in range(num_classes)]
    ).axes[0]

    written = {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in axes.texts
    }
    assert written == {
        tuple(cell): str(counts[tuple(cell)]) for cell in np.argwhere(counts).tolist()
    }
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares.sum(1), (counts.sum(1) > 0).astype(float))


@pytest.mark.parametrize("num_classes", [50, 150])
def test_many_classes_are_colours_only(num_classes):
    figure = confusion_matrix(np.eye(num_classes, dtype=int), [f"c{k}" for k in range(num_classes)])
    figure.draw_without_rendering()

    axes = figure.axes[0]
    assert not axes.texts
    assert 20 <= len(axes.get_yticks()) <= figures.MOST_NAMED_CLASSES
    height = axes.get_window_extent().height / figure.dpi * 72
    assert axes.get_yticklabels()[0].get_fontsize() < height / len(axes.get_yticks())


def of_pair(difference, half, conclusion, **changes):
    return structs.replace(
        make_pair("dense-snn", "small-cnn"),
        difference=difference,
        ci95=(difference - half, difference + half),
        ci90=(difference - 0.8 * half, difference + 0.8 * half),
        conclusion=Conclusion(conclusion),
        **changes,
    )


PAIRS = [
    of_pair(0.02, 0.01, "a_better"),
    of_pair(-0.001, 0.003, "equivalent"),
    of_pair(0.002, 0.02, "inconclusive"),
    of_pair(-0.002, 0.001, "b_better", negligible=True),
]


def test_a_row_a_pair_with_both_intervals_and_the_dot():
    figure = figures.forest(PAIRS)
    figure.draw_without_rendering()

    axes = figure.axes[0]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines[1:]]
    for row, one in enumerate(PAIRS):
        wide, narrow, dot = drawn[3 * row : 3 * row + 3]
        assert wide == (pytest.approx([100 * x for x in one.ci95]), [row, row])
        assert narrow == (pytest.approx([100 * x for x in one.ci90]), [row, row])
        assert dot == (pytest.approx([100 * one.difference]), [row])
    assert [text.get_text() for text in axes.texts] == [
        "dense-snn better",
        "equivalent",
        "inconclusive",
        "small-cnn better (within the margin)",
    ]
    assert axes.get_yticklabels()[0].get_text() == "dense-snn − small-cnn"


def test_too_few_seeds_are_said_beside_an_interval_that_excludes_0():
    few = (Reservation.FEW_SEEDS, Reservation.FEW_GROUPS)
    axes = figures.forest(
        [of_pair(0.1, 0.01, "inconclusive", reservation=reason) for reason in few]
    ).axes[0]
    assert [text.get_text() for text in axes.texts] == ["too few seeds", "too few groups"]


def test_the_margin_is_shaded_and_nothing_is_cut_off():
    axes = figures.forest(PAIRS).axes[0]

    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-0.5, 0.5))
    low, high = axes.get_xlim()
    assert low < -1.8 - 0.01
    assert high > 3.0


def test_the_margin_is_in_sight_where_intervals_are_short():
    assert figures.forest([of_pair(0.0, 0.0001, "equivalent")]).axes[0].get_xlim()[1] > 0.5


def test_an_arrow_says_where_an_interval_goes_on():
    row = figures.Interval("a", 0.1, (-0.1, 0.9), (0.0, 0.3), "open", "k", {})
    assert [arrows(figures.intervals([row], 0.005, reach=reach)) for reach in (0.3, 1.0)] == [
        [">"],
        [],
    ]


def arrows(figure):
    return [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in ("<", ">")]


def test_dollars_are_no_formulas():
    figure = figures.forest([of_pair(0.01, 0.02, "a_better", a="my_code:$x^2$")])
    figure.draw_without_rendering()
    assert figure.axes[0].texts[0].get_text() == r"my_code:\$x^2\$ better"
    assert figure.get_size_inches()[0] == style.DESKTOP.width


MEASURED = {"relu_twin": 0.9, "shuffled": 0.6, "of <somebody>'s": 0.45}
SPIKES = {"relu_twin": False, "one_step": True, "shuffled": True, "of <somebody>'s": False}


def row(name):
    described = {
        "control": name,
        "title": f"the {name}",
        "meaning": f"what {name} is",
        "spikes": SPIKES[name],
    }
    if name not in MEASURED:
        return ControlRow(**described, reason="of a <reason>")
    pair = structs.asdict(make_pair("dense-snn", name, seeds=2))
    found = Difference(**{field: pair[field] for field in Difference.__struct_fields__})
    return ControlRow(
        **described, accuracy=MEASURED[name], bits=3 if name == "relu_twin" else None, found=found
    )


def with_controls(comparison, **changes):
    """The comparison, its spiking trials with `MEASURED`."""
    trials = [
        structs.replace(
            trial,
            controls={
                name: ControlResult(
                    title=name, meaning="", spikes=SPIKES[name], n=20, accuracy=accuracy
                )
                for name, accuracy in MEASURED.items()
            },
        )
        if trial.spiking
        else trial
        for trial in comparison.results.trials
    ]
    controlled = ControlledContender(
        contender="dense-snn",
        num_steps=6,
        seeds=2,
        accuracy=0.675,
        rows=[row(name) for name in SPIKES],
    )
    concluded = structs.replace(
        comparison.results.comparison, controls=[structs.replace(controlled, **changes)]
    )
    return replace(
        comparison, results=structs.replace(comparison.results, trials=trials, comparison=concluded)
    )


@pytest.fixture
def comparison(make_run):
    return with_controls(make_run(seeds=2))


def test_the_figure_has_a_stroke_for_each_that_was_measured_warm_where_it_spikes(comparison):
    figure = figures.controls(comparison.results)
    figure.draw_without_rendering()
    (axes,) = [axes for axes in figure.axes if axes.get_visible()]
    strokes = [part for part in axes.collections if type(part).__name__ == "LineCollection"]
    drawn = {
        round(float(stroke.get_segments()[0][0][0]), 6): to_hex(stroke.get_color()[0]).upper()
        for stroke in strokes
    }
    own = [trial.test.accuracy for trial in comparison.results.of("dense-snn")]
    warm, cool = style.SPIKING_COLOURS[0], style.OTHER_COLOURS[0]
    assert drawn == {round(100 * statistics.fmean(own), 6): warm, 90: cool, 60: warm, 45: cool}
    assert [text.get_text() for text in axes.texts] == ["not measured"]
    assert len(axes.get_yticks()) == 1 + len(SPIKES)


def test_several_contenders_stand_side_by_side(comparison):
    concluded = comparison.results.comparison
    other = structs.replace(concluded.controls[0], contender="small-cnn")
    trials = [
        structs.replace(t, controls=comparison.results.trials[0].controls)
        for t in comparison.results.trials
    ]
    both = structs.replace(concluded, controls=[*concluded.controls, other])
    figure = figures.controls(structs.replace(comparison.results, trials=trials, comparison=both))
    figure.draw_without_rendering()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "dense-snn, 6 steps",
        "small-cnn, 6 steps",
    ]


def test_the_page_has_every_control_from_the_results_alone(comparison, unpainted):
    page = report(comparison).read_text()
    for name in ("relu_twin (3 bits)", "one_step", "shuffled", "of &lt;somebody&gt;&#39;s"):
        assert f"the {name}" in page
    assert page.count("of a &lt;reason&gt;") == 2  # in the sentences and in the table
    assert "−2.00 to +0.10" in page
    assert (comparison.out / "figures" / "controls.png").is_file()


def test_what_too_few_seeds_hold_back_is_said(comparison, unpainted):
    first, *others = comparison.results.comparison.controls[0].rows
    found = structs.replace(
        first.found, conclusion=Conclusion.INCONCLUSIVE, reservation=Reservation.FEW_SEEDS
    )
    page = report(
        with_controls(comparison, rows=[structs.replace(first, found=found), *others])
    ).read_text()
    assert f"takes {found.fewest_seeds} seeds" in page


def test_without_controls_there_is_none(make_run, unpainted):
    made = make_run()
    report(made)
    assert not (made.out / "figures" / "controls.png").exists()


def test_the_optimism_meter_marks_the_chosen_and_the_best_epoch_of_every_training(
    make_prepared, make_results
):
    curves = iter([curve([10, 30, 20, 25, 28], 100, 3), curve([50, 60, 70, 80, 90], 100, 4)])
    made = make_results(make_prepared(), baseline(seeds=1))
    results = with_trials(made, optimism=lambda trial: next(curves))

    left, right = learning.optimism(results).axes

    assert [left.get_title(loc="left"), right.get_title(loc="left")] == ["dense-snn", "small-cnn"]
    chosen, best = (points.get_offsets().tolist() for points in left.collections)
    assert (chosen, best) == ([[4, 0.25]], [[2, 0.30]])
    assert list(left.lines[0].get_ydata()) == [0.1, 0.3, 0.2, 0.25, 0.28]
    chosen, best = (points.get_offsets().tolist() for points in right.collections)
    assert chosen == best == [[5, 0.9]]


def test_the_forest_tells_every_difference_with_its_intervals():
    rows = told(figures.forest(PAIRS))

    assert rows[0] == {"margin of equivalence, points": 0.5}
    # Both intervals and the dot of a pair say the same.
    for place, one in enumerate(PAIRS):
        row, *same = rows[1 + 3 * place : 4 + 3 * place]
        assert same == [row, row]
        assert row["difference, points"] == pytest.approx(100 * one.difference)
        bounds = [
            row[f"{level} % interval {end}, points"] for level in (95, 90) for end in ("from", "to")
        ]
        assert bounds == pytest.approx([100 * bound for bound in (*one.ci95, *one.ci90)])
        assert (row["pair"], row["p"]) == (f"{one.a} − {one.b}", one.p_value)


def test_on_a_phone_the_words_of_a_pair_stand_in_its_row():
    with style.drawn_for(style.PHONE):
        figure = figures.forest(PAIRS)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert figure.get_figwidth() == style.PHONE.width
    assert [text.get_text().split(":\n")[1] for text in axes.texts] == [
        "dense-snn better",
        "equivalent",
        "inconclusive",
        "small-cnn better (within the margin)",
    ]
    assert all(text.get_window_extent().x1 < figure.bbox.x1 for text in axes.texts)


def test_every_training_tells_its_epochs_in_both_panels(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=2))

    rows = told(learning_curves(results))

    expected = [
        {
            "contender": t.contender,
            "seed": t.seed,
            "images": images,
            "epoch": number + 1,
            "loss": getattr(epoch, f"{part}_loss"),
            "accuracy, %": 100 * getattr(epoch, f"{part}_accuracy"),
        }
        for t in results.trials
        for part, images in (("train", "training"), ("val", "validation"))
        for number, epoch in enumerate(t.history)
    ]
    assert len(rows) == 2 * len(expected)
    for one in expected:
        numbers = {
            name: value if isinstance(value, str) else pytest.approx(value, rel=1e-5)
            for name, value in one.items()
        }
        assert rows.count(numbers) == 2
    over_time = told(learning.accuracy_over_time(results))
    assert [row["training, min"] for row in over_time[:5]] == pytest.approx(
        np.cumsum([2, 1, 1, 1, 1.5]) / 60, rel=1e-5
    )


def test_controls_and_the_optimism_meter_tell_every_training(
    comparison, make_prepared, make_results
):
    rows = told(figures.controls(comparison.results))
    assert [(row["control"], row["seed"]) for row in rows[2:4]] == [
        ("the relu_twin", 0),
        ("the relu_twin", 1),
    ]
    assert [row["test accuracy, %"] for row in rows[2:]] == [
        100 * MEASURED[name] for name in MEASURED for _ in (0, 1)
    ]
    results = with_trials(
        make_results(make_prepared(), baseline(seeds=1)),
        optimism=curve([10, 30, 20, 25, 28], 100, 3),
    )
    rows = told(learning.optimism(results))
    assert [row["test accuracy, %"] for row in rows] == 2 * [10, 30, 20, 25, 28]
    assert [row["epoch"] for row in rows if row["chosen"]] == [4, 4]
