"""Images or recordings of one's own, in folders of classes or listed in a CSV, as a data set; files
to answer for.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data.events import formats
from spikeduel.data.events.source import Part, recorded
from spikeduel.data.inventory import inventory
from spikeduel.data.layout import laid_out, none_in, walk, wanted
from spikeduel.data.prepared import DataOptions, RawDataset
from spikeduel.data.preparing import keys_of_files, made, sample
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.results.words.file_counts import described, pictures_left_out
from spikeduel.system import files
from spikeduel.system.errors import InputError


def folder(options: DataOptions) -> RawDataset:
    """A folder of images or recordings: one sub-folder a class, or train/, val/ and test/ with
    those in each; or a CSV that lists them, with the columns file and label, and perhaps group and
    split.

    Images become squares of `image_size` pixels; unset, of 64, or of the largest image's longer
    side where all are smaller than that. They are grey if all are: stored as grey, or in colour
    with equal channels. Names are paths relative to the folder (that of the CSV), with forward
    slashes.
    """
    place = Path(options.data_dir or ".").expanduser()
    if not files.is_folder(place) and not files.is_file(place):
        raise InputError(f"{place}: no such folder.")
    layout = laid_out(place).without(options.skip)
    said: dict[str, Any] = {
        "labels": layout.labels,
        "classes": layout.classes,
        "groups": layout.groups,
        "official": layout.sides if layout.sides.any() else None,
        "notes": layout.notes,
        "sources": layout.sources,
        "names": layout.names,
    }
    paths = layout.paths
    if layout.is_recorded:
        recordings, its_content = recorded(list(map(Part, paths)), options)
        how = Preprocessing.of_recordings(recordings.binning)
        return RawDataset(images=recordings, preprocessing=how, content=its_content, **said)
    found = made(paths, keys_of_files(paths), options)
    firsts = [int(np.argmax(layout.labels == k)) for k in range(len(layout.classes))]
    return RawDataset(
        images=found.images,
        preprocessing=found.preprocessing,
        samples=[(row, sample(paths[row], found.preprocessing)) for row in firsts],
        content=found.content,
        **said,
    )


def files_to_answer(
    paths: Sequence[Path], is_recorded: bool, say: Callable[[str], None] = lambda text: None
) -> tuple[list[Path], list[str]]:
    """The files among `paths`, and all images (or recordings) in the folders among them; and what
    is wrong with others.

    Pictures in folders that cannot be opened are wrong; `say` tells of the other files there that
    are ignored.
    """
    chosen: list[Path] = []
    unusable: list[str] = []
    for path in paths:
        if files.is_folder(path):
            inside = sorted(walk(path, wanted(is_recorded)))
            inside = [each for each in inside if not is_recorded or formats.is_recording(each)]
            unusable += [] if inside else [f"{path}: {none_in(path, is_recorded)}"]
            chosen += inside
            found = inventory(path, inside, is_recorded=is_recorded)
            unusable += [f"{path}: {line}" for line in pictures_left_out(found) if inside]
            for each in found.ignored:
                say(f"{path}: ignored {described(each)}")
        elif files.is_file(path):
            chosen.append(path)
        else:
            known = (
                "events on standard input are for --follow" if str(path) == "-" else "no such file"
            )
            unusable.append(f"{path}: {'not a regular file' if os.path.lexists(path) else known}.")
    return chosen, unusable
