"""A training at chance level has not converged, however flat its curves are."""

import pytest
from msgspec import structs

from factories import dataset, predictions_file, trial
from spikeduel.analysis.conclusions import _scored
from spikeduel.analysis.predicted import Predictions
from spikeduel.results.trials import Epoch

TRUTH = [0, 1, 2] * 20
PLATEAU = [Epoch(val_loss=1.0, val_accuracy=0.4)] * 8


@pytest.mark.parametrize("stopped", ["limit", "early"])
@pytest.mark.parametrize(
    ("predicted", "converged"), [(TRUTH, True), ([0] * 60, False), (TRUTH[1:] + TRUTH[:1], False)]
)
def test_a_training_whose_predictions_are_at_chance_has_not_converged(
    stopped, predicted, converged
):
    made = structs.replace(trial("snn", 0.5, stopped=stopped), history=PLATEAU)
    assert (
        _scored(
            made, Predictions(predictions_file(TRUTH, {("snn", 0): predicted})), dataset()
        ).converged
        is converged
    )
