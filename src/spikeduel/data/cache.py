"""Cache of prepared data sets, a folder each, whole or absent."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from spikeduel.data.events.recordings import Recordings
from spikeduel.data.inventory import walk
from spikeduel.data.prepared import Prepared, RawDataset, arrays_of, from_raw
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming
from spikeduel.system.progress import Progress, Track

FORMAT = 6
"""Raised when the layout, or the images of the same files, change."""

UNFINISHED = ".making"
"""Ending of the folder while a set is made."""

T = TypeVar("T")
_DESCRIBED = ("name", "classes", "preprocessing", "fingerprint", "notes")
"""Fields that a manifest and a `Prepared` share."""
_PER_IMAGE = ("labels", "groups", "official", "image_ids", "content")
"""Arrays with an entry per image; sets may lack some."""


class Manifest(typed.Frozen, frozen=True):
    """A prepared set's manifest.json. `sources_state` is the `state` of `sources`."""

    format: int
    name: str
    count: int
    classes: tuple[str, ...]
    arrays: tuple[str, ...]
    preprocessing: Preprocessing
    fingerprint: str
    notes: tuple[str, ...]
    source: str
    sources: tuple[str, ...]
    sources_state: str
    created: str


def root() -> Path:
    """Return the folder of all prepared sets."""
    return files.cache_dir() / "prepared"


def audits() -> Path:
    """Return the folder of the kept audits, a file each."""
    return files.cache_dir() / "audits"


def digest_of(numbers: Any) -> str:
    """Return the sha256 of whole numbers, 64 hex digits."""
    return hashlib.sha256(np.asarray(numbers, np.int64).tobytes()).hexdigest()


def cached_or_made(path: Path, kind: type[T], make: Callable[[], T], progress: Progress) -> T:
    """Return the document at `path`, made and written there if it is missing or damaged."""
    try:
        document = typed.read_json(path, kind)
        files.touch(path)
        return document
    except InputError:
        document = make()
    try:
        with files.locked(path.with_suffix(".lock")):
            files.remove_left_behind(path.parent, path.name)
            typed.write_json(path, document)
    except (InputError, OSError) as error:
        progress.say(f"what was found in the images is not kept: {error}")
    return document


def cached() -> list[tuple[Path, Manifest]]:
    """Return folder and manifest of each undamaged set, by name."""
    sets = []
    for path in sorted(root().glob("[!.]*/manifest.json")):
        with suppress(InputError):
            sets.append((path.parent, _manifest(path.parent)))
    return sets


def fetch(
    name: str,
    identity: dict[str, Any],
    source: str,
    make: Callable[[Path], RawDataset],
    say: Callable[[str], None] = Progress().say,
    track: Track = Progress().track,
) -> Prepared:
    """Return the prepared set, made by `make` if it is missing or its files changed.

    `make` works in a folder that stays until it succeeds. Raises `InputError`.
    """
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:40] or "images"
    folder = root() / f"{slug}-{typed.digest({'name': name, 'format': FORMAT, **identity})[:16]}"
    with suppress(InputError):
        prepared = read(folder)
        files.touch(folder / "manifest.json")  # which says how long nobody needed it
        return prepared
    with naming("the cache of prepared data (SPIKEDUEL_CACHE sets its folder)"):
        files.require_writable(root())
    waiting = partial(say, f"another process is preparing {name}; waiting")
    with files.locked(root() / f".{folder.name}.lock", waiting):
        files.remove_left_behind(root(), folder.name)
        with suppress(InputError):
            return read(folder)
        place = folder.with_name(f".{folder.name}{UNFINISHED}")
        with files.writing_to(place):
            place.mkdir(exist_ok=True)
        try:
            write(folder, from_raw(name, make(place), track), source, place)
            shutil.rmtree(place, ignore_errors=True)
        finally:
            with suppress(OSError):
                place.rmdir()
    with naming("what was written cannot be read; check the disk, or set SPIKEDUEL_CACHE"):
        return read(folder)


def unfinished() -> list[Path]:
    """Return the folders of interrupted preparations."""
    return sorted(root().glob(f".*{UNFINISHED}"))


def remove(folder: Path, min_idle_seconds: float) -> bool:
    """Remove a prepared set, unless another process makes it or it was used in the last
    `min_idle_seconds`. Return True if it is gone.
    """
    # A set that is being made has the lock of the finished one; a locked set stays.
    name = folder.name.removeprefix(".").removesuffix(UNFINISHED)

    def refuse() -> None:
        raise InputError(f"{folder}: another process is preparing it.")

    with suppress(InputError), files.locked(root() / f".{name}.lock", refuse):
        if files.unused_for(folder) >= min_idle_seconds:
            files.remove(folder)
    return not folder.exists()


