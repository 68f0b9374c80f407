import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from damage import problem
from forked import Forked
from spikeduel.system import files
from spikeduel.system.errors import InputError


@pytest.mark.parametrize("folder", [False, True])
def test_a_failed_write_leaves_the_old_content_and_nothing_else(folder, tmp_path):
    path = tmp_path / "a"

    def write(text, error=None):
        with files.atomic_path(path, folder) as temporary:
            (temporary / text if folder else temporary).write_text(text)
            if error:
                raise error

    def content():
        return [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]

    write("old")
    with pytest.raises(RuntimeError):
        write("new", RuntimeError)
    assert content() == ["old"]
    write("newer")
    assert content() == ["newer"]
    assert list(tmp_path.iterdir()) == [path]
    # Written files have ordinary permissions.
    ordinary = tmp_path / "b"
    ordinary.mkdir() if folder else ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_a_csv_keeps_names_that_are_no_unicode(tmp_path):
    name = os.fsdecode(b"a\xff.png")
    files.write_csv(tmp_path / "a.csv", [["path", "label"], [name, 1]])
    assert (tmp_path / "a.csv").read_bytes() == b"path,label\na\xff.png,1\n"


def test_a_full_disk_is_an_error_for_people(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        files.write_text(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []


def test_locks_exclude_other_processes(tmp_path):
    path = tmp_path / "n"
    path.write_text("0")

    def count():
        for _ in range(50):
            with files.locked(tmp_path / "x.lock"):
                path.write_text(str(int(path.read_text()) + 1))

    workers = [Forked(count) for _ in range(2)]
    assert [worker.ended() for worker in workers] == [(0, []), (0, [])]
    assert path.read_text() == "100"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match=f"{path}: (not a regular file|cannot be read)"):
            files.read_bytes(path)
    assert not files.is_file(tmp_path / "pipe")


@pytest.mark.parametrize("text", ["x" * 300, "a\0b", "~nobody-of-this-name/x"])
def test_texts_that_cannot_be_paths(text):
    assert not files.is_folder(text)
    assert not files.is_file(text)
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        files.read_bytes(text)
    assert "is not a path" in (problem(files.located, text) or "is not a path")


def aged(path, seconds):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_day_later_the_next_write_removes_what_a_killed_process_left(tmp_path):
    names = (".a.txt.abcd_123.part", ".a.txt.efgh4567.part", ".b.x.part")
    left, fresh, others = (tmp_path / name for name in names)
    for path in (left, fresh, others):
        path.write_text("half")
    aged(left, 25 * 3600)
    aged(others, 25 * 3600)
    files.write_text(tmp_path / "a.txt", "whole")
    # What may still be written to stays, and so does what is not ours.
    assert sorted(tmp_path.iterdir()) == sorted([fresh, others, tmp_path / "a.txt"])


def test_a_folder_left_behind_is_as_old_as_the_newest_file_in_it(tmp_path):
    left = tmp_path / ".set.abcdefgh.part"
    left.mkdir()
    (left / "images").write_text("half")
    aged(left, 25 * 3600)
    files.remove_left_behind(tmp_path, "set", 24 * 3600)
    assert left.is_dir()
    files.remove_left_behind(tmp_path, "other")
    assert left.is_dir()
    files.remove_left_behind(tmp_path, "set")
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    def killed():
        with (
            files.locked(tmp_path / "x.lock"),
            files.atomic_path(tmp_path / "a.txt") as temporary,
        ):
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert Forked(killed).ended() == (-signal.SIGKILL, [])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".part"]
    waited = []
    with files.locked(tmp_path / "x.lock", lambda: waited.append(1)):
        files.remove_left_behind(tmp_path)
    assert waited == []
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_waiting_for_a_lock_is_reported_once(tmp_path):
    def waiting():
        with files.locked(tmp_path / "x.lock", lambda: print("waits")):
            print("has it")

    with files.locked(tmp_path / "x.lock"):
        other = Forked(waiting)
        assert next(iter(other)) == "waits"
    assert other.ended() == (0, ["has it"])


