from types import SimpleNamespace

import pytest
from msgspec import structs

from made_results import failed, make_results, with_tests, with_trials
from spikeduel.results.anytime import Anytime, EarlyExit, ExitChoice, Leaving, Received
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin
from spikeduel.results.words import confidence
from spikeduel.settings.recipes import baseline

DATA = SimpleNamespace(
    name="made-up", fingerprint="f" * 64, classes=("class 0", "class 1", "class 2")
)


@pytest.fixture
def results():
    """Two contenders with two seeds each."""
    return make_results(DATA, baseline(seeds=2))


def test_the_rows_of_calibration_are_means_over_trials():
    def calibration(n):
        after = Calibrated(
            ece=0.01 * n, nll=n / 10, brier=n / 20, bins=[], ece_of_perfect=0.005 * n
        )
        return Calibration(
            ece=0.02 * n, nll=n / 5, brier=n / 10, bins=[], temperature=1.0 + n, scaled=after
        )

    given, after = confidence.calibration_rows([calibration(1), calibration(2)])
    assert given == (None, ("3.0", "1.4"), None, ("0.300", "0.141"), ("0.150", "0.071"))
    assert after == (
        ("2.50", "0.71"),
        ("1.5", "0.7"),
        ("0.8", "0.4"),
        ("0.150", "0.071"),
        ("0.075", "0.035"),
    )
    alone = structs.replace(calibration(1), temperature=None, scaled=None)
    assert len(confidence.calibration_rows([alone, calibration(2)])) == 1


def test_calibrations_are_those_of_tested_trials(results):
    assert confidence.calibrations(results) == {}
    measured = with_tests(results, calibration=Calibration(ece=0.1, nll=0.1, brier=0.1, bins=[]))
    assert {name: len(found) for name, found in confidence.calibrations(measured).items()} == {
        "dense-snn": 2,
        "small-cnn": 2,
    }
    gone = structs.replace(measured, trials=[failed(trial) for trial in measured.trials])
    assert confidence.calibrations(gone) == {}


def test_only_spike_counts_need_a_note_on_their_probabilities():
    assert confidence.probabilities_of_counts([]) == ""
    assert "dense-snn" in confidence.probabilities_of_counts(["dense-snn"])


def judged(kind=Calibrated, ece=0.05, most=0.06, **more):
    bins = [CalibrationBin(low=0.0, high=1.0, count=200, confidence=0.5, accuracy=0.5)]
    return kind(
        ece=ece, nll=0.1, brier=0.1, bins=bins, ece_of_perfect=0.04, ece_of_perfect_95=most, **more
    )


def test_what_chance_explains_is_said_to_be_no_sign():
    explained = judged(Calibration, 0.4, temperature=2.0, scaled=judged())
    assert confidence.within_chance({"a": [explained, explained]}) == [
        "a after the temperature: an ECE of 5.0 points on 200 images is no sign of "
        "miscalibration. A perfectly calibrated network has up to 6.0 there by chance (in 95 of "
        "100 cases)."
    ]
    beyond = judged(Calibration, 0.4, temperature=2.0, scaled=judged(ece=0.07))
    assert confidence.within_chance({"a": [explained, beyond]}) == []
    # Earlier versions did not say.
    assert confidence.within_chance({"a": [judged(Calibration, most=None)]}) == []
    (raw,) = confidence.within_chance({"a": [judged(Calibration)]})
    assert raw.startswith("a without a temperature: an ECE of 5.0 points")


def leaving(threshold, n=6000, confidence=0.95, steps=(3, 7)):
    at = Leaving(threshold=0.9, mean_steps=1.7, accuracy=0.8, exit_steps=list(steps))
    choice = ExitChoice(
        n=n, mean_steps=1.7, accuracy=0.8, full_accuracy=0.8, most_lost=0.001, fewest=1497
    )
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


def test_of_recordings_it_is_said_after_how_many_milliseconds(results):
    received = Received(milliseconds=[100.0, 300.0], events=[40.0, 160.0])
    recorded = of(results, leaving(0.9), leaving(0.9), received=received)
    # Three of ten leave after 100 ms, seven after 300.
    assert "after 1.7 of 2 steps (240 of 300 ms) on average" in confidence.early_exits(recorded)[0]
    # 19.5 % is less than a point below 20 %.
    (told,) = confidence.while_it_happens(recorded)
    assert (
        "19.5 % of the recordings after 100 of 300 ms and 40 of 160 events, and on 20.0 %" in told
    )
    assert confidence.while_it_happens(of(results, leaving(0.9), leaving(0.9))) == []


def test_that_the_end_is_the_end_is_not_said(results):
    received = Received(milliseconds=[100.0, 300.0], events=[40.0, 160.0])
    rising = Anytime(num_steps=2, n=10, accuracies=[0.1, 0.2], received=received)
    assert confidence.while_it_happens(with_trials(results, anytime=lambda trial: rising)) == []


def test_what_is_the_same_of_several_contenders_is_said_once(results):
    early = Anytime(num_steps=2, n=10, accuracies=[0.1, 0.2], early_exit=leaving(None))
    (told,) = confidence.early_exits(with_trials(results, anytime=lambda trial: early))
    assert told.startswith(" and ".join(results.contenders))


def test_what_early_exit_promises(results):
    assert confidence.early_exits(results) == []
    assert confidence.early_exits(of(results, leaving(0.9), leaving(0.8))) == [
        "dense-snn: images leave after 1.7 of 2 steps on average. That costs at most 0.2 points "
        "of accuracy, as 6,000 validation images show with 95 % confidence."
    ]
    (some,) = confidence.early_exits(of(results, leaving(0.9), leaving(None)))
    assert "on average (1 of 2 trainings leave nobody). That" in some
    assert confidence.early_exits(of(results, leaving(None), leaving(None))) == [
        "dense-snn: nobody leaves early; no threshold was shown to cost at most 0.2 points of "
        "accuracy."
    ]
    assert confidence.early_exits(of(results, leaving(None, n=200), leaving(None, n=200))) == [
        "dense-snn: nobody leaves early, since 200 validation images cannot show that this costs "
        "at most 0.2 points of accuracy; it takes at least 1,497."
    ]
    assert confidence.early_exits(of(results, *[leaving(0.9, confidence=None)] * 2)) == []
