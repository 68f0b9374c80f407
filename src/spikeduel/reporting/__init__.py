"""Results as people read them: one page for a run, what goes on inside for one image, each figure
also on its own.
"""

from spikeduel.reporting.figures import confusion_matrix, samples
from spikeduel.reporting.inside import at_step, inspect
from spikeduel.reporting.learning import learning_curves, tuning_trials
from spikeduel.reporting.page import Held, audit_page, report, report_again, report_tuning
from spikeduel.reporting.spikes import encoded_animation, raster_of_diagonal
from spikeduel.reporting.study import report_study

__all__ = [
    "Held",
    "at_step",
    "audit_page",
    "confusion_matrix",
    "encoded_animation",
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
