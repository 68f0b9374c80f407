"""Trained networks that come with the package, by name: NAME.safetensors, and NAME.json with what
is known of it.

`benchmarks/ship.py` trains them and writes both.
"""

import difflib
from pathlib import Path

from spikeduel.system import typed
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

FOLDER = Path(__file__).parent


class Checked(Frozen):
    """How many of the `n` test images of `dataset`, which comes with the package, it gets right."""

    dataset: str
    right: Count
    n: Positive


class Origin(Frozen):
    """Where a shipped network comes from, and what it is worth.

    `accuracy` is that on all `n` test images, which were asked once, when all had been chosen;
    `low` and `high` are its 95 % interval (Wilson), which says nothing of other seeds. `macs` and
    `acs` are operations an image, `joules` the least and the most energy of its arithmetic (45 nm,
    32-bit floats), estimated. `limits` says what it is not good for.
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
    """What can be given in place of a model's file."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def origins() -> list[Origin]:
    """What is known of each, in the order of `names`. Raises `InputError` where a file is
    damaged.
    """
    return [typed.read_json(FOLDER / f"{name}.json", Origin) for name in names()]


def origin_of(file: Path) -> Origin | None:
    """What is known of the network in `file`, if it comes with the package."""
    return next((each for each in origins() if file == FOLDER / f"{each.name}.safetensors"), None)


def located(path: Path) -> Path:
    """`path`, or the file of the shipped network of that name, unless there is a file of that
    name.
    """
    inside = FOLDER / f"{path}.safetensors"
    return inside if path.name == str(path) and not path.exists() and inside.is_file() else path


def hint(path: Path) -> str:
    """What may have been meant by a file that is not there."""
    close = difflib.get_close_matches(path.name, names(), n=1)
    return f" Did you mean '{close[0]}', which comes with the package?" if close else ""
