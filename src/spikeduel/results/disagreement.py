"""Which test images stand behind a number: who got them right, who wrong, the worst first. Of kept
predictions.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Pair, Results

Side = Literal["only_a", "only_b", "neither"]
"""Of two contenders: only the first is right, only the second, or both are wrong."""

MOST_PAIRS = 3


@dataclass(frozen=True)
class Disagreement:
    """The rows of predictions.json on which contenders `a` and `b` differ, or are both wrong; the
    worst first.

    With several seeds a row stands in a side where it does so in one of them.
    """

    a: str
    b: str
    rows: dict[Side, list[int]]


class Answered:
    """The answers of a run to its test images, by row of predictions.json.

    Worst first: the rows with the most wrong answers over all contenders and seeds, then in the
    order of the file.
    """

    def __init__(self, kept: PredictionsFile) -> None:
        self.kept = kept
        self.truth = np.array(kept.labels)
        self._predicted = {
            name: {
                seed: np.array(each.predicted)
                for (of, seed), each in kept.answers.items()
                if of == name
            }
            for name in kept.contenders
        }
        wrong = [
            answers != self.truth
            for by_seed in self._predicted.values()
            for answers in by_seed.values()
        ]
        self._wrong = np.sum(wrong, axis=0) if wrong else np.zeros(len(self.truth), int)

    def of(self, contender: str, row: int) -> list[tuple[int, int]]:
        """What a contender answered to a row: each class, and in how many seeds, the most frequent
        first.
        """
        found = Counter(
            int(answers[row]) for answers in self._predicted.get(contender, {}).values()
        )
        return found.most_common()

    def cells(self, contender: str) -> dict[tuple[int, int], list[int]]:
        """The rows of each (true class, answer) of a confusion matrix: those of which one seed at
        least says so.
        """
        counted: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        for answers in self._predicted.get(contender, {}).values():
            for row, (truth, answer) in enumerate(
                zip(self.truth.tolist(), answers.tolist(), strict=True)
            ):
                counted[truth, answer][row] += 1
        return {cell: self._worst_first(rows) for cell, rows in counted.items()}

    def between(self, a: str, b: str) -> Disagreement:
        """On which rows two contenders differ, seed by seed."""
        sides: dict[Side, Counter[int]] = {
            "only_a": Counter(),
            "only_b": Counter(),
            "neither": Counter(),
        }
        of_a, of_b = self._predicted.get(a, {}), self._predicted.get(b, {})
        for seed in sorted(of_a.keys() & of_b.keys()):
            a_right, b_right = of_a[seed] == self.truth, of_b[seed] == self.truth
            sides["only_a"].update(np.flatnonzero(a_right & ~b_right).tolist())
            sides["only_b"].update(np.flatnonzero(b_right & ~a_right).tolist())
            sides["neither"].update(np.flatnonzero(~a_right & ~b_right).tolist())
        return Disagreement(a, b, {side: self._worst_first(rows) for side, rows in sides.items()})

    def _worst_first(self, rows: Counter[int]) -> list[int]:
        return sorted(rows, key=lambda row: (-rows[row], -int(self._wrong[row]), row))


def shown_pairs(results: Results) -> Sequence[Pair]:
    """At most three pairs to look into: a spiking contender and another first, of these the most
    accurate first.
    """
    spiking = {trial.contender: trial.spiking for trial in results.trials}

    def place(pair: Pair) -> tuple[bool, float]:
        return spiking[pair.a] == spiking[pair.b], -(pair.accuracy_a + pair.accuracy_b)

    return sorted(results.comparison.pairs, key=place)[:MOST_PAIRS]
