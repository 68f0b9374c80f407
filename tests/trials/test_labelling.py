from types import SimpleNamespace

import numpy as np

from spikeduel.data import Split
from spikeduel.results.trials import Confidences, LabelConfidences
from spikeduel.trials.labelling import check

LABELS = np.array([0, 1] * 10)


class Set(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.labels)


def confidences(images: np.ndarray, doubted: set[int]) -> Confidences:
    doubts = [int(image) in doubted for image in images]
    return Confidences(
        given=[0.02 if doubt else 0.9 for doubt in doubts],
        best=[int(LABELS[image]) ^ doubt for image, doubt in zip(images, doubts, strict=True)],
        highest=[0.98 if doubt else 0.9 for doubt in doubts],
    )


def training(split: Split, seed: int, doubted: set[int], fold: int | None = None) -> SimpleNamespace:
    found = LabelConfidences(validation=confidences(split.val, doubted), test=confidences(split.test, doubted))
    record = SimpleNamespace(settings={"seed": seed}, fold=fold)
    return SimpleNamespace(contender="net", record=record, measured={"label_confidences": found})


def prepared() -> Set:
    return Set(labels=LABELS, classes=("cat", "dog"), names=None)


SPLIT = Split(np.arange(10), np.arange(10, 14), np.arange(14, 20), "stratified")


def test_what_half_of_the_trainings_doubt_is_listed():
    trainings = [training(SPLIT, 0, {11, 15}), training(SPLIT, 1, {15, 16}), training(SPLIT, 2, {15, 11})]
    checked, listed = check(prepared(), [SPLIT], trainings)
    assert (checked.examined, checked.suspects) == (10, 2)
    assert checked.agreement == 1 - 6 / 30
    assert [(each.image.index, each.image.side, each.image.label, each.suggested) for each in listed] == [
        (11, "val", "dog", "cat"), (15, "test", "dog", "cat"),
    ]  # fmt: skip


def test_half_of_the_trainings_is_enough_and_less_is_not():
    trainings = [training(SPLIT, seed, {15} if seed == 0 else set()) for seed in range(3)]
    assert len(check(prepared(), [SPLIT], trainings[:2])[1]) == 1
    assert check(prepared(), [SPLIT], trainings)[1] == []


def test_with_folds_every_image_is_judged_where_it_was_a_test_image():
    folds = [
        Split(np.arange(10, 18), np.arange(18, 20), np.arange(10), "stratified", 0),
        Split(np.arange(8), np.arange(8, 10), np.arange(10, 20), "stratified", 1),
    ]
    # Image 18 is doubted as a validation image of the first fold only.
    trainings = [training(folds[0], 0, {3, 18}, 0), training(folds[1], 0, {12}, 1)]
    checked, listed = check(prepared(), folds, trainings)
    assert checked.examined == 20
    assert [(each.image.index, each.image.side) for each in listed] == [(3, "test"), (12, "test")]


def test_without_measures_nothing_is_said():
    assert check(prepared(), [SPLIT], []) == (None, [])
