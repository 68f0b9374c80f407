import numpy as np
import pytest
import torch

from made_results import with_trials
from spikeduel.measuring.robustness import CORRUPTIONS, corrupt, summary
from spikeduel.reporting import conditions, style
from spikeduel.results.trials import CorruptedAccuracies
from spikeduel.settings.recipes import baseline


def robustness(clean, last, altered=()):
    """Accuracies that fall evenly from `clean` to `last`; under noise, to 0."""
    ends = {name: 0.0 if name == "noise" else last for name in CORRUPTIONS}
    measured = {
        f"robustness-{name}": CorruptedAccuracies(n=20, accuracies=np.linspace(clean, end, 6)[1:].tolist())
        for name, end in ends.items()
    }
    measured |= {f"robustness-{name}": CorruptedAccuracies(n=7, accuracies=[0.25]) for name in altered}
    return summary(clean, measured)


def of_trials(results, *found):
    """`results` with the robustness of each trial, in their order."""
    values = iter(found)
    return with_trials(results, robustness=lambda _: next(values))


@pytest.fixture
def results(make_prepared, make_results):
    """One seed each; the CNN is better on clean images and worse on corrupted ones, but under noise."""
    return of_trials(make_results(make_prepared(), baseline()), robustness(0.8, 0.6), robustness(0.9, 0.3))


def test_curves_start_at_the_clean_accuracy(results):
    figure = conditions.curves(results)
    figure.draw_without_rendering()
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == [*CORRUPTIONS, "mean of all"]
    snn, cnn, chance = panels["noise"].lines
    assert snn.get_color() == style.SPIKING_COLOURS[0]
    np.testing.assert_allclose(snn.get_ydata(), [0.8, 0.64, 0.48, 0.32, 0.16, 0])
    np.testing.assert_allclose(cnn.get_ydata()[:2], [0.9, 0.72])
    # Of 20 test images, 7 are of the most frequent class.
    assert list(chance.get_ydata()) == [0.35, 0.35]
    np.testing.assert_allclose(panels["mean of all"].lines[0].get_ydata()[-1], 0.6 * 6 / 7)


def test_seeds_make_a_band(make_prepared, make_results):
    measured = [robustness(0.8, last) for last in (0.6, 0.3, 0.4, 0.5)]
    results = of_trials(make_results(make_prepared(), baseline(seeds=2)), *measured)
    axes = conditions.curves(results).axes[1]
    band = axes.collections[0].get_paths()[0].vertices
    at_five = band[band[:, 0] == 5][:, 1]
    deviation = np.std([0.6, 0.4], ddof=1)
    assert (at_five.min(), at_five.max()) == (pytest.approx(0.5 - deviation), pytest.approx(0.5 + deviation))


def test_the_strip_shows_what_the_measure_drew(make_prepared):
    prepared = make_prepared(shape=(3, 12, 10))
    image = np.asarray(prepared.images[4])
    figure = conditions.strip(image, 4)
    figure.draw_without_rendering()
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(pictures) == 7 * 6
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:6] == ["clean", *(f"severity {severity}" for severity in range(1, 6))]
    assert set(titles[6:]) == {""}
    assert [axes.get_ylabel() for axes in figure.axes[::6]] == list(CORRUPTIONS)
    expected = corrupt("translation", torch.from_numpy(image.copy())[None], 5, np.array([4]))[0]
    row = list(CORRUPTIONS).index("translation")
    np.testing.assert_array_equal(pictures[6 * row + 5], np.moveaxis(expected.numpy(), 0, -1))
    np.testing.assert_array_equal(pictures[6 * row], np.moveaxis(image, 0, -1))


def test_the_section(results, make_prepared, tmp_path):
    results = of_trials(results, robustness(0.8, 0.6, ("altered-medium",)), robustness(0.9, 0.3))
    section = conditions.section(results, make_prepared(), np.arange(40, 60), tmp_path)
    assert section.curves.path.is_file()
    assert section.strip.path.is_file()
    assert section.measured == ["dense-snn", "small-cnn"]
    cells = {title: [cell and cell.mean for cell in cells] for title, cells in section.rows}
    assert list(cells) == ["clean images", *CORRUPTIONS, "altered-medium", "mean of seven", "mean / clean"]
    assert cells["clean images"] == ["80.0", "90.0"]
    assert cells["noise"] == ["32.0", "36.0"]
    assert cells["altered-medium"] == ["25.0", None]
    assert cells["mean of seven"] == ["62.9", "51.4"]
    assert cells["mean / clean"] == ["78.6", "57.1"]
    assert section.altered == ["altered-medium (7 images)"]
    assert conditions.section(results, None, None, tmp_path).strip is None


def test_where_nobody_asked_there_is_no_section(make_prepared, make_results, tmp_path):
    results = make_results(make_prepared(), baseline())
    assert conditions.section(results, None, None, tmp_path) is None
