"""Every file under a data folder, read or not."""

from typing import Literal

from spikeduel.system.typed import Count, Frozen

IgnoredBy = Literal[
    "format not opened here",
    "picture without its ending",
    "outside the class folders",
    "not in the CSV",
    "no picture",
    "no recording",
    "hidden",
    "of the system",
    "no regular file",
]
"""Why a file under a data folder is not read."""


class IgnoredFiles(Frozen):
    """Files under a data folder that one `rule` leaves out: how many, and how many of each ending
    ("" for none).
    """

    rule: IgnoredBy
    count: Count
    endings: dict[str, Count]


class FileCounts(Frozen):
    """Every file under a data folder: read or not (its reasons stand in `Audit.unreadable`), or
    ignored by a rule.

    `read` counts the readable picture files by ending, the most frequent first.
    """

    read: dict[str, Count]
    unreadable: Count
    ignored: tuple[IgnoredFiles, ...]

    @property
    def num_read(self) -> int:
        """Files that were read."""
        return sum(self.read.values())

    @property
    def total(self) -> int:
        """All files."""
        return self.num_read + self.unreadable + sum(each.count for each in self.ignored)

    def by(self, rule: IgnoredBy) -> IgnoredFiles | None:
        """The files that `rule` leaves out; None where there are none."""
        return next((each for each in self.ignored if each.rule == rule), None)
