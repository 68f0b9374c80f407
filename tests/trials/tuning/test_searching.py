import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import FUZZED, changed, problem
from spikeduel import data
from spikeduel.data import Split
from spikeduel.results.tuned import Range
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.trials.contenders import TRAINING_SETTINGS
from spikeduel.trials.store import Store
from spikeduel.trials.tuning import RANGES, draw, read_tuning, record_for
from telling import Telling

RATES = {"learning_rate": Range(1e-4, 1e-2, log=True)}


# ---- real trials


def test_trials_are_ordinary_ones_that_never_see_the_test_images_and_are_found_again(
    experiment, searched, tmp_path
):
    # The test images are out of reach: see `searched`.
    found = searched(experiment, 2)
    assert len(list((tmp_path / "store").glob("*/trial.json"))) == 4
    assert not list((tmp_path / "store").glob("*/measures"))
    told = Telling()
    again = searched(experiment, 2, progress=told)
    assert sum("not trained again" in line for line in told.lines) == 4
    assert not any(", epoch " in line for line in told.lines)
    assert (
        len({title for title, _ in told.done}) == 4
    )  # a line each, where they train at the same time
    assert again.experiment == found.experiment
    assert again.record.contenders == found.record.contenders
    for each in found.record.contenders:
        for entry in each.trials:
            stored = Store(tmp_path / "store").record(entry.key)
            assert entry.validation.accuracy == max(epoch.val_accuracy for epoch in stored.history)


# ---- what is tried


def test_everybody_gets_the_same_number_the_first_at_the_given_settings(experiment, made_up):
    found, trained = made_up(experiment, lambda its: 0.5, num_trials=5)
    assert [each.card.contender for each in trained] == ["dense-snn", "small-cnn"] * 5
    assert {each.card.seed for each in trained} == {0}
    common = [
        {
            name: value
            for name, value in each.settings["training"].items()
            if name in TRAINING_SETTINGS and name != "learning_rate"
        }
        for each in trained
    ]
    assert all(each == common[0] for each in common)
    snn, cnn = found.record.contenders
    assert (snn.tuned, cnn.tuned) == (list(RANGES), ["learning_rate"])
    assert snn.trials[0].settings == {
        "learning_rate": 5e-3,
        "threshold": 1.0,
        "beta": 0.95,
        "surrogate_alpha": None,
        "num_steps": 3,
    }
    assert [entry.settings for entry in snn.trials[1:]] == [
        draw(RANGES, number) for number in range(1, 5)
    ]
    for one, other in zip(snn.trials, cnn.trials, strict=True):
        assert one.settings["learning_rate"] == other.settings["learning_rate"]
    for planned, entry in zip(trained[::2], snn.trials, strict=True):
        assert planned.card.num_steps == entry.settings["num_steps"]
        assert planned.card.network["beta"] == entry.settings["beta"]
        assert planned.experiment.learning_rate == entry.settings["learning_rate"]


def test_only_what_has_an_effect_is_tuned(experiment, made_up):
    def tuned(**changes):
        return (
            made_up(replace(experiment, **changes), lambda its: 0.5, 2)[0]
            .record.contenders[0]
            .tuned
        )

    assert tuned(neuron="if") == ["learning_rate", "threshold", "surrogate_alpha", "num_steps"]
    assert "surrogate_alpha" not in tuned(surrogate="straight_through_estimator")


def test_what_would_not_be_equal_is_refused(experiment, made_up):
    only_spiking = {"beta": Range(0.5, 0.9)}
    with pytest.raises(InputError, match="leave small-cnn nothing to tune"):
        made_up(experiment, lambda its: 0.5, 2, only_spiking)
    with pytest.raises(
        InputError, match="name surrogate_alpha, which has no effect on any contender"
    ):
        made_up(
            replace(experiment, surrogate="straight_through_estimator"),
            lambda its: 0.5,
            2,
            {**RATES, "surrogate_alpha": Range(1, 2)},
        )
    with pytest.raises(InputError, match="at least 2 trials"):
        made_up(experiment, lambda its: 0.5, 1)


# ---- what is chosen


def test_each_contender_gets_its_best_settings_and_nothing_else_changes(experiment, made_up):
    # The CNN is best at its largest learning rate, the spiking network at its smallest.
    def accuracy(its):
        return 0.5 + (1 if its.contenders == ("small-cnn",) else -1) * 10 * its.learning_rate

    found, _ = made_up(experiment, accuracy, num_trials=6, ranges=RATES)
    tried = [5e-3] + [draw(RATES, number)["learning_rate"] for number in range(1, 6)]
    assert found.experiment == replace(
        experiment,
        per_contender={
            "dense-snn": {"learning_rate": min(tried)},
            "small-cnn": {"learning_rate": max(tried)},
        },
    )
    assert found.record.per_contender == found.experiment.per_contender
    snn, cnn = found.record.contenders
    assert (snn.best, cnn.best) == (tried.index(min(tried)), tried.index(max(tried)))


