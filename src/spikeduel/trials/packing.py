"""A trial as it goes from one store to another, on another machine."""

from dataclasses import dataclass

from spikeduel.system import files
from spikeduel.trials.store import AskedImages, Store

RECORD = "trial.json"
"""Comes last: from then on a trial is found."""


@dataclass(frozen=True)
class Packed:
    """What the `files` of trial `key` hold, by their paths; which test images it was asked about, and how often."""

    key: str
    files: dict[str, bytes]
    uses: list[tuple[AskedImages, bool]]

    @classmethod
    def of(cls, store: Store, key: str) -> "Packed":
        """All that a store keeps of a trial."""
        folder = store.folder(key)
        found = [path for path in folder.rglob("[!.]*") if path.is_file()]
        content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
        return cls(key, content, store.uses_by(key))

    def into(self, store: Store) -> None:
        """Puts the trial into another store. Raises `InputError` where that cannot be written."""
        with store.locked(self.key):
            for name in sorted(self.files, key=lambda name: name == RECORD):
                with files.atomic_path(store.folder(self.key) / name) as temporary:
                    temporary.write_bytes(self.files[name])
        for asked, every_epoch in self.uses:
            store.note_test_use(asked, self.key, every_epoch)
