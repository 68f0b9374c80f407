"""Builders of an experiment, data, trials and results: each sets what a test names, and usual values
for the rest.
"""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from made_findings import example as example
from spikeduel import data
from spikeduel.analysis.recommending import with_recommendation
from spikeduel.auditing.audit_results import Counts
from spikeduel.data import Preprocessing
from spikeduel.data.prepared import Prepared
from spikeduel.evaluation.latency import machine
from spikeduel.experiment.recipes import baseline, strong
from spikeduel.experiment.settings import SETTINGS
from spikeduel.exporters import exporting
from spikeduel.results.cost_results import MEMORIES, Energy, Joules, Range, TableEnergy, WayJoules
from spikeduel.results.predictions import PredictionsFile, SeedPredictions
from spikeduel.results.run import SCHEMA, Conclusions, Dataset, Pair, Results
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import (
    ClassScores,
    Epoch,
    Latency,
    Machine,
    Score,
    Test,
    Throughput,
    Times,
    Trial,
    VariantResult,
)
from spikeduel.system.finding_tables import finding
from spikeduel.training import contenders
from spikeduel.training.store import TrialRecord

MACHINE = Machine(
    cpu="a",
    cores=2,
    threads=2,
    device="cpu",
    gpu=None,
    torch="2",
    python="3",
    platform="p",
    load_average=None,
)


# ---- experiments and data


def existing(**settings):
    """Return those of `settings` that are settings: one of a deleted feature is not."""
    return {name: value for name, value in settings.items() if name in SETTINGS}


def of_feature(module):
    """A module such as "kit.kit_files"; if its feature was deleted, the test is skipped."""
    return pytest.importorskip(f"spikeduel.features.{module}")


def page_of(feature):
    """The page of a feature; if it was deleted, the test is skipped."""
    path = Path(__file__).parents[1] / "docs" / "features" / f"{feature}.md"
    if not path.exists():
        pytest.skip(f"{feature} was deleted")
    return path.read_text(encoding="utf-8")


def verify(path):
    """What the feature `verification` says of a run."""
    return of_feature("verification.verifying").verify(path)


def export(model, path, to="onnx", images=None, labels=None, examples=None, progress=None):
    """Export a model, checked on `images`; a format in int8 is fitted to `examples`."""
    test_images = images, labels, model.card.dataset
    return exporting.export(
        model, path, lambda: test_images, to, progress, examples=lambda: examples
    )


def discrepancies(path):
    """What `verify` finds in a run, or in what is made of several runs."""
    return [found for verification in verify(path) for found in verification.discrepancies]


def differing(path):
    """Files and places that `verify` names; the place of a whole file is "missing" or "unknown"."""
    return {
        (found.file, "missing" if found.missing else "unknown" if found.unknown else found.place)
        for found in discrepancies(path)
    }


def evaluate(*arguments, **more):
    """What the feature `predicting` measures of a model."""
    return of_feature("predicting.model_evaluation").evaluate(*arguments, **more)


def small_experiment(**changes):
    """An experiment that takes a second: scikit-learn's digits, narrow networks, few steps."""
    settings = {"hidden": 32, "num_steps": 4, "epochs": 2, "batch_size": 64}
    return baseline("digits", **settings | {"learning_rate": 5e-3, "device": "cpu"} | changes)


def small_twins(**changes):
    """The recipe `strong` with two twins that train in a moment."""
    settings = {"width": 3, "num_steps": 2, "augmentation": "none", "device": "cpu"}
    settings |= {"contenders": ("vgg-lif", "vgg-relu"), "precision": "32", **changes}
    return strong("digits", **settings)


def planned(experiment):
    """The data of `experiment`, and its trials in all folds."""
    prepared = data.load(experiment)
    trials = [
        trial
        for split in data.splits(prepared, experiment)
        for trial in contenders.trials_of(experiment, prepared, split)
    ]
    return prepared, trials


