import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from spikeduel.data.archives import tree
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress


def contents(place: Path, *archives: str) -> dict[str, tuple[str, bytes]]:
    with ExitStack() as stack:
        found = tree(place, frozenset({".bin"}), archives, stack, Progress().track)
        return {path: (name, file.read_bytes()) for path, (file, name) in found.items()}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file, a zip of one, a zip of that zip, and a tar."""
    root = tmp_path / "mine"
    (root / "a").mkdir(parents=True)
    (root / "a" / "one.bin").write_bytes(b"1")
    (root / "a" / "note.md").write_bytes(b"no")
    with zipfile.ZipFile(root / "Two.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/two.bin", b"2")
        archive.writestr("b/.two.bin", b"hidden")
        archive.writestr("__MACOSX/b/two.bin", b"of the system")
    with zipfile.ZipFile(root / "outer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(root / "Two.zip", "in/Two.zip")
    with tarfile.open(root / "three.tar.gz", "w:gz") as packed:
        packed.add(root / "a" / "one.bin", "c/three.bin")
        packed.add(root / "a" / "one.bin", "../../outside.bin")
    return root


def test_archives_are_opened_where_they_are_named(mine: Path) -> None:
    one = {"a/one.bin": (f"{mine}/a/one.bin", b"1")}
    two = {"Two.zip/b/two.bin": (f"{mine}/Two.zip/b/two.bin", b"2")}
    assert contents(mine) == one
    assert contents(mine, "two.zip") == one | two
    of_both = contents(mine, "two.zip", "outer.zip")
    assert of_both.pop("outer.zip/in/Two.zip/b/two.bin") == (
        f"{mine}/outer.zip/in/Two.zip/b/two.bin",
        b"2",
    )
    assert of_both == one | two


def test_a_tar_is_unpacked_for_the_time_being_and_never_outside(
    mine: Path, cache: Path, tmp_path: Path
) -> None:
    before = set(tmp_path.rglob("*"))
    assert contents(mine / "three.tar.gz")["c/three.bin"] == (
        f"{mine}/three.tar.gz/c/three.bin",
        b"1",
    )
    assert set(tmp_path.rglob("*")) - before == {cache}
    assert list(cache.iterdir()) == []


def test_a_damaged_archive_is_named(mine: Path) -> None:
    whole = (mine / "three.tar.gz").read_bytes()
    (mine / "three.tar.gz").write_bytes(whole[: len(whole) // 2])
    (mine / "Two.zip").write_bytes(b"PK no more")
    for name in ("three.tar.gz", "Two.zip"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as an archive"):
            contents(mine, name.lower())


def test_a_tar_that_is_cut_off_between_its_files_is_not_a_shorter_one(tmp_path: Path) -> None:
    place = tmp_path / "two.tar"
    with tarfile.open(place, "w") as packed:
        for name in ("1.bin", "2.bin"):
            packed.addfile(tarfile.TarInfo(name))
    assert len(contents(place)) == 2
    place.write_bytes(place.read_bytes()[:512])
    with pytest.raises(InputError, match=r"two\.tar: cannot be read as an archive"):
        contents(place)
