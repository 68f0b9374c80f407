"""Answers to the test images of a run, by contender, control and seed."""

import copy
from collections.abc import Sequence

import numpy as np

from spikeduel.results.controls import INT8
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.significance import balanced_classes

REARRANGED = ("redrawn", "shuffled_frames", "reversed")
"""Controls that change only when events come."""


class Answers:
    """Answers to the test images `[N]`: `truth`, `groups` (None: all independent), and `classes`
    (given if they count alike).
    """

    def __init__(self, predictions: PredictionsFile) -> None:
        self.names = predictions.classes
        self.truth = np.array(predictions.labels)
        self.groups = None if predictions.groups is None else np.array(predictions.groups)
        self.classes = balanced_classes(self.truth)
        self.predicted: dict[tuple[str, str | None], dict[int, np.ndarray]] = {}
        self.trainings: dict[tuple[str, int], list[str]] = {}
        for answers in predictions.trials:
            of_seeds = self.predicted.setdefault((answers.contender, answers.control), {})
            of_seeds[answers.seed] = np.array(answers.predicted)
            if answers.control is None:
                self.trainings[answers.contender, answers.seed] = answers.trainings

    def of(self, contender: str, control: str | None = None) -> dict[int, np.ndarray]:
        """Return the predicted classes of a contender or its control, int64 `[N]` by seed."""
        return self.predicted.get((contender, control), {})

    def right(self, seeds: Sequence[int], contender: str, control: str | None = None) -> np.ndarray:
        """Return the right answers, bool `[S, N]`; a missing seed answers the most frequent
        class.
        """
        constant = np.full_like(self.truth, np.bincount(self.truth).argmax())
        of_seeds = self.of(contender, control)
        return np.array([of_seeds.get(seed, constant) == self.truth for seed in seeds])

    def in_whole_numbers(self) -> "Answers":
        """Return the answers in whole numbers, as if they were the contenders' own."""
        other = copy.copy(self)
        other.predicted = {
            (name, None): answers
            for (name, control), answers in self.predicted.items()
            if control == INT8
        }
        return other

    def sees_no_time(self, contender: str) -> bool:
        """Return True if rearranging events in time changes no answer; False if not asked."""
        answers = self.of(contender)
        asked = [of_seeds for name in REARRANGED if (of_seeds := self.of(contender, name))]
        return bool(asked) and all(
            seed in answers and np.array_equal(predicted, answers[seed])
            for of_seeds in asked
            for seed, predicted in of_seeds.items()
        )
