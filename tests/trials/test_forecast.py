from dataclasses import replace

import numpy as np
import pytest

from spikeduel.comparing import compare
from spikeduel.results import power
from spikeduel.results.power import SEEDS
from spikeduel.system.errors import InputError
from spikeduel.trials.plan import forecast
from spikeduel.trials.store import Store

pytestmark = pytest.mark.usefixtures("known_data")


@pytest.fixture
def two(small):
    return replace(small, contenders=("dense-snn", "small-cnn"), epochs=2, limit=300, hidden=8)


def test_where_nothing_is_known_a_range_is_assumed_and_steps_are_timed(two):
    found = forecast(two, store="s")
    assert (found.source, found.comparisons, found.trained, found.test_images) == (
        "assumed",
        1,
        0,
        179,
    )
    assert [case.spread for case in found.cases] == list(power.ASSUMED_SPREADS)
    for case in found.cases:
        assert case.variability == power.assumed_variability(case.spread, 179)
        assert case.chances == [power.chance(case.variability, 0.01, seeds) for seeds in SEEDS]
    assert [(each.contender, each.epochs, each.from_store) for each in found.times] == [
        ("dense-snn", 2, False),
        ("small-cnn", 2, False),
    ]
    assert all(each.seed_seconds == 2 * each.epoch_seconds > 0 for each in found.times)
    assert found.seconds(6) == pytest.approx(6 * found.seed_seconds)
    # Nothing was trained or asked.
    assert not Store("s").root.exists()


def test_seeds_in_the_store_say_how_much_accuracy_varies(two, unreported):
    results = compare(replace(two, seeds=3), "run", "s").results
    (pair,) = results.comparison.pairs
    found = forecast(two, store="s")
    (case,) = found.cases
    assert (found.source, found.trained, case.a, case.b) == ("store", 3, "dense-snn", "small-cnn")
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
    times = {each.contender: each for each in found.times}
    seconds = [second for trial in results.of("small-cnn") for second in trial.epoch_seconds]
    assert times["small-cnn"].from_store
    assert times["small-cnn"].epoch_seconds == pytest.approx(np.median(seconds))
    assert (found.seconds(3), found.seconds(5)) == (0, pytest.approx(2 * found.seed_seconds))

    other = replace(two, learning_rate=1e-3)
    assert forecast(other, store="s").source == "assumed"


def test_what_makes_no_sense_is_refused(two):
    for lead, spread in ((0.0, None), (1.0, None), (0.01, -0.1)):
        with pytest.raises(InputError, match="must lie between"):
            forecast(two, lead, spread, store="s")
    with pytest.raises(InputError, match="two contenders"):
        forecast(replace(two, contenders=("small-cnn",)), store="s")
