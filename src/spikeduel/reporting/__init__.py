"""Results as people read them: one page for a run, figures for one image, each figure also on its own."""

from spikeduel.reporting.figures import confusion_matrix, samples
from spikeduel.reporting.gallery import answer, inspect, probabilities
from spikeduel.reporting.learning import learning_curves, tuning_trials
from spikeduel.reporting.page import Held, audit_page, report, report_again, report_tuning
from spikeduel.reporting.spikes import encoded_animation, neuron_over_time, raster_of_diagonal

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
