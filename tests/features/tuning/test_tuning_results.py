import pytest
from msgspec import structs

from factories import baseline, dataset, pair, results, trial
from features.tuning.made_tunings import tuned, tuning
from spikeduel.analysis.recommending import with_recommendation
from spikeduel.analysis.run_findings import RunContext, find_caveats
from spikeduel.features.tuning.tuning_results import TuningRecord, limits, tuning_rows
from spikeduel.results.findings import finding
from spikeduel.results.trials import Epoch, has_converged
from spikeduel.system import typed
from spikeduel.system.errors import InputError


def rising(num_trials=8, **gains):
    """A tuning with a gain of each contender: None where all its trials failed."""
    failed, done = [None] * num_trials, [0.5] + [0.25] * (num_trials - 1)
    return tuning(
        *(tuned(name, failed if gain is None else done, gain or 0) for name, gain in gains.items())
    )


# ---- findings


def test_a_tuned_run_says_so():
    experiment = baseline(seeds=3, per_contender={"dense-snn": {"beta": 0.5}})
    # Where the experiment left the epochs open, those of the longest trial count.
    open_epochs = structs.replace(rising(a=0.0), experiment={"epochs": None})
    for record in (rising(a=0.0, b=0.0), open_epochs):
        features = {"tuning": record}
        run = RunContext(experiment, dataset(), [trial("snn", 0.9)], features=features)
        assert find_caveats(run) == [finding("tuned", num_trials=8, most_epochs=6)]


def test_limits_say_where_more_trials_might_find_more():
    one, both = {"a": 0.012}, {"a": 0.012, "b": 0.02}
    assert limits(rising(a=0.004, b=0.0)) == []
    assert limits(rising(a=0.012, b=0.004)) == [
        finding("still_rising", gains=one, half=4, num_trials=8, more=16)
    ]
    assert limits(rising(5, **both)) == [
        finding("still_rising", gains=both, half=2, num_trials=5, more=10)
    ]
    assert limits(rising(snn=0.0, cnn=None)) == [
        finding("failed_tuning", contender="cnn", failed=8, num_trials=8, finished=False)
    ]


@pytest.mark.parametrize(("rise", "is_luck"), [(0.004, True), (0.007, True), (0.013, False)])
def test_a_rise_asks_for_more_epochs_exactly_if_it_asks_for_more_trials(rise, is_luck):
    history = [
        Epoch(train_loss=0.9, train_accuracy=0.5, val_loss=0.9, val_accuracy=accuracy)
        for accuracy in (0.5, 0.6, 0.7, 0.7 + rise)
    ]
    assert has_converged(history, 3) is is_luck
    assert (limits(rising(a=rise)) == []) is is_luck


def test_a_search_counts_as_a_step_with_its_minutes():
    trials = [trial("snn", 0.9, seconds=[60.0]), trial("cnn", 0.9, seconds=[30.0, 30.0])]
    untuned = finding("untuned", remedy="--tune 10")
    for features, minutes in (({}, 22.0), ({"tuning": rising(4, snn=0.0)}, 14.0)):
        made = results(trials, [pair(0.0)], caveats=[untuned], features=features)
        (step,) = with_recommendation(made).recommendation.steps
        assert (step.options, step.minutes) == (["--tune", "10"], minutes)


# ---- the record


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda record: record["contenders"][0].update(best=2), "there is no such best trial"),
        (lambda record: record.update(num_trials=3), "a contender has not 3 trials"),
        (lambda record: record["contenders"][0]["trials"].reverse(), "the trials are not in order"),
    ],
)
def test_a_damaged_record_is_named_with_the_place(change, place):
    content = typed.plain(rising(2, snn=0.0))
    change(content)
    with pytest.raises(InputError, match=place):
        typed.converted(content, TuningRecord)


def test_every_trial_of_a_tuning():
    shown = tuning_rows(rising(2, snn=0.0, cnn=None))
    assert [list(row.values()) for row in shown] == [
        ["snn", "1", "50.00", "*", "6", "700.0", "learning_rate 0.001"],
        ["snn", "2", "25.00", "", "6", "700.0", "learning_rate 0.002"],
        ["cnn", "1", "failed", "", "6", "700.0", "learning_rate 0.001"],
        ["cnn", "2", "failed", "", "6", "700.0", "learning_rate 0.002"],
    ]
