"""What the controls of a spiking contender show together, as data: no claim says more than every
control bears out.
"""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import structs

from spikeduel.results.accuracy import unlearned_controls
from spikeduel.results.controlled import ControlledContender
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import Trial

TWINS = ("relu_twin", "quantised_twin")
WITHOUT_TIME = ("one_step", "shuffled")
"""Controls that tell a network nothing new that has a single time step."""


class Claim(StrEnum):
    """What may be said of a contender, of its accuracy at these settings."""

    FEW_SEEDS = "few_seeds"
    """Nothing of causes: these trainings are described."""
    SPIKING_GAINS = "spiking_gains"
    """It is better than every twin, and than itself with one step where that was tried."""
    BETTER_THAN_TWINS = "better_than_twins"
    """It is better than every twin, but not shown to be better than with one step."""
    SPIKING_COSTS = "spiking_costs"
    """Every twin is better."""
    BETWEEN_TWINS = "between_twins"
    """It is better than one twin, and another is better."""
    WORSE_THAN_A_TWIN = "worse_than_a_twin"
    """A twin is better, and it is better than none."""
    AS_GOOD_AS_TWINS = "as_good_as_twins"
    """It is equivalent to every twin."""
    NOT_SHOWN = "not_shown"
    """It is neither shown to gain nor to lose beside its twins."""
    STEPS_GAIN = "steps_gain"
    STEPS_COST = "steps_cost"
    STEPS_ADD_NOTHING = "steps_add_nothing"
    STEPS_NOT_SHOWN = "steps_not_shown"
    ORDER_MATTERS = "order_matters"
    ORDER_HARMS = "order_harms"
    ORDER_DOES_NOT_MATTER = "order_does_not_matter"


_STEPS = {
    Conclusion.A_BETTER: Claim.STEPS_GAIN,
    Conclusion.B_BETTER: Claim.STEPS_COST,
    Conclusion.EQUIVALENT: Claim.STEPS_ADD_NOTHING,
    Conclusion.INCONCLUSIVE: Claim.STEPS_NOT_SHOWN,
}
_ORDER = {
    Conclusion.A_BETTER: Claim.ORDER_MATTERS,
    Conclusion.B_BETTER: Claim.ORDER_HARMS,
    Conclusion.EQUIVALENT: Claim.ORDER_DOES_NOT_MATTER,
}


def without_unlearned(
    contender: ControlledContender, trials: Sequence[Trial]
) -> ControlledContender:
    """`contender`, of whose controls those that learned nothing are inconclusive, by however much
    they are worse.

    `trials` are its own. A training that failed says nothing of what was left out of the network.
    """
    unlearned = unlearned_controls(
        [trial for trial in trials if trial.contender == contender.contender]
    )
    nothing = {"conclusion": Conclusion.INCONCLUSIVE, "reservation": Reservation.CONTROL_AT_CHANCE}
    rows = [
        structs.replace(row, found=structs.replace(row.found, **nothing))
        if row.found and row.control in unlearned
        else row
        for row in contender.rows
    ]
    return structs.replace(contender, rows=rows)


def claims(contender: ControlledContender) -> list[Claim]:
    """What the controls show of spikes, of time steps and of the order of spikes, in that order.

    A control that has too few seeds to call anybody better counts for nothing; `FEW_SEEDS` where
    that holds for all that were measured. The list is empty where no control was measured, and on
    recordings.
    """
    if contender.of_recordings:
        return []
    skipped = WITHOUT_TIME if contender.num_steps == 1 else ()
    measured = [row for row in contender.rows if row.found and row.control not in skipped]
    if measured and not any(row.conclusive for row in measured):
        return [Claim.FEW_SEEDS]
    concluded = {
        row.control: row.found.conclusion for row in measured if row.found and row.conclusive
    }
    one_step = concluded.get("one_step")
    found = [_beside_twins({concluded[twin] for twin in TWINS if twin in concluded}, one_step)]
    found += [_STEPS[one_step] if one_step else None]
    found += [_ORDER.get(concluded["shuffled"]) if "shuffled" in concluded else None]
    return [claim for claim in found if claim]


def _beside_twins(twins: set[Conclusion], one_step: Conclusion | None) -> Claim | None:
    """What is shown of spikes, by the conclusions on all twins."""
    if not twins:
        return None
    if twins == {Conclusion.A_BETTER}:
        alone = one_step in (None, Conclusion.A_BETTER)
        return Claim.SPIKING_GAINS if alone else Claim.BETTER_THAN_TWINS
    if twins == {Conclusion.B_BETTER}:
        return Claim.SPIKING_COSTS
    if Conclusion.B_BETTER in twins:
        return Claim.BETWEEN_TWINS if Conclusion.A_BETTER in twins else Claim.WORSE_THAN_A_TWIN
    return Claim.AS_GOOD_AS_TWINS if twins == {Conclusion.EQUIVALENT} else Claim.NOT_SHOWN
