"""The files behind a set: what became of each, and their formats."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from spikeduel.data import Prepared, catalogue, socofing
from spikeduel.data.folder import labels_file
from spikeduel.data.inventory import FileCounts, inventory
from spikeduel.data.pictures import opened
from spikeduel.data.workers import Track, over_files
from spikeduel.settings import Experiment
from spikeduel.system import files

Format = tuple[str, str, int, int]
"""A picture file's type, mode, width and height, as Pillow names them."""


def file_counts(
    experiment: Experiment, prepared: Prepared, unreadable: Collection[str] = ()
) -> FileCounts | None:
    """Count every file under a folder or of a CSV: read, unreadable, ignored; None for other
    data.
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
    """Return the formats of the files behind the images, from their headers; none where images have
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
