"""What is known of a trained network that comes with the package."""

from spikeduel.results.costs import Amount, Count, Positive
from spikeduel.results.trials import Share
from spikeduel.system.typed import Frozen


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
