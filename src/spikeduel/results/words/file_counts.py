"""Files under a data folder in words."""

from collections.abc import Sequence

from spikeduel.results.file_counts import FileCounts, IgnoredFiles
from spikeduel.system.sentences import listed

HEIF_ENDINGS = frozenset({".heic", ".heif", ".hif"})


def by_ending(endings: dict[str, int]) -> str:
    """Numbers of files by ending: "106 .heic, 3 without ending"."""
    return listed([f"{count:,} {name or 'without ending'}" for name, count in endings.items()])


def described(ignored: IgnoredFiles) -> str:
    """Files that one rule leaves out: "3 .txt and 1 .csv (no picture)"."""
    return f"{by_ending(ignored.endings)} ({ignored.rule})"


def opening(endings: Sequence[str]) -> str:
    """What to do about pictures with these endings that cannot be opened."""
    if HEIF_ENDINGS.isdisjoint(endings):
        return "Convert them to PNG or JPEG, or move them out of the data folder."
    others = " Convert the others to PNG or JPEG." if set(endings) - HEIF_ENDINGS else ""
    return f"Install what opens them (pip install pillow-heif), or convert them to PNG or JPEG.{others}"


def pictures_left_out(files: FileCounts) -> list[str]:
    """A sentence for each kind of picture among ignored files that cannot be opened or is not
    called a picture.
    """
    found = []
    if unopened := files.by("format not opened here"):
        found.append(
            f"{by_ending(unopened.endings)} cannot be opened here. "
            f"{opening(tuple(unopened.endings))}"
        )
    if unnamed := files.by("picture without its ending"):
        found.append(
            f"{by_ending(unnamed.endings)} begin like pictures, and are not called so. Rename them."
        )
    return found
