import json
import multiprocessing
import os
from pathlib import Path

import pytest

from spikeduel import files
from spikeduel.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    folder = tmp_path / "set"
    with files.atomic_directory(folder) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_directory(folder) as temporary:
        (temporary / "a").write_text("new")
        raise RuntimeError
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]
    with files.atomic_directory(folder) as temporary:
        (temporary / "b").write_text("newer")
    assert [p.name for p in folder.iterdir()] == ["b"]


def test_written_files_have_ordinary_permissions(tmp_path):
    files.write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_json_round_trip_refuses_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"x": [1, None, 0.5]})
    assert files.read_json(tmp_path / "a.json") == {"x": [1, None, 0.5]}
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1, None, 0.5]}


def test_broken_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    for name in ("a.json", "absent.json"):
        with pytest.raises(InputError, match=name):
            files.read_json(tmp_path / name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot write to .*file"):
            files.require_writable(folder)
    with pytest.raises(InputError, match="cannot write to"):
        files.write_text(tmp_path / "file" / "x" / "a.txt", "x")


def test_a_full_disk_is_an_error_for_people(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        files.write_text(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []


def test_the_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(tmp_path / "c"))
    assert files.cache_dir() == tmp_path / "c"
    monkeypatch.delenv("SPIKEDUEL_CACHE")
    assert files.cache_dir().name == "spikeduel"


def _count(folder: Path, times: int) -> None:
    for _ in range(times):
        with files.locked(folder / "x.lock"):
            number = int((folder / "n").read_text())
            (folder / "n").write_text(str(number + 1))


def test_locks_exclude_other_processes(tmp_path):
    (tmp_path / "n").write_text("0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count, args=(tmp_path, 50)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert (tmp_path / "n").read_text() == "100"
