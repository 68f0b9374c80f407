"""Find and remove files that no run and no process needs."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Literal

from spikeduel.data import cache
from spikeduel.results import predictions
from spikeduel.sentences.comparison import runs_in
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.training.store import RECORD, Store

SECONDS_A_DAY = 24 * 60 * 60

Kind = Literal["trained", "unfinished", "prepared", "left_behind"]


class Unneeded(typed.Frozen):
    """A file or folder that no run needs.

    `kind`: "trained", "unfinished" (interrupted or failed), "prepared" (data or audit),
    "left_behind" (by a killed process).
    """

    kind: Kind
    path: str
    bytes: int
    key: str | None = None


class Found(typed.Frozen):
    """Files that can be removed, and why others are `in_use`."""

    unneeded: list[Unneeded]
    in_use: list[str] = []

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.unneeded)


def find(folders: Sequence[Path], store: Store, days: float) -> Found:
    """Find files of `store` that no run in `folders` needs, and prepared data unused for `days`."""
    unneeded, in_use = list[Unneeded](), []
    if store.root.is_dir():
        try:
            with alone(store):
                unneeded += _of_store(folders, store)
        except InputError as error:
            in_use.append(str(error))
    return Found(unneeded=[*unneeded, *_elsewhere(folders, days)], in_use=in_use)


def remove(waste: Found, folders: Sequence[Path], store: Store, days: float) -> Found:
    """Remove and return what of `waste` is not needed. Raises `InputError` if a trial would go
    while a process uses the store.
    """
    paths = {item.path for item in waste.unneeded}
    in_store = any(Path(path).is_relative_to(store.root) for path in paths)
    with alone(store) if in_store else nullcontext():
        now = [*(_of_store(folders, store) if in_store else ()), *_elsewhere(folders, days)]
        return Found(
            unneeded=[item for item in now if item.path in paths and _is_removed(item, store, days)]
        )


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Keep others from using the store. Raises `InputError` if another process uses it."""

    def refuse() -> None:
        raise InputError(
            f"{store.root}: another process is using this store. Try again when it is done."
        )

    with files.locked(store.root / "users.lock", refuse):
        for user in (store.root / "users").glob("*.lock"):
            with files.locked(user, refuse):
                pass
            with suppress(OSError):
                user.unlink()  # that of a process that was killed
        yield


def _is_removed(item: Unneeded, store: Store, days: float) -> bool:
    path = Path(item.path)
    # Windows keeps open files; another process may have been faster.
    with suppress(OSError):
        if item.kind == "prepared" and path.is_dir():
            return cache.remove(path, days * SECONDS_A_DAY)
        files.remove(path)
        if item.key:
            (store.root / f"{item.key}.lock").unlink(missing_ok=True)
        return True
    return False


def _unneeded(kind: Kind, path: Path, key: str | None = None) -> Unneeded:
    return Unneeded(kind=kind, path=str(path), bytes=files.size(path), key=key)


def _of_store(folders: Sequence[Path], store: Store) -> Iterator[Unneeded]:
    """Yield what no run in `folders` needs. Raises `InputError` if a run cannot be read."""
    needed = {key for folder in folders for key in _referred_to(folder)}
    home = store.root.resolve().parent
    if not needed and home not in [folder.resolve() for folder in folders]:
        raise InputError(
            f"{store.root}: no run in {', '.join(map(str, folders))} refers to it. Name the "
            "folders of its runs: --runs FOLDER."
        )
    for key in store.trials():
        folder, checkpoint = store.folder(key), store.checkpoint_path(key)
        is_done = (folder / RECORD).exists()
        if checkpoint.exists() and store.record(key) is None:
            is_done = False
        if key in needed:
            if checkpoint.exists() and is_done:
                yield _unneeded("left_behind", checkpoint)
            for part in (folder, folder / "measures"):
                yield from _parts(part, seconds=0)
        else:
            yield _unneeded("trained" if is_done else "unfinished", folder, key)
    yield from _parts(store.root, seconds=0)


def _parts(folder: Path, seconds: float = files.LEFT_BEHIND_SECONDS) -> Iterator[Unneeded]:
    for path in files.left_behind(folder, seconds=seconds):
        yield _unneeded("left_behind", path)


def _referred_to(folder: Path) -> Iterator[str]:
    """Yield the keys of trials in the files of runs, and of what searched their settings. Raises
    `InputError` if a file cannot be read.
    """
    for run in dict.fromkeys([*runs_in(folder), *runs_in(folder, "experiment.toml")]):
        # Predictions name no keys, and are large.
        for file in {*run.glob("*.json")} - {run / predictions.FILE}:
            try:
                content = json.dumps(typed.read_json(file, dict))
            except InputError as error:
                raise InputError(
                    f"{error} What a run that cannot be read needs is not known: nothing goes "
                    f"from the store. Mend it, or remove {run}."
                ) from None
            yield from re.findall(r'"key": "([0-9a-f]{16})"', content)


def _elsewhere(folders: Sequence[Path], days: float) -> Iterator[Unneeded]:
    """Yield prepared data, and what killed processes left behind outside the store."""
    prepared = *cache.root().glob("[!.]*"), *cache.unfinished(), *cache.audits().glob("[!.]*.json")
    for path in sorted(prepared):
        if files.unused_for(path) >= days * SECONDS_A_DAY:
            yield _unneeded("prepared", path)
    runs = [run for folder in folders for run in runs_in(folder, "experiment.toml")]
    in_runs = [run / part for run in runs for part in (".", "models", "figures")]
    downloads = (files.cache_dir() / "downloads").glob("**")
    for folder in (*in_runs, cache.root(), cache.audits(), files.cache_dir(), *downloads):
        yield from _parts(folder)
