"""Networks that could not be converted, and findings on converted ones."""

from collections.abc import Iterator

from spikeduel.analysis.run_findings import RunContext
from spikeduel.results.findings import Values, finds
from spikeduel.system.typed import Frozen

NAME = "conversion"


class Conclusion(Frozen):
    """Reasons, by contender, why networks were not converted."""

    not_converted: dict[str, str]


@finds("not_trained")
def not_trained(run: RunContext) -> Iterator[Values]:
    if sources := {t.contender: t.derived_from for t in run.trials if t.derived_from}:
        num_steps = max(t.num_steps or 1 for t in run.trials if t.derived_from)
        yield {"sources": sources, "num_steps": num_steps}


@finds("not_converted")
def not_converted(run: RunContext) -> Iterator[Values]:
    if conclusion := run.features.get(NAME):
        for name, reason in conclusion.not_converted.items():
            yield {"contender": name, "reason": reason}
