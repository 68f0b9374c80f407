"""Data sets that the library `datasets` reads (extra [hf]): `hf:owner/name` of the Hugging Face
hub, and tar files of WebDataset.
"""

import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeduel.data.archives import Whole
from spikeduel.data.folder import SIDES
from spikeduel.data.inventory import walk
from spikeduel.data.pictures import endings
from spikeduel.data.prepared import TRAIN, DataOptions, RawDataset
from spikeduel.data.preparing import Source, picture_dataset
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, MissingExtra
from spikeduel.system.registry import HUB
from spikeduel.system.sentences import listed

if TYPE_CHECKING:
    from datasets import Dataset

_NAME = re.compile(r"(?P<path>[^:#]+)(:(?P<config>[^:#]+))?(#(?P<label>[^#]+))?")
SECONDS = 10
"""The hub is waited for so long before the set is looked for in the library's cache."""
HOW = (
    "hf:owner/name, hf:owner/name:config where a set has several, or hf:owner/name#column to say "
    "which column is the class"
)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
LABELS = ("cls", "cls.txt", "label", "json")
"""Columns of a shard that can say the class, the first that is there."""
FIELDS = ("label", "cls", "class", "class_name", "category")
"""Fields of a sample's JSON that can say the class."""
_SAY_CLASS = (
    "Give each sample a file of its name with the ending .cls (a number) or .cls.txt, or .json "
    f"with one of the fields {', '.join(FIELDS)}; all samples have files of the same endings."
)


class Blob(NamedTuple):
    """A picture's file in a table."""

    content: bytes
    name: str

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class _Pictures(Sequence[Source]):
    """The pictures in a `column` of a table, read when they are taken."""

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


class _Split(NamedTuple):
    """A split of a set: its side, its table, and the label and the name of each row."""

    side: int
    table: "Dataset"
    labels: np.ndarray
    names: Sequence[str]


def hub(options: DataOptions) -> RawDataset:
    """A set of the Hugging Face hub: its splits train, validation and test, its columns of the
    types Image and ClassLabel. Raises `InputError`.
    """
    place = f"{HUB}{options.data_dir}"
    if (asked := _NAME.fullmatch(str(options.data_dir))) is None:
        raise InputError(f"data set '{place}': write it as {HOW}.")
    path = asked["path"]
    loaded = _loaded(place, path, f"Write it as {HOW}.", name=asked["config"])
    sides = {name: SIDES[name.lower()] for name in loaded if name.lower() in SIDES}
    if TRAIN not in sides.values():
        raise InputError(f"{place}: has no split train; there are {', '.join(loaded)}.")
    ignored = ", ".join(name for name in loaded if name not in sides)
    notes = [f"Splits that are not used: {ignored}."] * bool(ignored)
    first = loaded[next(iter(sides))]
    column = _column(place, first, "Image")
    label = _column(place, first, "ClassLabel", asked["label"])
    splits = []
    for name, side in sides.items():
        labels = np.asarray(loaded[name].with_format("numpy")[label][:], np.int64)
        if side != TRAIN and (labels < 0).all():  # as of a challenge
            notes.append(f"The split {name} has no labels, and is not used.")
            continue
        names = [f"{name}/{row}" for row in range(len(labels))]
        splits.append(_Split(side, loaded[name], labels, names))
    classes = tuple(first.features[label].names)
    sources = (files.located(path),) if files.is_folder(path) else ()
    return _from_tables(place, splits, column, classes, options, sources, notes)


def shards(options: DataOptions) -> RawDataset:
    """Tar files of WebDataset, with pictures and `cls` or `json` files. Sides are those of their
    folders, or of the words in their names. Raises `InputError`.
    """
    place = str(files.located(options.data_dir or "."))
    paths = _tars(place)
    if not paths:
        raise InputError(f"{place}: there are no such shards.")
    home = Path(os.path.commonpath([path.parent for path in paths]))
    shards_of: dict[int, list[str]] = {}
    for path in options.track(paths, "looking into shards", len(paths)):
        _require_whole(path)
        words = re.split(r"[^a-z]+", path.relative_to(home).as_posix().lower())
        side = next((SIDES[word] for word in words if word in SIDES), TRAIN)
        shards_of.setdefault(side, []).append(str(path))
    if TRAIN not in shards_of:
        raise InputError(f"{place}: all shards are called one of val or test. Add those of train.")
    names = {code: name for name, code in reversed(SIDES.items())}
    data_files = {names[side]: tars for side, tars in sorted(shards_of.items())}
    tables = _loaded(place, "webdataset", _SAY_CLASS, data_files=data_files)
    column = _column(place, tables["train"], "Image")
    texts = {name: _labels(place, table) for name, table in tables.items()}
    if absent := sorted(set().union(*texts.values()) - set(texts["train"])):
        raise InputError(
            f"{place}: no shard for training has the classes {listed(absent)}, which others have."
        )
    are_numbers = all(re.fullmatch(r"-?\d{1,18}", text) for text in texts["train"])
    classes = tuple(sorted(set(texts["train"]), key=int if are_numbers else None))
    number = {text: code for code, text in enumerate(classes)}
    splits = []
    for name, table in tables.items():
        labels = np.array([number[text] for text in texts[name]], np.int64)
        names_of_rows = [
            f"{Path(url).relative_to(home).as_posix()}/{key}.{column}"
            for url, key in zip(table["__url__"], table["__key__"], strict=True)
        ]
        splits.append(_Split(SIDES[name], table, labels, names_of_rows))
    sources = (home,) if files.is_folder(place) else tuple(paths)
    return _from_tables(place, splits, column, classes, options, sources)


