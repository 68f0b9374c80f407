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
from spikeduel.data.download import download_from_kaggle
from spikeduel.data.pictures import opened, over_pictures, room_for
from spikeduel.data.prepared import DataOptions, RawDataset, Track
from spikeduel.data.preprocessing import Preprocessing
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


Source = Path | zipfile.Path
"""The folder that holds Real and Altered."""


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

        def decode(row: int, content: bytes) -> bytes:
            grey = decoded(content)
            images[row] = preprocessing(grey)
            pixels = np.asarray(grey)
            if firsts.get(prints[row].label) == row:
                samples[row] = pixels
            return repr(pixels.shape).encode() + grouping.checksum(pixels)

        keys = over_prints(source, prints, decode, options.track, "reading fingerprints")
        given = tuple(source / part for part in parts) if isinstance(source, Path) else (Path(options.data_dir or ""),)
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
        sources=given if options.data_dir is not None else (),
        names=tuple(f"{print_.part}/{print_.name}" for print_ in prints),
    )


def parts_of(alterations: Iterable[str]) -> tuple[str, ...]:
    """The folders within SOCOFing that these `alterations` take, the real prints first."""
    return ("Real", *(f"Altered/Altered-{level}" for level in alterations))


def place(data_dir: str | None) -> Path:
    """Where SOCOFing is: `data_dir`, or what Kaggle gives. Raises `InputError`."""
    return download_from_kaggle(HANDLE, "socofing") if data_dir is None else Path(data_dir).expanduser()


def listed(source: Source, parts: Iterable[str], skip: frozenset[str] = frozenset()) -> list[Fingerprint]:
    """The prints in `parts` but those named in `skip`, in the order of the data set's images. Raises `InputError`."""
    prints = sorted(parse(name, part, name_of(source)) for part in parts for name in _names(source, part))
    return [print_ for print_ in prints if str(source / print_.part / print_.name) not in skip] if skip else prints


def over_prints(
    source: Source, prints: list[Fingerprint], look: Callable[[int, bytes], Result], track: Track, description: str
) -> list[Result]:
    """What `look` makes of each print's row and content, in order. Raises `UnreadableFiles`."""
    return over_pictures(
        lambda row: look(row, _read(source, prints[row])),
        range(len(prints)),
        track,
        description,
        lambda row: str(source / prints[row].part / prints[row].name),
    )


def originals(options: DataOptions, look: Callable[[bytes], Result]) -> tuple[list[Fingerprint], list[Result]]:
    """The prints, and what `look` makes of each file's content, in the order of the prepared set."""
    with source_at(place(options.data_dir)) as source:
        prints = listed(source, parts_of(options.alterations), options.skip)
        return prints, over_prints(
            source, prints, lambda row, content: look(content), options.track, "looking at files"
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


@contextmanager
def source_at(data_dir: Path) -> Iterator[Source]:
    """SOCOFing's folder, unpacked or within a zip that is read in place. Raises `InputError`."""
    if data_dir.is_dir():
        yield _root(data_dir)
    elif data_dir.is_file():
        try:
            archive = zipfile.ZipFile(data_dir)
            source = zipfile.Path(archive, _prefix(archive.namelist()))
        # zipfile stumbles on a damaged directory in many ways, such as over a member without a name.
        except Exception as error:
            raise InputError(f"data_dir {data_dir}: cannot be read as a zip ({error}). Download it again.") from None
        with archive:
            yield source
    else:
        raise InputError(f"data_dir {data_dir}: no such folder or zip.")


def _prefix(names: list[str]) -> str:
    """The folder within a zip that holds Real. Kaggle's holds everything twice, once more below: the outermost."""
    members = [member for name in names if "__MACOSX" not in (member := PurePosixPath(name)).parts]
    prefixes = {str(member.parent.parent) for member in members if member.parent.name == "Real"} - {"."}
    at_the_top = any(member.parent == PurePosixPath("Real") for member in members)
    return "" if at_the_top or not prefixes else min(prefixes, key=lambda prefix: (len(prefix), prefix)) + "/"


def _root(folder: Path) -> Path:
    inside = [folder, *(folder / name for name in ("SOCOFing", "socofing", "socofing/SOCOFing"))]
    for candidate in (*inside, *list(folder.resolve().parents)[:2]):
        if (candidate / "Real").is_dir():
            return candidate
    return folder


def name_of(source: Source) -> str:
    """What errors call a source."""
    return str(source).rstrip("/")


def _names(source: Source, part: str) -> list[str]:
    folder = source / part
    if not folder.is_dir():
        remedy = (
            "choose other alterations, or get the whole of SOCOFing"
            if part != "Real"
            else "give the folder that holds Real and Altered, or Kaggle's zip"
        )
        raise InputError(f"{name_of(source)}: has no folder {part}; {remedy}.")
    try:
        names = [path.name for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None
    names = [name for name in names if not name.startswith(".") and name.lower() not in _NOT_PRINTS]
    if not names:
        raise InputError(f"{folder}: holds no fingerprints. Unpack SOCOFing again, or give its zip.")
    return names


def _read(source: Source, print_: Fingerprint) -> bytes:
    with (source / print_.part / print_.name).open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"larger than {MAX_FILE_BYTES} bytes")
    return content
