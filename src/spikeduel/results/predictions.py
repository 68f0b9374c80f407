"""Every trial's answers to the test images, kept beside results.json, so that anybody can test them
later.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, structs

from spikeduel.data.grouping import join_groups
from spikeduel.results import significance
from spikeduel.results.significance import Difference
from spikeduel.settings.reading import read_experiment
from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.typed import Count

FILE = "predictions.json"


class SeedAnswers(typed.Frozen):
    """One finished seed's predicted classes, in the order of the document's `indices`.

    `trainings` are the keys of the trainings whose weights answered, one a fold: those of a
    converted network are its source's. Files of earlier versions do not say.
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
    records that the images come from, by which they are known whatever they were prepared to;
    earlier versions did not keep them.
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
        predicted = [each.predicted for each in self.trials]
        parts = [self.indices, self.groups or self.labels, self.images or self.labels, *predicted]
        if any(len(part) != len(self.labels) for part in parts):
            raise ValueError("indices, labels, groups, images and answers differ in length")
        if not all(
            0 <= each < len(self.classes) for part in (self.labels, *predicted) for each in part
        ):
            raise ValueError("labels or answers are of no class")

    @property
    def answers(self) -> dict[tuple[str, int], SeedAnswers]:
        """Those of each contender and seed, in the order of the run."""
        return {(each.contender, each.seed): each for each in self.trials}

    @property
    def contenders(self) -> list[str]:
        """In the order of the run."""
        return list(dict.fromkeys(each.contender for each in self.trials))


def read(run: Path | str) -> PredictionsFile:
    """The predictions in a run's folder. Raises `InputError` where there are none, or damaged
    ones.
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
    """Adds to an `InputError` about a file of this run how to have it written anew."""
    try:
        yield
    except InputError as error:
        again = Path(run) / "experiment.toml"
        if not again.is_file():
            raise
        raise InputError(
            f"{error} `spikeduel compare --experiment {again} --out {run}` writes it anew, and "
            f"trains nothing that the "
            "store holds."
        ) from None


def num_folds(run: Path | str) -> int | None:
    """In how many folds a run's contenders were trained; None where there are none, or it does not
    say.
    """
    path = Path(run) / "experiment.toml"
    return read_experiment(path).folds if path.is_file() else None


def names(
    run: Path | str, a: str | None = None, b: str | None = None, other_run: Path | str | None = None
) -> tuple[str, str]:
    """The contenders to compare: those named, else the two of `run`, or the one that both runs
    have.

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
        have = f"{run} has {', '.join(first)}, {other_run} has {', '.join(second)}"
        raise InputError(f"{have}: they have {len(common)} contenders in common: name --a and --b.")
    return a, b


def compare_runs(
    run: Path | str,
    a: str | None = None,
    b: str | None = None,
    other_run: Path | str | None = None,
    margin: float | None = None,
) -> Difference:
    """Compares contender `a` of `run` with contender `b` of `run`, or of `other_run`, over the
    seeds that both have.

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
    """Why the answers of two runs are not about the same images; None where they are.

    Images are known by their files, and where a run of an earlier version does not say, by the
    prepared data.
    """
    if first.images is None or second.images is None:
        if first.fingerprint != second.fingerprint:
            return "are of different data (other fingerprints)"
        return (
            None
            if first.indices == second.indices
            else "have different test images (another split)"
        )
    if common := Counter(first.images) & Counter(second.images):
        if not common.total() == len(first.images) == len(second.images):
            sizes = (
                f"{len(first.images):,} and {len(second.images):,}, {common.total():,} in common"
            )
            return f"have different test images ({sizes})"
    else:
        return "are of different data (no test image in common)"
    if sorted(first.classes) != sorted(second.classes) or _truth(first) != _truth(second):
        return "have different labels for the same test images"
    return None


def _truth(of: PredictionsFile) -> Counter[tuple[str, str]]:
    """How often each image has which true class."""
    return Counter(zip(of.images or [], (of.classes[label] for label in of.labels), strict=True))


def _in_one_order(of: PredictionsFile, images: list[str]) -> PredictionsFile:
    """The same with images by their hash, and classes by their name; of equal images, those with
    equal labels come together.
    """
    by_name = sorted(of.classes)
    place = [by_name.index(name) for name in of.classes]
    order = sorted(range(len(images)), key=lambda row: (images[row], place[of.labels[row]]))

    def taken(classes: list[int]) -> list[int]:
        return [place[classes[row]] for row in order]

    return structs.replace(
        of,
        classes=by_name,
        labels=taken(of.labels),
        groups=of.groups and [of.groups[row] for row in order],
        trials=[structs.replace(each, predicted=taken(each.predicted)) for each in of.trials],
    )


def _groups(first: PredictionsFile, second: PredictionsFile) -> list[int] | None:
    """Which images belong together in either run: equal prepared images do, and more are equal at a
    smaller size.
    """
    if first.groups is None or second.groups is None or first.groups == second.groups:
        return first.groups or second.groups
    joined: list[int] = join_groups(np.array(first.groups), np.array(second.groups)).tolist()
    return joined