def is_sharded(name: str) -> bool:
    """Return True if `name` is a tar file, a pattern of several (`*.tar`), or a folder of them."""
    if name.lower().endswith(TARS):
        return "*" in name or files.is_file(name)
    return files.is_folder(name) and bool(_tars(str(files.located(name))))


def _from_tables(
    place: str,
    splits: Sequence[_Split],
    column: str,
    classes: tuple[str, ...],
    options: DataOptions,
    sources: tuple[Path, ...],
    notes: Sequence[str] = (),
) -> RawDataset:
    from datasets import Image, concatenate_datasets

    splits = sorted(splits, key=lambda split: split.side)
    tables = [
        split.table.select_columns([column]).cast_column(column, Image(decode=False))
        for split in splits
    ]
    table = concatenate_datasets(tables)
    names = [name for split in splits for name in split.names]
    labels = np.concatenate([split.labels for split in splits])
    sides = np.repeat(np.array([split.side for split in splits], np.uint8), list(map(len, tables)))
    known = [f"{place}, {name}" for name in names]
    rows = [row for row, name in enumerate(known) if name not in options.skip]
    if not rows:
        raise InputError(f"{place}: none of its images can be read.")
    state = typed.digest(sorted(file["filename"] for file in table.cache_files))
    return picture_dataset(
        _Pictures(table.select(rows), column, [known[row] for row in rows]),
        labels[rows],
        options,
        [(state, names[row]) for row in rows],
        classes=classes,
        official=sides[rows] if sides.any() else None,
        notes=tuple(notes),
        sources=sources,
        names=tuple(names[row] for row in rows),
    )


def _loaded(place: str, path: str, remedy: str, **more: Any) -> "dict[str, Dataset]":
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "hf") from None
    before = datasets.config.HF_HUB_OFFLINE
    # Offline, the library looks in its cache at once; else it asks six times, in half a minute, and
    # tells of each.
    is_local = files.is_folder(path) or "data_files" in more
    datasets.config.HF_HUB_OFFLINE = before or not (is_local or _is_answered(path))
    try:
        return {str(name): table for name, table in datasets.load_dataset(path, **more).items()}
    except ConnectionError:
        raise InputError(
            f"{place}: {datasets.config.HF_ENDPOINT} cannot be reached (or HF_HUB_OFFLINE is set), "
            f"and the set is not in the library's cache ({datasets.config.HF_DATASETS_CACHE}). Try "
            f"again with a network, or say with HF_HOME where the set lies."
        ) from None
    # The library raises whatever network, hub and files make it stumble on.
    except Exception as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
        raise InputError(f"{place}: cannot be loaded ({reason}). {remedy}") from None
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _is_answered(path: str) -> bool:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import HfHubHTTPError

    try:
        HfApi().dataset_info(path, timeout=SECONDS)
    # No such set, or not for everybody; or no such name.
    except (HfHubHTTPError, ValueError):
        return True
    # The library's clients for HTTP, which changed, each raise errors of their own.
    except Exception:
        return False
    return True


def _column(place: str, table: "Dataset", kind: str, asked: str | None = None) -> str:
    """Return the column of type `kind` that is asked for, by default the only one. Raises
    `InputError`, naming what there is.
    """
    kinds = {name: type(feature).__name__ for name, feature in table.features.items()}
    columns = [name for name in kinds if kinds[name] == kind]
    if asked in columns or (asked is None and len(columns) == 1):
        return asked or columns[0]
    told = ", ".join(f"{name} ({kind_of})" for name, kind_of in kinds.items())
    say_which = f" Say which one: {place}#{columns[0]}." if columns and kind == "ClassLabel" else ""
    raise InputError(
        f"{place}: one column {asked or ''} of the type {kind} is needed. Its columns: {told}."
        f"{say_which}"
    )


def _labels(place: str, table: "Dataset") -> list[str]:
    column = next((name for name in LABELS if name in table.column_names), None)
    texts = [""] if column is None else list(map(_text, table[column]))
    if "" in texts:
        sample = table["__key__"][texts.index("")]
        raise InputError(f"{place}: sample {sample} has no class. {_SAY_CLASS}")
    return texts


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = next((value[field] for field in FIELDS if value.get(field) is not None), "")
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).strip()


def _tars(place: str) -> list[Path]:
    """Return the tar files that `place` names, or those in a folder without other folders, or with
    train/, val/ and test/ only. Compressed ones in a folder count only where there is nothing else
    to read.
    """
    path = Path(place)
    if not files.is_folder(place):
        return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    tars: list[Path] = []
    has_others, readable = False, (*endings(), ".csv")
    try:
        for folder, folders, names in walk(path):
            here = [folder / name for name in names if name.lower().endswith(TARS)]
            if folder == path:
                is_else = any(name.lower() not in SIDES for name in folders)
            else:
                is_else = bool(folders) or not here
            if is_else:
                return []
            has_others |= any(name.lower().endswith(readable) for name in names)
            tars += filter(files.is_file, here)
    except InputError:
        return []
    are_packed = all(tar.suffix.lower() != ".tar" for tar in tars)
    return [] if has_others and are_packed else tars


def _require_whole(path: Path) -> None:
    """Raise `InputError` for a tar file that is cut off, which the library would read in part."""
    try:
        with tarfile.open(path, tarinfo=Whole) as opened:
            for _ in opened:
                # The tar keeps all that it has seen.
                opened.members = []  # type: ignore[attr-defined]
    except (tarfile.ReadError, EOFError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as a tar file ({error}). Download it again."
        ) from None
