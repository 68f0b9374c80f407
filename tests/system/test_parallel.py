import os
import shutil
import subprocess
import sys
import threading

import pytest
import torch

from spikeduel.system import parallel

SMALL = 2 * parallel.MIN_PART - 1
LARGE = 1000 * parallel.MIN_PART
SPIKES = """
import torch
import spikeduel
from spikeduel.system.parallel import COMPILED
spk, mem = spikeduel.LIF(beta=0.5)(torch.full((4, 2, 3), 1.5))
print(COMPILED["cache"], float(spk.sum()))
"""


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 100, 1000])
@pytest.mark.parametrize("num_threads", [1, 2, 3, 7])
@pytest.mark.parametrize("work", [0, SMALL, LARGE])
def test_parts_cover_the_range_once(monkeypatch, length, num_threads, work):
    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    parts, used = [], set()

    def kernel(start, stop):
        parts.append((start, stop))
        used.add(threading.current_thread())

    parallel.run_chunks(kernel, length, work=work, grain=16)
    assert sorted(i for part in parts for i in range(*part)) == list(range(length))
    assert all(start % 16 == 0 for start, _ in parts)
    assert len(used) <= num_threads
    if work <= SMALL:
        assert used == {threading.current_thread()}


def test_parts_run_side_by_side(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    meeting = threading.Barrier(2, timeout=30)
    parallel.run_chunks(lambda *_: meeting.wait(), 2, work=LARGE)


@pytest.mark.parametrize("failing_start", [0, 1])
def test_an_error_in_any_part_is_raised(monkeypatch, failing_start):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def kernel(start, stop):
        if start == failing_start:
            raise IndexError("broken part")

    with pytest.raises(IndexError, match="broken part"):
        parallel.run_chunks(kernel, 2, work=LARGE)


def test_without_a_folder_for_compiled_code_it_still_spikes():
    """The user has no home and may not write beside the sources, as in many containers."""
    command = [sys.executable, "-W", "ignore", "-c", SPIKES]
    environment = {**os.environ, "HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}
    environment.pop("NUMBA_CACHE_DIR", None)
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to be somebody else")
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    elif os.access(parallel.__file__, os.W_OK):
        pytest.skip("the sources are one's own, so that compiled code is kept beside them")
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("the package lies where only root may read")
    assert done.returncode == 0, done.stderr
    # At 1.5 above a threshold of 1, every step spikes: 1.5, then 0.75 + 1.5 − 1 = 1.25, then 1.125,
    # then 1.0625.
    assert done.stdout == "False 24.0\n"
