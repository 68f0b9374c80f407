"""Predictions for the test images, as predictions.json has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Count

FILE = "predictions.json"
RUNS = Path("runs")
"""Folder of runs, unless --out names another place."""
RUNS_LIE = f"Runs are folders in {RUNS}/, unless --out named another place."
"""Hint where a run is missing."""


class SeedPredictions(typed.Frozen):
    """Predicted classes of a finished seed, or of its `variant`, in the order of `indices`.

    `trainings`: keys of the trainings that predicted, one a fold; a converted network has its
    source's.
    """

    contender: str
    seed: Count
    predicted: list[Count]
    trainings: list[str]
    variant: str | None = None


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
        groups = self.labels if self.groups is None else self.groups
        lengths = {len(self.indices), len(groups), len(self.images)}
        lengths |= set(map(len, predicted))
        if lengths != {len(self.labels)}:
            raise ValueError("indices, labels, groups, images and predictions differ in length")
        classes = range(len(self.classes))
        if any(number not in classes for part in (self.labels, *predicted) for number in part):
            raise ValueError("labels or predictions are of no class")

    @property
    def predictions(self) -> dict[tuple[str, int], SeedPredictions]:
        """Answers of contenders by name and seed."""
        return {
            (predictions.contender, predictions.seed): predictions
            for predictions in self.trials
            if predictions.variant is None
        }

    @property
    def contenders(self) -> list[str]:
        return list(dict.fromkeys(predictions.contender for predictions in self.trials))


def read(run: Path | str) -> PredictionsFile:
    """Return the predictions of a run. Raises `InputError` if absent or damaged."""
    path = Path(run) / FILE
    if not path.parent.is_dir():
        raise InputError(f"{run}: no such folder. {RUNS_LIE}")
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
