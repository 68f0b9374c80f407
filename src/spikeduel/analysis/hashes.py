"""Write and read sha256sums.txt, the hashes of a run's files; `sha256sum --check` reads it, too."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from spikeduel.results.predictions import remedied
from spikeduel.results.trials import is_inside
from spikeduel.system import files
from spikeduel.system.errors import InputError

FILE, PAGE = "sha256sums.txt", "report.html"
PARTS = (
    "experiment.toml",
    "results.json",
    "split.csv",
    "predictions.json",
    "labels.csv",
    PAGE,
    "models/*.safetensors",
)
"""Patterns of a run's files that have a hash."""
ARCHIVED = (*(part for part in PARTS if not part.startswith("models/")), "figures/*.svg")
"""Patterns of the run's files in an archive; models stay with the run."""
LICENSE = "LICENSE"
"""File that whoever publishes an archive may add to it."""


def of_files(folder: Path, patterns: Iterable[str] = PARTS) -> dict[str, str]:
    """Return the hashes of the files of `folder`, by path."""
    return {
        path.relative_to(folder).as_posix(): files.checksum(path)
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def read(folder: Path) -> dict[str, str]:
    """Return the hashes that the file states, by path. Raises `InputError` if the file is absent
    or damaged.
    """
    with remedied(folder):
        lines = files.read_bytes(folder / FILE).decode("utf-8", "replace").splitlines()
        stated = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
        # No file system has a name of more than 255 bytes.
        hashes = {
            line[2]: line[1]
            for line in stated
            if line and is_inside(line[2]) and max(map(len, line[2].encode().split(b"/"))) < 256
        }
        if not hashes or len(hashes) < len(lines):
            raise InputError(f"{folder / FILE}: damaged, or not written by spikeduel.")
        return hashes


def text(hashes: Mapping[str, str]) -> str:
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items()))


def write(folder: Path) -> None:
    """Write the hashes of a run's files."""
    files.write_text(folder / FILE, text(of_files(folder)))


def renew_page(folder: Path) -> None:
    """Write the hash of a page that was drawn again; the other hashes stay as they are."""
    if (folder / FILE).is_file():
        files.write_text(folder / FILE, text(read(folder) | of_files(folder, [PAGE])))
