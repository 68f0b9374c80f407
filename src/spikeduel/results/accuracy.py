"""Accuracy of a contender, and whether it is better than chance, or than a constant prediction.

The accuracy of a seed is `statistics.accuracy` over all test images, in all folds. A contender's
accuracy is the mean over its `counted_seeds`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from spikeduel.results.significance import Measure
from spikeduel.results.trials import (
    MAX_IN_MATRIX,
    Classification,
    ClassScores,
    Scores,
    Trial,
    VariantResult,
)
from spikeduel.statistics import accuracy, are_unbalanced, count_alike
from spikeduel.system.grouped import grouped

SURE = 2
"""Standard deviations above chance from which a network has learned something."""


def measures(trials: Sequence[Trial]) -> list[Measure]:
    """Return the measures that a reader needs, the one by which contenders are compared first:
    accuracy; with unbalanced classes also balanced accuracy, which decides if classes count alike.
    """
    images = images_by_class(trials)
    if count_alike(images):
        return ["balanced_accuracy", "accuracy"]
    return ["accuracy", "balanced_accuracy"] if are_unbalanced(images) else ["accuracy"]


def common_seeds(finished: Iterable[Collection[int]]) -> set[int]:
    """Return the seeds that all contenders `finished`, other than those that finished none."""
    some = [set(seeds) for seeds in finished if seeds]
    return set.intersection(*some) if some else set()


def counted_seeds(finished: Mapping[str, Collection[int]]) -> dict[str, list[int]]:
    """Return the seeds that count in the numbers of each contender: the `common_seeds` of those
    that the contenders `finished`, else its own.
    """
    common = common_seeds(finished.values())
    return {name: sorted(common if seeds and common else seeds) for name, seeds in finished.items()}


def of_seeds(trials: Sequence[Trial], measure: Measure | None = None) -> dict[int, float]:
    """Return a contender's accuracies by seed, in the `measure` (default: that of comparisons)."""
    balanced = (measure or measures(trials)[0]) == "balanced_accuracy"
    return {
        seed: float(accuracy(images, right, balanced))
        for seed, (images, _, right) in _tables(trials).items()
    }


def pooled(tested: Sequence[Scores | VariantResult], measure: Measure = "accuracy") -> float:
    """Return the accuracy over all seeds and folds of a contender, or of its variant."""
    counts = [scores.by_class for scores in tested]
    images, right = np.sum([[of_trial.images, of_trial.right] for of_trial in counts], axis=0)
    return float(accuracy(images, right, measure == "balanced_accuracy"))


def images_by_class(trials: Sequence[Trial]) -> np.ndarray:
    """Return the number of test images of each class, in all folds, int64 `[K]`."""
    by_contender = grouped((trial.contender, trial) for trial in trials)
    images = [
        table[0]
        for of_contender in by_contender.values()
        for table in _tables(of_contender).values()
    ]
    return np.max(images, axis=0) if images else np.zeros(0, np.int64)


def effective_images(trials: Sequence[Trial]) -> float | None:
    """Return the number of images in equal classes that would tell as much of balanced accuracy as
    these; None unless classes count alike.
    """
    images = images_by_class(trials)
    present = images[images > 0]
    return len(present) ** 2 / (1 / present).sum() if count_alike(images) else None


def _tables(trials: Sequence[Trial], variant: str | None = None) -> dict[int, np.ndarray]:
    """Return the images, predictions and right predictions of each class, in all folds, int64 `[3,
    K]` by seed, of one contender or its `variant`.
    """
    tables: dict[int, np.ndarray] = {}
    for trial in trials:
        if trial.test:
            counts = trial.variants[variant].by_class if variant else trial.test.by_class
            table = np.array([counts.images, counts.predictions, counts.right])
            tables[trial.seed] = tables.get(trial.seed, 0) + table
    return tables


def classified(classes: Sequence[str], truth: np.ndarray, predicted: np.ndarray) -> Classification:
    """Return the classification of true and predicted classes, int64 `[N]`; a class never predicted
    has precision 0.
    """
    num = len(classes)
    # Importing scikit-learn takes longer than predicting a small test set.
    right, support, named = (
        np.bincount(labels, minlength=num)
        for labels in (truth[truth == predicted], truth, predicted)
    )
    precision, recall, f1 = (
        parts / np.maximum(wholes, 1)
        for parts, wholes in ((right, named), (right, support), (2.0 * right, support + named))
    )
    rows = zip(classes, precision, recall, f1, support, strict=True)
    return Classification(
        n=len(truth),
        accuracy=float(accuracy(support, right)),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        loss=None,
        per_class=[
            ClassScores(name=name, precision=float(p), recall=float(r), f1=float(f), support=int(n))
            for name, p, r, f, n in rows
        ],
        confusion=_confusion(truth, predicted, num),
        tie_share=None,
        truth=truth.tolist(),
        predicted=predicted.tolist(),
    )


def _confusion(truth: np.ndarray, predicted: np.ndarray, num: int) -> list[list[int]]:
    """Return the confusion matrix, or its cells (`Scores`)."""
    codes = num * truth + predicted
    if num <= MAX_IN_MATRIX:
        return np.bincount(codes, minlength=num**2).reshape(num, num).tolist()
    cells, images = np.unique(codes, return_counts=True)
    return np.stack([*np.divmod(cells, num), images], 1).tolist()


def constant_accuracy(trials: Sequence[Trial], measure: Measure = "accuracy") -> float:
    """Return the score of predicting the most frequent class of the test images for each image."""
    images = images_by_class(trials)
    if measure == "balanced_accuracy":
        return 1 / int(np.count_nonzero(images))
    return float(images.max() / images.sum())


def no_better_than_chance(trials: Sequence[Trial], variant: str | None = None) -> bool:
    """Return True unless a contender, or its `variant`, is shown to have learned something."""
    return not depend_on_truth(list(_tables(trials, variant).values()))


def depend_on_truth(tables: Sequence[np.ndarray]) -> bool:
    """Return True if predictions depend on the truth: their balanced accuracy is `SURE` standard
    deviations above the mean over all orders of the same predictions. `tables` `[3, K]`, one a
    seed: images, predictions and right predictions of each class.

    Seeds predict the same images, and count as one.
    """
    ahead, off = np.mean([_ahead_of_chance(table) for table in tables], axis=0)
    return bool(ahead > SURE * off)


def _ahead_of_chance(table: np.ndarray) -> tuple[float, float]:
    """Return how far balanced accuracy is above its mean over all orders of the predictions, less
    half an image of the rarest class (continuity), and its standard deviation (Hoeffding 1951).
    """
    num_images, (images, predictions, _) = table[0].sum(), table[:, table[0] > 0]
    weights = 1 / len(images) / images
    mean = weights @ (images * predictions) / num_images
    squares = weights**2 @ (images * predictions * (num_images - images - predictions))
    variance = (squares / num_images + mean**2) / max(num_images - 1, 1)
    above = float(accuracy(table[0], table[2], balanced=True)) - mean
    return above - weights.max() / 2, max(variance, 0.0) ** 0.5


def unlearned_variants(trials: Sequence[Trial], compressed: bool = False) -> dict[str, str]:
    """Return the trained ablations that learned nothing, or the `compressed` variants, with
    titles: at chance over all trainings, or in half of the seeds.

    Left out are ablations that predict in another way, and recordings without time, which may lose
    everything.
    """
    tested = [trial for trial in trials if trial.test]
    titles = {
        name: variant.title
        for trial in tested
        for name, variant in trial.variants.items()
        if (variant.key or compressed)
        and not variant.of_recordings
        and variant.compressed == compressed
    }
    unlearned = {}
    for name, title in titles.items():
        tested_variants = [trial for trial in tested if name in trial.variants]
        seeds = {trial.seed for trial in tested_variants}
        at_chance = sum(
            no_better_than_chance([trial for trial in tested_variants if trial.seed == seed], name)
            for seed in seeds
        )
        if 2 * at_chance >= len(seeds) or no_better_than_chance(tested_variants, name):
            unlearned[name] = title
    return unlearned
