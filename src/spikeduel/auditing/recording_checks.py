"""Check recordings: a small classifier predicts class and split from statistics alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import numpy as np
from msgspec import structs

from spikeduel.auditing.arrays import EventRecordings, SplitIndices
from spikeduel.auditing.audit_results import Audit, Statistic, StatisticName, Statistics
from spikeduel.auditing.context import AuditInput, Fields, is_above_chance
from spikeduel.system.finding_tables import Values, finds
from spikeduel.system.progress import Progress

HOT = 8
"""Events of a hot pixel, as a multiple of the mean of used pixels."""
MIN_RECORDINGS = 10
"""Fewest recordings of a split or class for hot pixels and usual numbers."""
NUM_FOLDS = 5
NUM_TREES = 10
MIN_IN_LEAF = 3
MAX_LEARNED = 10_000
"""Most recordings that the classifier learns from."""
SPLIT_GAP = 0.1
"""Accuracy in naming the split above one half that is still no finding."""
MAX_STATISTICS = 3
"""Most statistics that a finding names."""
NAMES: tuple[StatisticName, ...] = get_args(StatisticName)


def check(data: AuditInput) -> Fields:
    """Measure how well the statistics of recordings predict their class and their split."""
    if (recordings := data.recordings) is None:
        return {}
    numbers = examine(
        recordings, data.labels, data.classes, data.group_ids, data.split, data.progress
    )
    return {"noun": "recording", "statistics": numbers}


def examine(
    recordings: EventRecordings,
    labels: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray,
    split: SplitIndices,
    progress: Progress,
) -> Statistics:
    """Return the statistics of recordings with `labels` `[N]` and `groups` `[N]`, and a
    classifier's scores on all together, then on each if all tell.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GroupKFold, cross_val_score

    forest = RandomForestClassifier(NUM_TREES, min_samples_leaf=MIN_IN_LEAF, random_state=0)
    of_split = {name: rows for name, rows in split._asdict().items() if len(rows)}
    of_class = {name: np.flatnonzero(labels == k) for k, name in enumerate(classes)}
    numbers, hot = _measured(recordings, [*of_split.values(), *of_class.values()], progress)
    random = np.random.default_rng(0)
    learned = random.permutation(split.train)[:MAX_LEARNED]
    # As many recordings of training as of test; a group is never in two folds.
    count = min(len(split.train), len(split.test), MAX_LEARNED // 2)
    chosen = [random.permutation(rows)[:count] for rows in (split.train, split.test)]
    rows, is_test = np.concatenate(chosen), np.repeat([False, True], count)
    num_groups = min(len(np.unique(groups[part])) for part in chosen)
    can_tell_class = count >= MIN_RECORDINGS
    can_tell_split = can_tell_class and num_groups >= NUM_FOLDS

    def by_class(numbers: np.ndarray) -> float:
        forest.fit(numbers[learned], labels[learned])
        return float(forest.score(numbers[split.test], labels[split.test]))

    def by_split(numbers: np.ndarray) -> float:
        folds = GroupKFold(NUM_FOLDS)
        scores = cross_val_score(forest, numbers[rows], is_test, groups=groups[rows], cv=folds)
        return float(scores.mean())

    usual = int(np.bincount(labels[split.train]).argmax())
    together = Statistics(
        statistics=(),
        hot_pixels=tuple(divmod(int(pixel), recordings.sensor[1])[::-1] for pixel in hot),
        class_accuracy=by_class(numbers) if can_tell_class else None,
        class_chance=float((labels[split.test] == usual).mean()) if can_tell_class else None,
        num_tested=len(split.test) if can_tell_class else 0,
        split_accuracy=by_split(numbers) if can_tell_split else None,
        num_groups=len(np.unique(groups[rows])) if can_tell_split else 0,
    )
    tells_class = _tells_class(together, together.class_accuracy, len(classes))
    tells_split = _tells_split(together, together.split_accuracy)
    statistics = []
    for column, name in enumerate(progress.track(NAMES, "testing statistics", len(NAMES))):
        alone = numbers[:, column : column + 1]
        statistics.append(
            Statistic(
                name=name,
                by_split={label: _median(alone[rows]) for label, rows in of_split.items()},
                classes={label: _median(alone[rows]) for label, rows in of_class.items()},
                class_accuracy=by_class(alone) if tells_class else None,
                split_accuracy=by_split(alone) if tells_split else None,
            )
        )
    return structs.replace(together, statistics=tuple(statistics))


def _median(values: np.ndarray) -> float:
    return float(f"{np.median(values):.4g}")


def _measured(
    recordings: EventRecordings, parts: Sequence[np.ndarray], progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return each recording's statistics (`StatisticName`), float64 `[N, S]`; and the pixels hot in
    most recordings of one of `parts`, int64 `[K]`.
    """
    height, width = recordings.sensor

    def counted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        inside = (y < height) & (x < width)
        return np.bincount((y * width + x)[inside], minlength=height * width)

    numbers, hottest = np.zeros((len(recordings), len(NAMES))), []
    for row in progress.track(range(len(recordings)), "measuring recordings", len(recordings)):
        x, y, microseconds, polarity = recordings.unpacked(row)
        counts, count, seconds = counted(x, y), len(x), (int(microseconds[-1]) + 1) / 1e6
        in_use = max(1, int(np.count_nonzero(counts)))
        numbers[row, :-1] = (
            1000 * seconds,
            count,
            count / seconds,
            polarity.mean(),
            in_use / (height * width),
            int(x.max()) + 1,
            int(y.max()) + 1,
        )
        hottest.append(np.flatnonzero(counts > HOT * counts.sum() / in_use))
    is_hot = np.zeros(height * width, bool)
    for part in parts:
        if len(part) >= MIN_RECORDINGS:
            pixels = np.concatenate([hottest[row] for row in part.tolist()])
            is_hot |= np.bincount(pixels, minlength=height * width) > len(part) / 2
    if is_hot.any():
        # The last column: the share of events at hot pixels.
        for row in range(len(recordings)):
            counts = counted(*recordings.unpacked(row)[:2])
            numbers[row, -1] = counts[is_hot].sum() / numbers[row, 1]
    return numbers, np.flatnonzero(is_hot)


def _tells_class(together: Statistics, accuracy: float | None, num_classes: int) -> bool:
    chance_level = max(together.class_chance or 0, 1 / num_classes)
    return is_above_chance(accuracy, chance_level, together.num_tested)


def _tells_split(together: Statistics, accuracy: float | None) -> bool:
    return is_above_chance(accuracy, 0.5, together.num_groups, SPLIT_GAP)


@finds("hot_pixels")
def hot_pixels(audit: Audit) -> Iterator[Values]:
    if audit.statistics and (pixels := audit.statistics.hot_pixels):
        yield {"count": len(pixels), "pixels": [f"({x}, {y})" for x, y in pixels]}


@finds("statistics_tell_class")
def statistics_tell_class(audit: Audit) -> Iterator[Values]:
    together, num_classes = audit.statistics, len(audit.class_splits)
    if together and _tells_class(together, together.class_accuracy, num_classes):
        names = _most_telling(
            {
                statistic.name: statistic.class_accuracy
                for statistic in together.statistics
                if _tells_class(together, statistic.class_accuracy, num_classes)
            }
        )
        yield {
            "share": together.class_accuracy,
            "names": names,
            "chance": together.class_chance,
            "remedy": "--bin-ms N" if "length" in names else None,
        }


@finds("statistics_tell_split")
def statistics_tell_split(audit: Audit) -> Iterator[Values]:
    together = audit.statistics
    if together and _tells_split(together, together.split_accuracy):
        names = _most_telling(
            {
                statistic.name: statistic.split_accuracy
                for statistic in together.statistics
                if _tells_split(together, statistic.split_accuracy)
            }
        )
        yield {"share": together.split_accuracy, "names": names}


def _most_telling(accuracies: Mapping[StatisticName, float | None]) -> list[StatisticName]:
    return sorted(accuracies, key=lambda name: -(accuracies[name] or 0))[:MAX_STATISTICS]