def prepared(images=10, labels=None, **changes):
    """A prepared data set of these images `[N, C, H, W]`, or of so many black ones of 4×4 pixels."""
    if isinstance(images, int):
        images = np.zeros((images, 1, 4, 4), np.uint8)
    made = {
        "name": "made up",
        "classes": ("a", "b", "c"),
        "preprocessing": Preprocessing(*images.shape[1:]),
        "samples": [],
        "fingerprint": "f" * 64,
    }
    labels = np.zeros(len(images), np.int64) if labels is None else labels
    return Prepared(images=images, labels=labels, **{**made, **changes})


def dataset(num_test=2000, **changes):
    """The data set of results: ten classes, and nothing that leads to a finding."""
    made = {
        "name": "made up",
        "fingerprint": "f" * 64,
        "classes": [f"class {k}" for k in range(10)],
        "counts": Counts(train=8000, val=1000, test=num_test),
        "split": "grouped",
    }
    return Dataset(**{**made, **changes})


# ---- trials


def confused(accuracy, supports):
    """A confusion matrix of this accuracy, equal in all classes; errors are spread over the others."""
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
        "kind": "snn" if spiking else "cnn",
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
        "test": None if failed or "test" in changes else scored(accuracy),
        "model": None if failed else f"models/{contender}-seed{seed}.safetensors",
    }
    made |= changes
    if not failed and "best_epoch" not in changes:
        made["best_epoch"] = min(1, len(made["history"]) - 1)
    return Trial(**made)


def failed(trial, error="the loss became NaN"):
    """`trial`, failed before its first epoch."""
    nothing = dict.fromkeys(["test", "model", "best_epoch", "validation"])
    nothing |= {"history": [], "epochs": 0, "epoch_seconds": []}
    return structs.replace(trial, status="failed", error=error, stopped="nan", **nothing)


def record(contender="snn", seed=0, val=(0.5, 0.75), *, fold=None, settings=None, **changes):
    """A trial as the store keeps it, with these validation accuracies; a failed one if `val` is
    empty.
    """
    spikes = "snn" in contender
    usual = {
        "contender": contender,
        "kind": "snn" if spikes else "cnn",
        "seed": seed,
        "encoding": "rate" if spikes else None,
        "num_steps": 4 if spikes else None,
        "training": {},
        **({} if fold is None else {"data": {"fold": fold}}),
    }
    made = {
        "key": f"{contender}-{seed}-{fold}",
        "settings": usual | (settings or {}),
        "parameters": 1234,
        "status": "done" if val else "failed",
        "error": None if val else "it broke",
        "best_epoch": int(np.argmax(val)) if val else None,
        "stopped": "limit" if val else None,
        "epoch_seconds": [2.0, 1.0, 6.0] if val else [],
        "history": [
            Epoch(train_loss=2.0, train_accuracy=0.4, val_loss=1.0 - v, val_accuracy=v) for v in val
        ],
        "environment": {"cpu": "a chip", "python": "3", "torch": "2", "threads": 1}
        | {"device": "cpu", "precision": "32"},
    }
    return TrialRecord(**{**made, **changes})


DENSE, CONV = {"linear.weight": [10, 64]}, {"block.weight": [8, 1, 3, 3], "linear.weight": [10, 64]}
FOUR = [
    trial("dense-snn", 0.5, weight_shapes=DENSE, seconds=[2.0] * 3),
    trial("dense-cnn", 0.5, weight_shapes=DENSE, seconds=[1.0] * 3),
    trial("conv-snn", 0.5, weight_shapes=CONV, seconds=[9.0] * 3),
    trial("conv-cnn", 0.5, weight_shapes=CONV, seconds=[3.0] * 3),
]
"""Two pairs of twins."""


def predictions_file(labels, predicted, folds=1, **changes):
    """Predicted classes `[N]` by (contender, seed), or (contender, seed, ablation)."""
    trials = []
    for (contender, seed, *variant), classes in predicted.items():
        trials.append(
            SeedPredictions(
                contender=contender,
                seed=seed,
                variant=variant[0] if variant else None,
                predicted=np.asarray(classes).tolist(),
                trainings=[f"{contender} {seed} {fold}" for fold in range(folds)],
            )
        )
    made = {
        "schema": 2,
        "dataset": "made up",
        "fingerprint": "f" * 64,
        "classes": [f"class {k}" for k in range(max(labels) + 1)],
        "indices": list(range(len(labels))),
        "labels": list(map(int, labels)),
        "groups": None,
        "images": [f"{image:016x}" for image in range(len(labels))],
        "trials": trials,
    }
    return PredictionsFile(**{**made, **changes})


