import statistics
from types import SimpleNamespace

import pytest
from msgspec import structs

from made_results import failed, make_results, replaced, with_tests, with_trials
from made_trials import results as results_of
from made_trials import trial
from spikeduel.results.optimism import curve, meter
from spikeduel.results.trials import (
    Anytime,
    EarlyExit,
    EncodingSpread,
    ExitChoice,
    Leaving,
    Received,
    Robustness,
)
from spikeduel.results.words import measures
from spikeduel.settings.recipes import baseline

DATA = SimpleNamespace(
    name="made-up", fingerprint="f" * 64, classes=("class 0", "class 1", "class 2")
)


@pytest.fixture
def results():
    """Two contenders with two seeds each."""
    return make_results(DATA, baseline(seeds=2))


def leaving(threshold, n=6000, confidence=0.95, steps=(3, 7)):
    at = Leaving(threshold=0.9, mean_steps=1.7, accuracy=0.8, exit_steps=list(steps))
    choice = ExitChoice(n=n, mean_steps=1.7, accuracy=0.8, most_lost=0.001, fewest=1497)
    shown = structs.replace(at, threshold=threshold)
    return EarlyExit(
        **structs.asdict(shown),
        tolerance=0.002,
        validation=choice,
        curve=[at, at],
        confidence=confidence,
    )


def of(results, *exits, received=None):
    """`results` whose spiking trials leave early so."""
    each = iter(exits)
    return with_trials(
        results,
        num_steps=lambda trial: 2 if trial.spiking else None,
        anytime=lambda trial: (
            Anytime(
                num_steps=2, n=10, accuracies=[0.195, 0.2], early_exit=next(each), received=received
            )
            if trial.spiking
            else None
        ),
    )


def test_when_nearly_all_of_the_accuracy_is_there(results):
    received = Received(milliseconds=[100.0, 300.0], events=[40.0, 160.0])
    recorded = of(results, leaving(0.9), leaving(0.9), received=received)
    # 19.5 % is less than a point below 20 %.
    (told,) = measures.while_it_happens(recorded)
    assert (
        "19.5 % of the recordings after 100 of 300 ms and 40 of 160 events, and on 20.0 %" in told
    )
    assert measures.while_it_happens(of(results, leaving(0.9), leaving(0.9))) == []


def test_that_the_end_is_the_end_is_not_said(results):
    received = Received(milliseconds=[100.0, 300.0], events=[40.0, 160.0])
    rising = Anytime(num_steps=2, n=10, accuracies=[0.1, 0.2], received=received)
    assert measures.while_it_happens(with_trials(results, anytime=lambda trial: rising)) == []


def test_what_early_exit_promises(results):
    assert measures.early_exits(results) == []
    assert measures.early_exits(of(results, leaving(0.9), leaving(0.8))) == [
        "dense-snn: images leave after 1.7 of 2 steps on average. That costs at most 0.2 points "
        "of accuracy, as 6,000 validation images show with 95 % confidence."
    ]
    (some,) = measures.early_exits(of(results, leaving(0.9), leaving(None)))
    assert "on average (1 of 2 trainings have no early exit). That" in some
    assert measures.early_exits(of(results, leaving(None), leaving(None))) == [
        "dense-snn: no early exit: no threshold was shown to cost at most 0.2 points of accuracy."
    ]
    assert measures.early_exits(of(results, leaving(None, n=200), leaving(None, n=200))) == [
        "dense-snn: no early exit: 200 validation images are too few to show that it costs at most "
        "0.2 points of accuracy; at least 1,497 are needed."
    ]


# ---- robustness and encoding

CORRUPTIONS = ("noise", "blur", "contrast", "occlusion", "rotation", "translation", "jpeg")


def robustness(clean, last):
    """Accuracies that fall evenly from `clean` to `last`; under noise, to 0."""
    ends = {name: 0.0 if name == "noise" else last for name in CORRUPTIONS}
    at = {name: [clean + (end - clean) * k / 5 for k in range(1, 6)] for name, end in ends.items()}
    area = {name: statistics.fmean(values) for name, values in at.items()}
    mean = statistics.fmean(area.values())
    return Robustness(
        clean=clean,
        corruptions=at,
        area=area,
        mean=mean,
        images=dict.fromkeys(at, 20),
    )


def test_ties_and_random_encodings_are_told_where_there_are_some(results):
    assert "5.0 % of the answers were ties" in measures.of_encoding(
        "dense-snn", results.of("dense-snn")
    )
    assert measures.of_encoding("small-cnn", results.of("small-cnn")) == ""
    assert (
        measures.of_encoding("dense-snn", with_tests(results, tie_share=None).of("dense-snn")) == ""
    )
    drawn = with_tests(
        results, encoding_spread=EncodingSpread(accuracies=[0.5, 0.6], standard_deviation=0.0123)
    )
    assert "by 1.23 points" in measures.of_encoding("dense-snn", drawn.of("dense-snn"))


def test_robustness_by_hand():
    by_name = {"dense-snn": robustness(0.8, 0.6), "small-cnn": robustness(0.9, 0.3)}
    results = with_trials(
        make_results(DATA, baseline()), robustness=lambda trial: by_name[trial.contender]
    )
    # Means over severities: 0.68 and 0.54; under noise 0.32 and 0.36. Six of the former and one of
    # the latter.
    assert measures.robustness(results) == (
        "Mean accuracy under seven corruptions: dense-snn 62.9 % (80.0 % on clean images, lowest "
        "under noise: 32.0 %) and small-cnn 51.4 % (90.0 % on clean images, lowest under noise: "
        "36.0 %)."
    )


def test_robustness_that_nobody_measured_has_no_words(results):
    assert measures.robustness(results) == ""
    measured = with_trials(results, robustness=robustness(0.8, 0.6))
    gone = replaced(measured, trials=[failed(trial) for trial in measured.trials])
    assert measures.robustness(gone) == ""


# ---- optimism


def made(*rows):
    trials = [
        trial(name, 0.5, seed=seed, epochs=len(right), optimism=curve(right, 1000, chosen))
        for name, seed, right, chosen in rows
    ]
    run = results_of(trials)
    return structs.replace(run, comparison=structs.replace(run.comparison, optimism=meter(trials)))


SEEDS = made(
    ("snn", 0, [800, 840], 0),
    ("cnn", 0, [820, 820], 1),
    ("snn", 1, [700, 900], 1),
    ("cnn", 1, [880, 800], 1),
)


def test_what_the_best_epochs_would_have_added():
    assert measures.optimism(SEEDS) == (
        "Reporting the best test accuracy over all epochs, as many papers do, would have added "
        "2.00 points to snn (87.00 instead of 85.00 %) and 4.00 points to cnn (85.00 instead of "
        "81.00 %)."
    )
    assert measures.optimism(results_of([trial("snn", 0.5)])) == ""
