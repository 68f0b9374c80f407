from dataclasses import replace

import numpy as np
import pytest

from spikeduel.comparing import compare
from spikeduel.features.planning.forecasting import SEEDS, forecast
from spikeduel.statistics import ASSUMED_DEVIATIONS, assumed_variability, detection_power
from spikeduel.system.errors import InputError
from spikeduel.training.store import Store

pytestmark = pytest.mark.usefixtures("known_data")


@pytest.fixture
def two(small):
    return replace(small, contenders=("dense-snn", "small-cnn"), epochs=2, limit=300, hidden=8)


def test_where_nothing_is_known_a_range_is_assumed_and_steps_are_timed(two):
    outlook = forecast(two, store="s")
    about = (outlook.source, outlook.comparisons, outlook.trained, outlook.test_images)
    assert about == ("assumed", 1, 0, 179)
    assert [case.deviation for case in outlook.cases] == list(ASSUMED_DEVIATIONS)
    for case in outlook.cases:
        assert case.variability == assumed_variability(case.deviation, 179)
        assert case.probabilities == [
            detection_power(case.variability, 0.01, seeds) for seeds in SEEDS
        ]
    times = [(time.contender, time.epochs, time.from_store) for time in outlook.times]
    assert times == [("dense-snn", 2, False), ("small-cnn", 2, False)]
    assert all(time.seed_seconds == 2 * time.epoch_seconds > 0 for time in outlook.times)
    assert outlook.seconds(6) == pytest.approx(6 * outlook.seed_seconds)
    # Nothing was trained.
    assert not Store("s").root.exists()


def test_seeds_in_the_store_say_how_much_accuracy_varies(two, unreported):
    results = compare(replace(two, seeds=3), "run", "s").results
    (pair,) = results.comparison.pairs
    outlook = forecast(two, store="s")
    (case,) = outlook.cases
    assert (outlook.source, outlook.trained) == ("store", 3)
    assert (case.a, case.b) == ("dense-snn", "small-cnn")
    assert case.variability == pair.power.variability
    for name, variability in (
        ("dense-snn", case.variability.seeds_a),
        ("small-cnn", case.variability.seeds_b),
    ):
        # No less than what seeds and images together leave unexplained.
        assert variability in (
            pytest.approx(np.std([t.test.accuracy for t in results.of(name)], ddof=1)),
            case.variability.seeds_b,
        )
    (time,) = (time for time in outlook.times if time.contender == "small-cnn")
    seconds = [second for trial in results.of("small-cnn") for second in trial.epoch_seconds]
    assert time.from_store
    assert time.epoch_seconds == pytest.approx(np.mean(seconds))
    assert (outlook.seconds(3), outlook.seconds(5)) == (
        0,
        pytest.approx(2 * outlook.seed_seconds),
    )

    other = replace(two, learning_rate=1e-3)
    assert forecast(other, store="s").source == "assumed"


def test_impossible_differences_and_single_contenders_are_refused(two):
    for difference, deviation in ((0.0, None), (1.0, None), (0.01, -0.1)):
        with pytest.raises(InputError, match="must lie between"):
            forecast(two, difference, deviation, store="s")
    with pytest.raises(InputError, match="two contenders"):
        forecast(replace(two, contenders=("small-cnn",)), store="s")
