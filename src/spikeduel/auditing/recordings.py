"""Check recordings: a small classifier tells class and side by numbers alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import numpy as np

from spikeduel.auditing.context import AuditContext, Fields, is_above_chance
from spikeduel.data import Split
from spikeduel.data.events.recordings import Recordings
from spikeduel.networks.preprocessing import unpacked
from spikeduel.results.audit import Audit, Statistic, StatisticName, Statistics
from spikeduel.results.findings import Values, finds
from spikeduel.system.progress import Progress

HOT = 8
"""Events of a hot pixel, as a multiple of the mean of pixels in use."""
FEWEST = 10
"""Fewest recordings of a side or class for hot pixels and usual numbers."""
NUM_FOLDS = 5
NUM_TREES = 100
FEWEST_IN_LEAF = 3
MOST_LEARNED = 10_000
"""Most recordings that the classifier learns from, drawn at random."""
SIDE_GAP = 0.1
"""Share of sides told beyond a half that makes no other kind of recordings."""
MOST_STATISTICS = 3
"""Most statistics that are named."""
REMEDIES: dict[StatisticName, str] = {"length": "--bin-ms N"}
"""Options that hide what a statistic tells."""


def check(context: AuditContext) -> Fields:
    """Measure the class and side told by a recording's numbers."""
    if (recordings := context.recordings) is None:
        return {}
    classes, split = context.prepared.classes, context.split
    numbers = examine(recordings, context.labels, classes, context.groups, split, context.progress)
    return {"noun": "recording", "statistics": numbers}


