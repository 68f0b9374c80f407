import json

import numpy as np
import pytest

from factories import record
from made_runs import DATA, LABELS, TEST, classified_with, predicted, run_maker
from spikeduel.data import Split
from spikeduel.results import predictions
from spikeduel.system.errors import InputError
from spikeduel.training.outcomes import TrialOutcome, predictions_of
from spikeduel.training.variants import TrialVariants


@pytest.fixture
def make_run(tmp_path):
    return run_maker(tmp_path)


def test_what_is_written_is_read_again(make_run):
    run = make_run({"snn": [3, 1], "cnn": [8, None]}, groups=np.arange(60) // 4)
    read = predictions.read(run)
    assert read.contenders == ["snn", "cnn"]
    assert list(read.predictions) == [("snn", 0), ("snn", 1), ("cnn", 0)]
    stacked = np.stack([read.labels, read.indices, read.groups])
    np.testing.assert_array_equal(stacked, [LABELS[TEST], TEST, TEST // 4])
    np.testing.assert_array_equal(read.predictions["snn", 1].predicted, predicted(1))
    # What anybody may rely on who reads it without spikeduel.
    content = json.loads((run / "predictions.json").read_text())
    assert set(content) == {
        "schema",
        "dataset",
        "fingerprint",
        "classes",
        "indices",
        "labels",
        "groups",
        "images",
        "trials",
    }
    assert len(content["images"]) == len(set(content["images"])) == len(TEST)
    assert content["trials"][2] == {
        "contender": "cnn",
        "seed": 0,
        "predicted": predicted(8),
        "trainings": ["cnn-0-None"],
        "variant": None,
    }


def test_they_are_in_the_order_of_the_trials_and_variants_follow_their_contender():
    with_variants = TrialVariants({}, {"shuffled": classified_with(2)}, {})
    outcomes = [
        TrialOutcome(
            record(contender, seed),
            {"classification": classified_with(1)},
            variants=with_variants if contender == "snn" else None,
        )
        for seed in (0, 1)
        for contender in ("snn", "cnn")
    ]
    split = Split(np.arange(10), np.arange(10, 20), TEST, "stratified")
    written = predictions_of(DATA, [split], outcomes).trials
    assert [(one.contender, one.seed, one.variant) for one in written] == [
        (contender, seed, variant)
        for seed in (0, 1)
        for contender, variant in (("snn", None), ("snn", "shuffled"), ("cnn", None))
    ]


def test_a_run_without_predictions_says_how_to_get_them(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "experiment.toml").touch()
    remedy = r"compare --experiment \S*old/experiment\.toml --out \S*old` writes it anew"
    with pytest.raises(InputError, match=rf"old: has no predictions\.json\. .*{remedy}"):
        predictions.read(tmp_path / "old")
    (tmp_path / "old" / "predictions.json").write_text('{"schema": 1, "da')
    with pytest.raises(InputError, match=rf"old/predictions\.json: .*{remedy}"):
        predictions.read(tmp_path / "old")


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 1},
        {"labels": [0, 1]},
        {"labels": None},
        {"indices": [[1]]},
        {"groups": ["x"] * 40},
        {"groups": []},
        {"trials": [{"contender": "snn", "seed": 0, "predicted": [0.5] * 40}]},
        {"trials": [{"contender": "snn"}]},
        {"trials": 3},
        {"labels": [], "indices": [], "trials": []},
        {"labels": [10**30] * 40},
    ],
    ids=str,
)
def test_a_damaged_file_is_named(damage, make_run):
    run = make_run({"snn": [0], "cnn": [8]})
    path = run / "predictions.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(InputError, match=r"run/predictions\.json"):
        predictions.read(run)
