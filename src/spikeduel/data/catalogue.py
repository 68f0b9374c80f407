"""Data sets by name, with the functions that make them."""

import os
from collections import ChainMap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from spikeduel.data import cache, folder, mnist_like, socofing
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.grouping import columns_of, group_rule
from spikeduel.data.pictures import DEFAULT_SIZE, formats
from spikeduel.data.prepared import (
    PUBLISHED,
    DataOptions,
    Prepared,
    RawDataset,
    from_raw,
    regrouped,
)
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.inputs.preprocessing import Binning, Change, Preprocessing
from spikeduel.system import files, registry
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.progress import Progress, Track
from spikeduel.system.sentences import counted

Source = Callable[[DataOptions], RawDataset]

DATASETS: dict[str, Source] = {
    "fashion-mnist": mnist_like.FASHION_MNIST,
    "emnist-digits": mnist_like.EMNIST_DIGITS,
    "mnist": mnist_like.MNIST,
    "socofing": socofing.socofing,
    PUBLISHED: socofing.published,
    "digits": mnist_like.digits,
    "fashion-mnist-mini": mnist_like.fashion_mnist_mini,
}
MAX_SHARE_LEFT_OUT = 0.05
"""Largest share of the events that binning leaves out without a warning."""
BUILT_IN = ("digits", "fashion-mnist-mini")
"""Sets read faster than a cache."""


def _sources() -> dict[str, Source]:
    """Return the functions of data sets by name, or by the beginning of names, such as "hf:"."""
    return {**DATASETS, **ChainMap(*providing("DATASETS").values())}


def datasets() -> dict[str, Source]:
    """Return the functions of the data sets that are known by name, those of features included."""
    return {name: source for name, source in _sources().items() if not name.endswith(":")}


def _beginning(name: str) -> str:
    """Return the beginning of `name` that stands for a function, such as "hf:"; "" without one."""
    beginning = name[: name.find(":") + 1]
    return beginning if beginning in _sources() else ""


def load(
    experiment: Experiment,
    track: Track = Progress().track,
    preprocessing: Preprocessing | None = None,
    say: Callable[[str], None] = Progress().say,
) -> Prepared:
    """Return the prepared data set of `experiment`, grouped.

    A trained model's `preprocessing` replaces a folder's own. Raises `InputError`: for unreadable
    files unless the experiment skips them, and then if too little is left.
    """
    name, events_only = experiment.dataset, is_recorded(experiment.dataset)
    if experiment.group_by is not None:
        _require_groups(name, experiment.group_by)
    takes_recordings = preprocessing is not None and preprocessing.binning is not None
    if takes_recordings and not events_only and (name in datasets() or home(name) is not None):
        raise InputError(
            f"data set '{name}': holds images, and the model takes recordings of an event camera."
        )
    options = DataOptions(
        data_dir=experiment.data_dir,
        # Events are kept, whatever frames are made of them.
        image_size=None if events_only else experiment.image_size,
        preprocessing=None if events_only else preprocessing,
        track=track,
        say=say,
    )
    unreadable: dict[str, str] = {}
    while True:
        try:
            prepared = prepare(name, replace(options, skip=frozenset(unreadable)))
            break
        except UnreadableFiles as error:
            if not experiment.skip_unreadable or set(error.files) <= set(unreadable):
                raise UnreadableFiles(error.files, name) from None
            unreadable |= error.files
            say(f"{counted(len(unreadable), 'unreadable file')} left out")
    prepared = binned(replace(prepared, unreadable=unreadable), experiment, preprocessing)
    images = prepared.images
    if isinstance(images, Recordings) and (share := images.left_out) > MAX_SHARE_LEFT_OUT:
        text = (
            f"{share:.1%} of the events come after the last frame and are left out: "
            f"{counted(images.binning.num_frames, 'frame')} of "
            f"{(images.binning.frame_us or 0) / 1000:g} ms, while the longest recording lasts "
            f"{images.longest / 1000:,.0f} ms. More or longer frames "
            f"(--num-steps, --bin-ms) hold them."
        ).replace("%", " %")
        say(text)
        prepared = replace(prepared, notes=(*prepared.notes, text))
    return regrouped(prepared, experiment.group_by)


