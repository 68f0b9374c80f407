"""The data sets by name: which function makes one, and what it is asked."""

import difflib
import os
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeduel.data import cache, folder, hub, layout, mnist_like, shards, socofing, tables
from spikeduel.data.events import sets
from spikeduel.data.events.framing import binned
from spikeduel.data.pictures import formats
from spikeduel.data.prepared import (
    DataOptions,
    Prepared,
    RawDataset,
    from_raw,
    group_rule,
    regrouped,
)
from spikeduel.data.workers import Track
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.settings import Experiment
from spikeduel.system import files, registry
from spikeduel.system.errors import InputError, UnreadableFiles, unknown
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted

Source = Callable[[DataOptions], RawDataset]

DATASETS: dict[str, Source] = {
    "fashion-mnist": mnist_like.fashion_mnist,
    "emnist-digits": mnist_like.emnist_digits,
    "mnist": mnist_like.mnist,
    "socofing": socofing.socofing,
    "digits": mnist_like.digits,
    "fashion-mnist-mini": mnist_like.fashion_mnist_mini,
    **sets.SETS,
}

PACKED: tuple[Source, ...] = (shards.shards, hub.hub)
"""Sets of one's own whose pictures lie in other files."""

BUILT_IN = ("digits", "fashion-mnist-mini")
"""Sets that are read faster than a cache would be, and so need none."""


def load(
    experiment: Experiment,
    track: Track = Progress().track,
    preprocessing: Preprocessing | None = None,
    say: Callable[[str], None] = Progress().say,
    skip: frozenset[str] = frozenset(),
) -> Prepared:
    """The data set that `experiment` names, prepared; `track` shows progress and `say` tells news.
    See `prepare`.

    A `preprocessing` (of a model that is already trained) takes the place of what a folder would
    choose by itself. With `group_by`, images are grouped by their files' paths. `skip` is as in
    `DataOptions`. Raises `InputError`.
    """
    name, events_only = experiment.dataset, is_recorded(experiment.dataset)
    if experiment.group_by is not None:
        if resolve(name) not in (folder.folder, *PACKED):
            reason = "groups its images itself, by the groups of the RawDataset that it returns"
            if name in DATASETS:
                reason = (
                    "is grouped by person as it is"
                    if name in ("socofing", "dvs-gesture")
                    else "has no files to group by"
                )
            raise InputError(
                f"group_by: {name} {reason}, and --group-by is for folders of images; leave it out."
            )
        # Before hours of decoding.
        group_rule(experiment.group_by)
        table = None if is_packed(name) else layout.labels_file(files.located(name))
        if table is not None and "group" in tables.columns(table):
            raise InputError(
                f"group_by: {table} has a column group, which says it already. Leave one of the "
                f"two out."
            )
    if (
        preprocessing
        and preprocessing.binning
        and not events_only
        and (name in DATASETS or home(name) is not None)
    ):
        raise InputError(
            f"data set '{name}': holds images, and the model takes recordings of an event camera."
        )
    options = DataOptions(
        data_dir=experiment.data_dir,
        # Of recordings the events are kept, whatever frames are made of them.
        image_size=None if events_only else experiment.image_size,
        alterations=experiment.alterations,
        preprocessing=None if events_only else preprocessing,
        skip=skip,
        track=track,
        say=say,
    )
    try:
        prepared = prepare(name, options)
    except UnreadableFiles as error:
        raise UnreadableFiles(error.files, name) from None
    return regrouped(binned(prepared, experiment, preprocessing), experiment.group_by)


def load_readable(experiment: Experiment, track: Track) -> tuple[Prepared, dict[str, str]]:
    """The set of `experiment`, and the files left out because they cannot be read, with the
    reasons.

    Raises `InputError` where too little is left.
    """
    unreadable: dict[str, str] = {}
    while True:
        try:
            return load(experiment, track, skip=frozenset(unreadable)), unreadable
        except UnreadableFiles as error:
            if set(error.files) <= set(unreadable):
                raise
            unreadable |= error.files


def prepare(name: str, options: DataOptions | None = None) -> Prepared:
    """The prepared set `name`: from the cache, or made and cached. Raises `InputError`.

    `name` is one of `DATASETS`, else a folder or a CSV of one's own, else the user's
    `module:function`, which is given a `DataOptions` and returns a `RawDataset`. A set is made anew
    when its options, its source files (path, size, time of change) or the user's code have changed.
    With files to skip it is not cached.
    """
    options, source, code = options or DataOptions(), resolve(name), ""
    if options.data_dir is not None:
        options = replace(options, data_dir=str(files.located(options.data_dir)))
    if source is folder.folder:
        if options.data_dir is not None:
            raise InputError(
                f"data_dir: the data set {name} is a folder or a CSV already; leave data_dir unset."
            )
        path = files.located(name)
        own_name = path.name if files.is_folder(path) else f"{path.parent.name}/{path.name}"
        name, options = own_name or "images", replace(options, data_dir=str(path))
    elif source in PACKED:
        if options.data_dir is not None:
            raise InputError(
                f"data_dir: the data set {name} says where it is already; leave data_dir unset."
            )
        options = replace(options, data_dir=absolute(name).removeprefix(registry.HUB))
        if source is shards.shards:
            name = (
                re.sub(r"[^\w.]*[{*].*|\.tar$", "", Path(name).name)
                or Path(str(options.data_dir)).parent.name
            )
    elif name not in DATASETS:
        code = registry.source_hash(source)
    if name in BUILT_IN or options.skip:
        return from_raw(name, source(options))

    def make(place: Path) -> RawDataset:
        raw = source(replace(options, workplace=place))
        # The user's function depends on all of `data_dir`, unless it says on what it depends.
        if (
            code
            and isinstance(raw, RawDataset)
            and not raw.sources
            and options.data_dir is not None
        ):
            return replace(raw, sources=(Path(options.data_dir),))
        return raw

    identity: dict[str, Any] = {
        "data_dir": options.data_dir,
        "image_size": options.image_size,
        "alterations": list(options.alterations),
        "preprocessing": options.preprocessing and options.preprocessing.described(),
        "code": code,
    }
    if source is folder.folder or source in PACKED:
        # With a plugin for HEIC installed, a folder may have more pictures.
        identity["formats"] = formats()
    return cache.fetch(
        name,
        identity,
        options.data_dir or "downloaded or installed",
        make,
        options.say,
        options.track,
    )


