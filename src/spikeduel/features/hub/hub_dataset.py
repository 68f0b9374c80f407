"""Data sets by the library `datasets` (extra [hf]): `hf:owner/name` of the Hugging Face hub, and
`hf:FOLDER` of local files.
"""

import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.data.folder import SPLITS
from spikeduel.data.inventory import files_below
from spikeduel.data.pictures import Blob, Source, picture_dataset
from spikeduel.data.prepared import TRAIN, DataOptions, RawDataset
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, needing_extra

if TYPE_CHECKING:
    from datasets import Dataset

HUB = "hf:"
"""Beginning of the names of these data sets."""
_NAME = re.compile(r"(?P<path>[^:#]+)(:(?P<config>[^:#]+))?(#(?P<label>[^#]+))?")
SECONDS = 10
"""Seconds to wait for the hub before the library's cache is searched."""
HOW = (
    "hf:owner/name, hf:owner/name:config where a set has several, or hf:owner/name#column to say "
    "which column is the class"
)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_TAR_END = 1 << 20
"""Bytes behind the last file of a tar that are looked at."""
LABELS = {"cls", "cls.txt", "label"}
"""Class columns where none has the type ClassLabel."""


@dataclass(frozen=True, eq=False)
class _Pictures(Sequence[Source]):
    """Pictures in a `column` of a table, read when taken."""

    table: "Dataset"
    column: str
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        stored = self.table[int(index)][self.column] or {"bytes": b""}  # a missing picture
        if stored["bytes"] is None:
            return Path(stored["path"])
        return Blob(stored["bytes"], self.names[index])


def hub(options: DataOptions) -> RawDataset:
    """A set of the Hugging Face hub (hf:owner/name), or a folder of its formats, such as tar files
    of WebDataset (hf:FOLDER).

    The splits are train, validation and test; the columns have the types Image and ClassLabel.
    Raises `InputError`.
    """
    place = f"{HUB}{options.data_dir}"
    if (asked := _NAME.fullmatch(str(options.data_dir))) is None:
        raise InputError(f"data set '{place}': write it as {HOW}.")
    path = asked["path"]
    sources = (files.located(path),) if files.is_folder(path) else ()
    for tar in (tar for source in sources for tar in files_below(source, TARS)):
        _require_whole(tar)
    loaded = _loaded(place, path, asked["config"])
    from datasets import Image, concatenate_datasets

    splits = {name: SPLITS[name.lower()] for name in loaded if name.lower() in SPLITS}
    by_split = sorted(splits, key=splits.__getitem__)
    if TRAIN not in splits.values():
        raise InputError(f"{place}: has no split train; there are {', '.join(loaded)}.")
    notes = [f"The split {name} is not used." for name in loaded if name not in splits]
    first = loaded[by_split[0]]
    column, label = _columns(place, first, asked["label"])
    classes = getattr(first.features[label], "names", None)
    if classes is None:
        classes = sorted(set(first[label][:]))
        loaded = {name: _numbered(place, table, label, classes) for name, table in loaded.items()}
    tables, labels, names, official = [], [], [], []
    for name in by_split:
        table = loaded[name]
        codes = np.asarray(table[label][:], np.int64)
        if (codes < 0).all():  # as of a challenge
            notes.append(f"The split {name} has no labels, and is not used.")
            continue
        keys = table["__key__"][:] if "__key__" in table.features else range(len(table))
        tables.append(table)
        labels.append(codes)
        names += [f"{name}/{key}" for key in keys]
        official += [splits[name]] * len(codes)
    if TRAIN not in official:
        raise InputError(f"{place}: has no split train with labels.")
    # Pictures stay as they are in their files.
    table = concatenate_datasets(
        [
            table.select_columns([column]).cast_column(column, Image(decode=False))
            for table in tables
        ]
    )
    known = [f"{place}, {name}" for name in names]
    rows = [row for row, name in enumerate(known) if name not in options.skip]
    if not rows:
        raise InputError(f"{place}: none of its images can be read.")
    state = typed.digest(sorted(file["filename"] for file in table.cache_files))
    return picture_dataset(
        _Pictures(table.select(rows), column, [known[row] for row in rows]),
        np.concatenate(labels)[rows],
        options,
        [(state, names[row]) for row in rows],
        classes=tuple(map(str, classes)),
        official=np.array(official, np.uint8)[rows] if any(official) else None,
        notes=tuple(notes),
        sources=sources,
        names=tuple(names[row] for row in rows),
    )


