import pytest

from factories import predictions_file
from spikeduel.analysis.predicted import Predictions

#          row: 0  1  2  3  4  5
TRUTH = [0, 0, 1, 1, 2, 2]
PREDICTED = {
    ("snn", 0): [0, 1, 1, 0, 2, 0],
    ("snn", 1): [0, 1, 1, 1, 2, 1],
    ("cnn", 0): [0, 0, 2, 0, 2, 0],
    ("cnn", 1): [0, 1, 2, 0, 2, 2],
}


@pytest.fixture
def predictions():
    return Predictions(predictions_file(TRUTH, PREDICTED))


def test_rows_of_a_disagreement_are_of_one_seed_each(predictions):
    # Row 2 twice, row 3 in seed 1 alone.
    only_snn = [2, 3]
    # Row 1 in seed 0, row 5 in seed 1, both wrong three times over all.
    only_cnn = [1, 5]
    # Row 1 in seed 1, row 3 in seed 0, row 5 in seed 0.
    neither = [1, 3, 5]
    for a, b, only_a, only_b in (
        ("snn", "cnn", only_snn, only_cnn),
        ("cnn", "snn", only_cnn, only_snn),
    ):
        rows = predictions.between(a, b)
        assert rows == {"only_a": only_a, "only_b": only_b, "neither": neither}
