"""The data sets by name; the prepared ones in the cache, a folder each, written whole or not at all."""

import difflib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from spikeduel.data import folder, mnist_like, socofing
from spikeduel.data.events.framing import binned
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.pictures import Preprocessing, Track, formats
from spikeduel.data.prepared import DataOptions, Prepared, RawDataset, arrays_of, from_raw, group_rule, regrouped
from spikeduel.settings import Experiment
from spikeduel.system import files, registry, typed
from spikeduel.system.errors import InputError, UnreadableFiles, unknown
from spikeduel.system.progress import Progress

Source = Callable[[DataOptions], RawDataset]

DATASETS: dict[str, Source] = {
    "fashion-mnist": mnist_like.fashion_mnist,
    "emnist-digits": mnist_like.emnist_digits,
    "mnist": mnist_like.mnist,
    "socofing": socofing.socofing,
    "digits": mnist_like.digits,
    "fashion-mnist-mini": mnist_like.fashion_mnist_mini,
}

BUILT_IN = ("digits", "fashion-mnist-mini")
"""Sets that are read faster than a cache would be, and so need none."""

FORMAT = 3
"""Raised when the folder's layout, or what a data set's function makes of the same files, changes."""

_ALIKE = ("name", "classes", "preprocessing", "fingerprint", "notes")
"""The fields that a manifest and a `Prepared` have in common."""
Array = Literal["images", "packed", "offsets", "labels", "groups", "official", "image_ids", "content"]
"""The fields of `Prepared` that are files of their own; in place of its images those of `Recordings`."""
_TYPES = {"images": np.uint8, "official": np.uint8, "packed": np.uint64}
"""Of their numbers; of all others int64."""


class Manifest(typed.Frozen, frozen=True):
    """A prepared set's manifest.json. `sources_state` is the `state` that `sources` were in."""

    format: int
    name: str
    count: int
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    named: bool
    arrays: tuple[Array, ...]
    preprocessing: Preprocessing
    fingerprint: str
    notes: tuple[str, ...]
    source: str
    sources: tuple[str, ...]
    sources_state: str
    created: str


def load(
    experiment: Experiment,
    track: Track = Progress().track,
    preprocessing: Preprocessing | None = None,
    say: Callable[[str], None] = Progress().say,
    skip: frozenset[str] = frozenset(),
) -> Prepared:
    """The data set that `experiment` names, prepared; `track` shows progress and `say` tells news. See `prepare`.

    A `preprocessing` (of a model that is already trained) takes the place of what a folder would choose by itself.
    With `group_by`, images are grouped by their files' paths. `skip` is as in `DataOptions`. Raises `InputError`.
    """
    name = experiment.dataset
    if experiment.group_by is not None:
        if resolve(name) is not folder.folder:
            reason = "groups its images itself, by the groups of the RawDataset that it returns"
            if name in DATASETS:
                reason = "is grouped by person as it is" if name == "socofing" else "has no files to group by"
            raise InputError(f"group_by: {name} {reason}, and --group-by is for folders of images; leave it out.")
        # Before hours of decoding.
        group_rule(experiment.group_by)
    options = DataOptions(
        experiment.data_dir, experiment.image_size, experiment.alterations, preprocessing, skip, track, say
    )
    return regrouped(binned(prepare(name, options), experiment, preprocessing), experiment.group_by)


def load_readable(experiment: Experiment, track: Track) -> tuple[Prepared, dict[str, str]]:
    """The set of `experiment`, and the files left out because they cannot be read, with the reasons.

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

    `name` is one of `DATASETS`, else an existing folder of images, else the user's `module:function`, which
    is given a `DataOptions` and returns a `RawDataset`. A set is made anew when its options, its source
    files (path, size, time of change) or the user's code have changed. With files to skip it is not cached.
    """
    options, source, code = options or DataOptions(), resolve(name), ""
    if options.data_dir is not None:
        options = replace(options, data_dir=str(files.located(options.data_dir)))
    if source is folder.folder:
        if options.data_dir is not None:
            raise InputError(f"data_dir: the data set {name} is a folder already; leave data_dir unset.")
        path = files.located(name)
        name, options = path.name or "images", replace(options, data_dir=str(path))
    elif name not in DATASETS:
        code = registry.source_hash(source)
    if name in BUILT_IN or options.skip:
        return from_raw(name, source(options))

    def make() -> RawDataset:
        raw = source(options)
        # The user's function depends on all of `data_dir`, unless it says on what it depends.
        if code and isinstance(raw, RawDataset) and not raw.sources and options.data_dir is not None:
            return replace(raw, sources=(Path(options.data_dir),))
        return raw

    identity: dict[str, Any] = {
        "data_dir": options.data_dir,
        "image_size": options.image_size,
        "alterations": list(options.alterations),
        "preprocessing": options.preprocessing and options.preprocessing.described(),
        "code": code,
    }
    if source is folder.folder:
        # With a plugin for HEIC installed, a folder may have more pictures.
        identity["formats"] = formats()
    return fetch(name, identity, options.data_dir or "downloaded or installed", make, options.say)


