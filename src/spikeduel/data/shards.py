"""Shards of WebDataset: tar files in which the files of one sample have one name and several
endings.

They are read in place, by where each picture lies in its tar: so an interrupted preparation goes on
in the middle of a shard, and processes take pictures from all of them. The webdataset library reads
shards from begin to end.
"""

import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from spikeduel.data.archives import Whole
from spikeduel.data.layout import SIDES
from spikeduel.data.pictures import endings
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset
from spikeduel.data.preparing import key_of, made, sample
from spikeduel.data.workers import Track
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import listed

LABELS = ("cls", "cls.txt", "label", "json")
"""Endings of what says a sample's class, the first that is there."""
FIELDS = ("label", "cls", "class", "class_name", "category")
"""Where a sample's JSON says its class."""
MOST_LABEL_BYTES = 1 << 20
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Endings of tar files; all but the first are of compressed ones, which are refused."""
_BRACES, _RANGE = re.compile(r"\{([^{}]*)\}"), re.compile(r"(\d+)\.\.(\d+)")


class Member(NamedTuple):
    """A file in a tar: where it begins there, and how long it is."""

    file: Path
    at: int
    size: int
    name: str

    def read_bytes(self) -> bytes:
        """All of the file."""
        with self.file.open("rb") as file:
            file.seek(self.at)
            return file.read(self.size)

    def __str__(self) -> str:
        return f"{self.file}/{self.name}"


@dataclass(frozen=True)
class _Sample:
    """A picture, what says its class, and the side of its shard."""

    picture: Member
    label: str
    side: int


def is_sharded(name: str) -> bool:
    """Whether `name` is a tar file, a pattern of several (`shards-{000..099}.tar`, `*.tar`), or a
    folder of them: compressed ones, too, which are refused with a remedy later.
    """
    if name.lower().endswith(TARS):
        return "{" in name or "*" in name or files.is_file(name)
    return files.is_folder(name) and bool(_in_folder(files.located(name)))


def _in_folder(folder: Path) -> list[Path]:
    """The tar files in a folder that holds no other folders, or has them in train/, val/ and test/.

    Compressed ones alone are taken for shards only where there is nothing else to read.
    """
    visible = _visible(folder)
    below = [path for path in visible if files.is_folder(path)]
    if any(path.name.lower() not in SIDES for path in below):
        return []
    inside = [_visible(path) for path in below]
    if not all(any(map(_is_tar, paths)) for paths in inside):
        return []
    within = list(itertools.chain(*inside))
    found = [path for path in visible + within if _is_tar(path)]
    if all(map(_is_compressed, found)):
        readable = {*endings(), ".csv"}
        if any(path.suffix.lower() in readable for path in visible + within) or any(
            map(files.is_folder, within)
        ):
            return []
    return found


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, by name, less what is hidden."""
    try:
        with os.scandir(folder) as entries:
            return [
                folder / name
                for name in sorted(each.name for each in entries if not each.name.startswith("."))
            ]
    except OSError:
        return []


def _is_tar(path: Path) -> bool:
    return path.name.lower().endswith(TARS)


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() != ".tar"


