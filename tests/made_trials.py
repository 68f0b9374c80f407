"""Trials, pairs, a tuning and whole results, made up: as much of each as a test needs, and the rest
customary.
"""

from spikeduel import data
from spikeduel.results.answer import answered
from spikeduel.results.audit import Counts
from spikeduel.results.run import SCHEMA, Conclusions, Dataset, Pair, Results
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import ClassScores, Epoch, Score, Test, Trial
from spikeduel.results.tuned import ExpectedBest, TunedContender, TunedOn, TuningRecord, TuningTrial
from spikeduel.settings.recipes import baseline, strong
from spikeduel.trials import contenders

CLASSES = [f"class {k}" for k in range(10)]


def confused(accuracy, supports):
    """A confusion matrix of this accuracy, alike in all classes; wrong answers go round the others."""
    ends = [round(accuracy * sum(supports[:k])) for k in range(len(supports) + 1)]
    counts = [[0] * len(supports) for _ in supports]
    for k, support in enumerate(supports):
        counts[k][k] = right = ends[k + 1] - ends[k]
        for wrong in range(support - right):
            counts[k][(k + 1 + wrong % (len(supports) - 1)) % len(supports)] += 1
    return counts


def scored(accuracy, supports=(200,) * 10, confusion=None):
    """The scores of images, `supports` of each class."""
    scores = {"precision": accuracy, "recall": accuracy, "f1": accuracy}
    return Test(
        n=sum(supports),
        accuracy=accuracy,
        **scores,
        per_class=[
            ClassScores(name=f"class {k}", **scores, support=n) for k, n in enumerate(supports)
        ],
        confusion=confusion or confused(accuracy, supports),
    )


def trial(contender, accuracy=None, *, seed=0, seconds=(), **changes):
    """A finished trial with this accuracy on 2,000 images of ten classes, or a failed one."""
    spiking, failed = "cnn" not in contender, accuracy is None
    made = {
        "contender": contender,
        "family": "snn" if spiking else "cnn",
        "seed": seed,
        "encoding": "rate" if spiking else None,
        "num_steps": 4 if spiking else None,
        "parameters": None,
        "status": "failed" if failed else "done",
        "error": "it broke" if failed else None,
        "epochs": 2,
        "best_epoch": None if failed else 1,
        "stopped": "early",
        "epoch_seconds": list(seconds),
        "history": []
        if failed
        else [Epoch(val_loss=1.0, val_accuracy=0.5), Epoch(val_loss=0.5, val_accuracy=0.75)],
        "validation": None if failed else Score(accuracy=0.75, loss=0.5),
        "test": None if failed else scored(accuracy),
        "model": None if failed else f"models/{contender}-seed{seed}.safetensors",
    }
    made |= changes
    if not failed and "best_epoch" not in changes:
        made["best_epoch"] = min(1, len(made["history"]) - 1)
    return Trial(**made)


DENSE, CONV = {"linear.weight": [10, 64]}, {"block.weight": [8, 1, 3, 3], "linear.weight": [10, 64]}
FOUR = [
    trial("dense-snn", 0.5, weight_shapes=DENSE, seconds=[2.0] * 3),
    trial("dense-cnn", 0.5, weight_shapes=DENSE, seconds=[1.0] * 3),
    trial("conv-snn", 0.5, weight_shapes=CONV, seconds=[9.0] * 3),
    trial("conv-cnn", 0.5, weight_shapes=CONV, seconds=[3.0] * 3),
]
"""Two pairs of twins."""


def pair(difference, *, seeds=1, accuracy_a=0.9, only_a=120.0, only_b=80.0, half=0.01, **changes):
    """snn against cnn on 2,000 images; `half` is the half-width of the 95 % interval."""
    made = {
        "a": "snn",
        "b": "cnn",
        "difference": difference,
        "accuracy_a": accuracy_a,
        "accuracy_b": accuracy_a - difference,
        "only_a_right": only_a,
        "only_b_right": only_b,
        "n": 2000,
        "seeds": seeds,
        "ci95": (difference - half, difference + half),
        "ci90": (difference - 0.8 * half, difference + 0.8 * half),
        "p_value": 0.2,
        "p_value_raw": 0.2,
        "p_permutation": None if seeds == 1 else 0.2,
        "test": "made up",
        "margin": 0.005,
        "conclusion": Conclusion.INCONCLUSIVE,
        "detectable_at_best": 0.004,
        "seeds_needed": 14,
    }
    return Pair(**{**made, **changes})


def dataset(num_test=2000, **changes):
    """Ten classes, nothing known that a reader could object to."""
    made = {
        "name": "made up",
        "fingerprint": "f" * 64,
        "classes": CLASSES,
        "counts": Counts(train=8000, val=1000, test=num_test),
        "split": "grouped",
    }
    return Dataset(**{**made, **changes})


def results(
    trials,
    pairs=(),
    *,
    about=None,
    experiment=None,
    tuning=None,
    controls=(),
    caveats=(),
):
    """A whole results.json of `trials`; `about` is its data set."""
    made = Results(
        schema=SCHEMA,
        spikeduel="0.0",
        created="2001-02-03T04:05:06+00:00",
        environment=None,
        dataset=about or dataset(),
        experiment=experiment or baseline(),
        trials=list(trials),
        comparison=Conclusions(
            pairs=list(pairs),
            controls=list(controls),
            caveats=list(caveats),
        ),
        tuning=tuning,
    )
    return answered(made)


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


def planned(experiment):
    """The data of `experiment`, and its trials in all folds."""
    prepared = data.load(experiment)
    trials = [
        trial
        for split in data.splits(prepared, experiment)
        for trial in contenders.trials_of(experiment, prepared, split)
    ]
    return prepared, trials


def small_twins(**changes):
    """The recipe `strong` with two twins that train in a moment."""
    settings = {"width": 3, "num_steps": 2, "augmentation": "none", "device": "cpu"}
    settings |= {"contenders": ("vgg-lif", "vgg-relu"), "precision": "32", **changes}
    return strong("digits", **settings)
