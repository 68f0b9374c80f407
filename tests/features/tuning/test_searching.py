import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from damage import FUZZED, changed, problem
from factories import existing
from spikeduel import data
from spikeduel.data import Split
from spikeduel.experiment.settings import SETTINGS
from spikeduel.features.tuning.tuning import (
    RANGES,
    TRAINING_SEED,
    draw,
    read_tuning,
)
from spikeduel.features.tuning.tuning_results import Range
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.training.contenders import TRAINING_SETTINGS, trials_of
from spikeduel.training.store import Store
from telling import Telling

RATES = {"learning_rate": Range(1e-4, 1e-2, log=True)}


# ---- real trials


def test_trials_are_ordinary_ones_that_never_see_the_test_images_and_are_found_again(
    experiment, searched, tmp_path
):
    # The test images are out of reach: see `searched`.
    tuning = searched(experiment, 2)
    assert len(list((tmp_path / "store").glob("*/trial.json"))) == 4
    assert not list((tmp_path / "store").glob("*/measures"))
    progress = Telling()
    again = searched(experiment, 2, progress=progress)
    assert (progress.found, progress.trained) == (4, 0)
    # A line each, where they train at the same time.
    assert len({title for title, _ in progress.done}) == 4
    assert again.experiment == tuning.experiment
    assert again.record.contenders == tuning.record.contenders
    for entry in (trial for tuned in tuning.record.contenders for trial in tuned.trials):
        stored = Store(tmp_path / "store").record(entry.key)
        assert entry.validation.accuracy == max(epoch.val_accuracy for epoch in stored.history)


# ---- what is tried


def test_no_comparison_tests_a_training_that_was_chosen(experiment, made_up):
    tuning, trained = made_up(experiment, lambda tried: tried.learning_rate)
    prepared = data.load(experiment)
    compared = replace(tuning.experiment, seeds=3)
    tested = trials_of(compared, prepared, data.split(prepared, compared))
    seeds = {trial.settings["seed"] for trial in trained}
    assert seeds.isdisjoint(trial.settings["seed"] for trial in tested)
    # The settings are those of a training that was tried.
    others = {"seed": None, "data": None}
    settings = [{**trial.settings, **others} for trial in trained]
    assert all({**trial.settings, **others} in settings for trial in tested)
    most = max(SETTINGS["seeds"].type.__metadata__[0].le, compared.seeds)
    assert tuning.record.seed == TRAINING_SEED >= most


def test_everybody_gets_the_same_number_the_first_at_the_given_settings(experiment, made_up):
    tuning, trained = made_up(experiment, lambda tried: 0.5, num_trials=5)
    cards = [(trial.card.contender, trial.card.seed) for trial in trained]
    assert cards == [("dense-snn", TRAINING_SEED), ("small-cnn", TRAINING_SEED)] * 5
    common, *others = (
        {
            name: value
            for name, value in trial.settings["training"].items()
            if name in TRAINING_SETTINGS and name != "learning_rate"
        }
        for trial in trained
    )
    assert all(settings == common for settings in others)
    snn, cnn = tuning.record.contenders
    assert (snn.tuned, cnn.tuned) == (list(RANGES), ["learning_rate"])
    customary = {"threshold": 1.0, "beta": 0.95, "num_steps": 3}
    drawn = [draw(RANGES, number) for number in range(1, 5)]
    tried = [entry.settings for entry in snn.trials]
    assert tried == [{"learning_rate": 5e-3, **customary}, *drawn]
    rates = [settings["learning_rate"] for settings in tried]
    assert [entry.settings["learning_rate"] for entry in cnn.trials] == rates
    for trial, settings in zip(trained[::2], tried, strict=True):
        assert trial.card.num_steps == settings["num_steps"]
        assert trial.card.network["beta"] == settings["beta"]
        assert trial.experiment.learning_rate == settings["learning_rate"]


def test_a_setting_without_effect_is_not_tuned(experiment, made_up):
    without_beta = replace(experiment, neuron="if")
    tuning, _ = made_up(without_beta, lambda tried: 0.5, 2)
    assert tuning.record.contenders[0].tuned == ["learning_rate", "threshold", "num_steps"]
    beta = {"beta": Range(0.5, 0.9)}
    with pytest.raises(InputError, match="leave small-cnn nothing to tune"):
        made_up(experiment, lambda tried: 0.5, 2, beta)
    with pytest.raises(InputError, match="name beta, which has no effect on any contender"):
        made_up(without_beta, lambda tried: 0.5, 2, RATES | beta)


# ---- what is chosen


