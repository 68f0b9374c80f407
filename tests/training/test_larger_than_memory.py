"""A set four times as large as what memory is left, by a limit that needs no privileges, trains to
the same numbers.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from forked import Forked
from spikeduel import data
from spikeduel.data import cache, loader
from spikeduel.data.prepared import RawDataset, from_raw
from spikeduel.experiment.recipes import baseline
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system import hardware
from spikeduel.system.progress import Progress
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store

NUM_IMAGES, SIDE, LEFT = 8_192, 64, 24 << 20
SMALL = {"WHOLE": 4 << 20, "WINDOW": 4 << 20, "EVALUATION_BATCH": 32}
"""Sizes of the loader, which decide the order of images."""


def noise(num_images, edge):
    labels = np.arange(num_images) % 4
    images = np.random.default_rng(0).integers(0, 256, (num_images, 3, edge, edge), np.uint8)
    images[np.arange(num_images), 0, 0] = labels[:, None] * 60
    raw = RawDataset(images, labels, tuple("abcd"), Preprocessing(3, edge, edge))
    return from_raw("noise", raw)


def trained(prepared, store):
    """Return losses, accuracies and a hash of the weights."""
    experiment = baseline(
        "noise", contenders=("dense-relu",), hidden=4, epochs=1, batch_size=64, precision="32"
    )
    split = data.split(prepared, experiment)
    (planned,) = contenders.trials_of(experiment, prepared, split)
    record = trial.run(planned, prepared, Store(store), Progress())
    assert record.status == "done", record.error
    weights = trial.load_of(planned.key, planned, Store(store)).module.state_dict()
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    return record.history, digest.hexdigest()


def limited():
    """Prints what it trains to with `LEFT` bytes more than it takes before."""
    import resource

    prepared = cache.read(Path("set"))
    trained(noise(80, 8), "before")  # imports what it needs
    hardware.release_freed_memory()
    status = Path("/proc/self/status").read_text()
    used = int(status.partition("VmData:")[2].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + LEFT, used + LEFT))
    with pytest.raises(MemoryError):
        np.array(prepared.images)
    assert isinstance(prepared.arrays[0], np.memmap)
    print(*trained(prepared, "limited"))


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the system does not keep to this limit"
)
def test_a_set_four_times_the_memory_trains_to_the_same_numbers(tmp_path, monkeypatch):
    prepared = noise(NUM_IMAGES, SIDE)
    assert prepared.images.nbytes == 4 * LEFT
    cache.write(tmp_path / "set", prepared)
    assert loader.by_blocks(prepared.images, NUM_IMAGES) is False
    for name, size in SMALL.items():
        monkeypatch.setattr(loader, name, size)
    code, lines = Forked(limited).ended()
    assert code == 0, "\n".join(lines)
    history, digest = trained(prepared, "here")
    assert lines[-1] == f"{history} {digest}"
