"""Data sets that the library `datasets` reads (extra [hf]): `hf:owner/name` of the Hugging Face
hub, and tar files of WebDataset.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeduel.data.archives import Whole
from spikeduel.data.folder import SIDES
from spikeduel.data.inventory import walk
from spikeduel.data.pictures import endings
from spikeduel.data.prepared import TRAIN, DataOptions, RawDataset
from spikeduel.data.preparing import Source, key_of, picture_dataset
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
_WHOLE_SHARDS = (
    "Mend the shards: .cls holds a number, .cls.txt or .json a text, and all samples have files of "
    "the same endings."
)
_BRACES, _RANGE = re.compile(r"\{([^{}]*)\}"), re.compile(r"(\d+)\.\.(\d+)")


class Blob(NamedTuple):
    """A picture's file in a table."""

    content: bytes
    name: str

    def read_bytes(self) -> bytes:
        """Return the whole file."""
        return self.content

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class _Pictures(Sequence[Source]):
    """The pictures in a `column` of a table, with a name for each row, read when they are taken."""

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
    loaded = _loaded(place, path, name=asked["config"])
    sides = {name: SIDES[name.lower()] for name in loaded if name.lower() in SIDES}
    if not sides:
        raise InputError(
            f"{place}: has the splits {', '.join(loaded)}; train, validation and test are known."
        )
    ignored = ", ".join(name for name in loaded if name not in sides)
    notes = [f"Splits that are not used: {ignored}."] * bool(ignored)
    first = loaded[next(iter(sides))]
    column = _column(place, first, "Image")
    label = _column(place, first, "ClassLabel", asked["label"])
    splits = []
    for name, side in sides.items():
        labels = np.asarray(loaded[name].with_format("numpy")[label][:], np.int64)
        if (labels < 0).all():  # as of a challenge
            notes.append(f"The split {name} has no labels, and is not used.")
            continue
        names = [f"{name}/{row}" for row in range(len(labels))]
        splits.append(_Split(side, loaded[name], labels, names))
    if TRAIN not in {split.side for split in splits}:
        raise InputError(f"{place}: has no split train with labels; there are {', '.join(loaded)}.")
    classes = tuple(splits[0].table.features[label].names)
    sources = (files.located(path),) if files.is_folder(path) else ()
    return _from_tables(place, splits, column, classes, options, sources, notes)


def shards(options: DataOptions) -> RawDataset:
    """Tar files of WebDataset, with pictures and `cls` or `json` files. Sides are those of their
    folders, or of the words in their names. Raises `InputError`.
    """
    place = options.data_dir or "."
    home, paths = _located(place)
    shards_of: dict[int, list[str]] = {}
    for path in options.track(paths, "looking into shards", len(paths)):
        _require_whole(path)
        words = re.split(r"[^a-z]+", path.relative_to(home).as_posix().lower())
        side = next((SIDES[word] for word in words if word in SIDES), TRAIN)
        shards_of.setdefault(side, []).append(str(path))
    if TRAIN not in shards_of:
        raise InputError(
            f"{place}: no shard is for training: each is called one of val or test. Add those of "
            f"train."
        )
    names = {code: name for name, code in reversed(SIDES.items())}
    tables = _loaded(
        place,
        "webdataset",
        data_files={names[side]: tars for side, tars in sorted(shards_of.items())},
    )
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
    """Return True if `name` is a tar file, a pattern of several (`shards-{000..099}.tar`, `*.tar`),
    or a folder of them.
    """
    if name.lower().endswith(TARS):
        return "{" in name or "*" in name or files.is_file(name)
    return files.is_folder(name) and bool(_in_folder(files.located(name)))


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
    names = [name for split in splits for name in split.names]
    labels = np.concatenate([split.labels for split in splits])
    sides = np.repeat(np.array([split.side for split in splits], np.uint8), list(map(len, tables)))
    table = concatenate_datasets(tables)
    pictures = _Pictures(table, column, [f"{place}, {name}" for name in names])
    rows = list(range(len(names)))
    if options.skip:
        rows = [row for row in rows if str(pictures[row]) not in options.skip]
        if not rows:
            raise InputError(f"{place}: none of its images can be read.")
        chosen = [pictures.names[row] for row in rows]
        pictures = replace(pictures, table=table.select(rows), names=chosen)
    state = typed.digest(sorted(file["filename"] for file in table.cache_files))
    return picture_dataset(
        pictures,
        np.array([key_of((state, names[row])) for row in rows], np.int64),
        labels[rows],
        options,
        classes=classes,
        official=sides[rows] if sides.any() else None,
        notes=tuple(notes),
        sources=sources,
        names=tuple(names[row] for row in rows),
    )


