"""Every trial's answers to the test images, kept beside results.json, so that anybody can test them later.

`predictions.json` in a run's folder holds, as JSON:

    schema       1
    dataset      its name
    fingerprint  of the prepared data
    classes[]    their names
    indices[]    of the test images in the prepared data; with folds, those of one fold after the other
    labels[]     their true classes, as places in `classes`
    groups[]     equal numbers for images that belong together; null where there are no groups
    trials[]     {contender, seed, predicted[]}: every finished trial's answers, in the order of `indices`
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.results import significance
from spikeduel.results.significance import Difference
from spikeduel.settings import read_experiment
from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown

FILE = "predictions.json"
SCHEMA = 1


@dataclass(frozen=True)
class Predictions:
    """What `predictions.json` holds; `answers[contender, seed]`, `labels` and `groups` are int64 `[N]`."""

    fingerprint: str
    indices: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    answers: dict[tuple[str, int], np.ndarray]

    @property
    def contenders(self) -> tuple[str, ...]:
        """In the order of the run."""
        return tuple(dict.fromkeys(contender for contender, _ in self.answers))

    def seeds(self, contender: str) -> set[int]:
        """The seeds of a contender that were finished."""
        return {seed for name, seed in self.answers if name == contender}


def read(run: Path | str) -> Predictions:
    """The predictions in a run's folder. Raises `InputError` where there are none, or damaged ones."""
    path = Path(run) / FILE
    if not path.is_file():
        again = path.with_name("experiment.toml")
        if again.is_file():
            raise InputError(
                f"{run}: has no {FILE}. `spikeduel compare --experiment {again}` writes it anew, and trains nothing "
                "that the store holds."
            )
        there = f"has no {FILE}, and is no run's folder" if path.parent.is_dir() else "no such folder"
        raise InputError(f"{run}: {there}. `spikeduel runs` lists the runs at hand.")
    content = files.read_json(path)
    try:
        if content["schema"] != SCHEMA:
            raise InputError(f"{path}: of another version of spikeduel (schema {content['schema']}).")
        labels = _whole(content["labels"])
        rest = [_whole(content["indices"]), *([_whole(content["groups"])] if content["groups"] is not None else [])]
        answers = {(str(t["contender"]), int(t["seed"])): _whole(t["predicted"]) for t in content["trials"]}
        if any(part.shape != labels.shape for part in (*rest, *answers.values())) or not labels.size:
            raise ValueError
        return Predictions(str(content["fingerprint"]), rest[0], labels, rest[1] if len(rest) > 1 else None, answers)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged, or not predictions of spikeduel.") from None


def num_folds(run: Path | str) -> int | None:
    """In how many folds a run's contenders were trained; None where there are none, or it does not say."""
    path = Path(run) / "experiment.toml"
    return read_experiment(path).folds if path.is_file() else None


def _whole(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind != "i":
        raise ValueError
    return array.astype(np.int64)


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
        if (a is None or b is None) and len(first) != 2:
            raise InputError(f"{run}: has {len(first)} contenders ({', '.join(first)}): name two, --a and --b.")
        a = a or next(name for name in first if name != b)
        b = b or next(name for name in first if name != a)
        if a == b:
            raise InputError(
                f"{a} is named twice: a contender does not differ from itself. Name another, or --against."
            )
        return a, b
    common = [name for name in first if name in second]
    if a is None and b is None and len(common) != 1:
        raise InputError(f"{run} and {other_run} have {len(common)} contenders in common: name --a and --b.")
    a = a or (b if b in first else common[0] if len(common) == 1 else None)
    b = b or (a if a in second else None)
    if a is None or b is None:
        raise InputError(f"{run} has {', '.join(first)}, {other_run} has {', '.join(second)}: name --a and --b.")
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
    where the runs' test images are not the same, or no seed is common to both.
    """
    a, b = names(run, a, b, other_run)
    first = read(run)
    second = first if other_run is None else read(other_run)
    if first.fingerprint != second.fingerprint:
        raise InputError(
            f"{run} and {other_run} are of different data (their fingerprints differ): nothing to compare."
        )
    if not np.array_equal(first.indices, second.indices):
        raise InputError(f"{run} and {other_run} have different test images (another split): nothing to compare.")
    seeds = sorted(first.seeds(a) & second.seeds(b))
    if not seeds:
        raise InputError(f"{a} and {b} have no finished seed in common.")
    if margin is None:
        margin = read_experiment(Path(run) / "experiment.toml").equivalence_margin
    return significance.compare_predictions(
        first.labels,
        np.array([first.answers[a, seed] for seed in seeds]),
        np.array([second.answers[b, seed] for seed in seeds]),
        first.groups,
        margin,
    )
