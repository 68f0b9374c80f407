"""The files behind a set: what became of each, their formats, and what a format tells of class and
side.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from spikeduel.data import Prepared, catalogue, socofing
from spikeduel.data.folder import labels_file
from spikeduel.data.inventory import FileCounts, inventory
from spikeduel.data.pictures import opened
from spikeduel.data.workers import Track, over_files
from spikeduel.results.audit import FileProperty
from spikeduel.settings import Experiment
from spikeduel.system import files

MOST_LISTED = 8
Format = tuple[str, str, int, int]
"""A picture file's type, mode, width and height, as Pillow names them."""


def file_counts(
    experiment: Experiment, prepared: Prepared, unreadable: Collection[str] = ()
) -> FileCounts | None:
    """What became of every file under a folder, or that of a CSV; None where the data is
    neither.
    """
    if (root := catalogue.home(experiment.dataset)) is None:
        return None
    return inventory(
        root,
        [root / name for name in prepared.names or ()],
        [Path(name) for name in unreadable],
        is_recorded=prepared.preprocessing.binning is not None,
        is_listed=labels_file(files.located(experiment.dataset)) is not None,
    )


def file_formats(experiment: Experiment, prepared: Prepared, track: Track) -> list[Format]:
    """The formats of the files behind the images, read from their headers; none where images have
    no file each.
    """
    place: AbstractContextManager[socofing.Source]
    if prepared.preprocessing.binning is not None:
        return []
    if experiment.dataset == "socofing":
        place = socofing.source_at(experiment.data_dir)
    elif (root := catalogue.home(experiment.dataset)) is not None:
        place = nullcontext(root)
    else:
        return []

    def look(_row: int, path: socofing.Source) -> Format:
        with opened(path) as picture:
            return picture.format or "unknown", picture.mode, picture.width, picture.height

    with place as source:
        paths = [source / name for name in prepared.names or ()]
        return [kind for _, kind in over_files(look, paths, track, "looking at files")]


def properties_of(formats: Sequence[Format]) -> dict[str, list[str]]:
    """What `file_properties` looks at, of picture files."""
    return {
        "file type": [kind for kind, _, _, _ in formats],
        "colour mode": [mode for _, mode, _, _ in formats],
        "size": [f"{width}×{height}" for _, _, width, height in formats],
    }


def file_properties(
    properties: Mapping[str, Sequence[str]], labels: np.ndarray, side: np.ndarray
) -> tuple[FileProperty, ...]:
    """How each property of the N files that has several values is tied to `labels` `[N]` and `side`
    `[N]`.
    """
    tied = []
    for name, texts in properties.items():
        values, code, counts = np.unique(texts, return_inverse=True, return_counts=True)
        if len(values) < 2:
            continue
        train, test = side == 0, side == 2
        table = np.zeros((len(values), int(labels.max()) + 1))
        np.add.at(table, (code[train], labels[train]), 1)
        usual = int(table.sum(0).argmax())
        named = np.where(table.sum(1) > 0, table.argmax(1), usual)
        order = np.argsort(-counts, kind="stable")[:MOST_LISTED]
        tied.append(
            FileProperty(
                property=name,
                num_values=len(values),
                values={str(values[k]): int(counts[k]) for k in order},
                class_accuracy=float((named[code[test]] == labels[test]).mean())
                if test.any()
                else None,
                class_chance=float((labels[test] == usual).mean()) if test.any() else None,
                split_association=cramers_v(code[side >= 0], side[side >= 0]),
            )
        )
    return tuple(tied)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """The bias-corrected Cramér's V of two lists of codes: 0 for no association, 1 where one
    decides the other.
    """
    from scipy.stats.contingency import crosstab, expected_freq

    table = crosstab(a, b).count
    expected, n, (r, k) = expected_freq(table), len(a), table.shape
    if n < 2 or min(r, k) < 2:
        return 0.0
    phi2 = max(0.0, ((table - expected) ** 2 / expected).sum() / n - (r - 1) * (k - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi2 / max(min(r, k) - 1, 1e-9))))
