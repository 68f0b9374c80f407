import json
import multiprocessing
import os
from pathlib import Path

import pytest

from damage import problem
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": NaN}', "the number NaN is not possible"),
        (b"[-Infinity]", "not possible"),
        (b"[1e999]", "the number 1e999 is not possible"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "not a JSON file"),
        (b"\xff\xfe\x00", "not a JSON file"),
    ],
)
def test_json_beyond_reason_is_named(content, said, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json: not a JSON file.*{said}|a\.json: {said}"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match=f"{path}: (not a regular file|cannot be read)"):
            files.read_bytes(path)
    assert not files.is_file(tmp_path / "pipe")


def test_too_large_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(bytes(11))
    assert files.read_bytes(tmp_path / "a", 11) == bytes(11)
    with pytest.raises(InputError, match="a: larger than"):
        files.read_bytes(tmp_path / "a", 10)


@pytest.mark.parametrize("text", ["x" * 300, "a\0b", "~nobody-of-this-name/x"])
def test_what_cannot_be_a_path_is_no_traceback(text):
    assert not files.is_folder(text)
    assert not files.is_file(text)
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        files.read_bytes(text)
    assert "is no path" in (problem(files.located, text) or "is no path")
