from dataclasses import replace

import numpy as np
import pytest

import made_recordings as made
from made_models import SENSOR, of_recordings
from spikeduel.engine.networks.models import predict_recording, predict_stream
from spikeduel.inputs.preprocessing import Events
from spikeduel.system.errors import InputError

pytestmark = pytest.mark.numeric


def chunks(events, size):
    """The events, so many at a time."""
    order = np.argsort(events.t, kind="stable")
    for start in range(0, len(order), size):
        part = order[start : start + size]
        yield Events(events.x[part], events.y[part], events.t[part], events.p[part])


@pytest.mark.parametrize("by", [{}, {"frame_us": None}])
def test_the_last_of_a_streams_predictions_is_that_of_the_recording(by):
    model, packed = of_recordings(**by), made.some_events(300, SENSOR, 50_000).packed()
    predictions = list(predict_recording(model, packed))
    binning = model.card.preprocessing.binning
    frames = binning.frames(packed, np.array([0, len(packed)]), np.array([0]))
    assert predictions[-1].probabilities == pytest.approx(model.predict(frames)[1][0], abs=1e-6)
    assert [prediction.events for prediction in predictions] == frames.reshape(5, -1).sum(
        1
    ).cumsum().tolist()
    assert np.ptp([prediction.probabilities[0] for prediction in predictions]) > 0


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_early_exit_stops_at_the_first_frame_above_the_threshold(temperature):
    # Of a hundred events, it becomes surer with the frames.
    model, packed = of_recordings(), made.some_events(100, SENSOR, 50_000).packed()
    model.card = replace(model.card, temperature=temperature)
    frames = model.card.preprocessing.binning.frames(
        packed, np.array([0, len(packed)]), np.array([0])
    )
    predictions = [one.probabilities for one in predict_recording(model, packed)]
    raw = [one.probabilities for one in predict_recording(model, packed, calibrated=False)]
    highest = [float(probabilities.max()) for probabilities in predictions]
    stops = set()
    for threshold in (0.0, *(reached - 1e-4 for reached in highest), 1.0):
        confident = [step for step, reached in enumerate(highest) if reached >= threshold]
        step = confident[0] if confident else len(predictions) - 1
        probabilities, num_steps = model.predict_with_early_exit(frames[0], threshold)
        assert num_steps == step + 1
        assert probabilities == pytest.approx(predictions[step], abs=1e-6)
        # The threshold is a calibrated probability, whichever ones are returned.
        probabilities, num_steps = model.predict_with_early_exit(
            frames[0], threshold, calibrated=False
        )
        assert num_steps == step + 1
        assert probabilities == pytest.approx(raw[step], abs=1e-6)
        stops.add(num_steps)
    assert {1, 3, 5} <= stops


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_of_events_is_predicted_as_a_recording_and_then_anew(size):
    model, events = of_recordings(), made.some_events(300, SENSOR, 49_000)
    wanted = list(predict_recording(model, events.packed()))
    twice = [
        *chunks(events, size),
        *chunks(Events(events.x, events.y, events.t + 50_000, events.p), size),
    ]
    predictions = list(predict_stream(model, twice))
    assert len(predictions) == 10
    for one, other in zip(predictions, [*wanted, *wanted], strict=True):
        assert (one.milliseconds, one.events) == (other.milliseconds, other.events)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_a_pause_is_frames_without_events():
    early, late = (
        Events(*np.array([[1], [2], [0], [1]])),
        Events(*np.array([[1], [2], [35_000], [1]])),
    )
    assert [prediction.events for prediction in predict_stream(of_recordings(), [early, late])] == [
        1,
        1,
        1,
        2,
    ]


def test_a_network_without_spikes_is_refused():
    with pytest.raises(InputError, match="does not spike"):
        list(predict_recording(of_recordings("vgg-gru"), made.some_events(10, SENSOR).packed()))


@pytest.mark.parametrize(
    ("by", "events", "problem"),
    [
        ({"frame_us": None}, [[0], [0], [0], [0]], "Train with --bin-ms"),
        ({}, [[0, 1], [0, 1], [2000, 500], [0, 1]], "runs backwards, from 2,000 to 500"),
        ({}, [[12], [0], [0], [0]], r"\(12, 0\), outside the sensor's 12×12"),
    ],
)
def test_impossible_streams_are_refused(by, events, problem):
    with pytest.raises(InputError, match=problem):
        list(predict_stream(of_recordings(**by), [Events(*np.array(events))]))