def resolve(name: str) -> Source:
    """The function behind `name`, not run: a check of names before anything runs. Raises `InputError`."""
    if name in DATASETS:
        return DATASETS[name]
    if is_folder(name):
        return folder.folder
    if files.is_file(name):
        or_its = f", or a set and --data-dir {name}" if zipfile.is_zipfile(files.located(name)) else ""
        raise InputError(f"data set '{name}': is a file; name a folder of images{or_its}.")
    if "/" in name or os.sep in name or name.startswith((".", "~")):
        raise InputError(f"data set '{name}': no such folder. Known sets: {', '.join(sorted(DATASETS))}.")
    hint = "A folder of images or your own module:function can be named too."
    if ":" not in name:
        raise unknown("data set", name, DATASETS, f"No folder of that name is here either{_near(name)}. {hint}")
    source = registry.resolve("data set", name, DATASETS, hint)
    if not callable(source):
        raise InputError(f"data set '{name}': is not a function that takes DataOptions and returns a RawDataset.")
    return source


def _near(name: str) -> str:
    """The folders of the current one that are called much like `name`."""
    try:
        here = [path.name for path in Path.cwd().iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        here = []
    alike = difflib.get_close_matches(name, here, n=3, cutoff=0.5)
    return f" (there is {', '.join(f'{other}/' for other in alike)})" if alike else ""


def is_folder(name: str) -> bool:
    """Whether a data set's `name` is that of a folder of images."""
    return name not in DATASETS and files.is_folder(name)


def listing() -> list[dict[str, str]]:
    """The known data sets, then the prepared folders: name, whether it is prepared here, description."""
    about = {name: (source.__doc__ or "").strip().partition("\n")[0] for name, source in DATASETS.items()}
    state = {name: "comes with the package" if name in BUILT_IN else "no" for name in DATASETS}
    for path, manifest in cached():
        with suppress(OSError):
            size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
            about.setdefault(manifest.name, f"from {manifest.source}")
            state[manifest.name] = f"{manifest.created[:10]}, {manifest.count:,} images, {size:,.0f} MB"
    return [{"name": name, "prepared": state[name], "description": about[name]} for name in about]


def root() -> Path:
    """The folder of all prepared sets."""
    return files.cache_dir() / "prepared"


def cached() -> list[tuple[Path, Manifest]]:
    """The folder and manifest of each prepared set in the cache, by name; damaged ones are left out."""
    sets = []
    for path in sorted(root().glob("[!.]*/manifest.json")):
        with suppress(InputError):
            sets.append((path.parent, _manifest(path.parent)))
    return sets


def fetch(
    name: str,
    identity: dict[str, Any],
    source: str,
    make: Callable[[], RawDataset],
    say: Callable[[str], None] = Progress().say,
) -> Prepared:
    """The prepared set of this name and identity; made by `make` if not cached, or if its files changed.

    Where another process is making it, `say` tells so, and it is waited for. Raises `InputError`, also where the cache
    cannot be written.
    """
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:40] or "images"
    folder = root() / f"{slug}-{typed.digest({'name': name, 'format': FORMAT, **identity})[:16]}"
    with suppress(InputError):
        return read(folder)
    try:
        files.require_writable(root())
    except InputError as error:
        raise InputError(f"the cache of prepared data: {error} SPIKEDUEL_CACHE names it.") from None
    with files.locked(root() / f".{folder.name}.lock", partial(say, f"another process is preparing {name}; waiting")):
        files.remove_left_behind(root(), folder.name)
        with suppress(InputError):
            return read(folder)
        write(folder, from_raw(name, make()), source)
    try:
        return read(folder)
    except InputError as error:
        raise InputError(f"{folder} cannot be read back ({error}): check the disk, or set SPIKEDUEL_CACHE.") from None


