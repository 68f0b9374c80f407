"""Results of ablations, joint conclusions, and the loss of recordings without time."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import structs

from spikeduel.analysis.run_findings import RunContext
from spikeduel.results.accuracy import unlearned_variants
from spikeduel.results.findings import TABLE, Finding, Values, finding, finds
from spikeduel.results.means import TWINS
from spikeduel.results.significance import Conclusion as Outcome, Difference, Reservation
from spikeduel.results.trials import Trial, VariantAbout
from spikeduel.system.typed import Count, Frozen, Share


class AblationRow(VariantAbout, kw_only=True):
    """An ablation: its mean `accuracy`, and the contender's minus it; None with a `reason` if not
    measured. `deviation`: standard deviation over seeds.
    """

    ablation: str
    accuracy: Share | None = None
    bits: Count | None = None
    deviation: float | None = None
    comparison: Difference | None = None
    reason: str | None = None

    @property
    def conclusive(self) -> bool:
        """True with enough seeds for a conclusion on causes."""
        return self.comparison is not None and self.comparison.enough_seeds

    @property
    def conclusion(self) -> Outcome | None:
        """The conclusion of the comparison; None if it is not conclusive."""
        return self.comparison.conclusion if self.comparison and self.conclusive else None


class AblatedContender(Frozen):
    """A contender and its ablations; `num_steps` is None without spikes."""

    contender: str
    num_steps: Count | None
    seeds: Count
    accuracy: Share
    rows: list[AblationRow]
    claims: list[Finding] = []

    @property
    def of_recordings(self) -> bool:
        """True if the ablations changed the recordings."""
        return any(row.of_recordings for row in self.rows)


TemporalLoss = Literal["everything", "some", "nothing", "not shown"]
"""Loss without time. "everything": no better than a constant prediction; "nothing": the interval
ends within the margin; "not shown": neither a loss nor none.
"""


class WithoutTime(Frozen):
    """The best contender on recordings beside the best without time, both chosen on validation.

    `trained_without`: on frames that each hold all events. `comparison`: `contender` − `without`.
    """

    contender: str
    accuracy: Share
    without: str
    accuracy_without: Share
    trained_without: bool
    comparison: Difference
    lost: TemporalLoss


class Conclusion(Frozen):
    """Contenders beside their ablations, and the loss of recordings without time."""

    contenders: list[AblatedContender] = []
    without_time: WithoutTime | None = None
    text: str = ""


@finds("ablation_at_chance")
def ablation_at_chance(run: RunContext) -> Iterator[Values]:
    for name, trials in run.tested.items():
        for title in unlearned_variants(trials).values():
            yield {"contender": name, "ablation": title}


WITHOUT_TIME = ("one_step", "shuffled")
"""Ablations that show nothing about a network with a single time step."""
STEPS = {
    Outcome.A_BETTER: "steps_gain",
    Outcome.B_BETTER: "steps_cost",
    Outcome.EQUIVALENT: "steps_add_nothing",
    Outcome.INCONCLUSIVE: "steps_not_shown",
}
ORDER = {
    Outcome.A_BETTER: "order_matters",
    Outcome.B_BETTER: "order_harms",
    Outcome.EQUIVALENT: "order_does_not_matter",
}


def without_unlearned(contender: AblatedContender, trials: Sequence[Trial]) -> AblatedContender:
    """Return `contender` with ablations that learned nothing made inconclusive."""
    unlearned = unlearned_variants(
        [trial for trial in trials if trial.contender == contender.contender]
    )
    rows = [
        structs.replace(row, comparison=row.comparison.withheld(Reservation.ABLATION_AT_CHANCE))
        if row.comparison and row.ablation in unlearned
        else row
        for row in contender.rows
    ]
    return structs.replace(contender, rows=rows)


def claims(contender: AblatedContender) -> list[Finding]:
    """Return findings on spikes, time steps and the order of spikes; empty on recordings.

    Ablations with too few seeds are left out; `few_seeds_for_causes` if all have too few.
    """
    if contender.of_recordings:
        return []
    skipped = WITHOUT_TIME if contender.num_steps == 1 else ()
    measured = [row for row in contender.rows if row.comparison and row.ablation not in skipped]
    if measured and not any(row.conclusive for row in measured):
        return [_claim("few_seeds_for_causes", contender)]
    concluded = {row.ablation: row.conclusion for row in measured if row.conclusion}
    one_step = concluded.get("one_step")
    ids = [
        _beside_twins({concluded[twin] for twin in TWINS if twin in concluded}, one_step),
        STEPS[one_step] if one_step else None,
        ORDER.get(concluded["shuffled"]) if "shuffled" in concluded else None,
    ]
    return [_claim(id, contender) for id in ids if id]


def _beside_twins(twins: set[Outcome], one_step: Outcome | None) -> str | None:
    """Return the id of the finding on a contender beside its twins without spikes, from the
    conclusions of both comparisons and of the one with a single time step; None without twins.
    """
    if not twins:
        return None
    if twins == {Outcome.A_BETTER}:
        alone = one_step in (None, Outcome.A_BETTER)
        return "spiking_gains" if alone else "better_than_twins"
    if twins == {Outcome.B_BETTER}:
        return "spiking_costs"
    if Outcome.B_BETTER in twins:
        return "between_twins" if Outcome.A_BETTER in twins else "worse_than_a_twin"
    return "as_good_as_twins" if twins == {Outcome.EQUIVALENT} else "not_shown_beside_twins"


def _claim(id: str, contender: AblatedContender) -> Finding:
    """Return the finding `id` with the values that its sentence needs."""
    differences = [row.comparison for row in contender.rows if row.comparison]
    twins = [row for row in contender.rows if row.ablation in TWINS and row.conclusive]

    def concluded(conclusion: Outcome) -> list[str]:
        return [row.title for row in twins if row.conclusion is conclusion]

    values = {
        "name": contender.contender,
        "steps": contender.num_steps or 1,
        "seeds": max(difference.seeds for difference in differences),
        "margin": differences[0].margin,
        "equal": concluded(Outcome.EQUIVALENT),
        "better": concluded(Outcome.B_BETTER),
        "worse": concluded(Outcome.A_BETTER),
    }
    return finding(id, **{name: values[name] for name in TABLE[id].example})