def test_each_contender_gets_its_best_settings_and_nothing_else_changes(experiment, made_up):
    # The CNN is best at its largest learning rate, the spiking network at its smallest.
    def accuracy(tried):
        sign = 1 if tried.contenders == ("small-cnn",) else -1
        return 0.5 + sign * 10 * tried.learning_rate

    tuning, _ = made_up(experiment, accuracy, num_trials=6, ranges=RATES)
    rates = [5e-3] + [draw(RATES, number)["learning_rate"] for number in range(1, 6)]
    assert tuning.experiment == replace(
        experiment,
        per_contender={
            "dense-snn": {"learning_rate": min(rates)},
            "small-cnn": {"learning_rate": max(rates)},
        },
    )
    assert tuning.record.per_contender == tuning.experiment.per_contender
    snn, cnn = tuning.record.contenders
    assert (snn.best, cnn.best) == (rates.index(min(rates)), rates.index(max(rates)))


def test_a_failed_trial_is_listed_and_never_chosen(experiment, made_up):
    tuning, _ = made_up(
        experiment, lambda tried: None if tried.learning_rate == 5e-3 else 0.25, 3, RATES
    )
    for tuned in tuning.record.contenders:
        first, *_ = tuned.trials
        assert (tuned.best, first.status, first.validation) == (1, "failed", None)
        assert [point.mean for point in tuned.expected_best] == [0.0, 0.25, 0.25]
    nobody, _ = made_up(experiment, lambda tried: None, 3)
    assert [tuned.best for tuned in nobody.record.contenders] == [None, None]
    assert nobody.experiment == experiment


def test_tuning_again_starts_from_what_was_chosen(experiment, made_up):
    own = replace(experiment, per_contender={"dense-snn": {"beta": 0.7, "learning_rate": 1e-3}})
    tuning, trained = made_up(own, lambda tried: 0.5, 2, RATES)
    assert trained[0].card.network["beta"] == trained[2].card.network["beta"] == 0.7
    assert tuning.record.contenders[0].trials[0].settings == {"learning_rate": 1e-3}
    assert tuning.experiment.per_contender["dense-snn"] == {"beta": 0.7, "learning_rate": 1e-3}


# ---- what may be claimed of it later


@pytest.fixture
def tuned(experiment, made_up, tmp_path):
    """A tuning as it comes from its file, and the data and split that it saw."""
    tuning, _ = made_up(experiment, lambda tried: tried.learning_rate, 3)
    prepared = data.load(experiment)
    split = replace(data.split(prepared, experiment), test=np.array([10**9]))
    typed.write_json(tmp_path / "tuned" / "tuning.json", tuning.record)
    again = read_tuning(tmp_path / "tuned", tuning.experiment)
    assert again == tuning
    return again, prepared, split


@pytest.mark.parametrize(
    ("change", "claimed"),
    [
        ({}, True),
        ({"seeds": 6}, True),
        ({"epochs": 9}, True),
        ({"minutes": 9.0, "epochs": None}, True),
        ({"limit": 300}, True),
        ({"tolerance": 2.0, **existing(ablations=True)}, True),
        ({"encoding": "direct"}, False),
        ({"batch_size": 32}, False),
        ({"per_contender": None}, False),
        ({"per_contender": {"dense-snn": {"beta": 0.5}}}, False),
    ],
    ids=str,
)
def test_a_record_goes_with_the_settings_that_it_chose(change, claimed, tuned):
    tuning, prepared, split = tuned
    conclusions = tuning.conclusions(replace(tuning.experiment, **change), prepared, split)
    assert conclusions == ({"tuning": tuning.record} if claimed else {})


def test_a_record_does_not_go_with_other_data_or_another_test_set(tuned):
    tuning, prepared, split = tuned
    changed = replace(prepared, fingerprint="0" * 64)
    assert tuning.conclusions(tuning.experiment, changed, split) == {}
    other = Split(split.train, split.val, split.train[:5], split.kind)
    assert tuning.conclusions(tuning.experiment, prepared, other) == {}


def test_a_record_is_read_where_there_is_one(tuned, tmp_path):
    tuning, _, _ = tuned
    assert read_tuning(tmp_path, tuning.experiment) is None
    path = tmp_path / "tuning.json"
    typed.write_json(path, tuning.record)
    assert read_tuning(tmp_path, tuning.experiment) == tuning
    other_schema, other_number = (
        json.dumps({**typed.plain(tuning.record), **change})
        for change in ({"schema": 99}, {"num_trials": 9})
    )
    for broken in ("[]", "{}", other_schema, other_number, "{"):
        path.write_text(broken)
        with pytest.raises(InputError, match=r"tuning\.json: .*tune again"):
            read_tuning(tmp_path, tuning.experiment)


@FUZZED
@given(place=st.data())
def test_a_changed_record_is_read_or_named(tuned, tmp_path, place):
    tuning, _, _ = tuned
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps(place.draw(changed(typed.plain(tuning.record)))))
    if (text := problem(read_tuning, tmp_path, tuning.experiment)) is None:
        assert read_tuning(tmp_path, tuning.experiment).table()
    else:
        assert "tuning.json" in text
