from types import SimpleNamespace

import pytest
from msgspec import structs

from factories import latency, run_results, with_trials
from spikeduel.experiment.recipes import baseline
from spikeduel.features.early_exit.early_exit_section import promises, section
from spikeduel.results.trials import Anytime, EarlyExit, ExitChoice, Leaving


def leaving(threshold, n=6000):
    at = Leaving(threshold=threshold, mean_steps=1.7, accuracy=0.8, exit_steps=[3, 7])
    choice = ExitChoice(n=n, mean_steps=1.7, accuracy=0.8, most_lost=0.001, fewest=1497)
    return EarlyExit(
        **structs.asdict(at), tolerance=0.002, validation=choice, curve=[at, at], confidence=0.95
    )


def test_what_early_exit_promises(make_prepared, golden):
    results = run_results(make_prepared(), baseline(seeds=2))
    few = leaving(None, n=200)
    cases = {
        "all": (leaving(0.9), leaving(0.8)),
        "one of two": (leaving(0.9), leaving(None)),
        "none": (leaving(None), leaving(None)),
        "too few images": (few, few),
    }

    def promised(exits):
        of_trials = iter(exits)
        made = with_trials(
            results,
            anytime=lambda trial: (
                Anytime(num_steps=2, n=10, accuracies=[0.195, 0.2], early_exit=next(of_trials))
                if trial.spiking
                else None
            ),
        )
        return promises(made)

    golden({name: promised(exits) for name, exits in cases.items()})


def test_without_time_steps_there_is_no_section(make_prepared):
    page = SimpleNamespace(results=run_results(make_prepared(), baseline()))
    assert section(page, None) is None


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ([1.0, 2.0], ""),
        ([1.5, 2.5], "takes 2.2 ms per image on average. All steps at once take 2 ms"),
        (None, ""),
    ],
)
def test_an_exit_that_saves_no_time_is_named(make_prepared, stream, expected):
    """Of ten images, three leave after the first step."""
    results = run_results(make_prepared(), baseline())
    made = with_trials(
        results,
        anytime=lambda trial: (
            Anytime(num_steps=2, n=10, accuracies=[0.1, 0.2], early_exit=leaving(0.9))
            if trial.spiking
            else None
        ),
        latency=lambda trial: latency(2.0, stream=stream),
    )
    promised = promises(made)
    assert len(promised) == (2 if expected else 1)
    assert expected in promised[-1]
