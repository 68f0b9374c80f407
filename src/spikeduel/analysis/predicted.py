"""Predictions for the test images of a run, by contender, variant and seed."""

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from spikeduel.results.accuracy import common_seeds, counted_seeds
from spikeduel.results.predictions import PredictionsFile
from spikeduel.statistics import balanced_classes, mean_accuracy

REARRANGED = ("redrawn", "shuffled_frames", "reversed")
"""Variants that change only when events come."""
DisagreementCase = Literal["only_a", "only_b", "neither"]
"""Contenders that are right."""


class Predictions:
    """Predictions for the test images `[N]`: `truth`, `groups` (None: all independent), `classes`
    (given if they count alike). Rows, places in these, are listed with most seeds first, then
    with most wrong predictions.
    """

    def __init__(self, predictions: PredictionsFile) -> None:
        self.names = predictions.classes
        self.truth = np.array(predictions.labels)
        self.groups = None if predictions.groups is None else np.array(predictions.groups)
        self.classes = balanced_classes(self.truth)
        self.predicted: dict[tuple[str, str | None], dict[int, np.ndarray]] = {}
        self.trainings: dict[tuple[str, int], list[str]] = {}
        for of_seed in predictions.trials:
            of_seeds = self.predicted.setdefault((of_seed.contender, of_seed.variant), {})
            of_seeds[of_seed.seed] = np.array(of_seed.predicted)
            if of_seed.variant is None:
                self.trainings[of_seed.contender, of_seed.seed] = of_seed.trainings
        self._count_seeds()

    def _count_seeds(self) -> None:
        finished = {
            name: of_seeds for (name, variant), of_seeds in self.predicted.items() if not variant
        }
        self.common = sorted(common_seeds(finished.values()))
        self.counted = counted_seeds(finished)

    def of(self, contender: str, variant: str | None = None) -> dict[int, np.ndarray]:
        """Return the predicted classes of a contender or its variant, int64 `[N]` by seed."""
        return self.predicted.get((contender, variant), {})

    def right(self, seeds: Sequence[int], contender: str, variant: str | None = None) -> np.ndarray:
        """Return the right predictions, bool `[S, N]`; a missing seed predicts the most frequent
        class.
        """
        constant = np.full_like(self.truth, np.bincount(self.truth).argmax())
        of_seeds = self.of(contender, variant)
        right = [of_seeds.get(seed, constant) == self.truth for seed in seeds]
        return np.array(right, bool).reshape(-1, len(self.truth))

    def seeds(self, contender: str, variant: str | None = None) -> list[int]:
        """Return the seeds that count in the numbers of a contender, or of its variant."""
        of_variant = self.of(contender, variant)
        return [seed for seed in self.counted.get(contender, ()) if seed in of_variant]

    def accuracy(self, seeds: Sequence[int], contender: str, variant: str | None = None) -> float:
        """Return the mean accuracy over `seeds`, by the measure of comparisons."""
        return mean_accuracy(self.right(seeds, contender, variant), self.classes)

    def between(self, a: str, b: str) -> dict[DisagreementCase, list[int]]:
        """Return the rows on which two contenders differ, or are both wrong, in a seed."""
        right_a, right_b = self.right(self.common, a), self.right(self.common, b)
        cases: dict[DisagreementCase, np.ndarray] = {
            "only_a": right_a & ~right_b,
            "only_b": right_b & ~right_a,
            "neither": ~right_a & ~right_b,
        }
        return {case: self.worst_first(rows.nonzero()[1].tolist()) for case, rows in cases.items()}

    @cached_property
    def _wrong(self) -> np.ndarray:
        """Wrong predictions of contenders for each image."""
        return np.sum(
            [
                predicted != self.truth
                for (_, variant), of_seeds in self.predicted.items()
                for predicted in of_seeds.values()
                if variant is None
            ],
            axis=0,
        )

    def worst_first(self, rows: Iterable[int]) -> list[int]:
        """Return the rows without repetitions: those listed most often first, then those with the
        most wrong predictions.
        """
        times = Counter(rows)
        return sorted(times, key=lambda row: (-times[row], -self._wrong[row], row))

    def of_variant(self, variant: str) -> "Predictions":
        """Return the counted predictions of a variant, as if they were the contenders' own."""
        other = copy.copy(self)
        other.predicted = {
            (name, None): {seed: self.of(name, variant)[seed] for seed in seeds}
            for name in self.counted
            if (seeds := self.seeds(name, variant))
        }
        other._count_seeds()
        return other

    def sees_no_time(self, contender: str) -> bool:
        """Return True if rearranging events in time changes no prediction; False if not tested."""
        of_seed = self.of(contender)
        rearranged = [of_seeds for name in REARRANGED if (of_seeds := self.of(contender, name))]
        return bool(rearranged) and all(
            seed in of_seed and np.array_equal(predicted, of_seed[seed])
            for of_seeds in rearranged
            for seed, predicted in of_seeds.items()
        )
