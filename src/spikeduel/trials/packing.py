"""A trial as it goes from one store to another, on another machine."""

from dataclasses import dataclass
from pathlib import Path

from spikeduel.system import files
from spikeduel.trials.store import AskedImages, Store

RECORD = "trial.json"
"""Comes last: from then on a trial is found."""


@dataclass(frozen=True)
class Packed:
    """What the `files` of trial `key` hold, by their paths; which test images it was asked about,
    and how often.
    """

    key: str
    files: dict[str, bytes]
    uses: list[tuple[AskedImages, bool]]

    @classmethod
    def of(cls, store: Store, key: str) -> "Packed":
        """All that a store keeps of a trial."""
        content = {name: path.read_bytes() for name, path in _kept(store.folder(key)).items()}
        return cls(key, content, store.uses_by(key))

    def into(self, store: Store) -> None:
        """Puts the trial into another store, in place of what that has of it. Raises `InputError`
        where that cannot be written.
        """
        folder = store.folder(self.key)
        with store.locked(self.key), files.writing_to(folder):
            for name in sorted(self.files, key=lambda name: name == RECORD):
                with files.atomic_path(folder / name) as temporary:
                    temporary.write_bytes(self.files[name])
            for name, path in _kept(folder).items():
                if name not in self.files:
                    path.unlink()
        for asked, every_epoch in self.uses:
            store.note_test_use(asked, self.key, every_epoch)


def _kept(folder: Path) -> dict[str, Path]:
    """The files of a trial by their paths in its folder, without temporary ones."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("[!.]*")
        if path.is_file()
    }
