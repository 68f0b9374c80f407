"""Where the images of a set come from: their files, what the files give away, a way around unreadable ones."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from spikeduel.data import cache, catalogue, folder, socofing
from spikeduel.data.pictures import opened, over_pictures
from spikeduel.data.prepared import DataOptions, Prepared, Track, from_raw, regrouped
from spikeduel.results.audit import FileProperty
from spikeduel.settings import Experiment
from spikeduel.system.errors import UnreadableFiles
from spikeduel.system.progress import Progress

MOST_LISTED = 8
Format = tuple[str, str, int, int]
"""Type, mode, width and height, as Pillow names them."""


@dataclass(frozen=True)
class Origins:
    """The file behind each image of a prepared set, in its order.

    `groups` int64 `[N]` is what the names themselves say belongs together, before duplicates are joined (SOCOFing's
    subjects), or None.
    """

    names: tuple[str, ...]
    formats: tuple[Format, ...]
    groups: np.ndarray | None = None


def load_readable(experiment: Experiment, track: Track) -> tuple[Prepared, dict[str, str]]:
    """The set of `experiment`, and the files left out because they cannot be read, with the reasons.

    Where there are such files the set is made in memory and not cached. Raises `InputError` where too little is left.
    """
    unreadable: dict[str, str] = {}
    while True:
        try:
            if not unreadable:
                return catalogue.load(experiment, track), unreadable
            options = replace(_options(experiment, track), skip=frozenset(unreadable))
            prepared = from_raw(_name(experiment), catalogue.resolve(experiment.dataset)(options))
            return regrouped(prepared, experiment.group_by), unreadable
        except UnreadableFiles as error:
            if set(error.files) <= set(unreadable):
                raise
            unreadable |= error.files


def origins(experiment: Experiment, unreadable: Iterable[str], track: Track) -> Origins | None:
    """The files behind the set, or None where it has no file for each image. Reads every file's header."""
    options = replace(_options(experiment, track), skip=frozenset(unreadable))
    if experiment.dataset == "socofing":

        def format_in(content: bytes) -> Format:
            with opened(io.BytesIO(content)) as picture:
                return _format(picture)

        prints, formats = socofing.originals(options, format_in)
        names = tuple(f"{print_.part}/{print_.name}" for print_ in prints)
        return Origins(names, tuple(formats), np.array([print_.subject for print_ in prints], dtype=np.int64))
    if _is_folder(experiment):
        root = Path(options.data_dir or ".")
        paths = folder.paths(root, options.skip)

        def header(path: Path) -> Format:
            with opened(path) as picture:
                return _format(picture)

        names = tuple(path.relative_to(root).as_posix() for path in paths)
        return Origins(names, tuple(over_pictures(header, paths, track, "looking at files")))
    return None


def state(experiment: Experiment) -> str:
    """A hash of the path, size and time of change of the user's files behind the set, as far as they can be known."""
    options = _options(experiment, Progress().track)
    return cache.state((Path(options.data_dir),)) if options.data_dir is not None else ""


def _options(experiment: Experiment, track: Track) -> DataOptions:
    data_dir = experiment.dataset if _is_folder(experiment) else experiment.data_dir
    return DataOptions(
        data_dir=None if data_dir is None else str(Path(data_dir).expanduser().resolve()),
        image_size=experiment.image_size,
        alterations=experiment.alterations,
        track=track,
    )


def _is_folder(experiment: Experiment) -> bool:
    return experiment.dataset not in catalogue.DATASETS and Path(experiment.dataset).expanduser().is_dir()


def _name(experiment: Experiment) -> str:
    return (Path(experiment.dataset).resolve().name or "images") if _is_folder(experiment) else experiment.dataset


def _format(picture: Image.Image) -> Format:
    return picture.format or "unknown", picture.mode, picture.width, picture.height


def file_properties(formats: Sequence[Format], labels: np.ndarray, side: np.ndarray) -> tuple[FileProperty, ...]:
    """How each property of the N files that has several values is tied to `labels` `[N]` and `side` `[N]`."""
    properties = {
        "file type": [kind for kind, _, _, _ in formats],
        "colour mode": [mode for _, mode, _, _ in formats],
        "size": [f"{width}×{height}" for _, _, width, height in formats],
    }
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
                class_accuracy=float((named[code[test]] == labels[test]).mean()) if test.any() else None,
                class_chance=float((labels[test] == usual).mean()) if test.any() else None,
                split_association=cramers_v(code[side >= 0], side[side >= 0]),
            )
        )
    return tuple(tied)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """The bias-corrected Cramér's V of two lists of codes: 0 for no association, 1 where one decides the other."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1)
    n = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    r, k = table.shape
    if n < 2 or min(r, k) < 2:
        return 0.0
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi2 / max(min(r, k) - 1, 1e-9))))
