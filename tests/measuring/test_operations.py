import numpy as np
import pytest
import torch
from torch import nn

from made_models import make
from spikeduel.measuring.costing import operations
from spikeduel.results.costs import Ways
from spikeduel.spiking.random_keys import RandomKeys


def batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    start = 0
    for size in sizes:
        images = torch.randint(0, 256, (size, 1, 10, 10), dtype=torch.uint8, generator=generator)
        yield images, torch.zeros(size, dtype=torch.long), np.arange(start, start + size)
        start += size


def first_layer(model, *sizes):
    found = operations(model, list(batches(*sizes))).operations
    assert found.images == sum(sizes)
    return found.layers[0]


def test_the_encoding_says_what_the_first_layer_takes():
    direct = first_layer(make(encoding="direct"), 5)
    assert (direct.input, direct.acs.total) == ("image", 0)
    assert direct.macs.dense == Ways(per_step=6 * 1200, hoisted=1200)
    for encoding in ("rate", "latency"):
        spikes = first_layer(make(encoding=encoding), 5)
        assert (spikes.input, spikes.macs.dense.per_step) == ("spikes", 0)
        assert spikes.acs.total == 12 * spikes.events.total > 0
    plain = first_layer(make("small-cnn"), 5)
    assert (plain.input, plain.passes) == ("image", Ways(per_step=1, hoisted=1))


def test_spikes_are_those_of_the_encoder():
    model = make(encoding="rate")
    ((images, _, indices),) = batches(5)
    drawn = model.encode(images, RandomKeys.for_evaluation(indices))
    events = first_layer(model, 5).events.by_step
    assert [5 * each for each in events] == pytest.approx(drawn.float().sum((1, 2, 3, 4)).tolist())


def test_how_images_are_batched_does_not_matter():
    model = make(encoding="rate")
    whole = list(batches(6))
    ((images, labels, indices),) = whole
    parts = [(images[p], labels[p], indices[p]) for p in (slice(0, 4), slice(4, 6))]
    apart, together = (operations(model, each).operations for each in (parts, whole))
    assert apart.totals.acs.by_step == pytest.approx(together.totals.acs.by_step)
    assert apart.totals.spikes.total == pytest.approx(together.totals.spikes.total)


def test_a_network_that_cannot_be_counted_says_why():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).real

    model = make("small-cnn")
    model.module.classifier.append(Odd())
    found = operations(model, list(batches(3)))
    assert found.operations is None
    assert "'classifier.3' (Odd) uses aten._fft_r2c" in found.reason


def test_an_encoder_of_ones_own_says_whether_it_gives_spikes(monkeypatch, tmp_path):
    (tmp_path / "own_encoders.py").write_text(
        "import spikeduel\n"
        "def ones(images, num_steps, keys):\n"
        "    return (images > 0).float().unsqueeze(0).expand(num_steps, *images.shape)\n\n"
        "same = spikeduel.Encoder(ones, spikes=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, kind in (("ones", "image"), ("same", "spikes")):
        assert first_layer(make(encoding=f"own_encoders:{name}"), 3).input == kind