def test_a_failed_trial_is_listed_and_never_chosen(experiment, made_up):
    found, _ = made_up(
        experiment, lambda its: None if its.learning_rate == 5e-3 else 0.25, 3, RATES
    )
    for each in found.record.contenders:
        assert each.best == 1
        assert (each.trials[0].status, each.trials[0].validation) == ("failed", None)
        assert [point.mean for point in each.expected_best] == [0.0, 0.25, 0.25]
    nobody, _ = made_up(experiment, lambda its: None, 3)
    assert [each.best for each in nobody.record.contenders] == [None, None]
    assert nobody.experiment == experiment


def test_tuning_again_starts_from_what_was_chosen(experiment, made_up):
    own = replace(experiment, per_contender={"dense-snn": {"beta": 0.7, "learning_rate": 1e-3}})
    found, trained = made_up(own, lambda its: 0.5, 2, RATES)
    assert trained[0].card.network["beta"] == trained[2].card.network["beta"] == 0.7
    assert found.record.contenders[0].trials[0].settings == {"learning_rate": 1e-3}
    assert found.experiment.per_contender["dense-snn"] == {"beta": 0.7, "learning_rate": 1e-3}


# ---- what may be claimed of it later


@pytest.fixture
def tuned(experiment, made_up, tmp_path):
    """A tuning as it comes from its file, and the data and split that it saw."""
    found, _ = made_up(experiment, lambda its: its.learning_rate, 3)
    prepared = data.load(experiment)
    split = replace(data.split(prepared, experiment), test=np.array([10**9]))
    typed.write_json(tmp_path / "tuned" / "tuning.json", found.record)
    again = read_tuning(tmp_path / "tuned" / "tuning.json", found.experiment)
    assert again == found
    return again, prepared, split


@pytest.mark.parametrize(
    ("change", "claimed"),
    [
        ({}, True),
        ({"seeds": 6}, True),
        ({"epochs": 9}, True),
        ({"minutes": 9.0, "budget_by": "epochs", "epochs": None}, True),
        ({"limit": 300}, True),
        ({"controls": True, "robustness": True}, True),
        ({"encoding": "direct"}, False),
        ({"batch_size": 32}, False),
        ({"per_contender": None}, False),
        ({"per_contender": {"dense-snn": {"beta": 0.5}}}, False),
    ],
    ids=str,
)
def test_a_record_goes_with_the_settings_that_it_chose(change, claimed, tuned):
    tuning, prepared, split = tuned
    found = record_for(tuning, replace(tuning.experiment, **change), prepared, split)
    assert found == (tuning.record if claimed else None)


def test_a_record_does_not_go_with_other_data_or_another_test_set(tuned):
    tuning, prepared, split = tuned
    assert (
        record_for(tuning, tuning.experiment, replace(prepared, fingerprint="0" * 64), split)
        is None
    )
    other = Split(split.train, split.val, split.train[:5], split.kind)
    assert record_for(tuning, tuning.experiment, prepared, other) is None
    assert record_for(None, tuning.experiment, prepared, split) is None


def test_a_record_is_read_where_there_is_one(tuned, tmp_path):
    tuning, _, _ = tuned
    assert read_tuning(tmp_path / "tuning.json", tuning.experiment) is None
    path = tmp_path / "tuning.json"
    typed.write_json(path, tuning.record)
    assert read_tuning(path, tuning.experiment) == tuning
    whole = json.loads(path.read_text())
    for broken in (
        "[]",
        "{}",
        json.dumps({**whole, "schema": 99}),
        json.dumps({**whole, "num_trials": 9}),
        "{",
    ):
        path.write_text(broken)
        with pytest.raises(InputError, match=r"tuning\.json: .*tune again"):
            read_tuning(path, tuning.experiment)


@FUZZED
@given(place=st.data())
def test_a_changed_record_is_read_or_named(tuned, tmp_path, place):
    tuning, _, _ = tuned
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps(place.draw(changed(typed.plain(tuning.record)))))
    if (text := problem(read_tuning, path, tuning.experiment)) is None:
        assert read_tuning(path, tuning.experiment).table()
    else:
        assert "tuning.json" in text


# ---- the table


def test_the_table_shows_every_trial(experiment, made_up):
    found, trained = made_up(
        experiment, lambda its: 0.75 if its.learning_rate == 5e-3 else 0.5, 6, RATES
    )
    lines = [line.split() for line in found.table().splitlines()]
    rows = [line for line in lines if line[:1] == ["dense-snn"] and "learning_rate" in line]
    assert [row[1:4] for row in rows][:2] == [["1", "75.00", "*"], ["2", "50.00", "1"]]
    assert [float(row[-1]) for row in rows] == [
        planned.experiment.learning_rate for planned in trained[::2]
    ]
