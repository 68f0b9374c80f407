"""A made-up run's results, and changed copies of them."""

import numpy as np
from msgspec import structs

from spikeduel.results.answer import answered
from spikeduel.results.audit import Counts
from spikeduel.results.findings import finding
from spikeduel.results.predictions import PredictionsFile, SeedAnswers
from spikeduel.results.run import SCHEMA, Conclusions, Dataset, Pair, Results
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import ClassScores, Epoch, Score, Test, Trial

FAMILIES = {"dense-snn": "snn", "small-cnn": "cnn", "wide-cnn": "cnn"}


def make_results(prepared, experiment, num_test=20):
    """The results of a run on a prepared set (of which the name, fingerprint and classes count) by
    an experiment.
    """
    trials = [
        _trial(contender, seed, prepared, experiment, num_test)
        for seed in range(experiment.seeds)
        for contender in experiment.contenders
    ]
    first, last = experiment.contenders[0], experiment.contenders[-1]
    made = Results(
        schema=SCHEMA,
        spikeduel="0.1.0",
        created="2025-01-01T00:00:00+00:00",
        environment={
            "python": "3.11",
            "torch": "2.13",
            "cpu": "a <fast> one",
            "threads": 2,
            "gpu": None,
        },
        dataset=Dataset(
            name=prepared.name,
            fingerprint=prepared.fingerprint,
            classes=list(prepared.classes),
            counts=Counts(train=30, val=10, test=num_test),
            split="stratified",
        ),
        experiment=experiment,
        trials=trials,
        comparison=Conclusions(
            pairs=[make_pair(first, last, num_test, experiment.seeds)] if first != last else [],
            caveats=[finding("one_seed")] if experiment.seeds == 1 else [finding("confounded")],
        ),
    )
    return answered(made)


def make_predictions(prepared, results, test):
    """The answers to the images `test` of a prepared set that could be those of a run: about every
    third is wrong.
    """
    labels = np.asarray(prepared.labels)[test]
    trials = []
    for trial in results.trials:
        random = np.random.default_rng([trial.seed, *trial.contender.encode()])
        predicted = np.where(
            random.random(len(test)) < 0.7, labels, random.integers(0, labels.max() + 1, len(test))
        )
        trials.append(
            SeedAnswers(
                contender=trial.contender,
                seed=trial.seed,
                predicted=predicted.tolist(),
                trainings=[trial.title],
            )
        )
    return PredictionsFile(
        schema=2,
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        indices=list(map(int, test)),
        labels=labels.tolist(),
        groups=None,
        trials=trials,
        images=[f"{index:016x}" for index in test],
    )


def replaced(results, **changes):
    """Return results with other values, and the answer that follows from them."""
    comparison = changes.pop("comparison", results.comparison)
    comparison = structs.replace(comparison, answer=Conclusions().answer)
    return answered(structs.replace(results, comparison=comparison, **changes))


def with_trials(results, **changes):
    """Results whose trials have other values: each of `changes` is a value, or a function of the
    trial.
    """
    trials = [
        structs.replace(
            trial, **{name: new(trial) if callable(new) else new for name, new in changes.items()}
        )
        for trial in results.trials
    ]
    return replaced(results, trials=trials)


def with_pair(results, **changes):
    """Results whose only pair has other values."""
    (pair,) = results.comparison.pairs
    pairs = [structs.replace(pair, **changes)]
    return replaced(results, comparison=structs.replace(results.comparison, pairs=pairs))


def with_dataset(results, **changes):
    """Results on data that has other values."""
    return structs.replace(results, dataset=structs.replace(results.dataset, **changes))


def with_tests(results, **changes):
    """Results whose trials have other values in what was measured on the test images."""
    return with_trials(results, test=lambda trial: structs.replace(trial.test, **changes))


def failed(trial, error="the loss became NaN"):
    """`trial`, failed before its first epoch."""
    return structs.replace(
        trial,
        status="failed",
        error=error,
        test=None,
        model=None,
        best_epoch=None,
        history=[],
        epochs=0,
        epoch_seconds=[],
        validation=None,
        stopped="nan",
    )


def make_pair(a, b, num_test=20, seeds=1):
    """An inconclusive difference of two contenders."""
    return Pair(
        a=a,
        b=b,
        difference=-0.0123,
        ci95=(-0.02, 0.001),
        ci90=(-0.018, -0.001),
        p_value=0.2,
        p_value_raw=0.2,
        p_permutation=None if seeds == 1 else 0.2,
        test="a coin",
        n=num_test,
        seeds=seeds,
        margin=0.005,
        conclusion=Conclusion.INCONCLUSIVE,
        detectable_at_best=None if seeds == 1 else 0.01,
        seeds_needed=None,
        accuracy_a=0.7,
        accuracy_b=0.7123,
        only_a_right=2.0,
        only_b_right=3.0,
    )


def _trial(contender, seed, prepared, experiment, num_test):
    random = np.random.default_rng([seed, *contender.encode()])
    num_classes = len(prepared.classes)
    truth = np.arange(num_test) % num_classes
    predicted = np.where(
        random.random(num_test) < 0.7, truth, random.integers(0, num_classes, num_test)
    )
    confusion = np.zeros((num_classes, num_classes), int)
    np.add.at(confusion, (truth, predicted), 1)
    spiking = FAMILIES[contender] == "snn"
    ahead = 0.04 * spiking
    return Trial(
        contender=contender,
        family=FAMILIES[contender],
        seed=seed,
        encoding=experiment.encoding if spiking else None,
        num_steps=experiment.num_steps if spiking else None,
        parameters=1234,
        status="done",
        error=None,
        epochs=5,
        best_epoch=3,
        stopped="limit",
        epoch_seconds=[2.0, 1.0, 1.0, 1.0, 1.5],
        history=[
            Epoch(
                train_loss=1 / (epoch + 1) + 0.02 * seed,
                train_accuracy=0.8 - 0.3 / (epoch + 1) + ahead,
                val_loss=1.1 / (epoch + 1) + 0.02 * seed,
                val_accuracy=0.75 - 0.3 / (epoch + 1) + 0.01 * seed + ahead,
            )
            for epoch in range(5)
        ],
        validation=Score(accuracy=0.6, loss=0.3),
        test=Test(
            n=num_test,
            accuracy=float((truth == predicted).mean()),
            precision=0.71,
            recall=0.72,
            f1=0.73,
            per_class=[
                ClassScores(
                    name=name, precision=0.5, recall=0.25, f1=1 / 3, support=int((truth == k).sum())
                )
                for k, name in enumerate(prepared.classes)
            ],
            confusion=confusion.tolist(),
            tie_share=0.05 if spiking else 0.0,
        ),
        model=f"models/{contender}-seed{seed}.safetensors",
    )
