import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import made_torchrun
from spikeduel.networks.training_step import Ranks
from spikeduel.system.progress import Progress
from spikeduel.trials.store import Store

PATIENCE = 240
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COMMAND = [*TORCHRUN, "-m", "spikeduel", "compare", "digits", "--device", "cpu", "--limit", "200"]
FAILING = """
import os
from spikeduel.networks.architectures import SmallCNN

class Net(SmallCNN):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls == 3 and os.environ["RANK"] == "1":
            raise ValueError("planted")
        return super().forward(x)
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


class StopsAfterOneEpoch(Progress):
    def epoch(self, title, accuracies, num_epochs):
        raise KeyboardInterrupt


@given(total=st.integers(1, 300), size=st.integers(1, 9))
def test_parts_are_a_batch_once(total, size):
    batch = np.arange(total)
    parts = [Ranks(rank, size).part(batch) for rank in range(size)]
    if total < size:
        assert all(np.array_equal(part, batch) for part in parts)
    else:
        assert np.array_equal(np.concatenate(parts), batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_two_processes_train_to_the_numbers_of_one(tmp_path):
    (tmp_path / "alone").mkdir()
    expected = made_torchrun.train_all(tmp_path / "alone")
    with pytest.raises(KeyboardInterrupt):  # one process begins what two go on with
        made_torchrun.loop("gone on", tmp_path / "gone on.pt", StopsAfterOneEpoch()).run()
    program = [made_torchrun.__file__, str(tmp_path), str(tmp_path / "outcomes.json")]
    done = subprocess.run([*TORCHRUN, *program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())
    for name, alone in expected.items():
        together = outcomes[name]
        for key in ("train_loss", "val_loss"):
            losses = [epoch[key] for epoch in together["history"]]
            assert losses == pytest.approx([epoch[key] for epoch in alone["history"]], rel=1e-4)
        difference = np.linalg.norm(np.subtract(together["weights"], alone["weights"]))
        assert difference < 1e-3 * np.linalg.norm(alone["weights"]), name


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_a_network_with_batch_norm():
    command = [*COMMAND, "--device", "cuda", "--recipe", "strong", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def is_gone(process, seconds=60):
    until = time.monotonic() + seconds
    while Path(f"/proc/{process}").exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("killed", [0, 1, None], ids=["rank 0", "rank 1", "interrupted"])
def test_the_end_of_one_process_is_the_end_of_all(killed):
    command = [*COMMAND, "--contender", "small-cnn", "--epochs", "100000"]
    with subprocess.Popen(
        [*command, "--verbose"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert any("epoch 2/" in line for line in process.stdout)
        ranks = {}
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for child in children.split():
            variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            ranks |= {int(text[5:]): int(child) for text in variables if text.startswith(b"RANK=")}
        assert sorted(ranks) == [0, 1]
        if killed is None:
            process.send_signal(signal.SIGINT)
        else:
            os.kill(ranks[killed], signal.SIGKILL)
        try:
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode != 0
    assert all(is_gone(child) for child in ranks.values())
    if killed is None:
        assert "Finished epochs are saved" in errors
    store = Store()
    (key,) = store.trials()
    assert store.checkpoint_path(key).is_file()
    assert store.record(key) is None


def test_an_error_in_one_process_ends_all_and_fails_no_trial(tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    command = [*COMMAND, "--contender", "failing:Net", "--contender", "small-cnn"]
    done = subprocess.run(
        [*command, "--own-code", "failing:Net", "--epochs", "2"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "ValueError: planted" in done.stderr
    store = Store()
    assert not [key for key in store.trials() if store.record(key)]


def test_several_processes_train_one_network_or_several():
    done = subprocess.run(
        [*COMMAND, "--jobs", "2"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode != 0
    assert "error: torchrun trains one network in several processes" in done.stderr
