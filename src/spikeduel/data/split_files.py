"""A split as a file that other software can read."""

import csv
from collections.abc import Sequence
from pathlib import Path

from spikeduel.data.prepared import Prepared
from spikeduel.data.splits import Split
from spikeduel.system import files


def write_splits(path: Path, prepared: Prepared, splits: Sequence[Split]) -> None:
    """Writes a CSV with a line for each image that is used: which side it is on, in each fold where there are folds.

    Columns: `path` (relative to the data's folder), or `index` (from 0, in the order of the data's files, those for
    training first) where images have no names; `split` (train, val or test); `fold` where there are folds; `group` (a
    number) where images have groups. Atomic.
    """
    folds, groups = splits[0].fold is not None, prepared.groups
    titles = [
        "index" if prepared.names is None else "path",
        "split",
        *["fold"] * folds,
        *["group"] * (groups is not None),
    ]
    with (
        files.atomic_path(Path(path)) as temporary,
        # A file's name may be no Unicode.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(titles)
        for split in splits:
            for side in ("train", "val", "test"):
                for index in getattr(split, side).tolist():
                    row = [index if prepared.names is None else prepared.names[index], side]
                    row += [] if split.fold is None else [split.fold]
                    row += [] if groups is None else [int(groups[index])]
                    writer.writerow(row)
