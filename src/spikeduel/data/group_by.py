"""Groups by file name, as `--group-by` asks: a regular expression, or a CSV of paths and groups."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeduel.data import grouping
from spikeduel.data.prepared import Prepared, fingerprint
from spikeduel.system.errors import InputError

Rule = Callable[[str], str | None]
"""From an image's path, relative to its folder with forward slashes, to the name of its group, or None."""

_COLUMNS = ("path", "group")


def regrouped(prepared: Prepared, group_by: str) -> Prepared:
    """`prepared` with the groups that `group_by` gives its images, joined with the groups that it has (duplicates).

    Its fingerprint covers the new groups; `ungrouped` keeps the old one. Raises `InputError` where `group_by` does not
    say for every image which group it belongs to, or says nothing that a split could keep to.
    """
    if prepared.names is None:
        raise InputError(f"group_by: {prepared.name} has no file names to group by.")
    named = _groups(prepared.names, group_by)
    numbers = grouping.numbered([name.encode("utf-8", "surrogateescape") for name in named])
    alone = np.arange(len(numbers)) if prepared.groups is None else np.asarray(prepared.groups)
    groups = grouping.join(numbers, alone)
    num_named, num_groups = len(set(named)), int(groups.max()) + 1
    joined = (f"Some groups hold copies of the same image and are joined: {num_groups:,} are left of {num_named:,}.",)
    changed = replace(prepared, groups=groups, notes=prepared.notes + joined * (num_groups < num_named))
    return replace(changed, fingerprint=fingerprint(changed), ungrouped=prepared.fingerprint)


def rule(group_by: str) -> Rule:
    """What `group_by` says: the CSV file of that name where there is one, else a regular expression.

    Raises `InputError` for a CSV without the columns `path` and `group`, and for an expression that is invalid or has
    not exactly one capturing group.
    """
    if names_a_file(group_by):
        return _read_table(Path(group_by).expanduser()).get
    return _expression(group_by)


def names_a_file(group_by: str) -> bool:
    """Whether `group_by` names a file, and so is no regular expression."""
    try:
        return Path(group_by).expanduser().is_file()
    except (OSError, RuntimeError):  # too long for a file's name, or the home of nobody
        return False


def _groups(names: Sequence[str], group_by: str) -> list[str]:
    group_of = rule(group_by)
    named = [group_of(name) for name in names]
    silent = [name for name, group in zip(names, named, strict=True) if group is None]
    if silent:
        raise _says_nothing(names, silent, group_by)
    found = [group for group in named if group is not None]
    if len(set(found)) == 1:
        raise InputError(
            f"group_by {group_by}: puts all {len(names):,} images into one group, '{found[0]}', and a split cannot cut "
            "it. Capture what tells the groups apart."
        )
    if len(set(found)) == len(found):
        raise InputError(
            f"group_by {group_by}: puts every image into a group of its own ({names[0]} into '{found[0]}'), so that it "
            "keeps nothing together. Capture what images of one group have in common."
        )
    return found


def _says_nothing(names: Sequence[str], silent: list[str], group_by: str) -> InputError:
    first, count = silent[0], f"{len(silent):,} of {len(names):,} images"
    if names_a_file(group_by):
        return InputError(
            f"group_by {group_by}: has no line for {count}, the first of them {first}. List every image by its path "
            "relative to the data folder, such as that."
        )
    which = "matches no image" if len(silent) == len(names) else f"does not match {count}"
    return InputError(
        f"group_by {group_by}: {which} (and is no file). The first without a match is {first}: paths are relative to "
        "the data folder, with forward slashes, and every one needs a group."
    )


def _expression(text: str) -> Rule:
    try:
        pattern = re.compile(text)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise InputError(
            f"group_by {text}: no such file, and not a regular expression ({error.msg}{where}). Mend it, or name a CSV "
            "file."
        ) from None
    if pattern.groups != 1:
        raise InputError(
            f"group_by {text}: no such file, and as a regular expression it has {pattern.groups} groups in parentheses "
            r"where it needs exactly one, which captures the name of an image's group, as in ([^/]+)_\d+\.png; "
            "parentheses that shall not capture are written (?:…)."
        )

    def group_of(name: str) -> str | None:
        match = pattern.search(name)
        return match and (match.group(1) or None)

    return group_of


def _read_table(path: Path) -> dict[str, str]:
    """The group of each path in a CSV. Raises `InputError` naming the line that is wrong."""
    groups: dict[str, str] = {}
    try:
        # The signature that spreadsheets put in front is none of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if missing := [name for name in _COLUMNS if name not in columns]:
                raise InputError(
                    f"group_by {path}: has no column '{missing[0]}'; its first line names "
                    f"{', '.join(columns) or 'nothing'}. It must name path and group, separated by commas."
                )
            for row in reader:
                name, group = (row[column] for column in _COLUMNS)
                if not name or not group:
                    lacking = "path" if not name else "group"
                    raise InputError(f"group_by {path}, line {reader.line_num}: has no {lacking}.")
                name = name.removeprefix("./")
                if groups.setdefault(name, group) != group:
                    raise InputError(
                        f"group_by {path}, line {reader.line_num}: {name} is in group '{group}' here and in "
                        f"'{groups[name]}' above. List it once."
                    )
    except OSError as error:
        raise InputError(f"group_by {path}: cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"group_by {path}: not a CSV file in UTF-8 ({error}).") from None
    return groups
