"""A set four times as large as what memory is left, by a limit that needs no privileges, trains to
the same numbers.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikeduel.data import cache, loader
from spikeduel.data.prepared import RawDataset, from_raw
from spikeduel.networks.preprocessing import Preprocessing

NUM_IMAGES, SIDE, LEFT = 8_192, 64, 24 << 20
SCRIPT = """
import hashlib, sys
from pathlib import Path

import numpy as np
import torch

from spikeduel import data
from spikeduel.data import cache, loader
from spikeduel.data.prepared import RawDataset, from_raw
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.settings.recipes import baseline
from spikeduel.system.progress import Progress
from spikeduel.trials import contenders, trial
from spikeduel.trials.store import Store

loader.WHOLE, loader.WINDOW, loader.EVALUATION_BATCH = 8 << 20, 8 << 20, 32
folder, left = Path(sys.argv[1]), int(sys.argv[2])
prepared = cache.read(folder)
noise = np.random.default_rng(0).integers(0, 256, (80, 3, 8, 8), np.uint8)
small = from_raw("small", RawDataset(noise, np.arange(80) % 4, tuple("abcd"), Preprocessing(3, 8, 8)))


def trained(prepared, store):
    experiment = baseline(
        "noise", contenders=("dense-relu",), hidden=4, epochs=1, batch_size=64, precision="32"
    )
    split = data.split(prepared, experiment)
    (planned,) = contenders.trials_of(experiment, prepared, split)
    record = trial.run(planned, prepared, Store(store), Progress())
    assert record.status == "done", record.error
    weights = trial.load(planned, Store(store)).module.state_dict()
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].numpy().tobytes())
    return record.history, digest.hexdigest()


if left:
    import resource

    trained(small, sys.argv[3] + "-before")  # imports what it needs
    used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + left, used + left))
    try:
        np.array(prepared.images)
        raise SystemExit("the limit limits nothing")
    except MemoryError:
        pass
print("mapped" if isinstance(prepared.held[0], np.memmap) else "in memory", *trained(prepared, sys.argv[3]))
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the system does not keep to this limit"
)
def test_a_set_four_times_the_memory_trains_to_the_same_numbers(tmp_path: Path) -> None:
    labels = np.arange(NUM_IMAGES) % 4
    images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 3, SIDE, SIDE), np.uint8)
    images[np.arange(NUM_IMAGES), 0, 0] = labels[:, None] * 60
    assert images.nbytes == 4 * LEFT
    raw = RawDataset(images, labels, tuple("abcd"), Preprocessing(3, SIDE, SIDE))
    cache.write(tmp_path / "set", from_raw("noise", raw))
    assert loader.by_blocks(images, NUM_IMAGES) is False

    def trained(left: int) -> tuple[str, str]:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            str(tmp_path / "set"),
            str(left),
            str(tmp_path / f"store-{left}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        where, _, numbers = done.stdout.strip().splitlines()[-1].partition(" [")
        return where, numbers

    where, numbers = trained(0)
    where_limited, numbers_limited = trained(LEFT)
    assert (where, where_limited) == ("in memory", "mapped")
    assert numbers == numbers_limited
