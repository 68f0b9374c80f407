"""Prepared sets on disk: one folder each, written whole or not at all, read memory-mapped."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from spikeduel.data.prepared import Prepared, RawDataset, from_raw
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.settings import digest
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError

FORMAT = 2
"""Raised when the folder's layout, or what a data set's function makes of the same files, changes."""


Array = Literal["images", "labels", "groups", "official", "image_ids"]
"""The fields of `Prepared` that are files of their own."""


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


@dataclass(frozen=True)
class CachedSet:
    """One prepared set in the cache. `size` in bytes, `count` in images, `source` where it came from."""

    name: str
    path: Path
    size: int
    count: int
    num_classes: int
    image_shape: tuple[int, int, int]
    fingerprint: str
    source: str
    created: str


def root() -> Path:
    """The folder of all prepared sets."""
    return files.cache_dir() / "prepared"


def cached() -> list[CachedSet]:
    """The prepared sets in the cache, by name; damaged ones are left out."""
    sets = []
    for path in sorted(root().glob("*/manifest.json")):
        if path.parent.name.startswith("."):
            continue
        try:
            manifest = _manifest(path.parent)
            size = sum(file.stat().st_size for file in path.parent.iterdir())
        except (InputError, OSError):
            continue
        sets.append(
            CachedSet(
                name=manifest.name,
                path=path.parent,
                size=size,
                count=manifest.count,
                num_classes=len(manifest.classes),
                image_shape=manifest.image_shape,
                fingerprint=manifest.fingerprint,
                source=manifest.source,
                created=manifest.created,
            )
        )
    return sets


def fetch(
    name: str,
    identity: dict[str, Any],
    source: str,
    make: Callable[[], RawDataset],
    say: Callable[[str], None] | None = None,
) -> Prepared:
    """The prepared set of this name and identity; made by `make` if not cached, or if its files changed.

    Where another process is making it, `say` tells so, and it is waited for. Raises `InputError`, also where the cache
    cannot be written.
    """
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:40] or "images"
    folder = root() / f"{slug}-{digest({'name': name, 'format': FORMAT, **identity})[:16]}"
    if (prepared := _read_or_none(folder)) is not None:
        return prepared
    _require_writable_cache()
    waiting = None if say is None else partial(say, f"another process is preparing {name}; waiting")
    with files.locked(root() / f".{folder.name}.lock", waiting):
        files.remove_left_behind(root(), folder.name)
        if (prepared := _read_or_none(folder)) is not None:
            return prepared
        raw = make()
        write(folder, from_raw(name, raw), source, raw.sources)
    try:
        return read(folder)
    except InputError as error:
        raise InputError(f"{folder} cannot be read back ({error}): check the disk, or set SPIKEDUEL_CACHE.") from None


def write(folder: Path, prepared: Prepared, source: str = "", sources: tuple[Path, ...] = ()) -> None:
    """Writes `prepared` as `folder`, atomically. `sources` are noted, so that `read` sees a change."""
    arrays = {part: getattr(prepared, part) for part in get_args(Array)}
    with files.atomic_path(folder, folder=True) as temporary:
        for part, array in arrays.items():
            if array is not None:
                _save(temporary / f"{part}.npy", array)
        if prepared.names is not None:
            (temporary / "names.json").write_text(json.dumps(prepared.names), encoding="utf-8")
        samples: dict[str, Any] = {str(index): picture for index, picture in prepared.samples}
        np.savez_compressed(temporary / "samples.npz", **samples)
        manifest = Manifest(
            format=FORMAT,
            name=prepared.name,
            count=len(prepared),
            image_shape=prepared.image_shape,
            classes=prepared.classes,
            class_counts=tuple(np.bincount(prepared.labels, minlength=len(prepared.classes)).tolist()),
            named=prepared.names is not None,
            arrays=tuple(part for part, array in arrays.items() if array is not None),
            preprocessing=prepared.preprocessing,
            fingerprint=prepared.fingerprint,
            notes=prepared.notes,
            source=source,
            sources=tuple(map(str, sources)),
            sources_state=state(sources),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
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
    if state(tuple(map(Path, manifest.sources))) != manifest.sources_state:
        raise InputError(f"{folder}: its source files have changed.")
    count = manifest.count
    per_image = (np.int64, (count,))
    expected = {"images": (np.uint8, (count, *manifest.image_shape)), "labels": per_image, "groups": per_image}
    expected |= {"official": (np.uint8, (count,)), "image_ids": per_image}
    arrays: dict[str, Any] = dict.fromkeys(expected)
    try:
        for part in {*manifest.arrays, "images", "labels"}:
            arrays[part] = np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
            if (arrays[part].dtype, arrays[part].shape) != expected[part]:
                raise InputError(f"{part}.npy holds {arrays[part].dtype} {arrays[part].shape}")
        if arrays["labels"].min() < 0 or arrays["labels"].max() >= len(manifest.classes):
            raise InputError("labels.npy holds labels of no class")
        with np.load(folder / "samples.npz", allow_pickle=False) as stored:
            samples = [(int(index), stored[index]) for index in stored.files]
        names = tuple(files.read_json(folder / "names.json")) if manifest.named else None
        if names is not None and len(names) != count:
            raise InputError(f"names.json holds {len(names)} names")
    # np.load raises a different error for each way in which a file can be broken (zip, header, length).
    except Exception as error:
        raise InputError(f"{folder}: damaged ({error}).") from None
    return Prepared(
        name=manifest.name,
        classes=manifest.classes,
        preprocessing=manifest.preprocessing,
        samples=samples,
        fingerprint=manifest.fingerprint,
        notes=manifest.notes,
        names=names,
        **arrays,
    )


def state(sources: tuple[Path, ...]) -> str:
    """A hash of the path, size and time of change of each file in `sources`, folders walked."""
    entries = []
    for source in sources:
        for path in _files_in(source):
            try:
                status = path.stat()
                entries.append((str(path), status.st_size, status.st_mtime_ns))
            except OSError:
                entries.append((str(path), -1, -1))
    return digest(entries)


def _files_in(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    paths: list[Path] = []
    for folder, below, names in os.walk(source):
        below[:] = [name for name in below if not name.startswith(".")]
        paths += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(paths)


def _read_or_none(folder: Path) -> Prepared | None:
    try:
        return read(folder)
    except InputError:
        return None


def _manifest(folder: Path) -> Manifest:
    # Not msgspec's own JSON: the paths of sources may be no Unicode.
    manifest = typed.converted(files.read_json(folder / "manifest.json"), Manifest)
    if manifest.format != FORMAT:
        raise InputError(f"{folder}: of another format.")
    return manifest


def _require_writable_cache() -> None:
    try:
        files.require_writable(root())
    except (InputError, OSError) as error:
        reason = error.__cause__ or error
        raise InputError(
            f"the cache folder {root()} cannot be written ({getattr(reason, 'strerror', None) or reason}): "
            "set the environment variable SPIKEDUEL_CACHE to a folder that can."
        ) from None
