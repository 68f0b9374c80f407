"""SOCOFing's fingerprints, real and altered, given or downloaded."""

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from spikeduel.data.fetching import File, tree
from spikeduel.data.pictures import picture_dataset
from spikeduel.data.prepared import DataOptions, RawDataset
from spikeduel.inputs.preprocessing import Preprocessing
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


def published(options: DataOptions) -> RawDataset:
    """SOCOFing, split at random over files, as the 2023 study did, with leakage."""
    return socofing(options)


def socofing(options: DataOptions) -> RawDataset:
    """SOCOFing: fingerprints of 600 people, ten fingers, 97×97 grey (Shehu et al. 2018; for
    research).
    """
    size = options.image_size or DEFAULT_SIZE
    how = Preprocessing(1, size, size, crop=SCANNER_FRAME, invert=True, enlarge=False)
    with ExitStack() as stack:
        prints = files_at(options.data_dir, stack)
        rows = sorted(
            (*subject_and_finger(str(file)), name)
            for name, file in prints.items()
            if str(file) not in options.skip
        )
        subjects, fingers = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2).T
        names = tuple(name for _, _, name in rows)
        real = np.flatnonzero([name.startswith(PARTS[0]) for name in names])
        folders = {file.parent for file in prints.values() if isinstance(file, Path)}
        sources = tuple(sorted(folders)) or (Path(str(options.data_dir)),)
        return picture_dataset(
            [prints[name] for name in names],
            fingers,
            replace(options, preprocessing=how),
            only=FORMATS,
            shown=sorted(real[np.unique(fingers[real], return_index=True)[1]].tolist()),
            classes=CLASSES,
            groups=subjects,
            sources=() if options.data_dir is None else sources,
            names=names,
        )


def subject_and_finger(path: str) -> tuple[int, int]:
    """Return a file name's number of the subject and index of the finger into `CLASSES`. Raises
    `InputError` if it has none.
    """
    match = _NAME.fullmatch(PurePosixPath(path).name)
    if match is None:
        raise InputError(
            f"{path}: not a name of SOCOFing's (such as 1__M_Left_index_finger.BMP, or with _CR, "
            f"_Obl or _Zcut). Remove or rename it."
        )
    return int(match[1]), CLASSES.index(f"{match[2]} {match[3]}".lower())


def files_at(data_dir: str | None, stack: ExitStack) -> dict[str, File]:
    """Return the fingerprints by folder and name, from a folder, a zip, or Kaggle's download.

    Raises `InputError` if a part has none.
    """
    place = _download() if data_dir is None else Path(data_dir).expanduser()
    prints: dict[str, File] = {}
    files = tree(place, frozenset({".bmp"}), stack)
    # Kaggle's zip holds the set twice.
    for path in sorted(files, key=lambda path: (path.count("/"), path)):
        if match := re.search(rf"(?:^|/)((?:{'|'.join(PARTS)})/[^/]+)$", path):
            prints.setdefault(match[1], files[path])
    for part in PARTS:
        if not any(name.startswith(part) for name in prints):
            raise InputError(
                f"{place}: has no fingerprints in a folder {part}; give the folder that holds Real "
                f"and Altered, or Kaggle's zip."
            )
    return prints


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
