"""Prepared sets on disk: one folder each, written whole or not at all, read memory-mapped."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data.prepared import Prepared, Preprocessing, RawDataset, from_raw
from spikeduel.results import schema
from spikeduel.settings import digest
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.shapes import require

FORMAT = 2
"""Raised when the folder's layout, or what a data set's function makes of the same files, changes."""


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
    found = []
    for path in sorted(root().glob("*/manifest.json")):
        folder = path.parent
        if folder.name.startswith("."):
            continue
        try:
            manifest = _manifest(folder)
            channels, height, width = manifest["image_shape"]
            found.append(
                CachedSet(
                    name=manifest["name"],
                    path=folder,
                    size=sum(file.stat().st_size for file in folder.iterdir()),
                    count=manifest["count"],
                    num_classes=len(manifest["classes"]),
                    image_shape=(channels, height, width),
                    fingerprint=manifest["fingerprint"],
                    source=manifest["source"],
                    created=manifest["created"],
                )
            )
        except (_Damaged, OSError, KeyError, TypeError, ValueError):
            continue
    return found


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
        prepared = from_raw(name, raw)
        write(folder, prepared, source, raw.sources)
    try:
        return read(folder)
    except _Damaged as error:
        raise InputError(f"{folder} cannot be read back ({error}): check the disk, or set SPIKEDUEL_CACHE.") from None


def write(folder: Path, prepared: Prepared, source: str = "", sources: tuple[Path, ...] = ()) -> None:
    """Writes `prepared` as `folder`, atomically. `sources` are noted, so that `read` sees a change."""
    arrays = {part: getattr(prepared, part) for part in ("images", "labels", "groups", "official")}
    with files.atomic_directory(folder) as temporary:
        for part, array in arrays.items():
            if array is not None:
                _save(temporary / f"{part}.npy", array)
        if prepared.names is not None:
            (temporary / "names.json").write_text(json.dumps(prepared.names), encoding="utf-8")
        samples: dict[str, Any] = {str(index): picture for index, picture in prepared.samples}
        np.savez_compressed(temporary / "samples.npz", **samples)
        counts = np.bincount(prepared.labels, minlength=len(prepared.classes)).tolist()
        manifest = {
            "format": FORMAT,
            "name": prepared.name,
            "count": len(prepared),
            "image_shape": prepared.image_shape,
            "classes": prepared.classes,
            "class_counts": counts,
            "named": prepared.names is not None,
            "arrays": [part for part, array in arrays.items() if array is not None],
            "preprocessing": prepared.preprocessing.to_dict(),
            "fingerprint": prepared.fingerprint,
            "notes": prepared.notes,
            "source": source,
            "sources": [str(path) for path in sources],
            "sources_state": state(sources),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _save(path: Path, array: np.ndarray) -> None:
    """What `numpy.save` writes. That, on a full disk, raises an error that does not say so."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def read(folder: Path) -> Prepared:
    """The prepared set in `folder`, memory-mapped. Raises `_Damaged` where it is not whole or out of date."""
    manifest = _manifest(folder)
    try:
        if state(tuple(Path(path) for path in manifest["sources"])) != manifest["sources_state"]:
            raise _Damaged("its source files have changed")
        count, shape = manifest["count"], tuple(manifest["image_shape"])
        expected = {"images": (np.uint8, (count, *shape)), "labels": (np.int64, (count,))}
        expected |= {"groups": (np.int64, (count,)), "official": (np.uint8, (count,))}
        arrays: dict[str, np.ndarray | None] = dict.fromkeys(expected)
        for part in {*manifest["arrays"], "images", "labels"}:
            array = np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
            if (array.dtype, array.shape) != expected[part]:
                raise _Damaged(f"{part}.npy holds {array.dtype} {array.shape}")
            arrays[part] = array
        with np.load(folder / "samples.npz", allow_pickle=False) as stored:
            samples = [(int(index), stored[index]) for index in stored.files]
        names = tuple(files.read_json(folder / "names.json")) if manifest["named"] else None
        if names is not None and len(names) != count:
            raise _Damaged(f"names.json holds {len(names)} names")
        images, labels = arrays["images"], arrays["labels"]
        assert images is not None
        assert labels is not None
        if labels.min() < 0 or labels.max() >= len(manifest["classes"]):
            raise _Damaged("labels.npy holds labels of no class")
        return Prepared(
            name=manifest["name"],
            images=images,
            labels=labels,
            classes=tuple(manifest["classes"]),
            preprocessing=Preprocessing.from_dict(manifest["preprocessing"]),
            groups=arrays["groups"],
            official=arrays["official"],
            samples=samples,
            fingerprint=manifest["fingerprint"],
            notes=tuple(manifest["notes"]),
            names=names,
        )
    except _Damaged:
        raise
    # np.load raises a different error for each way in which a file can be broken (zip, header, length).
    except Exception as error:
        raise _Damaged(repr(error)) from None


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
    found = []
    for folder, below, names in os.walk(source):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found)


class _Damaged(Exception):
    pass


def _read_or_none(folder: Path) -> Prepared | None:
    try:
        return read(folder)
    except _Damaged:
        return None


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = files.read_json(folder / "manifest.json")
    except (InputError, OSError) as error:
        raise _Damaged(str(error)) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _Damaged("its manifest is of another format")
    try:
        require(manifest, schema.MANIFEST)
    except InputError as error:
        raise _Damaged(str(error)) from None
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
