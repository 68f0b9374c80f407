"""Records of a search of settings."""

from spikeduel.features.tuning.tuning_results import (
    ExpectedBest,
    TunedContender,
    TunedOn,
    TuningRecord,
    TuningTrial,
)
from spikeduel.results.trials import Score


def tuning(num_trials=8, **gains):
    """A tuning of at most 6 epochs; a contender's gain is None where all its trials failed. snn
    tunes two settings.
    """
    return TuningRecord(
        schema=1,
        dataset=TunedOn(fingerprint="f" * 64, test="0" * 64),
        experiment={"epochs": 6},
        num_trials=num_trials,
        ranges={},
        contenders=[_tuned(name, gain, num_trials) for name, gain in gains.items()],
    )


def _tuned(name, gain, num_trials):
    failed = gain is None
    status = {"status": "failed" if failed else "done", "error": "NaN" if failed else None}
    scores = [None if failed else Score(accuracy=0.25 if k else 0.5) for k in range(num_trials)]
    return TunedContender(
        contender=name,
        family="snn",
        tuned=["learning_rate", "beta"] if name == "snn" else ["learning_rate"],
        trials=[
            TuningTrial(
                number=k,
                settings={},
                **status,
                epochs=6,
                training_seconds=1.0,
                validation=scores[k],
            )
            for k in range(num_trials)
        ],
        best=None if failed else 0,
        expected_best=[
            ExpectedBest(trials=k + 1, mean=0.5, standard_deviation=0.0, low=0.5, high=0.5)
            for k in range(num_trials)
        ],
        gain_of_last_doubling=gain or 0.0,
    )
