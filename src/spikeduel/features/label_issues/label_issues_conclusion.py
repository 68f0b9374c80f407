"""Labels that trained networks call wrong."""

from collections.abc import Iterator

from spikeduel.analysis.run_findings import RunContext
from spikeduel.auditing.audit_results import LabelCheck, SuspectLabel
from spikeduel.results.findings import Values, finds
from spikeduel.system.typed import Frozen

NAME = "label_issues"


class Conclusion(Frozen):
    """The check of all labels that networks judged, and the suspect ones, surest first."""

    check: LabelCheck
    suspects: list[SuspectLabel]


def suspect_labels(conclusion: Conclusion) -> tuple[LabelCheck, list[SuspectLabel]]:
    """Return the check of labels, and the suspect ones."""
    return conclusion.check, conclusion.suspects


@finds("label_issues")
def label_issues(run: RunContext) -> Iterator[Values]:
    conclusion = run.features.get(NAME)
    if conclusion and conclusion.suspects:
        yield {"suspects": len(conclusion.suspects), "examined": conclusion.check.examined}