# ---- times and energies


def latency(median_ms=None, p95_ms=None, stream=None, **changes):
    times = None if median_ms is None else Times(median_ms=median_ms, p95_ms=p95_ms, n=9)
    return Latency(**{"machine": MACHINE, "one_image": times, "stream_ms": stream, **changes})


def fully_timed():
    """Times of one image, of batches and of the start, and the memory."""
    batches = {
        size: Throughput(
            median_ms=1, p95_ms=None, n=9, batch_size=int(size), images_per_second=number
        )
        for size, number in (("32", 4000.4), ("256", 3000.0))
    }
    return latency(
        0.5, 0.75, throughput=batches, start_up_seconds=1.25, peak_memory_bytes=300_000_000
    )


def untimed(path, images, device, own_code=()):
    """Made-up times in place of `measuring.latency.latency`, which starts a process and takes
    seconds.
    """
    one = {"median_ms": 2.0, "p95_ms": 3.0, "n": 20}
    return Latency(
        machine=machine(device),
        precision="32",
        one_image=Times(**one),
        throughput={"1": Throughput(batch_size=1, images_per_second=500.0, **one)},
        start_up_seconds=1.0,
        peak_memory_bytes=1 << 28,
    )


def joules(amount):
    """Zeros skipped: half of the amount; or a (low, high)."""
    low, high = amount if isinstance(amount, tuple) else (amount / 2, amount)
    return Joules(dense=high, range=Range(low=low, high=high))


def energy_of(hoisted, per_step=None, with_memory=None, table="45nm-fp32"):
    """These joules by one table, whatever is counted."""

    def ways(hoisted, per_step):
        return WayJoules(per_step=joules(per_step), hoisted=joules(hoisted))

    alone = ways(hoisted, hoisted if per_step is None else per_step)
    more = alone if with_memory is None else ways(with_memory, with_memory)
    models = {memory: alone if memory == "compute" else more for memory in MEMORIES}
    return Energy(tables={table: TableEnergy(title=f"the table {table}", source="s", **models)})


# ---- results


