"""Answers of every trial to the test images, kept beside results.json: tested, and looked into."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, structs

from spikeduel.data.grouping import join_groups
from spikeduel.results import significance
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Difference
from spikeduel.settings.reading import read_experiment
from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.typed import Count

FILE = "predictions.json"
MOST_PAIRS = 3
"""Pairs of contenders that a page looks into."""


class SeedAnswers(typed.Frozen):
    """Predicted classes of a finished seed, in the order of the document's `indices`.

    `trainings` are the keys of the trainings whose weights answered, one a fold: those of a
    converted network are its source's.
    """

    contender: str
    seed: Count
    predicted: list[Count]
    trainings: list[str] = []


class PredictionsFile(typed.Frozen):
    """The content of predictions.json.

    `indices` are those of the test images in the prepared data, with folds one fold after the
    other; `labels` their true classes, as places in `classes`; `groups` has equal numbers for
    images that belong together, None where there are no groups. `images` are hashes of the files or
    records that the images come from, by which they are known whatever they were prepared to.
    """

    schema: Literal[1]
    dataset: str
    fingerprint: str
    classes: list[str]
    indices: list[Count]
    labels: Annotated[list[Count], Meta(min_length=1)]
    groups: list[Count] | None
    trials: list[SeedAnswers]
    images: list[str] | None = None

    def __post_init__(self) -> None:
        predicted = [answers.predicted for answers in self.trials]
        parts = [self.indices, self.groups or self.labels, self.images or self.labels, *predicted]
        if any(len(part) != len(self.labels) for part in parts):
            raise ValueError("indices, labels, groups, images and answers differ in length")
        classes = range(len(self.classes))
        if any(place not in classes for part in (self.labels, *predicted) for place in part):
            raise ValueError("labels or answers are of no class")

    @property
    def answers(self) -> dict[tuple[str, int], SeedAnswers]:
        """Return the answers by contender and seed, in the order of the run."""
        return {(answers.contender, answers.seed): answers for answers in self.trials}

    @property
    def contenders(self) -> list[str]:
        """Return the contenders in the order of the run."""
        return list(dict.fromkeys(answers.contender for answers in self.trials))


def read(run: Path | str) -> PredictionsFile:
    """Return the predictions in a run's folder. Raises `InputError` where there are none, or
    damaged ones.
    """
    path = Path(run) / FILE
    if path.is_file():
        with remedied(run):
            return typed.read_json(path, PredictionsFile)
    if path.with_name("experiment.toml").is_file():
        with remedied(run):
            raise InputError(f"{run}: has no {FILE}.")
    there = f"has no {FILE}, and is no run's folder" if path.parent.is_dir() else "no such folder"
    raise InputError(f"{run}: {there}. `spikeduel runs` lists the runs at hand.")


@contextmanager
def remedied(run: Path | str) -> Iterator[None]:
    """Add to an `InputError` about a file of this run how to have it written anew."""
    try:
        yield
    except InputError as error:
        again = Path(run) / "experiment.toml"
        if not again.is_file():
            raise
        raise InputError(
            f"{error} `spikeduel compare --experiment {again} --out {run}` writes it anew, and "
            f"trains nothing that the store holds."
        ) from None


def num_folds(run: Path | str) -> int | None:
    """Return the number of folds of a run; None where there are none, or it does not say."""
    path = Path(run) / "experiment.toml"
    return read_experiment(path).folds if path.is_file() else None


# ---- tests


def names(
    run: Path | str, a: str | None = None, b: str | None = None, other_run: Path | str | None = None
) -> tuple[str, str]:
    """Return the contenders to compare: the named ones, else the two of `run`, or the one that both
    runs have.

    Raises `InputError` for an unknown name, and where there is a choice.
    """
    first = read(run).contenders
    second = first if other_run is None else read(other_run).contenders
    for name, known in ((a, first), (b, second)):
        if name is not None and name not in known:
            raise unknown("contender", name, known)
    if other_run is None:
        if len(first) != 2 and None in (a, b):
            raise InputError(
                f"{run}: has {len(first)} contenders ({', '.join(first)}): name two, --a and --b."
            )
        a = a or next(name for name in first if name != b)
        b = b or next(name for name in first if name != a)
        if a == b:
            raise InputError(
                f"{a} is named twice. Name another contender, or another run with --against."
            )
        return a, b
    common = [name for name in first if name in second]
    only = common[0] if len(common) == 1 else None
    a = a or (b if b in first else only)
    b = b or (a if a in second else None)
    if a is None or b is None:
        raise InputError(
            f"{run} has {', '.join(first)}, {other_run} has {', '.join(second)}: they have "
            f"{len(common)} contenders in common: name --a and --b."
        )
    return a, b


def compare_runs(
    run: Path | str,
    a: str | None = None,
    b: str | None = None,
    other_run: Path | str | None = None,
    margin: float | None = None,
) -> Difference:
    """Compare contender `a` of `run` with contender `b` of `run`, or of `other_run`, over the seeds
    that both have.

    Names may be left out where there is no choice (see `names`); `margin` is by default the run's.
    Raises `InputError` where the runs' test images are not the same, or no seed is common to both.
    Where both are known to be of the same trainings, they are compared seed by seed.
    """
    a, b = names(run, a, b, other_run)
    first = read(run)
    second = first if other_run is None else read(other_run)
    if second is not first:
        if reason := why_apart(first, second):
            raise InputError(f"{run} and {other_run} {reason}: nothing to compare.")
        if first.images is not None and second.images is not None:
            first, second = _in_one_order(first, first.images), _in_one_order(second, second.images)
    of_a, of_b = first.answers, second.answers
    seeds = sorted(seed for name, seed in of_a if name == a and (b, seed) in of_b)
    if not seeds:
        raise InputError(f"{a} and {b} have no finished seed in common.")
    if margin is None:
        margin = read_experiment(Path(run) / "experiment.toml").equivalence_margin
    pairs = [(of_a[a, seed], of_b[b, seed]) for seed in seeds]
    predicted = [one.predicted for one, _ in pairs], [other.predicted for _, other in pairs]
    paired = all(one.trainings and one.trainings == other.trainings for one, other in pairs)
    return significance.compare_predictions(
        first.labels, *predicted, _groups(first, second), margin, paired
    )


def why_apart(first: PredictionsFile, second: PredictionsFile) -> str | None:
    """Return why the answers of two runs are not about the same images; None where they are.

    Images are known by their files, and where a run does not say, by the prepared data.
    """
    if first.images is None or second.images is None:
        if first.fingerprint != second.fingerprint:
            return "are of different data (other fingerprints)"
        same = first.indices == second.indices
        return None if same else "have different test images (another split)"
    common = (Counter(first.images) & Counter(second.images)).total()
    if not common:
        return "are of different data (no test image in common)"
    if not common == len(first.images) == len(second.images):
        sizes = f"{len(first.images):,} and {len(second.images):,}, {common:,} in common"
        return f"have different test images ({sizes})"
    if sorted(first.classes) != sorted(second.classes) or _truth(first) != _truth(second):
        return "have different labels for the same test images"
    return None


def _truth(file: PredictionsFile) -> Counter[tuple[str, str]]:
    """Return how often each image has which true class."""
    true_classes = (file.classes[label] for label in file.labels)
    return Counter(zip(file.images or [], true_classes, strict=True))


def _in_one_order(file: PredictionsFile, images: list[str]) -> PredictionsFile:
    """Return the file with images ordered by their hash, and classes by their name; of equal
    images, those with equal labels come together.
    """
    by_name = sorted(file.classes)
    place = [by_name.index(name) for name in file.classes]
    order = sorted(range(len(images)), key=lambda row: (images[row], place[file.labels[row]]))

    def reordered(classes: list[int]) -> list[int]:
        return [place[classes[row]] for row in order]

    return structs.replace(
        file,
        classes=by_name,
        labels=reordered(file.labels),
        groups=file.groups and [file.groups[row] for row in order],
        trials=[
            structs.replace(answers, predicted=reordered(answers.predicted))
            for answers in file.trials
        ],
    )


def _groups(first: PredictionsFile, second: PredictionsFile) -> list[int] | None:
    """Return which images belong together in either run: equal prepared images do, and more are
    equal at a smaller size.
    """
    if first.groups is None or second.groups is None or first.groups == second.groups:
        return first.groups or second.groups
    joined: list[int] = join_groups(np.array(first.groups), np.array(second.groups)).tolist()
    return joined


# ---- images behind a number

Side = Literal["only_a", "only_b", "neither"]
"""Which of two contenders are right: only the first, only the second, or neither."""


@dataclass(frozen=True)
class Disagreement:
    """Rows of predictions.json on which contenders `a` and `b` differ, or are both wrong; the worst
    first. With several seeds, a row stands in a side where it does so in one of them.
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
        self._predicted: dict[str, dict[int, np.ndarray]] = {}
        self._wrong = np.zeros(len(self.truth), int)
        for (contender, seed), answers in kept.answers.items():
            predicted = np.array(answers.predicted)
            self._predicted.setdefault(contender, {})[seed] = predicted
            self._wrong += predicted != self.truth

    def of(self, contender: str, row: int) -> list[tuple[int, int]]:
        """Return a contender's answers to a row: each class, and in how many seeds, the most
        frequent first.
        """
        of_seeds = self._predicted.get(contender, {}).values()
        return Counter(int(predicted[row]) for predicted in of_seeds).most_common()

    def cells(self, contender: str) -> dict[tuple[int, int], list[int]]:
        """Return the rows of each (true class, answer) of a confusion matrix that at least one seed
        gave.
        """
        rows: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        for predicted in self._predicted.get(contender, {}).values():
            for row, cell in enumerate(zip(self.truth.tolist(), predicted.tolist(), strict=True)):
                rows[cell][row] += 1
        return {cell: self._worst_first(counts) for cell, counts in rows.items()}

    def between(self, a: str, b: str) -> Disagreement:
        """Return the rows on which two contenders differ, seed by seed."""
        counts: dict[Side, Counter[int]] = {
            "only_a": Counter(),
            "only_b": Counter(),
            "neither": Counter(),
        }
        of_a, of_b = self._predicted.get(a, {}), self._predicted.get(b, {})
        for seed in sorted(of_a.keys() & of_b.keys()):
            a_right, b_right = of_a[seed] == self.truth, of_b[seed] == self.truth
            counts["only_a"].update(np.flatnonzero(a_right & ~b_right).tolist())
            counts["only_b"].update(np.flatnonzero(b_right & ~a_right).tolist())
            counts["neither"].update(np.flatnonzero(~a_right & ~b_right).tolist())
        return Disagreement(a, b, {side: self._worst_first(rows) for side, rows in counts.items()})

    def _worst_first(self, rows: Counter[int]) -> list[int]:
        return sorted(rows, key=lambda row: (-rows[row], -int(self._wrong[row]), row))


def shown_pairs(results: Results) -> Sequence[Pair]:
    """Return at most `MOST_PAIRS` pairs to look into: a spiking contender and another first, of
    these the most accurate first.
    """
    spiking = {trial.contender: trial.spiking for trial in results.trials}

    def place(pair: Pair) -> tuple[bool, float]:
        return spiking[pair.a] == spiking[pair.b], -(pair.accuracy_a + pair.accuracy_b)

    return sorted(results.comparison.pairs, key=place)[:MOST_PAIRS]
