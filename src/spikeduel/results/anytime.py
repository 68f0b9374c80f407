"""Answers after each time step, and leaving early, as types."""

from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share


class Leaving(Frozen):
    """Early exit at one threshold: mean steps, accuracy, and how many images leave at each step
    `[T]`.
    """

    threshold: Share | None
    mean_steps: Amount
    accuracy: Share
    exit_steps: list[Count]


class ExitChoice(Frozen):
    """What the choice of a threshold rests on: `n` validation images.

    `most_lost` is the accuracy that leaving costs at most, by these images and with the confidence
    asked for; `fewest` is how many images it takes to show the tolerance if none of them changes.
    """

    n: Count
    mean_steps: Amount
    accuracy: Share
    full_accuracy: Share
    most_lost: Share | None = None
    fewest: Count | None = None


class EarlyExit(Leaving):
    """Early exit at the threshold chosen on validation images; `curve` has every threshold.

    `confidence` is how sure it has to be that leaving costs no more than `tolerance`; older choices
    only looked at the accuracy that the validation images had.
    """

    tolerance: Share
    validation: ExitChoice
    curve: list[Leaving]
    confidence: Share | None = None


class Received(Frozen):
    """What had come of a recording at the end of each of T frames: mean milliseconds from its
    start, mean events.
    """

    milliseconds: list[Amount]
    events: list[Amount]


class Anytime(Frozen):
    """Accuracy after each of T steps; all None for a network without steps. `received`: of the
    recordings by then.
    """

    num_steps: Positive | None = None
    n: Count | None = None
    accuracies: list[Share] | None = None
    validation_accuracies: list[Share] | None = None
    early_exit: EarlyExit | None = None
    received: Received | None = None
