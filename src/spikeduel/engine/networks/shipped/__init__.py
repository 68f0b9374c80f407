"""Trained networks in the package: NAME.safetensors, and NAME.json with their origin.

`benchmarks/records/ship.py` writes both.
"""

import difflib
from pathlib import Path

from spikeduel.system import typed
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

FOLDER = Path(__file__).parent


class Checked(Frozen):
    """Number of correct predictions for `n` test images of `dataset`, in the package."""

    dataset: str
    right: Count
    n: Positive


class Origin(Frozen):
    """Origin and quality of a shipped network.

    `accuracy` is on all `n` test images; `low` and `high` are its 95 % Wilson interval, for this
    seed. `macs` and `acs` are per image, `joules` the arithmetic's range. `limits` says what the
    network is not good for.
    """

    name: str
    dataset: str
    recipe: str
    seed: Count
    accuracy: Share
    low: Share
    high: Share
    n: Positive
    checked: Checked
    parameters: Positive
    num_steps: Positive | None
    macs: Amount
    acs: Amount
    joules: tuple[Amount, Amount]
    epochs: Positive
    training_seconds: Amount
    machine: str
    command: str
    date: str
    limits: str


def names() -> list[str]:
    """Return the names that stand for a model file."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def origins() -> list[Origin]:
    """Return the origins in the order of `names`. Raises `InputError` for a damaged file."""
    return [typed.read_json(FOLDER / f"{name}.json", Origin) for name in names()]


def origin_of(file: Path) -> Origin | None:
    """Return the origin of the network in `file`, if it is shipped."""
    return next(
        (origin for origin in origins() if file == FOLDER / f"{origin.name}.safetensors"), None
    )


def located(path: Path) -> Path:
    """Return `path`, or the shipped network of that name if `path` does not exist."""
    inside = FOLDER / f"{path}.safetensors"
    return inside if path.name == str(path) and not path.exists() and inside.is_file() else path


def hint(path: Path) -> str:
    """Return a hint at the nearest name, for a missing file."""
    close = difflib.get_close_matches(path.name, names(), n=1)
    return f" Did you mean '{close[0]}', which comes with the package?" if close else ""
