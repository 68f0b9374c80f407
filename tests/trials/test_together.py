import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import made_together
from spikeduel.system import processes
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import together

TESTS = Path(made_together.__file__).parent
PATIENCE = 240
CLOSE = {"muon": 1e-3}
"""Muon makes its steps in bf16."""


class AfterOneEpoch(Progress):
    def epoch(self, title, accuracies, num_epochs):
        raise KeyboardInterrupt


def begun(folder):
    """The state after the first epoch of what is gone on from."""
    with pytest.raises(KeyboardInterrupt):
        made_together.loop("gone on", folder / "gone on.pt", AfterOneEpoch()).run()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return made_together.told(tmp_path_factory.mktemp("alone"))


def torchrun(number, *command, **more):
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number), *command]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(run, env=environment, capture_output=True, text=True, timeout=PATIENCE, **more)


@pytest.mark.parametrize("number", [2, 4])
def test_several_processes_train_to_the_numbers_of_one(number, alone, tmp_path):
    begun(tmp_path)
    done = torchrun(number, str(TESTS / "made_together.py"), str(tmp_path), str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    for name, expected in alone.items():
        history, its = found[name]["history"], expected["history"]
        assert len(history) == len(its), name
        for here, there in zip(history, its, strict=True):
            assert here["train_loss"] == pytest.approx(there["train_loss"], rel=CLOSE.get(name, 1e-5)), name
            assert here["train_accuracy"] == pytest.approx(there["train_accuracy"], abs=2 / 135), name
        difference = np.subtract(found[name]["weights"], expected["weights"])
        assert np.linalg.norm(difference) < 1e-3 * np.linalg.norm(expected["weights"]), name
