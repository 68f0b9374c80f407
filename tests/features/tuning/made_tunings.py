"""Tunings of which everything is made up."""

from spikeduel.features.tuning.tuning_results import (
    ExpectedBest,
    Range,
    TunedContender,
    TunedOn,
    TuningRecord,
    TuningTrial,
)
from spikeduel.results.trials import Score

RANGES = {
    "learning_rate": Range(1e-5, 0.01, log=True),
    "num_steps": Range(choices=(4, 8)),
    "beta": Range(0.5, 0.9),
}


def tuned(name, accuracies, gain=0.02, settings=("learning_rate",)):
    """A contender whose trials reach `accuracies`: None is a failed one. The best is chosen."""
    reached = [accuracy or 0.0 for accuracy in accuracies]
    return TunedContender(
        contender=name,
        kind="snn" if "snn" in name else "cnn",
        tuned=list(settings),
        trials=[
            TuningTrial(
                number=number,
                settings={"learning_rate": 0.001 * (number + 1)},
                status="failed" if accuracy is None else "done",
                error="loss became <NaN>" if accuracy is None else None,
                epochs=6,
                training_seconds=700.0,
                validation=None if accuracy is None else Score(accuracy=accuracy),
            )
            for number, accuracy in enumerate(accuracies)
        ],
        best=reached.index(max(reached)) if any(reached) else None,
        expected_best=[
            ExpectedBest(
                trials=number,
                mean=max(reached[:number]),
                standard_deviation=0.01,
                low=max(reached[:number]) - 0.01,
                high=max(reached[:number]) + 0.01,
            )
            for number in range(1, len(reached) + 1)
        ],
        gain_of_last_doubling=gain,
    )


def tuning(*contenders):
    """A tuning of at most 6 epochs."""
    return TuningRecord(
        schema=1,
        dataset=TunedOn(fingerprint="f" * 64, test="0" * 64),
        experiment={"epochs": 6},
        num_trials=len(contenders[0].trials),
        ranges=RANGES,
        contenders=list(contenders),
    )
