import numpy as np
import pytest

from factories import small_experiment
from spikeduel.comparing import compare
from spikeduel.experiment.settings import Experiment
from spikeduel.sentences.comparison import load_run

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(
    encoding="direct",
    limit=300,
    contenders=("dense-snn", "small-cnn"),
    int8=True,
    seeds=2,
)


def test_all_contenders_are_compared_in_int8(tmp_path, unreported):
    results = compare(EXPERIMENT, tmp_path / "out", tmp_path / "store").results
    found = results.features["int8"]
    assert [row.contender for row in found.rows] == results.contenders
    for row in found.rows:
        trials = [trial.variants["int8"] for trial in results.of(row.contender)]
        assert row.accuracy == pytest.approx(np.mean([trial.accuracy for trial in trials]))
        floats = np.mean([trial.test.accuracy for trial in results.of(row.contender)])
        assert row.lost.difference == pytest.approx(floats - row.accuracy)
        assert abs(row.lost.difference) < 0.1
        costs = [trial.int8 for trial in trials]
        assert row.operations == pytest.approx(np.mean([cost.operations for cost in costs]))
        assert row.flash > results.of(row.contender)[0].parameters
    (pair,) = found.pairs
    assert {pair.a, pair.b} == set(results.contenders)
    assert pair.difference == pytest.approx(pair.accuracy_a - pair.accuracy_b)
    assert "ablations" not in results.features
    assert load_run(tmp_path / "out").results.features["int8"].rows == found.rows


def test_a_network_without_a_form_in_int8_is_left_out_with_the_reason(unreported, tmp_path):
    experiment = Experiment(
        dataset="digits", contenders=("resnet-silu",), epochs=1, limit=60, int8=True, device="cpu"
    )
    results = compare(experiment, tmp_path / "out", tmp_path / "store").results
    found = results.features["int8"]
    assert found.rows == found.pairs == []
    assert "SiLU" in found.left_out["resnet-silu"]
    assert "resnet-silu" not in found.left_out["resnet-silu"]
