"""Results as people read them: one page for a run, figures for one image, each figure also on its own."""

from spikeduel.reporting.animation import encoded_animation
from spikeduel.reporting.answers import answer, probabilities
from spikeduel.reporting.audited import audit_page
from spikeduel.reporting.figures import confusion_matrix, learning_curves, samples
from spikeduel.reporting.gallery import inspect
from spikeduel.reporting.page import Held, report, report_again, report_tuning
from spikeduel.reporting.spikes import neuron_over_time, raster_of_diagonal
from spikeduel.reporting.tuning import tuning_trials

__all__ = [
    "Held",
    "answer",
    "audit_page",
    "confusion_matrix",
    "encoded_animation",
    "inspect",
    "learning_curves",
    "neuron_over_time",
    "probabilities",
    "raster_of_diagonal",
    "report",
    "report_again",
    "report_tuning",
    "samples",
    "tuning_trials",
]
