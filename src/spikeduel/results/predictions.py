"""Answers to the test images, for tests, and for images behind a number."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, structs

from spikeduel.data.grouping import join_groups
from spikeduel.results import significance
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Difference
from spikeduel.statistics import PairedTest
from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.typed import Count

FILE = "predictions.json"
MAX_PAIRS = 3


class SeedPredictions(typed.Frozen):
    """Predicted classes of a finished seed, or of its `control`, in the order of `indices`.

    `trainings`: keys of the trainings that answered, one a fold; a converted network has its
    source's.
    """

    contender: str
    seed: Count
    predicted: list[Count]
    trainings: list[str]
    control: str | None = None


class PredictionsFile(typed.Frozen):
    """The content of predictions.json.

    `indices`: of the test images in the prepared data, fold by fold; `labels`: true classes, as
    places in `classes`; `groups`: equal for images that belong together; `images`: hashes of the
    source files or records, however prepared.
    """

    schema: Literal[2]
    dataset: str
    fingerprint: str
    classes: list[str]
    indices: list[Count]
    labels: Annotated[list[Count], Meta(min_length=1)]
    groups: list[Count] | None
    trials: list[SeedPredictions]
    images: list[str]

    def __post_init__(self) -> None:
        predicted = [predictions.predicted for predictions in self.trials]
        lengths = {len(self.indices), len(self.groups or self.labels), len(self.images)}
        lengths |= set(map(len, predicted))
        if lengths != {len(self.labels)}:
            raise ValueError("indices, labels, groups, images and answers differ in length")
        classes = range(len(self.classes))
        if any(place not in classes for part in (self.labels, *predicted) for place in part):
            raise ValueError("labels or answers are of no class")

    @property
    def predictions(self) -> dict[tuple[str, int], SeedPredictions]:
        """Answers of contenders by name and seed."""
        return {
            (predictions.contender, predictions.seed): predictions
            for predictions in self.trials
            if predictions.control is None
        }

    @property
    def contenders(self) -> list[str]:
        return list(dict.fromkeys(predictions.contender for predictions in self.trials))


def read(run: Path | str) -> PredictionsFile:
    """Return the predictions of a run. Raises `InputError` if absent or damaged."""
    path = Path(run) / FILE
    if not path.parent.is_dir():
        raise InputError(f"{run}: no such folder. `spikeduel runs` lists the runs at hand.")
    with remedied(run):
        if not path.is_file():
            raise InputError(f"{run}: has no {FILE}.")
        return typed.read_json(path, PredictionsFile)


@contextmanager
def remedied(run: Path | str) -> Iterator[None]:
    """Add to an `InputError` about a file of this run or of its zip file how to get it."""
    try:
        yield
    except InputError as error:
        again = Path(run) / "experiment.toml"
        if (Path(run) / "tables").is_dir():  # of a zip file, not of a run
            raise InputError(f"{error} Ask its author for the whole zip file.") from None
        if not again.is_file():
            raise
        raise InputError(
            f"{error} `spikeduel compare --experiment {again} --out {run}` writes it anew, and "
            f"trains nothing that the store holds."
        ) from None


def names(
    run: Path | str, a: str | None = None, b: str | None = None, other_run: Path | str | None = None
) -> tuple[str, str]:
    """Return the contenders to compare: the named ones, else the only choice. Raises
    `InputError`.
    """
    first = read(run).contenders
    second = first if other_run is None else read(other_run).contenders
    for name, known in ((a, first), (b, second)):
        if name is not None and name not in known:
            raise unknown("contender", name, known)
    pairs = [(one, other) for one in ([a] if a else first) for other in ([b] if b else second)]
    if other_run is not None:
        pairs = [pair for pair in pairs if (a and b) or pair[0] == pair[1]]
    elif a or b:
        pairs = [pair for pair in pairs if pair[0] != pair[1]]
    else:
        pairs = list(itertools.combinations(first, 2))
    if len(pairs) == 1:
        return pairs[0]
    others = "" if other_run is None else f", {other_run} has {', '.join(second)}"
    raise InputError(
        f"{run} has {', '.join(first)}{others}: name two different ones, --a and --b, or another "
        f"run with --against."
    )


def compare_runs(
    run: Path | str,
    a: str | None = None,
    b: str | None = None,
    other_run: Path | str | None = None,
    margin: float | None = None,
) -> Difference:
    """Compare two contenders of one run, or of two runs, over their common seeds.

    Parameters
    ----------
    run : Path or str
        Folder of a run.
    a, b : str, optional
        Contenders. They may be left out if there is no choice.
    other_run : Path or str, optional
        Run of `b`. Default: `run`.
    margin : float, optional
        As in `compare_predictions`.

    Returns
    -------
    Difference
        Difference a − b. The same trainings in both runs are compared seed by seed.

    Raises
    ------
    InputError
        If the test images differ, or no seed is common.

    Examples
    --------
    >>> import spikeduel as sd
    >>> difference = sd.compare_runs("runs/digits", "vgg-lif", "vgg-relu")
    >>> difference.n, difference.seeds
    (179, 1)
    """
    return significance.adjusted([tested_runs(run, a, b, other_run, margin)])[0]


def tested_runs(
    run: Path | str,
    a: str | None = None,
    b: str | None = None,
    other_run: Path | str | None = None,
    margin: float | None = None,
) -> PairedTest:
    """Test one of several comparisons, as `compare_runs`."""
    a, b = names(run, a, b, other_run)
    first = second = read(run)
    if other_run is not None:
        first, second = _in_one_order(first), _in_one_order(read(other_run))
        if first.images != second.images:
            common = (Counter(first.images) & Counter(second.images)).total()
            raise InputError(
                f"{run} and {other_run} have different test images ({len(first.images):,} and "
                f"{len(second.images):,}, {common:,} in common): nothing to compare."
            )
        if (first.classes, first.labels) != (second.classes, second.labels):
            raise InputError(f"{run} and {other_run} have different labels for the same images.")
    of_a, of_b = first.predictions, second.predictions
    seeds = sorted(seed for name, seed in of_a if name == a and (b, seed) in of_b)
    if not seeds:
        raise InputError(f"{a} and {b} have no finished seed in common.")
    pairs = [(of_a[a, seed], of_b[b, seed]) for seed in seeds]
    predicted = [one.predicted for one, _ in pairs], [other.predicted for _, other in pairs]
    paired = all(one.trainings == other.trainings for one, other in pairs)
    groups = first.groups or second.groups
    if first.groups and second.groups and first.groups != second.groups:
        # Equal prepared images belong together; more are equal at a smaller size.
        groups = join_groups(np.array(first.groups), np.array(second.groups)).tolist()
    return significance.tested_predictions(first.labels, *predicted, groups, margin, paired)


def _in_one_order(file: PredictionsFile) -> PredictionsFile:
    """Return the file with images ordered by hash, and classes by name."""
    by_name = sorted(file.classes)
    place = [by_name.index(name) for name in file.classes]
    rows = range(len(file.images))
    order = sorted(rows, key=lambda row: (file.images[row], place[file.labels[row]]))

    def reordered(classes: list[int]) -> list[int]:
        return [place[classes[row]] for row in order]

    return structs.replace(
        file,
        classes=by_name,
        images=[file.images[row] for row in order],
        labels=reordered(file.labels),
        groups=file.groups and [file.groups[row] for row in order],
        trials=[
            structs.replace(predictions, predicted=reordered(predictions.predicted))
            for predictions in file.trials
        ],
    )


def shown_pairs(results: Results) -> Sequence[Pair]:
    """Return at most `MOST_PAIRS` pairs: spiking against another first, then the most accurate."""
    spiking = {trial.contender: trial.spiking for trial in results.trials}

    def place(pair: Pair) -> tuple[bool, float]:
        return spiking[pair.a] == spiking[pair.b], -(pair.accuracy_a + pair.accuracy_b)

    return sorted(results.comparison.pairs, key=place)[:MAX_PAIRS]
