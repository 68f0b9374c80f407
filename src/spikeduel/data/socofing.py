"""SOCOFing: fingerprints, real and altered; from a folder, from Kaggle's zip in place, or downloaded."""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from PIL import Image

from spikeduel.data import grouping
from spikeduel.data.decoding import opened, over_pictures, room_for
from spikeduel.data.kaggle import download_from_kaggle
from spikeduel.data.prepared import DataOptions, Preprocessing, RawDataset
from spikeduel.system import files
from spikeduel.system.errors import InputError

FINGERS = ("thumb", "index", "middle", "ring", "little")
Result = TypeVar("Result")
CLASSES = tuple(f"{hand} {finger}" for hand in ("left", "right") for finger in FINGERS)
HANDLE = "ruizgara/socofing"
DEFAULT_SIZE = 97
SCANNER_FRAME = (2, 2, 4, 4)
MAX_FILE_BYTES = 16 << 20
_NAME = re.compile(
    r"(?P<subject>\d+)__(?P<sex>[MF])_(?P<hand>Left|Right)_(?P<finger>thumb|index|middle|ring|little)_finger"
    r"(?P<change>_(?:CR|Obl|Zcut))?\.bmp",
    re.IGNORECASE,
)
_NOT_PRINTS = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True, order=True)
class Fingerprint:
    """One file: whose, which finger (index into `CLASSES`), the folder within SOCOFing, its name."""

    subject: int
    label: int
    part: str
    name: str


def socofing(options: DataOptions) -> RawDataset:
    """SOCOFing: fingerprints of 600 people, ten fingers, 97×97 grey (Shehu et al. 2018; for research)."""
    size = options.image_size or DEFAULT_SIZE
    preprocessing = Preprocessing(1, size, size, crop=SCANNER_FRAME, invert=True, enlarge=False)
    parts = parts_of(options.alterations)
    with source_at(place(options.data_dir)) as source:
        prints = listed(source, parts, options.skip)
        images = room_for(len(prints), preprocessing)
        firsts = {print_.label: row for row, print_ in reversed(list(enumerate(prints))) if print_.part == "Real"}
        samples: dict[int, np.ndarray] = {}

        def decode(row: int) -> bytes:
            grey = decoded(source.read(prints[row]))
            images[row] = preprocessing(grey)
            pixels = np.asarray(grey)
            if firsts.get(prints[row].label) == row:
                samples[row] = pixels
            return repr(pixels.shape).encode() + grouping.checksum(pixels)

        keys = over_pictures(
            decode,
            range(len(prints)),
            options.track,
            "reading fingerprints",
            lambda row: f"{source}/{prints[row].part}/{prints[row].name}",
        )
        sources = source.sources(parts) if options.data_dir is not None else ()
    subjects = np.array([print_.subject for print_ in prints], dtype=np.int64)
    same = grouping.numbered(keys)
    return RawDataset(
        images=images,
        labels=np.array([print_.label for print_ in prints], dtype=np.int64),
        classes=CLASSES,
        preprocessing=preprocessing,
        groups=grouping.join(subjects, same),
        samples=sorted(samples.items()),
        notes=_notes(subjects, same),
        sources=sources,
        names=tuple(f"{print_.part}/{print_.name}" for print_ in prints),
    )


def parts_of(alterations: Iterable[str]) -> tuple[str, ...]:
    """The folders within SOCOFing that these `alterations` take, the real prints first."""
    return ("Real", *(f"Altered/Altered-{level}" for level in alterations))


def place(data_dir: str | None) -> Path:
    """Where SOCOFing is: `data_dir`, or what Kaggle gives. Raises `InputError`."""
    return download_from_kaggle(HANDLE, "socofing") if data_dir is None else Path(data_dir).expanduser()


def listed(source: "_Folder | _Zip", parts: Iterable[str], skip: frozenset[str] = frozenset()) -> list[Fingerprint]:
    """The prints in `parts` but those named in `skip`, in the order of the data set's images. Raises `InputError`."""
    prints = sorted(parse(name, part, str(source)) for part in parts for name in source.names(part))
    return [print_ for print_ in prints if f"{source}/{print_.part}/{print_.name}" not in skip]


def originals(options: DataOptions, look: Callable[[str, int, bytes], Result]) -> list[Result]:
    """What `look` makes of each file's name, subject and content, in the order of the prepared set."""
    with source_at(place(options.data_dir)) as source:
        return over_pictures(
            lambda print_: look(f"{print_.part}/{print_.name}", print_.subject, source.read(print_)),
            listed(source, parts_of(options.alterations), options.skip),
            options.track,
            "looking at files",
            lambda print_: f"{source}/{print_.part}/{print_.name}",
        )


