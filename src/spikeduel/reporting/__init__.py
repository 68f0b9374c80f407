"""Pages and charts."""

from spikeduel.reporting.accuracies import learning_curves
from spikeduel.reporting.drawing import figure
from spikeduel.reporting.pages import audit_page, report, report_again
from spikeduel.reporting.sections import RunData

__all__ = [
    "RunData",
    "audit_page",
    "figure",
    "learning_curves",
    "report",
    "report_again",
]