def pair(difference=0.0, *, seeds=1, accuracy_a=0.9, half=0.01, **changes):
    """snn against cnn on 2,000 images; `half` is the half-width of the 95 % interval."""
    made = {
        "a": "snn",
        "b": "cnn",
        "difference": difference,
        "accuracy_a": accuracy_a,
        "accuracy_b": accuracy_a - difference,
        "only_a_right": 120.0,
        "only_b_right": 80.0,
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


def results(
    trials,
    pairs=(),
    *,
    about=None,
    experiment=None,
    caveats=(),
    **changes,
):
    """The results of `trials` on the data set `about`."""
    made = {
        "schema": SCHEMA,
        "spikeduel": "0.0",
        "created": "2001-02-03T04:05:06+00:00",
        "environment": None,
        "dataset": about or dataset(),
        "experiment": experiment or baseline(),
        "trials": list(trials),
        "comparison": Conclusions(pairs=list(pairs), caveats=list(caveats)),
    }
    return with_recommendation(Results(**{**made, **changes}))


def variant_result(title, accuracy, spikes=False, supports=(200,) * 10, **changes):
    """The result of a variant."""
    about = {"meaning": "m", "spikes": spikes, "n": 20, "accuracy": accuracy}
    return VariantResult(
        title=title, by_class=scored(accuracy, supports).by_class, **about, **changes
    )


NETWORK_KINDS = {"dense-snn": "snn", "small-cnn": "cnn", "wide-cnn": "cnn"}


def run_results(prepared, experiment, num_test=20):
    """Results of `experiment` on `prepared`, of which name, fingerprint and classes count; about 70 %
    of predictions are right.
    """
    first, last = experiment.contenders[0], experiment.contenders[-1]
    inconclusive = pair(
        -0.0123,
        a=first,
        b=last,
        accuracy_a=0.7,
        half=0.013,
        n=num_test,
        seeds=experiment.seeds,
        detectable_at_best=None if experiment.seeds == 1 else 0.01,
        seeds_needed=None,
    )
    return results(
        [
            _trained(contender, seed, prepared, experiment, num_test)
            for seed in range(experiment.seeds)
            for contender in experiment.contenders
        ],
        [inconclusive] if first != last else [],
        caveats=[finding("one_seed" if experiment.seeds == 1 else "confounded")],
        experiment=experiment,
        about=Dataset(
            name=prepared.name,
            fingerprint=prepared.fingerprint,
            classes=list(prepared.classes),
            counts=Counts(train=30, val=10, test=num_test),
            split="stratified",
        ),
        environment={"python": "3.11", "torch": "2.13", "cpu": "a <fast> one"}
        | {"threads": 2, "gpu": None},
    )


def _trained(contender, seed, prepared, experiment, num_test):
    num_classes = len(prepared.classes)
    truth = np.arange(num_test) % num_classes
    confusion = np.zeros((num_classes, num_classes), int)
    np.add.at(confusion, (truth, _predicted(contender, seed, truth, num_classes)), 1)
    spiking = NETWORK_KINDS[contender] == "snn"
    ahead = 0.04 * spiking
    return trial(
        contender,
        float(confusion.trace() / num_test),
        seed=seed,
        encoding=experiment.encoding if spiking else None,
        num_steps=experiment.num_steps if spiking else None,
        parameters=1234,
        epochs=5,
        best_epoch=3,
        stopped="limit",
        seconds=[2.0, 1.0, 1.0, 1.0, 1.5],
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
            accuracy=float(confusion.trace() / num_test),
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
    )


def _predicted(contender, seed, labels, num_classes):
    random = np.random.default_rng([seed, *contender.encode()])
    guesses = random.random(len(labels)), random.integers(0, num_classes, len(labels))
    return np.where(guesses[0] < 0.7, labels, guesses[1])


def run_predictions(prepared, results, test):
    """Predictions for the images `test` of `prepared` that fit `run_results`."""
    labels = np.asarray(prepared.labels)[test]
    predicted = {
        (trial.contender, trial.seed): _predicted(
            trial.contender, trial.seed, labels, labels.max() + 1
        )
        for trial in results.trials
    }
    return predictions_file(
        labels,
        predicted,
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        indices=list(map(int, test)),
        images=[f"{index:016x}" for index in test],
    )


# ---- changed results


def replaced(results, **changes):
    """`results` with other values, and the recommendation that follows from them."""
    comparison = changes.pop("comparison", results.comparison)
    comparison = structs.replace(comparison, recommendation=Conclusions().recommendation)
    return with_recommendation(structs.replace(results, comparison=comparison, **changes))


def with_trials(results, **changes):
    """`results` whose trials have other values: each is a value, or a function of the trial."""
    trials = [
        structs.replace(
            trial, **{name: new(trial) if callable(new) else new for name, new in changes.items()}
        )
        for trial in results.trials
    ]
    return replaced(results, trials=trials)


def with_trial(results, index, **changes):
    """`results` in which one trial has other values."""
    trials = list(results.trials)
    trials[index] = structs.replace(trials[index], **changes)
    return replaced(results, trials=trials)


def with_accuracy(results, index, accuracy):
    supports = results.trials[index].test.by_class.images
    return with_trial(results, index, test=scored(accuracy, supports))


def with_tests(results, **changes):
    """`results` whose tests have other values."""
    return with_trials(results, test=lambda trial: structs.replace(trial.test, **changes))


def with_pair(results, **changes):
    """`results` whose only pair has other values."""
    (pair,) = results.comparison.pairs
    pairs = [structs.replace(pair, **changes)]
    return replaced(results, comparison=structs.replace(results.comparison, pairs=pairs))


def with_dataset(results, **changes):
    """`results` whose data set has other values."""
    return structs.replace(results, dataset=structs.replace(results.dataset, **changes))