def write(folder: Path, prepared: Prepared, source: str = "") -> None:
    """Writes `prepared` as `folder`, atomically, with the state of its `sources`, so that `read` sees a change."""
    rest = {part: getattr(prepared, part) for part in ("labels", "groups", "official", "image_ids", "content")}
    arrays = {part: array for part, array in {**arrays_of(prepared.images), **rest}.items() if array is not None}
    manifest = Manifest(
        **{field: getattr(prepared, field) for field in _ALIKE},
        format=FORMAT,
        count=len(prepared),
        image_shape=prepared.image_shape,
        class_counts=tuple(np.bincount(prepared.labels, minlength=len(prepared.classes)).tolist()),
        named=prepared.names is not None,
        arrays=tuple(part for part in get_args(Array) if part in arrays),
        source=source,
        sources=tuple(map(str, prepared.sources)),
        sources_state=state(prepared.sources),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with files.atomic_path(folder, folder=True) as temporary:
        for part, array in arrays.items():
            _save(temporary / f"{part}.npy", array)
        if prepared.names is not None:
            (temporary / "names.json").write_text(json.dumps(prepared.names), encoding="utf-8")
        samples: dict[str, Any] = {str(index): picture for index, picture in prepared.samples}
        np.savez_compressed(temporary / "samples.npz", **samples)
        (temporary / "manifest.json").write_text(json.dumps(typed.plain(manifest), indent=2) + "\n", encoding="utf-8")


def _save(path: Path, array: np.ndarray) -> None:
    """What `numpy.save` writes. That, on a full disk, raises an error that does not say so."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def read(folder: Path) -> Prepared:
    """The prepared set in `folder`, memory-mapped. Raises `InputError` where it is not whole or out of date."""
    manifest = _manifest(folder)
    sources = tuple(map(Path, manifest.sources))
    if state(sources) != manifest.sources_state:
        raise InputError(f"{folder}: its source files have changed.")
    arrays: dict[str, Any] = dict.fromkeys(get_args(Array))
    try:
        binning = manifest.preprocessing.binning
        for part in {*manifest.arrays, *(("packed", "offsets") if binning else ("images",)), "labels", "content"}:
            array = np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
            shapes = {"images": (manifest.count, *manifest.image_shape), "offsets": (manifest.count + 1,)}
            shape = array.shape if part == "packed" else shapes.get(part, (manifest.count,))
            if array.shape != shape or array.dtype != _TYPES.get(part, np.int64):
                raise InputError(f"{part}.npy holds {array.dtype} {array.shape}")
            arrays[part] = array
        packed, offsets = arrays.pop("packed"), arrays.pop("offsets")
        if binning:
            if offsets[0] != 0 or offsets[-1] != len(packed) or (np.diff(offsets) < 0).any():
                raise InputError("offsets.npy does not fit packed.npy")
            arrays["images"] = Recordings(packed, offsets, binning)
        if arrays["labels"].min() < 0 or arrays["labels"].max() >= len(manifest.classes):
            raise InputError("labels.npy holds labels of no class")
        with np.load(folder / "samples.npz", allow_pickle=False) as stored:
            samples = [(int(index), stored[index]) for index in stored.files]
        names = tuple(files.read_json(folder / "names.json")) if manifest.named else None
        if names is not None and len(names) != manifest.count:
            raise InputError(f"names.json holds {len(names)} names")
    # np.load raises a different error for each way in which a file can be broken (zip, header, length).
    except Exception as error:
        raise InputError(f"{folder}: damaged ({error}).") from None
    alike = {field: getattr(manifest, field) for field in _ALIKE}
    return Prepared(**alike, **arrays, samples=samples, sources=sources, names=names)


def state(sources: Iterable[Path]) -> str:
    """A hash of the path, size and time of change of each file in `sources`, folders walked."""
    entries = []
    for source in sources:
        for path in _files_in(source) if source.is_dir() else [source]:
            try:
                status = path.stat()
                entries.append((str(path), status.st_size, status.st_mtime_ns))
            except OSError:
                entries.append((str(path), -1, -1))
    return typed.digest(entries)


def _files_in(source: Path) -> list[Path]:
    paths: list[Path] = []
    for place, below, names in os.walk(source):
        below[:] = [name for name in below if not name.startswith(".")]
        paths += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(paths)


def _manifest(folder: Path) -> Manifest:
    # Not msgspec's own JSON: the paths of sources may be no Unicode.
    manifest = typed.converted(files.read_json(folder / "manifest.json"), Manifest)
    if manifest.format != FORMAT:
        raise InputError(f"{folder}: of another format.")
    return manifest
