"""Image sets of the Hugging Face hub, `hf:owner/name`: read by its library, made images like those
of a folder.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeduel.data.layout import SIDES
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset
from spikeduel.data.preparing import Source, key_of, made, sample
from spikeduel.system import files
from spikeduel.system.errors import InputError, MissingExtra
from spikeduel.system.registry import HUB

if TYPE_CHECKING:
    from datasets import Dataset

_NAME = re.compile(r"(?P<path>[^:#]+)(:(?P<config>[^:#]+))?(#(?P<label>[^#]+))?")
SECONDS = 10
"""So long the hub is waited for before the set is looked for in the library's cache."""
HOW = (
    "hf:owner/name, hf:owner/name:config where a set has several, or hf:owner/name#column to say "
    "which column is the class"
)


class Blob(NamedTuple):
    """A picture's file in a table."""

    content: bytes
    name: str

    def read_bytes(self) -> bytes:
        """All of the file."""
        return self.content

    def __str__(self) -> str:
        return self.name


class _Split(NamedTuple):
    """A split of a set: what the hub calls it, its side, its table, and the label of each row."""

    name: str
    side: int
    table: "Dataset"
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class _Pictures(Sequence[Source]):
    """The pictures in a `column` of several tables, each read when it is taken: picture i is in row
    `rows[i]` of the table `of[i]`.
    """

    place: str
    splits: list[_Split]
    column: str
    of: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        split, row = self.splits[self.of[index]], int(self.rows[index])
        stored = split.table[row][self.column] or {"bytes": b""}  # a picture that is missing
        return (
            Path(stored["path"])
            if stored["bytes"] is None
            else Blob(stored["bytes"], self.name(index))
        )

    def name(self, index: int) -> str:
        """What errors call a picture."""
        return f"{self.place}, {self.splits[self.of[index]].name}, row {self.rows[index]}"

    def without(self, skip: Collection[str]) -> "_Pictures":
        """The same, less those that `skip` names."""
        kept = [index for index in range(len(self)) if skip and str(self[index]) not in skip]
        return replace(self, of=self.of[kept], rows=self.rows[kept]) if skip else self


def hub(options: DataOptions) -> RawDataset:
    """A set of the Hugging Face hub: its splits train, validation and test, its columns of the
    types Image and ClassLabel. Raises `InputError`.
    """
    place = f"{HUB}{options.data_dir}"
    if (asked := _NAME.fullmatch(str(options.data_dir))) is None:
        raise InputError(f"data set '{place}': write it as {HOW}.")
    splits, column, classes, notes = _splits(place, asked["path"], asked["config"], asked["label"])
    lengths = [len(split.table) for split in splits]
    of, rows = (
        np.repeat(np.arange(len(splits)), lengths),
        np.concatenate([np.arange(length) for length in lengths]),
    )
    pictures = _Pictures(place, splits, column, of, rows).without(options.skip)
    states = [
        (each.name, *sorted(file["filename"] for file in each.table.cache_files)) for each in splits
    ]
    keys = [
        key_of((*states[of], row))
        for of, row in zip(pictures.of, pictures.rows.tolist(), strict=True)
    ]
    found = made(pictures, np.array(keys, np.int64), options)
    labels, sides = (
        np.concatenate(
            [values[pictures.rows[pictures.of == number]] for number, values in enumerate(each)]
        )
        for each in (
            [split.labels for split in splits],
            [np.full(len(split.labels), split.side) for split in splits],
        )
    )
    firsts = [int(np.argmax(labels == k)) for k in np.unique(labels)]
    return RawDataset(
        images=found.images,
        labels=labels,
        classes=classes,
        preprocessing=found.preprocessing,
        official=sides.astype(np.uint8) if sides.any() else None,
        samples=[(row, sample(pictures[row], found.preprocessing)) for row in firsts],
        notes=notes,
        sources=(files.located(asked["path"]),) if files.is_folder(asked["path"]) else (),
        names=tuple(
            f"{splits[of].name}/{row}"
            for of, row in zip(pictures.of, pictures.rows.tolist(), strict=True)
        ),
        content=found.content,
    )


