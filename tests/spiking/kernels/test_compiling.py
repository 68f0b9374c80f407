import os
import shutil
import subprocess
import sys

import pytest

from spikeduel.spiking.kernels import compiling

SPIKES = """
import torch
import spikeduel
from spikeduel.spiking.kernels.compiling import is_kept
spk, mem = spikeduel.LIF(beta=0.5)(torch.full((4, 2, 3), 1.5))
print(is_kept(), float(spk.sum()))
"""


def test_where_there_is_a_folder_it_is_used():
    assert compiling.is_kept()


def test_without_a_folder_for_compiled_code_it_still_spikes():
    """As somebody with neither a home nor a right to write beside the sources, as in many containers."""
    command = [sys.executable, "-W", "ignore", "-c", SPIKES]
    environment = {**os.environ, "HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}
    environment.pop("NUMBA_CACHE_DIR", None)
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to be somebody else")
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    elif os.access(compiling.__file__, os.W_OK):
        pytest.skip("the sources are one's own, so that compiled code is kept beside them")
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("the package lies where only root may read")
    assert done.returncode == 0, done.stderr
    # At 1.5 above a threshold of 1, every step spikes: 1.5, then 0.75 + 1.5 − 1 = 1.25, then 1.125, then 1.0625.
    assert done.stdout == "False 24.0\n"