def write(folder: Path, prepared: Prepared, source: str = "", place: Path | None = None) -> None:
    """Write `prepared` as `folder`, atomically. Finished arrays in `place` are linked."""
    arrays = arrays_of(prepared.images)
    arrays |= {part: array for part in _PER_IMAGE if (array := getattr(prepared, part)) is not None}
    manifest = Manifest(
        **{field: getattr(prepared, field) for field in _DESCRIBED},
        format=FORMAT,
        count=len(prepared),
        arrays=tuple(arrays),
        source=source,
        sources=tuple(map(str, prepared.sources)),
        sources_state=state(prepared.sources),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    samples: dict[str, Any] = {str(index): picture for index, picture in prepared.samples}
    with files.atomic_path(folder, folder=True) as temporary:
        for part, array in arrays.items():
            _save(temporary / f"{part}.npy", array, place)
        names = json.dumps([prepared.names, prepared.group_names])
        (temporary / "names.json").write_text(names, encoding="utf-8")
        np.savez_compressed(temporary / "samples.npz", **samples)
        (temporary / "manifest.json").write_text(
            json.dumps(typed.plain(manifest), indent=2) + "\n", encoding="utf-8"
        )


def _save(path: Path, array: np.ndarray, place: Path | None = None) -> None:
    """Save an array as `.npy`; link it if it is a whole `.npy` file in `place`.

    `file.write` raises an error that names a full disk, which `numpy.save` does not.
    """
    source = Path(array.filename) if isinstance(array, np.memmap) and array.filename else None
    if source is not None and source.parent == place and source.suffix == ".npy":
        # Some disks cannot link: then the array is copied.
        with suppress(OSError):
            os.link(source, path)
            return
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def read(folder: Path) -> Prepared:
    """Map the prepared set in `folder`. Raises `InputError` if it is broken or outdated."""
    manifest = _manifest(folder)
    sources = tuple(map(Path, manifest.sources))
    if state(sources) != manifest.sources_state:
        raise InputError(f"{folder}: its source files have changed.")
    how, count = manifest.preprocessing, manifest.count
    try:
        arrays: dict[str, Any] = {
            part: np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
            for part in manifest.arrays
        }
        if how.binning is not None:
            packed, offsets = arrays.pop("packed"), arrays.pop("offsets")
            if offsets[0] != 0 or offsets[-1] != len(packed) or (np.diff(offsets) < 0).any():
                raise InputError("offsets.npy does not fit packed.npy")
            arrays["images"] = Recordings(packed, offsets, how.binning)
        labels = arrays["labels"]
        if any(len(array) != count for array in arrays.values()):
            raise InputError("an array has another length")
        if arrays["images"].shape[1:] != how.shape:
            raise InputError("images.npy holds images of another shape")
        if labels.min() < 0 or labels.max() >= len(manifest.classes):
            raise InputError("labels.npy holds labels of no class")
        with np.load(folder / "samples.npz", allow_pickle=False) as stored:
            samples = [(int(index), stored[index]) for index in stored.files]
        names, group_names = (
            None if listed is None else tuple(listed)
            for listed in typed.read_json(folder / "names.json", list)
        )
    # np.load raises many errors for broken files.
    except Exception as error:
        raise InputError(f"{folder}: damaged ({error}).") from None
    described = {field: getattr(manifest, field) for field in _DESCRIBED}
    return Prepared(
        **described,
        **arrays,
        samples=samples,
        sources=sources,
        names=names,
        group_names=group_names,
    )


def state(sources: Iterable[Path]) -> str:
    """Return a hash of path, size and time of each file in `sources` and below."""
    entries = []
    for source in sources:
        paths = [folder / name for folder, _, names in walk(source, strict=False) for name in names]
        for path in sorted(paths, key=lambda path: path.parts) or [source]:
            size = changed = -1
            with suppress(OSError):
                status = path.stat()
                size, changed = status.st_size, status.st_mtime_ns
            entries.append((str(path), size, changed))
    return typed.digest(entries)


def _manifest(folder: Path) -> Manifest:
    manifest = typed.read_json(folder / "manifest.json", Manifest)
    if manifest.format != FORMAT:
        raise InputError(f"{folder}: of another format.")
    return manifest
