import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

import made_torchrun
from forked import Forked
from spikeduel.cli import main
from spikeduel.networks.training_step import Ranks
from spikeduel.system.progress import Progress
from spikeduel.trials.store import Store

PATIENCE = 240
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COMMAND = [*TORCHRUN, "-m", "spikeduel", "compare", "digits", "--limit", "200"]


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


def test_two_processes_train_to_the_numbers_of_one_and_end_together(tmp_path):
    (tmp_path / "alone").mkdir()
    expected = made_torchrun.train_all(tmp_path / "alone")
    for name in ("gone on", "gone on after ReLU"):  # one process begins what two go on with
        with pytest.raises(KeyboardInterrupt):
            made_torchrun.loop(name, tmp_path / f"{name}.pt", StopsAfterOneEpoch()).run()
    code, _ = Forked(lambda: made_torchrun.torchrun(tmp_path)).ended()
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())
    for name, alone in expected.items():
        together = outcomes[name]
        assert together["relu_epochs"] == alone["relu_epochs"] == ("ReLU" in name)
        for key in ("train_loss", "val_loss"):
            losses = [epoch[key] for epoch in together["history"]]
            assert losses == pytest.approx([epoch[key] for epoch in alone["history"]], rel=1e-4)
        difference = np.linalg.norm(np.subtract(together["weights"], alone["weights"]))
        assert difference < 1e-3 * np.linalg.norm(alone["weights"]), name
    # Then a step fails in the second process, in the third epoch of a trial.
    # torchrun reports whichever process it finds ended first, which may be the one left alone.
    assert code != 0
    said = (tmp_path / "said" / "1").read_text()
    assert "broke off in process 2 of 2 (ValueError: planted). Finished epochs are saved" in said
    processes = [Path("/proc", path.read_text()) for path in (tmp_path / "processes").iterdir()]
    assert len(processes) == 2
    assert not any(process.exists() for process in processes)
    store = Store(tmp_path / "store")
    (key,) = store.trials()
    assert store.checkpoint_path(key).is_file()
    assert store.record(key) is None


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_a_network_with_batch_norm():
    command = [*COMMAND, "--device", "cuda", "--recipe", "strong", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_several_processes_train_one_network_or_several(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["spikeduel", "compare", "digits", "--jobs", "2"])
    with pytest.raises(SystemExit):
        main()
    assert "error: torchrun trains one network in several processes" in capsys.readouterr().err
