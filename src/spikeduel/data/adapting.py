"""A prepared set as an experiment asks for it: frames of recordings, and groups by name."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spikeduel.data import tables
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.grouping import join_groups, numbered
from spikeduel.data.pictures import DEFAULT_SIZE
from spikeduel.data.prepared import Prepared, fingerprint
from spikeduel.networks.binning import Binning, Change
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.settings import Experiment
from spikeduel.system import files
from spikeduel.system.errors import InputError


def binned(
    prepared: Prepared,
    experiment: Experiment,
    preprocessing: Preprocessing | None,
    change: Change = "none",
) -> Prepared:
    """Bin recordings into the frames that `experiment` says, or that a trained model's
    `preprocessing` has. Other sets are returned as they are.

    `change` is what a control does to the time or the polarity of the events.
    """
    images = prepared.images
    if not isinstance(images, Recordings):
        return prepared
    binning = preprocessing.binning if preprocessing else None
    binning = binning or _binning(experiment, images.binning.sensor, change)
    how = Preprocessing.of_recordings(binning)
    return replace(prepared, images=images.binned(binning), preprocessing=how)


def _binning(experiment: Experiment, sensor: tuple[int, int], change: Change) -> Binning:
    frame_ms = experiment.bin_ms
    return Binning(
        num_frames=experiment.num_steps,
        sensor=sensor,
        frame_us=None if frame_ms is None else max(1, round(1000 * frame_ms)),
        factor=-(-max(sensor) // (experiment.image_size or DEFAULT_SIZE)),
        change=change,
    )


def regrouped(prepared: Prepared, group_by: str | None) -> Prepared:
    """Join the groups that `group_by` gives the images with those of `prepared` (duplicates).

    The fingerprint covers the new groups; `ungrouped` keeps the old one. Raises `InputError` where
    `group_by` leaves an image without a group, or says nothing that a split could keep to.
    """
    if group_by is None:
        return prepared
    if (names := prepared.names) is None:
        raise InputError(f"group_by: {prepared.name} has no file names to group by.")
    group_of = list(map(group_rule(group_by), names))
    named = [group for group in group_of if group is not None]
    num_named, problem = len(set(named)), None
    if len(named) < len(names):
        first = names[group_of.index(None)]
        count = f"{len(names) - len(named):,} of {len(names):,} images"
        if names_a_file(group_by):
            problem = (
                f"has no line for {count}, the first of them {first}. List every image by its path"
            )
        else:
            which = f"does not match {count}" if named else "matches no image"
            problem = f"{which} (and is no file). The first without a match is {first}. Paths are"
        problem += " relative to the data folder, with forward slashes."
    elif num_named == 1:
        problem = (
            f"puts all {len(names):,} images into one group, '{named[0]}'. Capture what tells the "
            f"groups apart."
        )
    elif num_named == len(names):
        problem = (
            f"puts every image into a group of its own ({names[0]} into '{named[0]}'). Capture "
            f"what images of one group have in common."
        )
    if problem is not None:
        raise InputError(f"group_by {group_by}: {problem}")
    groups, notes = numbered(named), prepared.notes
    if prepared.groups is not None:
        groups = join_groups(groups, prepared.groups)
    if (num_groups := int(groups.max()) + 1) < num_named:
        joined = "Some groups hold copies of the same image and are joined"
        notes = (*notes, f"{joined}: {num_groups:,} are left of {num_named:,}.")
    changed = replace(prepared, groups=groups, notes=notes)
    return replace(changed, fingerprint=fingerprint(changed), ungrouped=prepared.fingerprint)


def group_rule(group_by: str) -> Callable[[str], str | None]:
    """Return the rule from an image's path in its folder, with forward slashes, to the name of its
    group, or None.

    `group_by` is the name of a CSV with the columns `path` and `group`, else a regular expression
    with one capturing group. Raises `InputError`.
    """
    if names_a_file(group_by):
        return _read_table(Path(group_by).expanduser()).get
    no_file = f"group_by {group_by}: no such file, and"
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise InputError(
            f"{no_file} not a regular expression ({error.msg}{where}). Mend it, or name a CSV."
        ) from None
    if pattern.groups != 1:
        raise InputError(
            f"{no_file} as a regular expression it has {pattern.groups} groups in parentheses "
            f"where it needs exactly one, which captures the name of an image's group, as in "
            rf"([^/]+)_\d+\.png; others are written (?:…)."
        )

    def group_of(name: str) -> str | None:
        match = pattern.search(name)
        return match and (match.group(1) or None)

    return group_of


def names_a_file(group_by: str) -> bool:
    """Return True if `group_by` names a file, and so is no regular expression."""
    return files.is_file(group_by)


def _read_table(path: Path) -> dict[str, str]:
    groups: dict[str, str] = {}
    for line, row in tables.rows(path, ("path", "group"), f"group_by {path}"):
        name, group = row["path"].removeprefix("./"), row["group"]
        if not name or not group:
            raise InputError(f"{line}: has no {'group' if name else 'path'}.")
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{line}: {name} is in group '{group}' here and in '{groups[name]}' above. List it "
                f"once."
            )
    return groups
