from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from made_models import make
from spikeduel.comparing import compare
from spikeduel.networks import model_files
from spikeduel.networks.architectures import PooledCounts
from spikeduel.results.caveats import NotTrained
from spikeduel.settings.recipes import baseline, matched
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.errors import InputError
from spikeduel.trials.conversion import CONVERTIBLE, activation_scales, converted
from spikeduel.trials.store import Store

pytestmark = pytest.mark.usefixtures("known_data")

IMAGES = torch.randint(0, 256, (40, 1, 10, 10), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def trained(shape):
    """A source whose batch norm has statistics of its own, as after a training."""
    model = make(shape)
    generator = torch.Generator().manual_seed(4)
    for name, value in model.module.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif name.endswith("running_mean") or (value.is_floating_point() and value.dim() == 1):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    model.module.eval()
    return model


def scores(model, images=IMAGES):
    with torch.no_grad():
        return model.readout.scores(model.run(model.encode(images, RandomKeys.for_content(images))))


@pytest.mark.parametrize("shape", CONVERTIBLE)
def test_with_more_steps_the_scores_come_nearer_to_the_sources(shape):
    source = trained(shape)
    expected = scores(source)
    # Of all activations, so that nothing is cut off but by rounding.
    distance = [(scores(converted(source, IMAGES, steps, 100.0)) - expected).abs().mean() for steps in (4, 32, 256)]
    assert distance[0] > 3 * distance[1] > 9 * distance[2]
    assert distance[2] < 0.02 * expected.abs().mean()


@pytest.mark.parametrize("shape", CONVERTIBLE)
def test_it_is_an_ordinary_model_of_the_spiking_shape(shape, tmp_path):
    source = trained(shape)
    found = converted(source, IMAGES, 5, 99.0)
    assert (found.card.family, found.card.encoding, found.card.num_steps) == ("snn", "direct", 5)
    shapes = [{name: value.shape for name, value in m.module.state_dict().items()} for m in (found, source)]
    assert shapes[0] == shapes[1]
    model_files.save_model(tmp_path / "m.safetensors", found)
    again = model_files.load_model(tmp_path / "m.safetensors")
    assert np.array_equal(again.predict(IMAGES)[1], found.predict(IMAGES)[1])
    state = None
    for frame in again.frames(IMAGES):
        streamed, state = again.step(frame, state)
    torch.testing.assert_close(streamed, scores(again))


def test_a_dense_layer_by_hand():
    source = trained("dense-relu")
    network = source.module
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    scales = activation_scales(source, IMAGES, 100.0)
    with torch.no_grad():
        first = network.block1(IMAGES.flatten(1) / 255).relu()
        second = network.block2(first).relu()
    assert scales == pytest.approx({"lif1": float(first.max()), "lif2": float(second.max())}, rel=1e-6)
    found = converted(source, IMAGES, 10, 100.0).module.state_dict()
    a, b = scales["lif1"], scales["lif2"]
    close = torch.testing.assert_close
    close(found["block1.0.weight"], weights["block1.0.weight"])
    close(found["block1.1.weight"], weights["block1.1.weight"] / a)
    close(found["block1.1.bias"], weights["block1.1.bias"] / a + 0.05)
    close(found["block2.0.weight"], weights["block2.0.weight"] * a)
    close(found["block2.1.bias"], weights["block2.1.bias"] / b + 0.05)
    close(found["linear.weight"], weights["linear.weight"] * b)
    close(found["linear.bias"], weights["linear.bias"])
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_the_percentile_is_that_of_positive_activations():
    source = trained("dense-relu")
    with torch.no_grad():
        first = source.module.block1(IMAGES.flatten(1) / 255).relu()
    expected = np.percentile(first[first > 0].numpy(), 90.0)
    assert activation_scales(source, IMAGES, 90.0)["lif1"] == pytest.approx(float(expected), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_pooled_counts_are_spikes_and_as_many_as_the_most_active_has(seed, num_steps):
    spk = (torch.rand(num_steps, 2, 3, 4, 6, generator=torch.Generator().manual_seed(seed)) > 0.6).float()
    pooled, counts = PooledCounts()(spk)
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}
    for t in range(num_steps):
        so_far = spk[: t + 1].sum(0)
        assert torch.equal(counts[t], so_far)
        assert torch.equal(pooled[: t + 1].sum(0), torch.nn.functional.max_pool2d(so_far, 2))


# ---- in a comparison


@pytest.fixture
def experiment():
    return matched(
        "digits", contenders=("dense-relu",), epochs=2, limit=300, hidden=16, device="cpu", convert=True,
        conversion_steps=6,
    )  # fmt: skip


def test_it_enters_the_duel_and_says_what_it_is(experiment, tmp_path, unreported):
    store = Store(tmp_path / "s")
    found = compare(replace(experiment, seeds=2), tmp_path / "out", store).results
    source, _, one, two = found.trials
    assert [t.contender for t in found.trials] == ["dense-relu"] * 2 + ["dense-relu-converted"] * 2
    assert (one.converted_from, one.family, one.num_steps, one.seed) == ("dense-relu", "snn", 6, 0)
    assert (one.epochs, one.epoch_seconds, one.history) == (source.epochs, [], [])
    assert source.converted_from is None
    assert one.test.n == source.test.n
    assert one.weight_shapes == source.weight_shapes
    assert one.model == "models/dense-relu-converted-seed0.safetensors"
    assert (tmp_path / "out" / two.model).is_file()
    (pair,) = found.comparison.pairs
    assert (pair.a, pair.b, pair.paired) == ("dense-relu", "dense-relu-converted", True)
    caveat = NotTrained(sources={"dense-relu-converted": "dense-relu"}, num_steps=6, percentile=99.9)
    assert caveat in found.comparison.caveats
    # What the validation images say is measured, not taken from its source.
    model = model_files.load_model(tmp_path / "out" / one.model)
    assert model.card.trained_on["converted_from"] == "dense-relu"
    # It has a temperature of its own, and so has its source.
    temperatures = [t.test.calibration.temperature for t in (source, one)]
    assert model.card.temperature == temperatures[1] != temperatures[0]


def test_what_is_converted_once_is_found_again(experiment, tmp_path, unreported):
    first = compare(experiment, tmp_path / "a", tmp_path / "s").results
    second = compare(experiment, tmp_path / "b", tmp_path / "s").results
    other = compare(replace(experiment, conversion_steps=3), tmp_path / "c", tmp_path / "s").results
    assert [t.key for t in first.trials] == [t.key for t in second.trials]
    assert first.trials[1].test == second.trials[1].test
    assert other.trials[0].key == first.trials[0].key
    assert other.trials[1].key != first.trials[1].key


def test_there_must_be_something_to_convert():
    with pytest.raises(
        InputError, match=r"convert: none of dense-snn, small-cnn can be converted\. .* --recipe matched"
    ):
        compare(baseline(convert=True))
