"""Answers of a spiking network during a recording, or to a camera's stream of events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from spikeduel.networks.binning import Binning, Events
from spikeduel.networks.models import Model, StreamState
from spikeduel.system.errors import InputError


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer after a frame: `milliseconds` and `events` since the beginning, `probabilities`
    float32 `[K]`.
    """

    milliseconds: float
    events: int
    probabilities: np.ndarray


def answers_to_recording(
    model: Model, packed: np.ndarray, calibrated: bool = True
) -> Iterator[Answer]:
    """Yield the answer after each frame of a recording (`Events.packed`), binned as in training.

    The last answer has the probabilities of `Model.predict`. Raises `InputError` for a model that
    cannot stream.
    """
    binning = _binning(model)
    place = packed, np.array([0, len(packed)]), np.array([0])
    frames = model.frames(binning.frames(*place))
    ends, counts = binning.received(*place)
    state = None
    for frame, end, count in zip(frames, ends[0], counts[0], strict=True):
        scores, state = model.step(frame, state)
        yield Answer(
            end / 1e3, int(count), model.probabilities(scores[0], calibrated).cpu().numpy()
        )


def answers_to_stream(
    model: Model, chunks: Iterable[Events], frame_ms: float | None = None, calibrated: bool = True
) -> Iterator[Answer]:
    """Yield the answer after each frame of a stream: `chunks` of events in order of time.

    A frame lasts `frame_ms`, or as long as in training. It is over once a later event comes, or the
    stream ends. After as many frames as in training the model starts anew. Raises `InputError` for
    a model that cannot stream, for frames without a length, and for time that runs backwards.
    """
    binning = _binning(model)
    frame_us = binning.frame_us if frame_ms is None else round(1000 * frame_ms)
    if frame_ms is not None and frame_us is not None and frame_us < 1:
        raise InputError(f"frame_ms: a frame is longer than 0.0005 ms, not {frame_ms:g}")
    if not frame_us:
        raise InputError(
            f"{model.card.contender} was trained on frames that are a part of each recording's "
            f"length or events, which "
            "a stream does not have. Train with --bin-ms, or give frame_ms to answers_to_stream."
        )
    whole = replace(binning, num_frames=1, by="time", frame_us=None, start_us=0, stop_us=None)
    state, seen, end, waiting = StreamState(), 0, None, _NONE
    for events in chunks:
        waiting = _joined(waiting, events)
        if (backwards := np.diff(waiting.t) < 0).any():
            row = int(backwards.argmax())
            raise InputError(
                f"time runs backwards, from {waiting.t[row]:,} to {waiting.t[row + 1]:,} µs; a "
                'line is "t x y p"'
            )
        while len(waiting.t):
            end = int(waiting.t[0]) + frame_us if end is None else end
            if waiting.t[-1] < end:
                break
            count = int(np.searchsorted(waiting.t, end))
            state, seen, answer = _after(
                model, whole, _part(waiting, slice(count)), state, seen, frame_us, calibrated
            )
            yield answer
            waiting, end = _part(waiting, slice(count, None)), end + frame_us
    if len(waiting.t):
        yield _after(model, whole, waiting, state, seen, frame_us, calibrated)[2]


_NONE = Events(*np.empty((4, 0), np.int64))


def _binning(model: Model) -> Binning:
    if (binning := model.card.preprocessing.binning) is None:
        raise InputError(f"{model.card.contender} takes images, and no events of a camera.")
    return binning


def _after(
    model: Model,
    binning: Binning,
    events: Events,
    state: StreamState,
    seen: int,
    frame_us: int,
    calibrated: bool,
) -> tuple[StreamState, int, Answer]:
    """Return the state, the number of events and the answer after a frame; the last frame
    resets.
    """
    frames = np.zeros((1, *binning.shape), np.uint8)
    if len(events.t):
        packed = replace(events, sensor=binning.sensor).packed()
        frames = binning.frames(packed, np.array([0, len(packed)]), np.array([0]))
    scores, state = model.step(torch.from_numpy(frames).float(), state)
    seen += len(events.t)
    answer = Answer(
        state.num_steps * frame_us / 1e3,
        seen,
        model.probabilities(scores[0], calibrated).cpu().numpy(),
    )
    return (
        (StreamState(), 0, answer)
        if state.num_steps == model.card.num_steps
        else (state, seen, answer)
    )


def _joined(first: Events, second: Events) -> Events:
    x, y, t, p = (np.concatenate([getattr(first, name), getattr(second, name)]) for name in "xytp")
    return Events(x, y, t, p)


def _part(events: Events, part: slice) -> Events:
    return Events(events.x[part], events.y[part], events.t[part], events.p[part])