def _splits(
    place: str, path: str, config: str | None, label: str | None
) -> tuple[list[_Split], str, tuple[str, ...], tuple[str, ...]]:
    """The splits that are used, those for training first; the column of pictures, the classes, and
    notes.

    Raises `InputError`.
    """
    loaded = _loaded(place, path, config)
    known = {name: SIDES[name.lower()] for name in loaded if name.lower() in SIDES}
    if not known:
        raise InputError(
            f"{place}: has the splits {', '.join(loaded)}; train, validation and test are known."
        )
    notes = (
        [f"Splits that are not used: {', '.join(ignored)}."]
        if (ignored := [*(loaded.keys() - known)])
        else []
    )
    column, label = _columns(place, loaded[next(iter(known))], label)
    from datasets import Image

    splits = []
    for name, side in known.items():
        labels = np.asarray(loaded[name].with_format("numpy")[label][:], np.int64)
        if (labels < 0).all():  # as of a challenge
            notes.append(f"The split {name} has no labels, and is not used.")
            continue
        table = loaded[name].select_columns([column]).cast_column(column, Image(decode=False))
        splits.append(_Split(name, side, table, labels))
    if not any(split.side == TRAIN for split in splits):
        raise InputError(f"{place}: has no split train with labels; there are {', '.join(loaded)}.")
    if not any(split.side == TEST for split in splits) and len(splits) > 1:
        notes.append("There is no split test: a tenth of train is the test set.")
    classes = tuple(loaded[splits[0].name].features[label].names)
    return sorted(splits, key=lambda split: split.side), column, classes, tuple(notes)


def _loaded(place: str, path: str, config: str | None) -> "dict[str, Dataset]":
    """The table of each split. Raises `InputError`."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "hf") from None
    before = datasets.config.HF_HUB_OFFLINE
    # Offline the library looks in its cache at once; else it asks six times, in half a minute, and
    # tells of each.
    datasets.config.HF_HUB_OFFLINE = before or not (files.is_folder(path) or _is_answered(path))
    try:
        return {str(name): table for name, table in datasets.load_dataset(path, config).items()}
    except ConnectionError:
        where = (
            "HF_HUB_OFFLINE is set"
            if before
            else f"{datasets.config.HF_ENDPOINT} cannot be reached"
        )
        remedy = "Unset it" if before else "Try again with a network"
        raise InputError(
            f"{place}: {where}, and the set is not in the library's cache "
            f"({datasets.config.HF_DATASETS_CACHE}). {remedy}, or say with HF_HOME where the set "
            f"lies."
        ) from None
    # The library raises whatever network, hub and files make it stumble on.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(f"{place}: cannot be loaded ({reason}). Write it as {HOW}.") from None
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _is_answered(path: str) -> bool:
    """Whether the hub answers, be it that it has no such set."""
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


def _columns(place: str, table: "Dataset", label: str | None) -> tuple[str, str]:
    """The columns of pictures and of classes. Raises `InputError`, naming what there is."""
    from datasets import ClassLabel, Image

    kinds = {name: type(feature).__name__ for name, feature in table.features.items()}
    told = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    pictures = [name for name, feature in table.features.items() if isinstance(feature, Image)]
    classes = [name for name, feature in table.features.items() if isinstance(feature, ClassLabel)]
    if len(pictures) != 1:
        found = (
            "no column of the type Image"
            if not pictures
            else f"{len(pictures)} columns of the type Image"
        )
        raise InputError(f"{place}: has {found}, and one is needed. Its columns: {told}.")
    if label is not None:
        if label not in classes:
            raise InputError(
                f"{place}: has no column {label} of the type ClassLabel. Its columns: {told}."
            )
        return pictures[0], label
    if len(classes) != 1:
        found = (
            "no column of the type ClassLabel"
            if not classes
            else f"{len(classes)} columns of the type ClassLabel"
        )
        remedy = (
            f"Say which one: {place}#{classes[0]}."
            if classes
            else "Make one, or write a module:function."
        )
        raise InputError(f"{place}: has {found}. Its columns: {told}. {remedy}")
    return pictures[0], classes[0]