def shards(options: DataOptions) -> RawDataset:
    """Shards of WebDataset, with pictures and `cls` or `json` files. Sides are those of their
    folders, or of the words in their names. Raises `InputError`.
    """
    place = options.data_dir or "."
    home, paths = _located(place)
    if packed := [path for path in paths if _is_compressed(path)]:
        raise InputError(
            f"{packed[0]}: is compressed, and shards are read in place. Unpack it (as with "
            f"gunzip), or take it out of "
            "the folder."
        )
    samples = list(_samples(home, paths, options.track))
    samples = [each for each in samples if str(each.picture) not in options.skip]
    if not samples:
        raise InputError(f"{place}: none of its shards holds a picture that can be read.")
    texts = sorted(
        {each.label for each in samples}, key=_by_number if _are_numbers(samples) else None
    )
    number = {text: code for code, text in enumerate(texts)}
    labels, sides = (
        np.array(part) for part in zip(*[(number[s.label], s.side) for s in samples], strict=True)
    )
    _require_training(place, samples, sides)
    pictures = [each.picture for each in samples]
    states = {path: (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
    keys = np.array([key_of((*states[each.file], each.at)) for each in pictures], np.int64)
    found = made(pictures, keys, options)
    firsts = [int(np.argmax(labels == k)) for k in range(len(texts))]
    notes = ["No shard is for test: a tenth of those for training is the test set."]
    return RawDataset(
        images=found.images,
        labels=labels.astype(np.int64),
        classes=tuple(texts),
        preprocessing=found.preprocessing,
        official=sides.astype(np.uint8) if sides.any() else None,
        samples=[(row, sample(pictures[row], found.preprocessing)) for row in firsts],
        notes=tuple(notes * bool(sides.any() and TEST not in sides)),
        sources=tuple(paths),
        names=tuple(f"{each.file.relative_to(home).as_posix()}/{each.name}" for each in pictures),
        content=found.content,
    )


def _located(place: str) -> tuple[Path, list[Path]]:
    """The folder that all shards lie in, and their paths. Raises `InputError` where one is
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


def _expanded(pattern: str) -> Iterator[str]:
    """The texts that a pattern with ranges such as `{000..012}`, or choices such as `{train,test}`,
    stands for.
    """
    if (found := _BRACES.search(pattern)) is None:
        yield pattern
        return
    texts: Iterable[str] = found[1].split(",")
    if limits := _RANGE.fullmatch(found[1]):
        texts = (
            f"{number:0{len(limits[1])}}" for number in range(int(limits[1]), int(limits[2]) + 1)
        )
    for text in texts:
        yield from _expanded(f"{pattern[: found.start()]}{text}{pattern[found.end() :]}")


def _samples(home: Path, paths: Sequence[Path], track: Track) -> Iterator[_Sample]:
    for path in track(paths, "looking into shards", len(paths)):
        side = _side(path.relative_to(home))
        num_samples = 0
        for key, members in _grouped(path):
            picture = next(
                (members[each] for each in members if f".{each.rpartition('.')[2]}" in endings()),
                None,
            )
            if picture is None:
                continue
            label = next((members[each] for each in LABELS if each in members), None)
            if label is None:
                raise InputError(
                    f"{path}/{key}: has {listed(sorted(members))}, and nothing that says its "
                    f"class: a file {key}.cls, or {key}.json with one of the fields "
                    f"{', '.join(FIELDS)}."
                )
            num_samples += 1
            yield _Sample(picture, _label(label), side)
        if not num_samples:
            raise InputError(
                f"{path}: holds no picture that can be read here. Make it anew, or take it out."
            )


def _side(path: Path) -> int:
    """By the folder, or the words in the name, of a shard; training where they say nothing."""
    words = [
        word
        for part in (*path.parts[:-1], path.stem)
        for word in re.split(r"[^a-z]+", part.lower())
    ]
    return next((SIDES[word] for word in words if word in SIDES), TRAIN)


def _grouped(path: Path) -> Iterator[tuple[str, dict[str, Member]]]:
    """The samples of a shard: a name, and the file of each ending. Raises `InputError`."""
    key, members = None, {}
    try:
        with tarfile.open(path, "r:", tarinfo=Whole) as opened:
            for member in opened:
                # The tar keeps all that it has seen.
                opened.members = []  # type: ignore[attr-defined]
                name = PurePosixPath(member.name)
                if not member.isfile() or name.name.startswith("."):
                    continue
                stem, _, ending = name.name.partition(".")
                own = str(name.parent / stem)
                if own != key and key is not None:
                    yield key, members
                    members = {}
                key = own
                members[ending.lower()] = Member(path, member.offset_data, member.size, member.name)
    except tarfile.ReadError as error:
        raise InputError(
            f"{path}: cannot be read as a tar file ({error}). Shards are read in place: unpack it "
            f"if it is compressed "
            "(gunzip), else download it again."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if key is not None:
        yield key, members


def _label(member: Member) -> str:
    """The class that a sample's file says. Raises `InputError`."""
    if member.size > MOST_LABEL_BYTES:
        raise InputError(f"{member}: has {member.size:,} bytes, and should say a class.")
    try:
        text = member.read_bytes().decode()
        content = json.loads(text) if member.name.lower().endswith(".json") else text.strip()
        fields = content if isinstance(content, dict) else {"label": content}
        value = next((fields[each] for each in FIELDS if each in fields), None)
    except ValueError as error:
        raise InputError(f"{member}: cannot be read ({error}).") from None
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise InputError(
            f"{member}: says no class; JSON may say it in {', '.join(FIELDS)}, as a number or a "
            f"text."
        )
    return str(value)


def _are_numbers(samples: Sequence[_Sample]) -> bool:
    return all(re.fullmatch(r"-?\d{1,18}", each.label) for each in samples)


def _by_number(text: str) -> int:
    return int(text)


def _require_training(place: str, samples: Sequence[_Sample], sides: np.ndarray) -> None:
    """Raises `InputError` where no shard is for training, or a class is in none of those."""
    of_training = {each.label for each in samples if each.side == TRAIN}
    if TRAIN not in sides:
        raise InputError(
            f"{place}: no shard is for training: each is called one of val or test. Add those of "
            f"train."
        )
    if absent := sorted({each.label for each in samples} - of_training):
        raise InputError(
            f"{place}: no shard for training has the classes {listed(absent)}, which others have."
        )
