import numpy as np
import pytest
import torch
from msgspec import structs

from factories import run_results, with_trials
from made_pages import pixels, places
from spikeduel.evaluation.corruptions import CORRUPTIONS, corrupt
from spikeduel.experiment.recipes import baseline
from spikeduel.features.robustness import robustness_section
from spikeduel.features.robustness.robustness_conclusion import CorruptedAccuracies, conclude
from spikeduel.features.robustness.robustness_section import chart
from spikeduel.reporting import charts
from spikeduel.system import typed


def robustness(clean, last):
    """Accuracies that fall evenly from `clean` to `last`; under noise, to 0."""
    ends = {name: 0.0 if name == "noise" else last for name in CORRUPTIONS}
    measured = {
        f"robustness-{name}": CorruptedAccuracies(
            n=20, accuracies=np.linspace(clean, end, 6)[1:].tolist()
        )
        for name, end in ends.items()
    }
    return {name: typed.plain(value) for name, value in measured.items()}


def of_trials(results, *measured):
    """`results` with clean accuracy and robustness of each trial, in their order."""
    tests, values = iter(measured), iter(measured)
    results = with_trials(
        results,
        test=lambda trial: structs.replace(trial.test, accuracy=next(tests)[0]),
        measured=lambda _: next(values)[1],
    )
    return structs.replace(results, features={"robustness": conclude(results, None)})


@pytest.fixture
def corrupted(make_prepared):
    """Two contenders; the CNN is better on clean images and worse on corrupted ones, but under
    noise.
    """
    return of_trials(
        run_results(make_prepared(), baseline()),
        (0.8, robustness(0.8, 0.6)),
        (0.9, robustness(0.9, 0.3)),
    )


def test_curves_start_at_the_clean_accuracy(corrupted):
    panels = {
        panel.title: panel for panel in chart(corrupted, corrupted.features["robustness"]).panels
    }
    assert list(panels) == [*CORRUPTIONS, "mean of all"]
    snn, cnn = panels["noise"].marks
    assert snn.look.colour == charts.SPIKING_COLOURS[0]
    assert places(panels["noise"], snn)[1] == pytest.approx([80, 64, 48, 32, 16, 0])
    assert places(panels["noise"], cnn)[1][:2] == pytest.approx([90, 72])
    # Of 20 test images, 7 are of the most frequent class.
    assert [rule.at for rule in panels["noise"].rules] == [35]
    mean = panels["mean of all"]
    assert places(mean, mean.marks[0])[1][-1] == pytest.approx(60 * 6 / 7)


def test_seeds_make_a_band(make_prepared):
    measured = [(0.8, robustness(0.8, last)) for last in (0.6, 0.3, 0.4, 0.5)]
    results = of_trials(run_results(make_prepared(), baseline(seeds=2)), *measured)
    band = chart(results, results.features["robustness"]).panels[1].marks[1]
    deviation = 100 * np.std([0.6, 0.4], ddof=1)
    last = band.rows[-1]
    assert (last["low"], last["high"]) == pytest.approx((50 - deviation, 50 + deviation))


def test_corruptions_are_those_that_the_measure_drew(make_prepared):
    image = np.asarray(make_prepared(shape=(3, 12, 10)).images[4])
    shown = robustness_section._pictures(image, 4)
    assert list(shown) == list(CORRUPTIONS)
    assert {len(sources) for sources in shown.values()} == {6}
    expected = corrupt("translation", torch.from_numpy(image.copy())[None], 5, np.array([4]))[0]
    drawn = shown["translation"]
    np.testing.assert_array_equal(pixels(drawn[5]), np.moveaxis(expected.numpy(), 0, -1))
    np.testing.assert_array_equal(pixels(drawn[0]), np.moveaxis(image, 0, -1))