def examine(
    recordings: Recordings,
    labels: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray,
    split: Split,
    progress: Progress,
) -> Statistics:
    """Return the statistics of recordings with `labels` `[N]` and `groups` `[N]`, and a
    classifier's scores on all together, then on each if all tell.
    """
    sides = {"train": split.train, "val": split.val, "test": split.test}
    parts = [*sides.values(), *(np.flatnonzero(labels == k) for k in range(len(classes)))]
    numbers, hot = _measured(recordings, parts, progress)
    compared = _compared(groups, split)
    of_class, of_side = _by_class(numbers, labels, split), _by_side(numbers, *compared)
    usual = int(np.bincount(labels[split.train]).argmax())
    chance = None if of_class is None else float((labels[split.test] == usual).mean())
    num_tested = 0 if of_class is None else len(split.test)
    num_groups = len(np.unique(groups[compared[0]]))
    tells_class = is_above_chance(of_class, max(chance or 0, 1 / len(classes)), num_tested)
    tells_side = is_above_chance(of_side, 0.5, num_groups, SIDE_GAP)
    names = get_args(StatisticName)
    told = []
    for column, name in enumerate(progress.track(names, "asking what statistics tell", len(names))):
        alone = numbers[:, column : column + 1]
        told.append(
            Statistic(
                name=name,
                sides={side: _median(alone[rows]) for side, rows in sides.items() if len(rows)},
                classes={label: _median(alone[labels == k]) for k, label in enumerate(classes)},
                class_accuracy=_by_class(alone, labels, split) if tells_class else None,
                side_accuracy=_by_side(alone, *compared) if tells_side else None,
            )
        )
    width = recordings.binning.sensor[1]
    return Statistics(
        statistics=tuple(told),
        hot_pixels=tuple((int(place % width), int(place // width)) for place in hot),
        class_accuracy=of_class,
        class_chance=chance,
        num_tested=num_tested,
        side_accuracy=of_side,
        num_groups=num_groups,
    )


def _median(values: np.ndarray) -> float:
    return float(f"{np.median(values):.4g}")


def _counts(recordings: Recordings, row: int) -> np.ndarray:
    """Return the events of each pixel, int64 `[H·W]`."""
    height, width = recordings.binning.sensor
    events = unpacked(recordings.events_of(row))
    inside = (events.y < height) & (events.x < width)
    return np.bincount((events.y * width + events.x)[inside], minlength=height * width)


def _measured(
    recordings: Recordings, parts: Sequence[np.ndarray], progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return the statistics of each recording (`StatisticName`), float64 `[N, S]`; and the pixels
    hot in most recordings of one of `parts`, int64 `[K]`.
    """
    num_pixels = recordings.binning.sensor[0] * recordings.binning.sensor[1]
    numbers = np.zeros((len(recordings), len(get_args(StatisticName))))
    hottest: list[np.ndarray] = []
    for row in progress.track(range(len(recordings)), "measuring recordings", len(recordings)):
        events, counts = unpacked(recordings.events_of(row)), _counts(recordings, row)
        count, seconds = len(events.t), (int(events.t[-1]) + 1) / 1e6
        in_use = max(1, int(np.count_nonzero(counts)))
        numbers[row, :-1] = (
            *(1000 * seconds, count, count / seconds, events.p.mean(), in_use / num_pixels),
            *(int(events.x.max()) + 1, int(events.y.max()) + 1),
        )
        hottest.append(np.flatnonzero(counts > HOT * counts.sum() / in_use))
    is_hot = np.zeros(num_pixels, bool)
    for part in parts:
        if len(part) >= FEWEST:
            pixels = np.concatenate([hottest[row] for row in part.tolist()])
            is_hot |= np.bincount(pixels, minlength=num_pixels) > len(part) / 2
    if (hot := np.flatnonzero(is_hot)).size:
        for row in range(len(recordings)):
            numbers[row, -1] = _counts(recordings, row)[hot].sum() / numbers[row, 1]
    return numbers, hot


def _by_class(numbers: np.ndarray, labels: np.ndarray, split: Split) -> float | None:
    """Return the share of test recordings whose class `numbers` `[N, S]` tell; None for too few."""
    if min(len(split.train), len(split.test)) < FEWEST:
        return None
    learned = np.random.default_rng(0).permutation(split.train)[:MOST_LEARNED]
    told = _told(numbers[learned], labels[learned], numbers[split.test])
    return float((told == labels[split.test]).mean())


def _compared(groups: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return equally many recordings of training and test, int64 `[M]`; True for test; and the fold
    that asks each, whole groups together. All are empty if there are too few.
    """
    random = np.random.default_rng(0)
    most = min(len(split.train), len(split.test), MOST_LEARNED // 2)
    drawn = [np.sort(random.permutation(rows)[:most]) for rows in (split.train, split.test)]
    rows, is_test = np.concatenate(drawn), np.repeat([False, True], most)
    names, group = np.unique(groups[rows], return_inverse=True)
    fold = random.permutation(len(names))[group] % NUM_FOLDS
    num_groups = min(len(np.unique(group[is_test == side])) for side in (False, True))
    if most < FEWEST or num_groups < NUM_FOLDS:
        return rows[:0], is_test[:0], fold[:0]
    return rows, is_test, fold


def _by_side(
    numbers: np.ndarray, rows: np.ndarray, is_test: np.ndarray, fold: np.ndarray
) -> float | None:
    """Return the share of recordings `rows` `[M]` whose side `numbers` `[N, S]` tell, or None."""
    if not len(rows):
        return None
    right = np.zeros(len(rows), bool)
    for number in range(NUM_FOLDS):
        asked = fold == number
        told = _told(numbers[rows[~asked]], is_test[~asked], numbers[rows[asked]])
        right[asked] = told == is_test[asked]
    return float(right.mean())


def _told(learned: np.ndarray, answers: np.ndarray, asked: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(NUM_TREES, min_samples_leaf=FEWEST_IN_LEAF, random_state=0)
    return forest.fit(learned, answers).predict(asked)


@finds("hot_pixels")
def hot_pixels(audit: Audit) -> Iterator[Values]:
    if audit.statistics and (pixels := audit.statistics.hot_pixels):
        yield {"count": len(pixels), "pixels": [f"({x}, {y})" for x, y in pixels]}


@finds("statistics_tell_class")
def statistics_tell_class(audit: Audit) -> Iterator[Values]:
    if (found := audit.statistics) is None:
        return
    chance = max(found.class_chance or 0, 1 / len(audit.class_sides))
    if is_above_chance(found.class_accuracy, chance, found.num_tested):
        alone = {
            statistic.name: statistic.class_accuracy
            for statistic in found.statistics
            if is_above_chance(statistic.class_accuracy, chance, found.num_tested)
        }
        names = _most_telling(alone)
        yield {
            "share": found.class_accuracy,
            "names": names,
            "chance": found.class_chance,
            "remedy": next((REMEDIES[name] for name in names if name in REMEDIES), None),
        }


@finds("statistics_tell_side")
def statistics_tell_side(audit: Audit) -> Iterator[Values]:
    found = audit.statistics
    if found and is_above_chance(found.side_accuracy, 0.5, found.num_groups, SIDE_GAP):
        alone = {
            statistic.name: statistic.side_accuracy
            for statistic in found.statistics
            if is_above_chance(statistic.side_accuracy, 0.5, found.num_groups, SIDE_GAP)
        }
        yield {"share": found.side_accuracy, "names": _most_telling(alone)}


def _most_telling(accuracies: Mapping[StatisticName, float | None]) -> list[StatisticName]:
    return sorted(accuracies, key=lambda name: -(accuracies[name] or 0))[:MOST_STATISTICS]
