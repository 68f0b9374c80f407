import numpy as np
import pytest

from benchmarks.statistics.atlas import (
    Curve,
    Law,
    cells_of,
    churn_of,
    expected_maximum,
    fitted,
    left_out,
    read,
    write,
)

N, EPOCHS, VALIDATION, ERROR = 400, 12, 100, 0.2


def drawn(seed, training=0.02, epochs=EPOCHS, n=N):
    """A curve whose epochs are independent: a level that training moves, and answers of images."""
    random = np.random.default_rng(seed)
    level = 1 - ERROR + training * random.standard_normal((epochs, 1))
    right = random.random((epochs, n)) < level
    validation = (random.random((epochs, VALIDATION)) < level).mean(1)
    return Curve("made up", "a network", seed, right, validation, VALIDATION, 0, 1.0)


def test_the_expected_maximum_is_that_of_draws():
    draws = np.random.default_rng(0).standard_normal((20_000, 12))
    for count in (1, 2, 12):
        assert expected_maximum(count) == pytest.approx(draws[:, :count].max(1).mean(), abs=0.03)


@pytest.mark.parametrize("training", [0.0, 0.02])
@pytest.mark.parametrize("against", ["last", "chosen"])
def test_the_law_is_right_where_epochs_are_independent(against, training):
    curves = [drawn(seed, training) for seed in range(1500)]
    best = np.array([curve.accuracies.max() for curve in curves])
    other = np.array(
        [
            curve.accuracies[-1 if against == "last" else np.argmax(curve.validation)]
            for curve in curves
        ]
    )
    # Answers are independent from epoch to epoch: e (1 − e) / N is the variance by images.
    law = Law(1 - ERROR, training**2 / ERROR, 1.0)
    predicted = law.optimism(
        N, EPOCHS, ERROR, validation=VALIDATION if against == "chosen" else None
    )
    assert predicted == pytest.approx((best - other).mean(), rel=0.06)


def test_half_of_the_images_that_change_is_the_variance_of_the_images():
    right = drawn(0, 0.0, epochs=60).right
    assert churn_of(right) / 2 == pytest.approx(ERROR * (1 - ERROR), rel=0.1)


def test_a_fitted_law_has_the_mean_of_its_cells_and_an_interval_around_it():
    cells = [cell for seed in range(8) for cell in cells_of(drawn(seed))]
    law = fitted(cells, "last")
    seen = np.mean([cell.last for cell in cells])
    predicted = np.mean([law.optimism(cell.n, cell.epochs, cell.error) for cell in cells])
    assert predicted == pytest.approx(seen, rel=0.2)
    assert law.low < 1 < law.high
    assert left_out(cells, "last") == {}


def test_a_curve_is_read_as_it_was_written(tmp_path):
    curve = drawn(3, n=13)
    write(tmp_path / "curve.npz", curve)
    again = read(tmp_path / "curve.npz")
    assert (again.right == curve.right).all()
    assert (again.validation == curve.validation).all()
    assert (again.name, again.num_val, again.seconds) == (curve.name, curve.num_val, curve.seconds)
