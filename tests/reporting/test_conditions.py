import numpy as np
import pytest
import torch

from spikeduel.measuring.corruptions import CORRUPTIONS, corrupt
from spikeduel.measuring.robustness import summary
from spikeduel.reporting import conditions, style
from spikeduel.settings.recipes import baseline


def robustness(clean, last, altered=()):
    """Accuracies that fall evenly from `clean` to `last`; under noise, to 0."""
    ends = {name: 0.0 if name == "noise" else last for name in CORRUPTIONS}
    measured = {
        f"robustness-{name}": {"n": 20, "accuracies": np.linspace(clean, end, 6)[1:].tolist()}
        for name, end in ends.items()
    }
    measured |= {f"robustness-{name}": {"n": 7, "accuracies": [0.25]} for name in altered}
    return summary(clean, measured)


@pytest.fixture
def results(make_prepared, make_results):
    """One seed each; the CNN is better as it is and worse when spoilt, but under noise."""
    made = make_results(make_prepared(), baseline())
    made["trials"][0]["robustness"] = robustness(0.8, 0.6)
    made["trials"][1]["robustness"] = robustness(0.9, 0.3)
    return made


def test_words_by_hand(results):
    # Means over severities: 0.68 and 0.54; under noise 0.32 and 0.36. Six of the former and one of the latter.
    assert conditions.words(results) == (
        "Over seven corruptions at five severities, dense-snn is right on 62.9% (80.0% on the images as they are) and "
        "small-cnn is right on 51.4% (90.0% on the images as they are) of the test images on average. What costs most "
        "is noise for dense-snn (32.0%) and noise for small-cnn (36.0%). The highest observed mean: small-cnn under "
        "noise; dense-snn under blur, contrast, occlusion, rotation, translation and jpeg (not tested for "
        "significance). One seed each: other trainings of the same "
        "networks can differ."
    )


def test_leads_within_the_spread_over_seeds_are_left_out(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=2))
    # Two seeds of each, by turns. The SNN's and the CNN's means at the end: 0.5 and 0.5, alike under noise.
    for trial, last in zip(results["trials"], (0.6, 0.45, 0.4, 0.5), strict=True):
        trial["robustness"] = robustness(0.8, last)
    said = conditions.words(results)
    assert "Under no corruption is one's observed mean ahead by more than the spread over trainings." in said
    for trial, last in zip(results["trials"], (0.6, 0.3, 0.6, 0.3), strict=True):
        trial["robustness"] = robustness(0.8, last)
    said = conditions.words(results)
    assert "by more than the spread over trainings: dense-snn under blur, contrast" in said
    assert "Under noise the first two are no farther apart than that." in said


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
    results = make_results(make_prepared(), baseline(seeds=2))
    for trial, last in zip(results["trials"], (0.6, 0.3, 0.4, 0.5), strict=True):
        trial["robustness"] = robustness(0.8, last)
    axes = conditions.curves(results).axes[1]
    band = axes.collections[0].get_paths()[0].vertices
    at_five = band[band[:, 0] == 5][:, 1]
    deviation = np.std([0.6, 0.4], ddof=1)
    assert (at_five.min(), at_five.max()) == (pytest.approx(0.5 - deviation), pytest.approx(0.5 + deviation))
    assert "One seed" not in conditions.words(results)


def test_the_strip_shows_what_the_measure_drew(make_prepared):
    prepared = make_prepared(shape=(3, 12, 10))
    image = np.asarray(prepared.images[4])
    figure = conditions.strip(image, 4)
    figure.draw_without_rendering()
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(pictures) == 7 * 6
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:6] == ["as it is", *(f"severity {severity}" for severity in range(1, 6))]
    assert set(titles[6:]) == {""}
    assert [axes.get_ylabel() for axes in figure.axes[::6]] == list(CORRUPTIONS)
    expected = corrupt("translation", torch.from_numpy(image.copy())[None], 5, np.array([4]))[0]
    row = list(CORRUPTIONS).index("translation")
    np.testing.assert_array_equal(pictures[6 * row + 5], np.moveaxis(expected.numpy(), 0, -1))
    np.testing.assert_array_equal(pictures[6 * row], np.moveaxis(image, 0, -1))


def test_the_section(results, make_prepared, tmp_path):
    results["trials"][0]["robustness"] = robustness(0.8, 0.6, ("altered-medium",))
    section = conditions.section(results, make_prepared(), np.arange(40, 60), tmp_path)
    assert section["curves"].path.is_file()
    assert section["strip"].path.is_file()
    assert [contender["name"] for contender in section["contenders"]] == ["dense-snn", "small-cnn"]
    cells = {row["term"]: row["cells"] for row in section["rows"]}
    assert list(cells)[1:9] == [*CORRUPTIONS, "altered-medium"]
    assert cells["the images as they are"] == ["80.0", "90.0"]
    assert cells["noise"] == ["32.0", "36.0"]
    assert cells["altered-medium"] == ["25.0", ""]
    assert cells["mean of the seven"] == ["62.9", "51.4"]
    assert cells["that, of the accuracy on the images as they are"] == ["78.6", "57.1"]
    assert section["altered"] == ["altered-medium (7 images)"]
    assert conditions.section(results, None, None, tmp_path)["strip"] is None


def test_where_nobody_asked_there_is_no_section(make_prepared, make_results, tmp_path):
    results = make_results(make_prepared(), baseline())
    assert conditions.section(results, None, None, tmp_path) is None
    assert conditions.words(results) is None
