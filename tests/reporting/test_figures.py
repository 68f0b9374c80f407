import numpy as np
import pytest

from spikeduel.reporting import confusion_matrix, figures, learning_curves, samples, style
from spikeduel.settings.recipes import baseline


@pytest.mark.parametrize(("num_classes", "shape"), [(2, (1, 8, 8)), (10, (3, 9, 7)), (50, (1, 28, 28))])
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
    history = results["trials"][0]["history"]
    solid = drawn[style.SPIKING_COLOURS[0], "-"]
    assert list(solid) == [epoch["val_accuracy"] for epoch in history]
    assert list(panels[0].lines[0].get_xdata()) == [1, 2, 3, 4, 5]


def test_several_seeds_are_thin_lines_and_their_mean(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=3))
    results["trials"][0]["history"] = results["trials"][0]["history"][:4]

    lines = [
        line
        for line in learning_curves(results).axes[1].lines
        if line.get_color() == style.SPIKING_COLOURS[0] and line.get_linestyle() == "-"
    ]

    assert sorted(len(line.get_ydata()) for line in lines) == [4, 4, 5, 5]
    (mean,) = [line for line in lines if line.get_linewidth() == 2.0]
    snn = [trial for trial in results["trials"] if trial["contender"] == "dense-snn"]
    assert mean.get_ydata()[2] == pytest.approx(np.mean([trial["history"][2]["val_accuracy"] for trial in snn]))


def test_a_failed_trial_is_no_part_of_the_mean(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=2))
    results["trials"][0].update(status="failed", best_epoch=None)
    results["trials"][0]["history"] = [dict.fromkeys(results["trials"][0]["history"][0])]
    results["trials"][1]["history"] = []

    figure = learning_curves(results)
    figure.draw_without_rendering()

    (mean,) = [
        line
        for line in figure.axes[1].lines
        if line.get_linewidth() == 2.0 and line.get_color() == style.SPIKING_COLOURS[0] and line.get_linestyle() == "-"
    ]
    assert list(mean.get_ydata()) == [epoch["val_accuracy"] for epoch in results["trials"][2]["history"]]


@pytest.mark.parametrize("num_classes", [2, 10, 20])
def test_the_counts_stand_in_their_cells(num_classes, random):
    counts = random.integers(0, 3, (num_classes, num_classes)) * 1000

    axes = confusion_matrix(counts, [f"a class with a long name, {k}" for k in range(num_classes)]).axes[0]

    written = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert written == {tuple(cell): str(counts[tuple(cell)]) for cell in np.argwhere(counts).tolist()}
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