def parse(name: str, part: str, where: str = "") -> Fingerprint:
    """What a file's name says. Raises `InputError` where it says nothing."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"{where}/{part}/{name}: not a name of SOCOFing's (such as 1__M_Left_index_finger.BMP, or with _CR, "
            "_Obl or _Zcut). Remove or rename it."
        )
    label = CLASSES.index(f"{match['hand'].lower()} {match['finger'].lower()}")
    return Fingerprint(int(match["subject"]), label, part, name)


def decoded(content: bytes) -> Image.Image:
    """The grey picture in a BMP. Only colours count: the alpha of real prints is 0 in the scanner frame."""
    with opened(io.BytesIO(content), formats=("BMP",)) as picture:
        return picture.convert("RGB").convert("L")


def _notes(subjects: np.ndarray, same: np.ndarray) -> tuple[str, ...]:
    pairs = np.unique(np.stack([same, subjects]), axis=1)
    shared = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if not len(shared):
        return ()
    num_files = int(np.isin(same, shared).sum())
    return (
        f"{len(shared)} images ({num_files} files) occur under more than one subject; "
        "those subjects count as one group.",
    )


class _Folder:
    """SOCOFing's folder, unpacked."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def names(self, part: str) -> list[str]:
        folder = self._root / part
        if not folder.is_dir():
            raise _lacks(self, part)
        try:
            names = [path.name for path in folder.iterdir() if path.is_file()]
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None
        return _prints(names, self, part)

    def read(self, print_: Fingerprint) -> bytes:
        return files.read_bytes(self._root / print_.part / print_.name, MAX_FILE_BYTES)

    def sources(self, parts: tuple[str, ...]) -> tuple[Path, ...]:
        return tuple(self._root / part for part in parts)


class _Zip:
    """SOCOFing's zip, read in place."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._members: dict[str, dict[str, zipfile.ZipInfo]] = {}
        prefixes: set[str] = set()
        for info in archive.infolist():
            member = PurePosixPath(info.filename)
            if info.is_dir() or "__MACOSX" in member.parts:
                continue
            self._members.setdefault(str(member.parent), {})[member.name] = info
            if member.parent.name == "Real":
                prefixes.add(str(member.parent.parent))
        # Kaggle's zip holds everything twice, once more under socofing/: the outermost is taken.
        self._prefix = min(prefixes, key=lambda prefix: (len(prefix), prefix), default=".")

    def __str__(self) -> str:
        return f"{self._path}/{self._prefix}" if self._prefix != "." else str(self._path)

    def _folder(self, part: str) -> dict[str, zipfile.ZipInfo]:
        return self._members.get(str(PurePosixPath(self._prefix, part)), {})

    def names(self, part: str) -> list[str]:
        if not self._folder(part):
            raise _lacks(self, part)
        return _prints(list(self._folder(part)), self, part)

    def read(self, print_: Fingerprint) -> bytes:
        info = self._folder(print_.part)[print_.name]
        with self._archive.open(info) as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
        return content

    def sources(self, parts: tuple[str, ...]) -> tuple[Path, ...]:
        return (self._path,)


@contextmanager
def source_at(data_dir: Path) -> Iterator[_Folder | _Zip]:
    """SOCOFing in a folder or a zip, to list and read. Raises `InputError`."""
    if data_dir.is_dir():
        yield _Folder(_root(data_dir))
    elif data_dir.is_file():
        try:
            archive = zipfile.ZipFile(data_dir)
            source = _Zip(data_dir, archive)
        # zipfile stumbles on a damaged directory in many ways, such as over a member without a name.
        except Exception as error:
            raise InputError(f"data_dir {data_dir}: cannot be read as a zip ({error}). Download it again.") from None
        with archive:
            yield source
    else:
        raise InputError(f"data_dir {data_dir}: no such folder or zip.")


def _root(folder: Path) -> Path:
    inside = [folder, *(folder / name for name in ("SOCOFing", "socofing", "socofing/SOCOFing"))]
    for candidate in (*inside, *list(folder.resolve().parents)[:2]):
        if (candidate / "Real").is_dir():
            return candidate
    return folder


def _prints(names: list[str], source: object, part: str) -> list[str]:
    found = [name for name in names if not name.startswith(".") and name.lower() not in _NOT_PRINTS]
    if not found:
        raise InputError(f"{source}/{part}: holds no fingerprints. Unpack SOCOFing again, or give its zip.")
    return found


def _lacks(source: object, part: str) -> InputError:
    remedy = (
        "choose other alterations, or get the whole of SOCOFing"
        if part != "Real"
        else "give the folder that holds Real and Altered, or Kaggle's zip"
    )
    return InputError(f"{source}: has no folder {part}; {remedy}.")