@pytest.mark.parametrize("refusal", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_are_an_error(refusal, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments):
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(InputError, match=r"does not support it.*local disk"),
        files.locked(tmp_path / "x.lock"),
    ):
        pass


FULL = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from spikeduel.data import cache, load
from spikeduel.system.errors import InputError
from spikeduel.engine.networks.models import save_model
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.models import Model
from spikeduel.reporting import drawing
from spikeduel.reporting.charts import Axis, Chart, Look, Marks, Panel
from spikeduel.experiment.recipes import baseline
from spikeduel.training.store import Store
from spikeduel.training.training import write_checkpoint
from spikeduel.training.contenders import describe
import torch

full = Path(sys.argv[1])
experiment = baseline("digits", contenders=("small-cnn",), device="cpu")
prepared = load(experiment)
card = describe("small-cnn", experiment, prepared).card
noise = np.random.default_rng(0).integers(0, 2, (30, 1, 64, 64))
rows = [{"x": k, "y": float(noise[:, 0, :, k].sum())} for k in range(64)]
panel = Panel(Axis("x"), Axis("y"), [Marks("line", rows, Look())])
store = Store(full / "store")
kinds = {
    "cache": lambda: cache.write(full / "set", prepared),
    "checkpoint": lambda: write_checkpoint(full / "c.pt", {"weights": torch.randn(200_000)}),
    "model": lambda: save_model(full / "m.safetensors", Model(build(card), card)),
    "measure": lambda: store.save_measure("k", "classification", {"predicted": list(range(200_000))}),
    "ledger": lambda: [store.note_test_use("f" * 50_000) for _ in range(20)],
    "figure": lambda: [drawing.save(Chart(f"{n}", [panel]), full) for n in range(60)],
}
for name, write in kinds.items():
    try:
        write()
        print(name, "was written")
    except InputError as error:
        print(name, error)
    print(name, "left", sorted(str(path) for path in full.rglob("*.part")))
    (full / "store" / "ledger.jsonl").unlink(missing_ok=True)
"""


@pytest.fixture
def in_a_small_file_system(tmp_path):
    """Runs Python code, which is given a folder with room for 100 KB."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = f'mount -t tmpfs -o size=100k none {small} && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True).returncode
    ):
        pytest.skip("file systems cannot be mounted here")
    return lambda code: subprocess.run(
        [*command, sys.executable, "-c", code, str(small)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )


def test_a_disk_that_is_really_full_is_an_error_whatever_is_written(
    in_a_small_file_system,
):
    done = in_a_small_file_system(FULL)
    assert done.returncode == 0, done.stderr
    kinds = ["cache", "checkpoint", "model", "measure", "ledger", "figure"]
    refusal = r"cannot write to .*: No space left on device\. Choose another folder, or make room.*"
    lines = [rf"{kind} {outcome}" for kind in kinds for outcome in (refusal, r"left \[\]")]
    assert re.fullmatch("\n".join(lines), done.stdout.strip())


def test_a_folder_that_is_not_writable_is_named(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)

    def somebody_else():
        if os.geteuid() == 0:  # Root may write everywhere.
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        for write in (
            lambda: files.require_writable(closed),
            lambda: files.write_text(closed / "a", "x"),
            lambda: files.locked(closed / "x.lock").__enter__(),
        ):
            with pytest.raises(InputError, match=r"Permission denied\. Choose another folder"):
                write()

    assert Forked(somebody_else).ended() == (0, [])
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows limits the whole path")
@pytest.mark.parametrize("place", [("n" * 300,), ("new", "n" * 300, "x"), ("n" * 200, "é" * 200)])
def test_a_name_that_is_too_long_is_refused_before_any_work(tmp_path, place):
    with pytest.raises(InputError, match="cannot write to"):
        files.require_writable(tmp_path.joinpath(*place))
    with pytest.raises(InputError, match="File name too long"):
        files.write_text(tmp_path.joinpath(*place) / "a", "x")
    files.require_writable(tmp_path / ("n" * 200) / ("n" * 200))


def test_a_folder_is_no_file_to_write(tmp_path):
    with (
        pytest.raises(InputError, match="a folder; name the file to write"),
        files.atomic_path(tmp_path) as temporary,
    ):
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == []
