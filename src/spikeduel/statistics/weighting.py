"""Weigh images: groups of dependent images count as fewer, and classes can count alike.

Where K classes count alike (balanced accuracy), an image of a class of n images weighs N / (K · n).
Its score is the mean of the classes' means, plus its weight times its distance from the mean of its
class. Such scores have the mean and the variance of the balanced accuracy, which lets every test of
accuracies test balanced accuracies, too.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

MAX_IMBALANCE = 5
"""Ratio of the largest to the smallest class above which classes are unbalanced."""
MIN_IN_CLASS = 10
"""Fewest images of each class with which unbalanced classes count alike."""


def numbered(keys: Iterable[Hashable]) -> np.ndarray:
    """Number keys in the order of their first appearance.

    Parameters
    ----------
    keys : iterable of hashable, length N
        Names of groups, hashes or numbers.

    Returns
    -------
    ndarray of int64, shape [N]
        Equal numbers for equal keys, from 0. They do not depend on what the keys are called.

    Examples
    --------
    >>> numbered(["left", "right", "left", "both"]).tolist()
    [0, 1, 0, 2]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def clusters(groups: ArrayLike | None) -> np.ndarray | None:
    """Number the groups of images.

    Parameters
    ----------
    groups : array_like, shape [N], or None
        The group of each image.

    Returns
    -------
    ndarray of int64, shape [N], or None
        Groups as `numbered` numbers them; None if no two images belong together.

    Examples
    --------
    >>> clusters(["ann", "bob", "ann"]).tolist()
    [0, 1, 0]
    >>> clusters(["ann", "bob", "eve"]) is None
    True
    """
    cluster = numbered([] if groups is None else np.asarray(groups).tolist())
    return cluster if len(cluster) and cluster.max() + 1 < len(cluster) else None


def effective_groups(cluster: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the number of equal groups that weigh as much as these: N² / Σ n².

    Parameters
    ----------
    cluster : ndarray of int, shape [N]
        The group of each image, numbered from 0.
    weights : ndarray, shape [N], optional
        The weight of each image; their sum is N.

    Returns
    -------
    float
        At most the number of groups.

    Examples
    --------
    >>> effective_groups(np.array([0, 0, 1, 1])), effective_groups(np.array([0, 0, 0, 1]))
    (2.0, 1.6)
    """
    sizes = np.bincount(cluster, weights)
    return float(len(cluster) ** 2 / (sizes @ sizes))


def weights_of(classes: np.ndarray | None, num_images: int) -> np.ndarray:
    """Return the weights with which classes count alike.

    Parameters
    ----------
    classes : ndarray of int, shape [N], or None
        The class of each image, numbered from 0. With None all images count alike.
    num_images : int
        The number N of images.

    Returns
    -------
    ndarray, shape [N]
        Weights with the sum N.

    Examples
    --------
    >>> weights_of(np.array([0, 0, 0, 1]), 4).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    if classes is None:
        return np.ones(num_images)
    sizes = np.bincount(classes)
    return num_images / len(sizes) / sizes[classes]


def accuracy(images: ArrayLike, correct: ArrayLike, balanced: bool = False) -> np.ndarray:
    """Return accuracies from counts by class: the one definition of accuracy.

    Accuracy is the share of correct predictions. Balanced accuracy is the mean of the recalls of
    the classes that have images.

    Parameters
    ----------
    images : array_like, shape [..., K]
        Number of test images of each of K classes.
    correct : array_like, shape [..., K]
        Number of correct predictions of each class.
    balanced : bool
        Whether to return balanced accuracy.

    Returns
    -------
    ndarray of float, shape [...]
        Accuracies from 0 to 1.

    Examples
    --------
    >>> float(accuracy([90, 10], [81, 5])), float(accuracy([90, 10], [81, 5], balanced=True))
    (0.86, 0.7)
    """
    images, correct = np.asarray(images), np.asarray(correct)
    if not balanced:
        return correct.sum(-1) / images.sum(-1)
    recalls = correct / np.maximum(images, 1)
    return recalls.sum(-1) / np.count_nonzero(images, axis=-1)


def accuracies(correct: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
    """Return the accuracy of each seed.

    Parameters
    ----------
    correct : ndarray of bool, shape [S, N]
        Which predictions of S seeds for N images are correct.
    classes : ndarray of int, shape [N], optional
        The class of each image, numbered from 0, for balanced accuracy.

    Returns
    -------
    ndarray of float, shape [S]
        The `accuracy` of each seed.

    Examples
    --------
    >>> accuracies(np.array([[True, True, False, True]])).tolist()
    [0.75]
    """
    return accuracy(*_by_class(correct, classes), balanced=classes is not None)


def mean_accuracy(correct: np.ndarray, classes: np.ndarray | None = None) -> float:
    """Return the accuracy of the predictions of all seeds together.

    It is the mean of `accuracies` without their rounding.

    Parameters
    ----------
    correct : ndarray of bool, shape [S, N]
        Which predictions of S seeds for N images are correct.
    classes : ndarray of int, shape [N], optional
        The class of each image, numbered from 0, for balanced accuracy.

    Examples
    --------
    >>> mean_accuracy(np.array([[True, True, False, True], [True, False, False, True]]))
    0.625
    """
    images, counts = _by_class(correct, classes)
    return float(accuracy(len(correct) * images, counts.sum(0), balanced=classes is not None))


def _by_class(correct: np.ndarray, classes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the images `[K]` and correct predictions `[S, K]` of each class; all images are of one
    class without `classes`.
    """
    if classes is None:
        return np.array([correct.shape[1]]), correct.sum(1, keepdims=True)
    by_seed = [np.bincount(classes, weights=row) for row in correct]
    return np.bincount(classes), np.reshape(by_seed, (len(correct), -1))


def scores(correct: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Return scores of images whose means are accuracies, or balanced accuracies.

    Parameters
    ----------
    correct : ndarray of bool, shape [S, N]
        Which predictions of S seeds for N images are correct.
    classes : ndarray of int, shape [N], or None
        The class of each image, numbered from 0, if classes count alike.

    Returns
    -------
    ndarray, shape [S, N]
        Scores. The mean of a row is the (balanced) accuracy of its seed.

    Examples
    --------
    >>> correct = np.array([[True, True, False, True]])
    >>> scores(correct, None).mean(1).tolist()
    [0.75]
    >>> scores(correct, np.array([0, 0, 0, 1])).mean(1).round(3).tolist()
    [0.833]
    """
    if classes is None:
        return correct
    images, counts = _by_class(correct, classes)
    weighted = weights_of(classes, len(classes)) * (correct - (counts / images)[:, classes])
    return accuracies(correct, classes)[:, None] + weighted


def are_unbalanced(counts: Sequence[int] | np.ndarray) -> bool:
    """Return True if the largest class has more than five times the images of the smallest.

    Parameters
    ----------
    counts : sequence of int
        Images of each class. Classes without images are left out.

    Examples
    --------
    >>> are_unbalanced([50, 10, 0]), are_unbalanced([51, 10])
    (False, True)
    """
    present = [count for count in counts if count]
    return max(present, default=0) > MAX_IMBALANCE * min(present, default=0)


def count_alike(counts: Sequence[int] | np.ndarray) -> bool:
    """Return True if classes should be compared by balanced accuracy.

    They should if they are unbalanced, unless a class has fewer than `MIN_IN_CLASS` images, each of
    which would weigh too much.

    Parameters
    ----------
    counts : sequence of int
        Images of each class. Classes without images are left out.

    Examples
    --------
    >>> count_alike([100, 12]), count_alike([100, 9]), count_alike([100, 90])
    (True, False, False)
    """
    return are_unbalanced(counts) and min(filter(None, counts)) >= MIN_IN_CLASS


def balanced_classes(labels: ArrayLike) -> np.ndarray | None:
    """Return the classes of images if balanced accuracy should be compared.

    Parameters
    ----------
    labels : array_like, shape [N]
        True classes, as numbers or text.

    Returns
    -------
    ndarray of int, shape [N], or None
        Classes numbered from 0; None if all images should count alike.

    Examples
    --------
    >>> balanced_classes(["cat", "dog", "dog"]) is None
    True
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return classes if count_alike(counts) else None


def per_image(
    name: str, values: ArrayLike, num_images: int | None = None, seeds: bool = False
) -> np.ndarray:
    """Check values that are given for each image.

    Parameters
    ----------
    name : str
        The name of the argument, for errors.
    values : array_like, shape [N], with `seeds` also [S, N]
        Truth values, whole numbers or text.
    num_images : int, optional
        The number N that is required.
    seeds : bool
        Whether a row for each of S seeds is allowed.

    Returns
    -------
    ndarray
        The values.

    Raises
    ------
    ValueError
        If the shape or the kind is another, or values are missing.

    Examples
    --------
    >>> per_image("groups", [1, 1, 2], 4)
    Traceback (most recent call last):
    ValueError: groups must have one entry for each image, [4], not the shape [3].
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name}: its rows have different lengths.") from None
    kind, shape = array.dtype.kind, list(array.shape)
    if not array.size or array.ndim not in (1, 1 + seeds) or num_images not in (None, shape[-1]):
        size = "N" if num_images is None else num_images
        form = f"[{size}] or [seeds, {size}]" if seeds else f"[{size}]"
        raise ValueError(
            f"{name} must have one entry for each image, {form}, not the shape {shape}."
        )
    if kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} has missing values (NaN or infinity): every image needs one.")
    if kind not in "iufbUS" or (kind == "f" and (array != np.round(array)).any()):
        what = "scores or probabilities" if kind == "f" else array.dtype
        raise ValueError(f"{name} must be whole numbers or text, not {what}.")
    return array
