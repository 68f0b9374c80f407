"""What the controls of a spiking contender showed, in sentences."""

from enum import StrEnum

from spikeduel.results.run import ControlledContender, ControlRow
from spikeduel.results.significance import Conclusion
from spikeduel.results.words.numbers import counted, signed
from spikeduel.results.words.verdict import conclusion

TWINS = ("relu_twin", "quantised_twin")


class Gain(StrEnum):
    """What spiking adds to a contender's accuracy, beside its twins without spikes."""

    GAINS = "gains"
    COSTS = "costs"
    NOT_SHOWN = "not_shown"


def gain(contender: ControlledContender) -> Gain | None:
    """The conclusion from the twins; None where there are none."""
    rows = [row for name in TWINS if (row := contender.row(name))]
    found = [row.found.conclusion for row in rows if row.found]
    if not found:
        return None
    if all(each is Conclusion.A_BETTER for each in found):
        return Gain.GAINS
    return Gain.COSTS if Conclusion.B_BETTER in found else Gain.NOT_SHOWN


def timing_is_needless(contender: ControlledContender) -> bool:
    """Whether the network uses the timing of its spikes, though one trained with a single step does no worse."""
    shuffled, one_step = contender.row("shuffled"), contender.row("one_step")
    return (
        contender.num_steps > 1
        and shuffled is not None
        and shuffled.found is not None
        and shuffled.found.conclusion is Conclusion.A_BETTER
        and one_step is not None
        and one_step.found is not None
        and one_step.found.conclusion is not Conclusion.A_BETTER
    )


def sentences(contender: ControlledContender) -> list[str]:
    """What each control showed, and what that means."""
    name = contender.contender
    measured = [row for row in contender.rows if row.found and not _needs_time(row, contender)]
    seeds = max((row.found.seeds for row in measured if row.found), default=0)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    found = [f"What spiking adds to {name} (T = {contender.num_steps}, {over}; {name} − control, 95 % interval):"]
    found += [_of_control(name, row) for row in measured]
    if timing_is_needless(contender):
        found.append("Timing matters to this network, but one trained with a single step is as accurate.")
    if left_out := list(dict.fromkeys(row.reason for row in contender.rows if row.reason)):
        found.append(f"Left out: {' '.join(left_out)}")
    if (shown := gain(contender)) is not None:
        steps = counted(contender.num_steps, "step")
        found.append(
            _SUMMARY[shown].format(name=name, steps=steps) + " Accuracy does not show what energy it may save."
        )
    return found


def _needs_time(row: ControlRow, contender: ControlledContender) -> bool:
    return contender.num_steps == 1 and row.control in ("one_step", "shuffled")


def _of_control(name: str, row: ControlRow) -> str:
    assert row.found is not None
    low, high = row.found.ci95
    numbers = f"{signed(row.found.difference)} ({signed(low)} to {signed(high)})"
    return f"{titled(row)} {numbers}: {conclusion(row.found, name, 'the control')}."


def titled(row: ControlRow) -> str:
    """The control's short name, with its bits where it has some."""
    return f"{row.title} ({counted(row.bits, 'bit')})" if row.bits else row.title


_SUMMARY = {
    Gain.GAINS: "Spiking over {steps} gains {name} accuracy over its twins, at these settings.",
    Gain.COSTS: "Spiking over {steps} costs {name} accuracy, at these settings.",
    Gain.NOT_SHOWN: "Spiking over {steps} is not shown to gain {name} accuracy.",
}
