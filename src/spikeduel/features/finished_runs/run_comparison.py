"""Compare contenders of finished runs by their predictions."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
from msgspec import structs

from spikeduel.data.grouping import join_groups
from spikeduel.results import significance
from spikeduel.results.predictions import PredictionsFile, read
from spikeduel.results.significance import Difference
from spikeduel.statistics import PairedTest
from spikeduel.system.errors import InputError, unknown


def names(
    run: Path | str, a: str | None = None, b: str | None = None, other_run: Path | str | None = None
) -> tuple[str, str]:
    """Return the contenders to compare: the named ones, else the only choice. Raises
    `InputError`.
    """
    first = read(run).contenders
    second = first if other_run is None else read(other_run).contenders
    for name, contenders in ((a, first), (b, second)):
        if name is not None and name not in contenders:
            raise unknown("contender", name, contenders)
    pairs = list(itertools.product([a] if a else first, [b] if b else second))
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
    predicted = [left.predicted for left, _ in pairs], [right.predicted for _, right in pairs]
    paired = all(left.trainings == right.trainings for left, right in pairs)
    groups = first.groups or second.groups
    if first.groups and second.groups and first.groups != second.groups:
        # Equal prepared images belong together; more are equal at a smaller size.
        groups = join_groups(np.array(first.groups), np.array(second.groups)).tolist()
    return significance.tested_predictions(first.labels, *predicted, groups, margin, paired)


def _in_one_order(file: PredictionsFile) -> PredictionsFile:
    """Return the file with images ordered by hash, and classes by name."""
    by_name = sorted(file.classes)
    codes = [by_name.index(name) for name in file.classes]
    rows = range(len(file.images))
    order = sorted(rows, key=lambda row: (file.images[row], codes[file.labels[row]]))

    def reordered(classes: list[int]) -> list[int]:
        return [codes[classes[row]] for row in order]

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