def _numbered(place: str, table: "Dataset", label: str, classes: Sequence[Any]) -> "Dataset":
    number = {value: code for code, value in enumerate(classes)}
    values = table[label][:]
    if absent := sorted({str(value) for value in values} - set(map(str, classes))):
        raise InputError(f"{place}: the split train lacks the classes {', '.join(absent)}.")
    codes = [number[value] for value in values]
    return table.remove_columns(label).add_column(label, codes)


def _loaded(place: str, path: str, name: str | None) -> "dict[str, Dataset]":
    with needing_extra(("datasets",), "hf"):
        import datasets
    before = datasets.config.HF_HUB_OFFLINE
    # Offline, the library looks in its cache at once; else it tries for half a minute.
    is_there = files.is_folder(path) or _is_reachable(path)
    datasets.config.HF_HUB_OFFLINE = before or not is_there
    try:
        return {str(split): table for split, table in datasets.load_dataset(path, name).items()}
    except ConnectionError:
        raise InputError(
            f"{place}: {datasets.config.HF_ENDPOINT} cannot be reached (or HF_HUB_OFFLINE is set), "
            f"and the set is not in the library's cache ({datasets.config.HF_DATASETS_CACHE}). Try "
            f"again with a network, or say with HF_HOME where the set lies."
        ) from None
    # The library raises any error of network, hub and files.
    except Exception as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
        raise InputError(f"{place}: cannot be loaded ({reason}). Write it as {HOW}.") from None
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _is_reachable(path: str) -> bool:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import HfHubHTTPError

    try:
        HfApi().dataset_info(path, timeout=SECONDS)
    # The set is missing or private, or its name is wrong.
    except (HfHubHTTPError, ValueError):
        return True
    # The library's clients for HTTP each raise errors of their own.
    except Exception:
        return False
    return True


def _columns(place: str, table: "Dataset", asked: str | None) -> tuple[str, str]:
    """Return the only Image column, and that of the classes: `asked` for, the only ClassLabel, or
    one of `LABELS`. Raises `InputError`.
    """
    kinds = {name: type(feature).__name__ for name, feature in table.features.items()}
    images, labels = ([n for n in kinds if kinds[n] == kind] for kind in ("Image", "ClassLabel"))
    labels = labels or sorted(LABELS & set(kinds))
    if asked is not None and kinds.get(asked) in ("ClassLabel", "Value"):
        labels = [asked]
    if len(images) == len(labels) == 1:
        return images[0], labels[0]
    listed_columns = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    raise InputError(
        f"{place}: one column of the type Image is needed, and one of the type ClassLabel, or "
        f"called {', '.join(sorted(LABELS))}. Its columns: {listed_columns}. "
        f"{HUB}NAME#COLUMN says which one is the class."
    )


def _require_whole(path: Path) -> None:
    """Raise `InputError` for a tar that is cut off, or that another tar follows: the library would
    read a part of it.
    """
    try:
        with tarfile.open(path) as opened:
            for _ in opened:
                # The tar keeps all that it has seen.
                opened.members = []  # type: ignore[attr-defined]
            opened.fileobj.seek(opened.offset)
            end = opened.fileobj.read(MAX_TAR_END)
    except (tarfile.ReadError, EOFError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as a tar file ({error}). Download it again."
        ) from None
    # A tar ends with blocks of zeros.
    if len(end) < 512 or end.strip(b"\0"):
        raise InputError(
            f"{path}: cannot be read as a tar file: it is cut off or damaged at byte "
            f"{opened.offset:,}, or another tar follows. Download it again."
        )


DATASETS = {HUB: hub}
"""The function of the hub's data sets, by the beginning of their names."""
