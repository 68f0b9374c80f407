"""Every trial's answers to the test images, kept beside results.json, so that anybody can test them later."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from spikeduel.results import significance
from spikeduel.results.costs import Count
from spikeduel.results.significance import Difference
from spikeduel.settings import read_experiment
from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown

FILE = "predictions.json"


class SeedAnswers(typed.Frozen):
    """One finished seed's predicted classes, in the order of the document's `indices`.

    `trainings` are the keys of the trainings whose weights answered, one a fold: those of a converted network are its
    source's. Files of earlier versions do not say.
    """

    contender: str
    seed: Count
    predicted: list[Count]
    trainings: list[str] = []


class PredictionsFile(typed.Frozen):
    """The content of predictions.json.

    `indices` are those of the test images in the prepared data, with folds one fold after the other; `labels` their
    true classes, as places in `classes`; `groups` has equal numbers for images that belong together, None where there
    are no groups.
    """

    schema: Literal[1]
    dataset: str
    fingerprint: str
    classes: list[str]
    indices: list[Count]
    labels: Annotated[list[Count], Meta(min_length=1)]
    groups: list[Count] | None
    trials: list[SeedAnswers]

    def __post_init__(self) -> None:
        parts = [self.indices, self.groups or self.labels, *(each.predicted for each in self.trials)]
        if any(len(part) != len(self.labels) for part in parts):
            raise ValueError("indices, labels, groups and answers differ in length")

    @property
    def answers(self) -> dict[tuple[str, int], SeedAnswers]:
        """Those of each contender and seed, in the order of the run."""
        return {(each.contender, each.seed): each for each in self.trials}

    @property
    def contenders(self) -> list[str]:
        """In the order of the run."""
        return list(dict.fromkeys(each.contender for each in self.trials))


def read(run: Path | str) -> PredictionsFile:
    """The predictions in a run's folder. Raises `InputError` where there are none, or damaged ones."""
    path = Path(run) / FILE
    if path.is_file():
        return typed.read_json(path, PredictionsFile)
    again = path.with_name("experiment.toml")
    if again.is_file():
        raise InputError(
            f"{run}: has no {FILE}. `spikeduel compare --experiment {again}` writes it anew, and trains nothing that "
            "the store holds."
        )
    there = f"has no {FILE}, and is no run's folder" if path.parent.is_dir() else "no such folder"
    raise InputError(f"{run}: {there}. `spikeduel runs` lists the runs at hand.")


def num_folds(run: Path | str) -> int | None:
    """In how many folds a run's contenders were trained; None where there are none, or it does not say."""
    path = Path(run) / "experiment.toml"
    return read_experiment(path).folds if path.is_file() else None


def names(
    run: Path | str, a: str | None = None, b: str | None = None, other_run: Path | str | None = None
) -> tuple[str, str]:
    """The contenders to compare: those named, else the two of `run`, or the one that both runs have.

    Raises `InputError` for an unknown name, and where there is a choice.
    """
    first = read(run).contenders
    second = first if other_run is None else read(other_run).contenders
    for name, known in ((a, first), (b, second)):
        if name is not None and name not in known:
            raise unknown("contender", name, known)
    if other_run is None:
        if len(first) != 2 and None in (a, b):
            raise InputError(f"{run}: has {len(first)} contenders ({', '.join(first)}): name two, --a and --b.")
        a = a or next(name for name in first if name != b)
        b = b or next(name for name in first if name != a)
        if a == b:
            raise InputError(f"{a} is named twice. Name another contender, or another run with --against.")
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
    """Compares contender `a` of `run` with contender `b` of `run`, or of `other_run`, over the seeds that both have.

    Names may be left out where there is no choice (see `names`); `margin` is by default the run's. Raises `InputError`
    where the runs' test images are not the same, or no seed is common to both. Where both are known to be of the same
    trainings, they are compared seed by seed.
    """
    a, b = names(run, a, b, other_run)
    first = read(run)
    second = first if other_run is None else read(other_run)
    if first.fingerprint != second.fingerprint:
        raise InputError(f"{run} and {other_run} are of different data (other fingerprints): nothing to compare.")
    if first.indices != second.indices:
        raise InputError(f"{run} and {other_run} have different test images (another split): nothing to compare.")
    of_a, of_b = first.answers, second.answers
    seeds = sorted(seed for name, seed in of_a if name == a and (b, seed) in of_b)
    if not seeds:
        raise InputError(f"{a} and {b} have no finished seed in common.")
    if margin is None:
        margin = read_experiment(Path(run) / "experiment.toml").equivalence_margin
    pairs = [(of_a[a, seed], of_b[b, seed]) for seed in seeds]
    predicted = [one.predicted for one, _ in pairs], [other.predicted for _, other in pairs]
    paired = all(one.trainings and one.trainings == other.trainings for one, other in pairs)
    return significance.compare_predictions(first.labels, *predicted, first.groups, margin, paired)
