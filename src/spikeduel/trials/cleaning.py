"""Cleaning: files on disk that no run needs are found and removed. Files of runs, and what a
process works on, are never touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from spikeduel.auditing.examining import kept_in
from spikeduel.data import cache
from spikeduel.results.comparison import load_run, runs_in
from spikeduel.results.run import Results
from spikeduel.results.tuned import TuningRecord
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.trials.store import Store

SECONDS_A_DAY = 24 * 60 * 60

Kind = Literal["trained", "unfinished", "prepared", "left_behind"]


class Unneeded(typed.Frozen):
    """A file or folder that no run needs.

    `kind`: "trained", a trial that no run refers to; "unfinished", an interrupted or failed
    training; "prepared", data or their audit; "left_behind", what a killed process was writing.
    """

    kind: Kind
    path: str
    bytes: int
    key: str | None = None


class Found(typed.Frozen):
    """Files that can be removed, and `kept`: the reasons why others stay."""

    unneeded: list[Unneeded]
    kept: list[str] = []  # noqa: RUF012 (msgspec copies it)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(item.bytes for item in self.unneeded)


def find(folders: Sequence[Path], store: Store, days: float) -> Found:
    """Find what no run in `folders` needs of `store`, and prepared data that were not used for
    `days`. Removes nothing.
    """
    unneeded, kept = [*_prepared(days), *_left_behind(folders)], []
    if store.root.is_dir():
        try:
            with store.alone():
                unneeded = [*_of_store(folders, store), *unneeded]
        except InputError as error:
            kept.append(str(error))
    return Found(unneeded=unneeded, kept=kept)


def remove(found: Found, folders: Sequence[Path], store: Store, days: float) -> Found:
    """Remove what was `found`, unless it is needed by now, and return what was removed.

    Raises `InputError` if a trial would go while a process uses the store.
    """
    gone: list[Unneeded] = []
    asked = {item.path for item in found.unneeded}
    if any(Path(path).is_relative_to(store.root) for path in asked):
        with store.alone():
            still = [item for item in _of_store(folders, store) if item.path in asked]
            gone += [item for item in still if _is_removed(item, store)]
    still = [item for item in (*_prepared(days), *_left_behind(folders)) if item.path in asked]
    return Found(unneeded=[*gone, *(item for item in still if _is_removed(item, store, days))])


def _is_removed(unneeded: Unneeded, store: Store, days: float = 0.0) -> bool:
    path = Path(unneeded.path)
    # On Windows what a process has open cannot be removed; and another one may have been faster.
    with suppress(OSError):
        if unneeded.kind == "prepared" and path.is_dir():
            return cache.remove(path, days * SECONDS_A_DAY)
        if unneeded.key and path == store.folder(unneeded.key):
            store.remove(unneeded.key)
        else:
            files.remove(path)
        return True
    return False


def _unneeded(kind: Kind, path: Path, key: str | None = None) -> Unneeded:
    return Unneeded(kind=kind, path=str(path), bytes=files.size(path), key=key)


def _of_store(folders: Sequence[Path], store: Store) -> Iterator[Unneeded]:
    """Yield what no run in `folders` needs of the store. Raises `InputError` if a run cannot be
    read, since it may need anything.
    """
    needed = {key for folder in folders for key in _referred_to(folder)}
    if not needed and not any(
        folder.resolve() == store.root.resolve().parent for folder in folders
    ):
        named = ", ".join(map(str, folders))
        raise InputError(
            f"{store.root}: no run in {named} refers to it. Name the folders of its runs: --runs "
            f"FOLDER."
        )
    for key in store.trials():
        folder, has_checkpoint = store.folder(key), store.checkpoint_path(key).exists()
        is_done = (folder / "trial.json").exists() and not (
            has_checkpoint and store.record(key) is None
        )
        if key not in needed:
            # Answers of a nearest neighbour are no training, and small.
            if is_done or has_checkpoint:
                yield _unneeded("trained" if is_done else "unfinished", folder, key)
            continue
        if has_checkpoint and is_done:
            yield _unneeded("left_behind", store.checkpoint_path(key))
        for part in (folder, folder / "measures"):
            yield from (
                _unneeded("left_behind", path) for path in files.left_behind(part, seconds=0)
            )
    yield from (_unneeded("left_behind", path) for path in files.left_behind(store.root, seconds=0))


def _referred_to(folder: Path) -> Iterator[str]:
    for file in ("results.json", "tuning.json"):
        for run in runs_in(folder, file):
            try:
                if file == "tuning.json":
                    yield from _of_tuning(typed.read_json(run / file, TuningRecord))
                else:
                    yield from _of_results(load_run(run).results)
            except InputError as error:
                raise InputError(
                    f"{error} What a run that cannot be read needs is not known: nothing goes "
                    f"from the store. Mend it, or remove {run}."
                ) from None


def _of_results(results: Results) -> Iterator[str]:
    for trial in results.trials:
        yield from filter(None, (trial.key, *(control.key for control in trial.controls.values())))
    if results.tuning:
        yield from _of_tuning(results.tuning)


def _of_tuning(record: TuningRecord) -> Iterator[str]:
    for contender in record.contenders:
        yield from (trial.key for trial in contender.trials if trial.key)


def _prepared(days: float) -> Iterator[Unneeded]:
    """Yield prepared sets, unfinished ones too, and audits that were not used for `days`."""
    for path in sorted(
        (*cache.root().glob("[!.]*"), *cache.unfinished(), *kept_in().glob("[!.]*.json"))
    ):
        if files.unused_for(path) >= days * SECONDS_A_DAY:
            yield _unneeded("prepared", path)


def _left_behind(folders: Sequence[Path]) -> Iterator[Unneeded]:
    """Yield what killed processes left in runs and cache, a day after they last wrote to it."""
    runs = [run for folder in folders for run in runs_in(folder, "experiment.toml")]
    places = [
        *runs,
        *(run / part for run in runs for part in ("models", "figures")),
        cache.root(),
        kept_in(),
    ]
    for place in (*places, files.cache_dir(), *(files.cache_dir() / "downloads").glob("**")):
        yield from (_unneeded("left_behind", path) for path in files.left_behind(place))
    # Folders in which archives are unpacked.
    for path in files.cache_dir().glob("tmp????????"):
        if files.unused_for(path) >= files.LEFT_BEHIND_SECONDS:
            yield _unneeded("left_behind", path)