def resolve(name: str) -> Source:
    """The function behind `name`, not run: a check of names before anything runs. Raises
    `InputError`.
    """
    if name in DATASETS:
        return DATASETS[name]
    if name.startswith(registry.HUB):
        return hub.hub
    if shards.is_sharded(name):
        return shards.shards
    if home(name) is not None:
        return folder.folder
    if files.is_file(name):
        or_its = (
            f", or a set and --data-dir {name}" if zipfile.is_zipfile(files.located(name)) else ""
        )
        raise InputError(
            f"data set '{name}': is a file; name a folder of images, or a CSV of file and "
            f"label{or_its}."
        )
    if "/" in name or os.sep in name or name.startswith((".", "~")):
        where = "" if name.startswith("~") or Path(name).is_absolute() else " in the current folder"
        raise InputError(
            f"data set '{name}': no such folder or CSV{where}. Known sets: "
            f"{', '.join(sorted(DATASETS))}."
        )
    hint = "A folder of images or your own module:function can be named too."
    if ":" not in name:
        raise unknown(
            "data set",
            name,
            DATASETS,
            f"No folder of that name is here either{_near(name)}. {hint}",
        )
    source = registry.resolve("data set", name, DATASETS, hint)
    if not callable(source):
        raise InputError(
            f"data set '{name}': is not a function that takes DataOptions and returns a RawDataset."
        )
    return source


def _near(name: str) -> str:
    """The folders of the current one that are called much like `name`."""
    try:
        here = [
            path.name
            for path in Path.cwd().iterdir()
            if path.is_dir() and not path.name.startswith(".")
        ]
    except OSError:
        here = []
    alike = difflib.get_close_matches(name, here, n=3, cutoff=0.5)
    return f" (there is {', '.join(f'{other}/' for other in alike)})" if alike else ""


def home(name: str) -> Path | None:
    """The folder to which the names of files are relative, of a data set that is a folder or a CSV;
    None of others.
    """
    if name in DATASETS or is_packed(name):
        return None
    if files.is_folder(name):
        return files.located(name)
    return (
        files.located(name).parent
        if files.is_file(name) and name.lower().endswith(".csv")
        else None
    )


def is_packed(name: str) -> bool:
    """Whether a data set is one of shards, or of the Hugging Face hub: its pictures are no files of
    their own.
    """
    return name.startswith(registry.HUB) or (name not in DATASETS and shards.is_sharded(name))


def absolute(name: str) -> str:
    """The `name` of a data set by which it is found from every folder: that of files with its whole
    path.
    """
    path = name.removeprefix(registry.HUB)
    if path != name:
        return f"{registry.HUB}{files.located(path)}" if path and files.is_folder(path) else name
    return str(files.located(name)) if is_packed(name) or home(name) is not None else name


def is_at_hand(name: str) -> bool:
    """Whether the data set `name` is on this machine: it is built in, a folder, a CSV, shards, or
    prepared before.
    """
    is_here = name in BUILT_IN or home(name) is not None or shards.is_sharded(name)
    return is_here or any(known.name == name for _, known in cache.cached())


def is_recorded(name: str) -> bool:
    """Whether a data set's `name` is known to be one of an event camera's recordings, before they
    are read.
    """
    return name in sets.SETS or (
        home(name) is not None and layout.holds_recordings(files.located(name))
    )


def listing() -> list[dict[str, str]]:
    """The known data sets, then the prepared folders: name, whether it is prepared here,
    description.
    """
    about = {
        name: " ".join((source.__doc__ or "").partition("\n\n")[0].split())
        for name, source in DATASETS.items()
    }
    state = {name: "comes with the package" if name in BUILT_IN else "no" for name in DATASETS}
    for path, manifest in cache.cached():
        with suppress(OSError):
            size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
            about.setdefault(manifest.name, f"from {manifest.source}")
            what = counted(
                manifest.count, "recording" if manifest.preprocessing.binning else "image"
            )
            state[manifest.name] = f"{manifest.created[:10]}, {what}, {size:,.0f} MB"
    return [{"name": name, "prepared": state[name], "description": about[name]} for name in about]
