"""Results as people read them: a page for a run, a tuning, an audit and a study, charts, and what
goes on inside models for one image.
"""

from spikeduel.reporting.audit_report import audit_page
from spikeduel.reporting.drawing import figure
from spikeduel.reporting.encoded import encoded_animation, raster_of_diagonal
from spikeduel.reporting.inside import at_step, inspect
from spikeduel.reporting.learning import learning_curves, tuning_trials
from spikeduel.reporting.pictures import samples
from spikeduel.reporting.run_report import RunData, report, report_again
from spikeduel.reporting.study import report_study
from spikeduel.reporting.tuning_report import report_tuning

__all__ = [
    "RunData",
    "at_step",
    "audit_page",
    "encoded_animation",
    "figure",
    "inspect",
    "learning_curves",
    "raster_of_diagonal",
    "report",
    "report_again",
    "report_study",
    "report_tuning",
    "samples",
    "tuning_trials",
]
