"""Labels that trained networks call wrong."""

from collections.abc import Iterator

from spikeduel.analysis.run_findings import RunContext
from spikeduel.auditing.audit_results import JudgedLabels
from spikeduel.results.findings import Values, finds

NAME = "label_issues"


class Conclusion(JudgedLabels):
    """The check of all labels that networks judged, and the suspect ones, surest first."""


@finds("label_issues")
def label_issues(run: RunContext) -> Iterator[Values]:
    conclusion = run.features.get(NAME)
    if conclusion and conclusion.suspects:
        yield {"suspects": len(conclusion.suspects), "examined": conclusion.check.examined}