def _loaded(place: str, path: str, **more: Any) -> "dict[str, Dataset]":
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
        where = f"{datasets.config.HF_ENDPOINT} cannot be reached"
        where = "HF_HUB_OFFLINE is set" if before else where
        remedy = "Unset it" if before else "Try again with a network"
        raise InputError(
            f"{place}: {where}, and the set is not in the library's cache "
            f"({datasets.config.HF_DATASETS_CACHE}). {remedy}, or say with HF_HOME where the set "
            f"lies."
        ) from None
    # The library raises whatever network, hub and files make it stumble on.
    except Exception as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
        how = _WHOLE_SHARDS if "data_files" in more else f"Write it as {HOW}."
        raise InputError(f"{place}: cannot be loaded ({reason}). {how}") from None
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
    count = f"{len(columns)} columns" if asked is None and columns else "no column"
    told = ", ".join(f"{name} ({kind_of})" for name, kind_of in kinds.items())
    say_which = f" Say which one: {place}#{columns[0]}." if columns and kind == "ClassLabel" else ""
    raise InputError(
        f"{place}: has {count}{f' {asked}' * bool(asked)} of the type {kind}, and one is needed. "
        f"Its columns: {told}.{say_which}"
    )


def _labels(place: str, table: "Dataset") -> list[str]:
    column = next((name for name in LABELS if name in table.column_names), None)
    if column is None:
        raise InputError(
            f"{place}: a sample has no class. Add a file of its name with the ending .cls (a "
            f"number) or .cls.txt, or .json with one of the fields {', '.join(FIELDS)}. "
            f"It has {listed(table.column_names)}."
        )
    texts = list(map(_text, table[column]))
    if "" in texts:
        raise InputError(
            f"{place}: sample {table['__key__'][texts.index('')]} has no class. Give it in "
            f"{column} as a number or a text, in JSON as one of {', '.join(FIELDS)}."
        )
    return texts


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = next((value[field] for field in FIELDS if value.get(field) is not None), None)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return value.strip()
    return str(value) if type(value) is int else ""


def _located(place: str) -> tuple[Path, list[Path]]:
    """Return the folder that all shards lie in, and their paths. Raises `InputError` where one is
    missing.
    """
    if files.is_folder(place):
        home = files.located(place)
        return home, _in_folder(home)
    paths: list[Path] = []
    for text in dict.fromkeys(_expanded(str(files.located(place)))):
        if "*" in text:
            paths += sorted(Path(text).parent.glob(Path(text).name))
        elif files.is_file(text):
            paths.append(Path(text))
        else:
            raise InputError(f"{text}: no such shard. Mend the pattern {place}, or add the file.")
    if not paths:
        raise InputError(f"{place}: there are no such shards.")
    return Path(os.path.commonpath([path.parent for path in paths])), paths


def _in_folder(folder: Path) -> list[Path]:
    """Return the tar files in a folder without other folders, or with train/, val/ and test/ only.
    Compressed ones alone count only where there is nothing else to read.
    """
    shards: list[Path] = []
    has_others, readable = False, (*endings(), ".csv")
    try:
        for place, folders, names in walk(folder):
            tars = [name for name in names if name.lower().endswith(TARS)]
            is_below = place != folder
            if any(is_below or name.lower() not in SIDES for name in folders):
                return []
            if is_below and not tars:
                return []
            has_others |= any(name.lower().endswith(readable) for name in names)
            shards += [place / name for name in tars if files.is_file(place / name)]
    except InputError:
        return []
    are_packed = all(path.suffix.lower() != ".tar" for path in shards)
    return [] if has_others and are_packed else shards


def _expanded(pattern: str) -> Iterator[str]:
    """Yield the texts that a pattern with ranges such as `{000..012}`, or choices such as
    `{train,test}`, stands for.
    """
    if (braces := _BRACES.search(pattern)) is None:
        yield pattern
        return
    texts = braces[1].split(",")
    if limits := _RANGE.fullmatch(braces[1]):
        numbers = range(int(limits[1]), int(limits[2]) + 1)
        texts = [f"{number:0{len(limits[1])}}" for number in numbers]
    for text in texts:
        yield from _expanded(f"{pattern[: braces.start()]}{text}{pattern[braces.end() :]}")


def _require_whole(path: Path) -> None:
    """Raise `InputError` for a tar file that is cut off, which the library would read in part."""
    try:
        with tarfile.open(path, tarinfo=Whole) as opened:
            for _ in opened:
                # The tar keeps all that it has seen.
                opened.members = []  # type: ignore[attr-defined]
    except (tarfile.ReadError, EOFError) as error:
        raise InputError(
            f"{path}: cannot be read as a tar file ({error}). Download it again."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
