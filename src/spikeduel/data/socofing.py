"""SOCOFing's fingerprints, real and altered, given or downloaded."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from spikeduel.data.prepared import DataOptions, RawDataset
from spikeduel.data.preparing import picture_dataset
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.system.errors import InputError

FINGERS = ("thumb", "index", "middle", "ring", "little")
CLASSES = tuple(f"{hand} {finger}" for hand in ("left", "right") for finger in FINGERS)
FORMATS = ("BMP",)
PARTS = ("Real", "Altered/Altered-Easy")
HANDLE = "ruizgara/socofing"
DEFAULT_SIZE = 97
SCANNER_FRAME = (2, 2, 4, 4)
_NAME = re.compile(
    r"(\d+)__[MF]_(Left|Right)_(thumb|index|middle|ring|little)_finger(_(CR|Obl|Zcut))?\.bmp",
    re.IGNORECASE,
)

Source = Path | zipfile.Path
"""Folder that holds Real and Altered."""


class Fingerprint(NamedTuple):
    """A file: subject, finger (index into `CLASSES`), folder, name."""

    subject: int
    label: int
    part: str
    name: str


def socofing(options: DataOptions) -> RawDataset:
    """SOCOFing: fingerprints of 600 people, ten fingers, 97×97 grey (Shehu et al. 2018; for
    research).
    """
    size = options.image_size or DEFAULT_SIZE
    how = Preprocessing(1, size, size, crop=SCANNER_FRAME, invert=True, enlarge=False)
    with source_at(options.data_dir) as source:
        prints = _listed(source, options.skip)
        folders = [source / part for part in PARTS] if isinstance(source, Path) else []
        firsts: dict[int, int] = {}
        for row, print_ in enumerate(prints):
            if print_.part == "Real":
                firsts.setdefault(print_.label, row)
        return picture_dataset(
            [source / print_.part / print_.name for print_ in prints],
            np.array([print_.label for print_ in prints], dtype=np.int64),
            replace(options, preprocessing=how),
            only=FORMATS,
            shown=sorted(firsts.values()),
            classes=CLASSES,
            groups=np.array([print_.subject for print_ in prints], dtype=np.int64),
            sources=() if options.data_dir is None else (*folders,) or (Path(options.data_dir),),
            names=tuple(f"{print_.part}/{print_.name}" for print_ in prints),
        )


def parse(name: str, part: str, where: str = "") -> Fingerprint:
    """Return the meaning of a file's name. Raises `InputError` if it has none."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"{where}/{part}/{name}: not a name of SOCOFing's (such as 1__M_Left_index_finger.BMP, "
            f"or with _CR, _Obl or _Zcut). Remove or rename it."
        )
    return Fingerprint(int(match[1]), CLASSES.index(f"{match[2]} {match[3]}".lower()), part, name)


def _listed(source: Source, skip: frozenset[str]) -> list[Fingerprint]:
    """Return the sorted prints. Raises `InputError` for other names."""
    prints: list[Fingerprint] = []
    where = str(source).rstrip("/")
    for part in PARTS:
        folder = source / part
        if not folder.is_dir():
            raise InputError(
                f"{where}: has no folder {part}; give the folder that holds Real and Altered, or "
                f"Kaggle's zip."
            )
        try:
            names = [path.name for path in folder.iterdir() if path.name.lower().endswith(".bmp")]
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None
        names = [name for name in names if not name.startswith(".")]
        if not names:
            raise InputError(
                f"{folder}: holds no fingerprints. Unpack SOCOFing again, or give its zip."
            )
        prints += [parse(name, part, where) for name in names if str(folder / name) not in skip]
    return sorted(prints)


@contextmanager
def source_at(data_dir: str | None) -> Iterator[Source]:
    """Yield SOCOFing's folder, a zip in `data_dir`, or Kaggle's download. Raises `InputError`."""
    place = _download() if data_dir is None else Path(data_dir).expanduser()
    if place.is_dir():
        candidates = (place / name for name in (".", "SOCOFing", "socofing", "socofing/SOCOFing"))
        yield next((candidate for candidate in candidates if (candidate / "Real").is_dir()), place)
    elif place.is_file():
        try:
            archive = zipfile.ZipFile(place)
            source = zipfile.Path(archive, _prefix(archive.namelist()))
        # zipfile raises many errors for damaged files, such as over a member without a name.
        except Exception as error:
            raise InputError(
                f"data_dir {place}: cannot be read as a zip ({error}). Download it again."
            ) from None
        with archive:
            yield source
    else:
        raise InputError(f"data_dir {place}: no such folder or zip.")


def _prefix(names: list[str]) -> str:
    members = [member for name in names if "__MACOSX" not in (member := PurePosixPath(name)).parts]
    homes = {member.parent.parent for member in members if member.parent.name == "Real"}
    outermost = min(homes, key=lambda home: (len(str(home)), str(home)), default=PurePosixPath())
    return "" if outermost == PurePosixPath() else f"{outermost}/"


def _download() -> Path:
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(HANDLE))
    # kagglehub raises requests' errors and its own, with no common base.
    except Exception as error:
        code = getattr(getattr(error, "response", None), "status_code", None)
        reason = f"HTTP {code}" if code else " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"socofing: the download from Kaggle failed ({reason}). Check the network and your "
            f"token: make one on kaggle.com (Settings), and set KAGGLE_API_TOKEN to it or save it "
            f"as ~/.kaggle/access_token. Or download "
            f"https://www.kaggle.com/datasets/{HANDLE} by hand and give the zip with --data-dir."
        ) from None
