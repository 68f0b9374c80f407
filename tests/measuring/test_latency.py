import json

import numpy as np
import pytest
from msgspec import structs

from made_models import make
from spikeduel.measuring.latency import latency, machine
from spikeduel.networks.models import save_model
from spikeduel.results.trials import Latency
from spikeduel.system import typed


@pytest.fixture
def images(random):
    return random.integers(0, 256, (20, 1, 10, 10), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    save_model(tmp_path / "a model.safetensors", make())
    return tmp_path / "a model.safetensors"


def test_a_model_is_timed_in_a_process_of_its_own(path, images):
    found = latency(path, images, "cpu")
    assert structs.replace(found.machine, load_average=None) == structs.replace(
        machine("cpu"), load_average=None
    )
    assert found.precision == "32"
    assert set(found.throughput) == {"1", "32", "256"}
    assert 0 < found.one_image.median_ms < 1000
    assert len(found.stream_ms) == 6
    assert found.start_up_seconds > 0.1
    # Torch is in it; and it is not the memory of this process, which has grown by pictures and
    # tests.
    assert 50 << 20 < found.peak_memory_bytes < 4 << 30
    assert (
        typed.converted(json.loads(json.dumps(typed.plain(found), allow_nan=False)), Latency)
        == found
    )


OWN = """
from torch import nn

print("imported, noisily")

class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(100, 3)

    def forward(self, x):
        print("noise")
        return self.linear(x.flatten(1))

def build(image_shape, num_classes, num_steps, **settings):
    return Noisy()
"""


def test_code_of_the_users_is_found_and_may_print(tmp_path, images, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own_network_timed.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    save_model(
        tmp_path / "own.safetensors",
        make("own_network_timed:build", family="ann", encoding=None, network={}, num_steps=None),
    )
    capsys.readouterr()
    found = latency(tmp_path / "own.safetensors", images, "cpu", ["own_network_timed:build"])
    assert found.one_image.n >= 3
    assert capsys.readouterr() == ("", "")
    refused = latency(tmp_path / "own.safetensors", images, "cpu")
    assert refused.one_image is None
    assert "own_network_timed:build" in refused.reasons["process"]


def test_what_fails_is_null_and_says_why(path, images, tmp_path):
    path.write_bytes(b"damaged")
    found = latency(path, images, "cpu")
    assert found == Latency(machine=found.machine, reasons=found.reasons)
    assert "a model.safetensors" in found.reasons["process"]
    late = latency(path, images, "cpu", seconds=0.01)
    assert late.reasons["process"] == "no process for it (TimeoutExpired)"