def binned(
    prepared: Prepared,
    experiment: Experiment,
    preprocessing: Preprocessing | None,
    change: Change = "none",
) -> Prepared:
    """Bin recordings by `experiment` or a trained model's `preprocessing`, with a variant's
    `change`; other sets stay.
    """
    images = prepared.images
    if not isinstance(images, Recordings):
        return prepared
    binning = preprocessing.binning if preprocessing else None
    if binning is None:
        sensor, frame_ms = images.binning.sensor, experiment.bin_ms
        binning = Binning(
            num_frames=experiment.num_steps,
            sensor=sensor,
            frame_us=None if frame_ms is None else max(1, round(1000 * frame_ms)),
            factor=-(-max(sensor) // (experiment.image_size or DEFAULT_SIZE)),
            change=change,
        )
    how = Preprocessing.of_recordings(binning)
    return replace(prepared, images=replace(images, binning=binning), preprocessing=how)


def _require_groups(name: str, group_by: str) -> None:
    if not _is_own(name):
        raise InputError(
            f"group_by: {name} brings its groups, if there are any; --group-by is for your own "
            f"images and recordings. Leave it out."
        )
    group_rule(group_by)
    table = None if is_packed(name) else folder.labels_file(files.located(name))
    if table is not None and "group" in columns_of(table):
        raise InputError(
            f"group_by: {table} has a column group, which says it already. Leave one of the two "
            f"out."
        )


def prepare(name: str, options: DataOptions | None = None) -> Prepared:
    """Return a set from the cache or made: one of `datasets`, a folder, a CSV, or
    the user's `module:function` from `DataOptions` to `RawDataset`.

    Changed options, files or code make it anew. Raises `InputError`.
    """
    options, source = options or DataOptions(), resolve(name)
    is_own = _is_own(name)
    own_code = "" if is_own or name in datasets() else registry.source_hash(source)
    if is_own and options.data_dir is not None:
        raise InputError(
            f"data_dir: the data set {name} says where it is already; leave data_dir unset."
        )
    if is_own:
        options = replace(options, data_dir=absolute(name).removeprefix(_beginning(name)))
        if source is folder.folder:
            place = files.located(name)
            short = place.name if place.is_dir() else f"{place.parent.name}/{place.name}"
            name = short or "images"
    elif options.data_dir is not None:
        options = replace(options, data_dir=str(files.located(options.data_dir)))
    if name in BUILT_IN:
        return from_raw(name, source(options))

    def make(place: Path) -> RawDataset:
        raw = source(replace(options, workplace=place))
        # The user's function depends on all of `data_dir`, unless it names its sources.
        if own_code and options.data_dir and isinstance(raw, RawDataset) and not raw.sources:
            raw = replace(raw, sources=(Path(options.data_dir),))
        return raw

    identity: dict[str, Any] = {
        "data_dir": options.data_dir,
        "image_size": options.image_size,
        "preprocessing": options.preprocessing and options.preprocessing.described(),
        "code": own_code,
        # A plugin for HEIC adds pictures to a folder.
        "formats": formats() if is_own else (),
        **({"skip": sorted(options.skip)} if options.skip else {}),
    }
    origin = options.data_dir or "downloaded or installed"
    return cache.fetch(name, identity, origin, make, options.say, options.track)


def resolve(name: str) -> Source:
    """Return the function behind `name`. Raises `InputError`."""
    if source := _sources().get(_beginning(name) or name):
        return source
    if home(name) is not None:
        return folder.folder
    if files.is_file(name):
        raise InputError(
            f"data set '{name}': is a file; name a folder of images, a CSV of file and label, or a "
            f"known set and this file with --data-dir."
        )
    if "/" in name or os.sep in name or name.startswith((".", "~")):
        meant = "".join(f" Did you mean {near}?" for near in _beside(name))
        raise InputError(
            f"data set '{name}': no such folder or CSV (in {Path.cwd()}).{meant} Known sets: "
            f"{', '.join(sorted(datasets()))}."
        )
    hint = (
        "A folder of images or your own module:function can be named too; there is none so called."
    )
    source = registry.resolve("data set", name, datasets() | dict.fromkeys(_beside(name)), hint)
    if not callable(source):
        raise InputError(
            f"data set '{name}': is not a function that takes DataOptions and returns a RawDataset."
        )
    return source


def _beside(name: str) -> list[str]:
    """Return the folder or CSV there that has nearly this name, if any."""
    with suppress(OSError, ValueError, RuntimeError):
        place = Path(name).expanduser()
        names = [path.name for path in place.parent.iterdir() if home(str(path)) is not None]
        return [str(place.with_name(near)) for near in get_close_matches(place.name, names, n=1)]
    return []


def home(name: str) -> Path | None:
    """Return the folder that a folder's or CSV's file names are relative to."""
    if name in _sources() or is_packed(name):
        return None
    if files.is_folder(name):
        return files.located(name)
    is_table = files.is_file(name) and name.lower().endswith(".csv")
    return files.located(name).parent if is_table else None


def is_packed(name: str) -> bool:
    """Return True if pictures are no files of their own, as on a hub."""
    return bool(_beginning(name))


def _is_own(name: str) -> bool:
    """Return True for a user's own set, named by its place. Raises `InputError`."""
    return is_packed(name) or resolve(name) is folder.folder


def absolute(name: str) -> str:
    """Return `name` with absolute paths."""
    if beginning := _beginning(name):
        path = name.removeprefix(beginning)
        return f"{beginning}{files.located(path)}" if path and files.is_folder(path) else name
    return name if home(name) is None else str(files.located(name))


def is_at_hand(name: str) -> bool:
    """Return True if the set is on this machine."""
    is_here = name in BUILT_IN or home(name) is not None
    return is_here or any(manifest.name == name for _, manifest in cache.cached())


def is_recorded(name: str) -> bool:
    """Return True for a set of recordings, unread."""
    if getattr(datasets().get(name), "is_recorded", False):
        return True
    return home(name) is not None and folder.holds_recordings(files.located(name))


def listing() -> list[dict[str, str]]:
    """Return name, state and description of known and prepared sets."""
    about = {
        f"{name}NAME" if name.endswith(":") else name: " ".join(
            str(getattr(source, "about", source.__doc__)).partition("\n\n")[0].split()
        )
        for name, source in _sources().items()
    }
    state = {name: "comes with the package" if name in BUILT_IN else "no" for name in about}
    for path, manifest in cache.cached():
        with suppress(OSError):
            size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
            about.setdefault(manifest.name, f"from {manifest.source}")
            thing = "recording" if manifest.preprocessing.binning else "image"
            how_many = counted(manifest.count, thing)
            state[manifest.name] = f"{manifest.created[:10]}, {how_many}, {size:,.0f} MB"
    return [{"name": name, "prepared": state[name], "description": about[name]} for name in about]
