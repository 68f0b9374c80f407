"""Where the images of a prepared set come from: file names and formats, and a way around unreadable files."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spikeduel.data import cache, catalogue, folder, socofing
from spikeduel.data.decoding import opened, over_pictures
from spikeduel.data.group_by import regrouped
from spikeduel.data.prepared import DataOptions, Prepared, from_raw
from spikeduel.settings import Experiment
from spikeduel.system.errors import UnreadableFiles

Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]


@dataclass(frozen=True)
class Origins:
    """The file behind each image of a prepared set, in its order.

    `formats` are (type, mode, width, height) as Pillow names them; `groups` int64 `[N]` is what the names themselves
    say belongs together, before duplicates are joined (SOCOFing's subjects), or None.
    """

    names: tuple[str, ...]
    formats: tuple[tuple[str, str, int, int], ...]
    groups: np.ndarray | None = None


def load_readable(experiment: Experiment, track: Track) -> tuple[Prepared, dict[str, str]]:
    """The set of `experiment`, and the files left out because they cannot be read, with the reasons.

    Where there are such files the set is made in memory and not cached. Raises `InputError` where too little is left.
    """
    unreadable: dict[str, str] = {}
    try:
        return catalogue.load(experiment, track), unreadable
    except UnreadableFiles as error:
        unreadable |= error.files
    source = catalogue.resolve(experiment.dataset)
    while True:
        options = replace(_options(experiment, track), skip=frozenset(unreadable))
        try:
            prepared = from_raw(_name(experiment), source(options))
            if experiment.group_by is not None:
                prepared = regrouped(prepared, experiment.group_by)
            return prepared, unreadable
        except UnreadableFiles as error:
            if not set(error.files) - set(unreadable):
                raise
            unreadable |= error.files


def origins(experiment: Experiment, unreadable: Iterable[str], track: Track) -> Origins | None:
    """The files behind the set, or None where it has no file for each image. Reads every file's header."""
    options = replace(_options(experiment, track), skip=frozenset(unreadable))
    if experiment.dataset == "socofing":

        def look(name: str, subject: int, content: bytes) -> tuple[str, int, tuple[str, str, int, int]]:
            with opened(io.BytesIO(content)) as picture:
                return name, subject, _format(picture)

        names, subjects, formats = zip(*socofing.originals(options, look), strict=True)
        return Origins(names, formats, np.array(subjects, dtype=np.int64))
    if _is_folder(experiment):
        root = Path(options.data_dir or ".")
        paths = folder.paths(root, options.skip)

        def header(path: Path) -> tuple[str, str, int, int]:
            with opened(path) as picture:
                return _format(picture)

        found = over_pictures(header, paths, track, "looking at files")
        return Origins(tuple(path.relative_to(root).as_posix() for path in paths), tuple(found))
    return None


def state(experiment: Experiment) -> str:
    """A hash of the path, size and time of change of the user's files behind the set, as far as they can be known."""
    options = _options(experiment, lambda items, description, total: items)
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


def _format(picture: Image.Image) -> tuple[str, str, int, int]:
    return picture.format or "unknown", picture.mode, picture.width, picture.height
