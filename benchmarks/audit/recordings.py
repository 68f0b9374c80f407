"""What an audit of recordings finds.

    python -m benchmarks.audit.recordings FOLDER

FOLDER holds recordings of an event camera in class folders, of which no two show the same (N-MNIST,
say). Parts of them, of several lengths, are hidden among the others. Each is recorded once more,
with events drawn anew from its own smoothed counts. The result goes to
benchmarks/results/recordings.json.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks import shared
from spikeduel import data
from spikeduel.auditing import shared_segments
from spikeduel.auditing.arrays import EventRecordings
from spikeduel.auditing.neighbours import NEAR, blurred, closest, small_grey
from spikeduel.data.events.recordings import Recordings, picture_of
from spikeduel.experiment.settings import Experiment
from spikeduel.inputs.preprocessing import TIME_SHIFT, unpacked
from spikeduel.system.progress import Progress

RESULT = "recordings.json"
PARTS = (0.5, 0.2, 0.1, 0.05)
HIDDEN = 100
SMOOTHING = 0.7
"""Pixels, of the counts that second recordings are drawn from."""


def kept(events: list[np.ndarray], like: Recordings) -> Recordings:
    """Recordings of packed `events`."""
    return replace(like, packed=np.concatenate(events), offsets=np.cumsum([0, *map(len, events)]))


def middle(events: np.ndarray, share: float) -> np.ndarray:
    """The part of packed `events` that lies in the middle `share` of their time."""
    when = (events >> np.uint64(TIME_SHIFT)).astype(np.int64)
    taken = events[np.abs(when / when[-1] - 0.5) <= share / 2]
    return taken - (taken[0] >> np.uint64(TIME_SHIFT) << np.uint64(TIME_SHIFT))


def of_parts(events: list[np.ndarray], like: Recordings) -> list[dict[str, Any]]:
    """How many of `HIDDEN` parts are found, and how many others are taken for one."""
    rows, count = [], len(events)
    side = np.repeat([0, 2], [count, HIDDEN])
    for share in PARTS:
        hidden = [middle(each, share) for each in events[:HIDDEN]]
        both = kept(events + hidden, like)
        found = shared_segments.search(
            EventRecordings(both.packed, both.offsets, both.binning.sensor),
            np.arange(count + HIDDEN),
            side,
            Progress(),
        )
        right = found.earlier.nearest[count:] == np.arange(HIDDEN)
        rows.append(
            {
                "share_of_time": share,
                "mean_events": round(float(np.mean(list(map(len, hidden)))), 1),
                "found": int(right.sum()),
                "wrong": len(found.pairs) - int(right.sum()),
            }
        )
    return rows


def of_second_recordings(recordings: Recordings, near: float) -> dict[str, Any]:
    """Which share of second recordings is a near duplicate of the first, and of the recordings of
    one another.
    """
    height, width = recordings.binning.sensor
    count, random = len(recordings), np.random.default_rng(0)
    counts = []
    for row in range(count):
        columns = unpacked(recordings.events_of(row))
        counts.append(
            np.bincount(columns.y * width + columns.x, minlength=height * width).reshape(
                height, width
            )
        )
    smooth = gaussian_filter(np.array(counts, float), (0, SMOOTHING, SMOOTHING))
    first, second = (
        np.array([picture_of(each) for each in random.poisson(smooth)])[:, None] for _ in range(2)
    )
    found: dict[str, Any] = {"recordings": count, "near": near, "smoothing": SMOOTHING}
    for name, look in {"blurred": blurred, "not_blurred": lambda pictures: pictures}.items():
        one, other, real = (
            small_grey(look(pictures)) for pictures in (first, second, recordings.pictures)
        )
        odd, even = np.arange(1, count, 2), np.arange(0, count, 2)
        usual, alike = np.empty(count), 0
        for asked, others in ((odd, even), (even, odd)):
            usual[asked] = closest(one[asked], one[others]).usual
            of_real = closest(real[asked], real[others])
            alike += int((of_real.distance < near * of_real.usual).sum())
        found[name] = {
            "second_recordings_near": round(
                float(((one - other).norm(dim=1).numpy() < near * usual).mean()), 4
            ),
            "recordings_near_another": alike,
        }
    return found


def main() -> None:
    parser = shared.parser(__doc__, "folder")
    given = parser.parse_args()
    experiment = Experiment(dataset=given.folder)
    prepared = data.load(experiment)
    images = prepared.images
    assert isinstance(images, Recordings)
    events = [np.array(images.events_of(row)) for row in range(len(images))]
    result = {
        "of": f"{len(images)} recordings",
        "parts": of_parts(events, images),
        "second_recordings": of_second_recordings(images, NEAR),
    }
    shared.write(RESULT, result)


if __name__ == "__main__":
    main()
