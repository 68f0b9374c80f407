from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_models import make
from spikeduel.engine.networks import models
from spikeduel.engine.networks.models import Model, by_name
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system.errors import InputError

pytestmark = pytest.mark.numeric


@pytest.fixture
def images(random):
    return random.integers(0, 256, (5, 1, 10, 10), dtype=np.uint8)


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
def test_an_image_gets_the_same_prediction_in_any_batch(encoding, images):
    model = make(encoding=encoding)
    labels, probabilities = model.predict(images)
    assert (labels.dtype, probabilities.shape) == (np.int64, (5, 3))
    assert np.allclose(probabilities.sum(1), 1)
    assert np.array_equal(labels, probabilities.argmax(1))
    for image, *prediction in zip(images, labels, probabilities, strict=True):
        (label,), (alone,) = model.predict(image[None])
        assert label == prediction[0]
        assert np.allclose(alone, prediction[1], atol=1e-6)
    assert np.array_equal(labels, model.predict(images, batch_size=2)[0])


def test_grey_images_may_lack_a_channel_axis_and_none_is_fine(images):
    model = make()
    assert np.array_equal(model.predict(images[:, 0])[1], model.predict(images)[1])
    labels, probabilities = model.predict(images[:0])
    assert labels.shape == (0,)
    assert probabilities.shape == (0, 3)


def test_wrong_images_are_refused(images):
    for wrong in (images.astype(np.float32), images[:, :, :5], images[0, 0]):
        with pytest.raises(InputError, match=r"uint8 \[N, 1, 10, 10\]"):
            make().predict(wrong)


@pytest.mark.parametrize("temperature", [0.05, 3.0, 100.0])
def test_a_temperature_changes_probabilities_and_no_label(temperature, images):
    plain, fitted = make(), make(temperature=temperature)
    labels, raw = plain.predict(images)
    calibrated, probabilities = fitted.predict(images)
    assert np.array_equal(calibrated, labels)
    assert np.array_equal(fitted.predict(images, calibrated=False)[1], raw)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert (probabilities.max(1) < raw.max(1)).all() == (temperature > 1)
    # A stream's too.
    state = None
    for frame in fitted.frames(images):
        scores, state = fitted.step(frame, state)
    np.testing.assert_allclose(fitted.probabilities(scores), probabilities, atol=1e-5)
    np.testing.assert_allclose(fitted.probabilities(scores, calibrated=False), raw, atol=1e-5)


def test_after_some_of_the_steps_counts_of_spikes_are_calibrated_as_after_all():
    rates, whole = torch.tensor([0.5, 0.25, 0.0]), make(temperature=2.0)
    expected = (6 * rates / 2).softmax(0)
    for num_steps in (1, 3, 6):
        shares = whole.probabilities(num_steps * rates, num_steps=num_steps)
        torch.testing.assert_close(shares, expected)
        assert float(whole.confidence(num_steps * rates, num_steps)) == round(float(expected[0]), 4)
    # All steps at once, and raw ones as they are.
    steps = torch.tensor([1, 3, 6])
    shares = whole.probabilities(steps[:, None] * rates, num_steps=steps)
    torch.testing.assert_close(shares, expected.expand(3, 3))
    raw = whole.probabilities(3 * rates, calibrated=False, num_steps=3)
    torch.testing.assert_close(raw, (3 * rates).softmax(0))
    # A mean over steps, and scores without a temperature, do not grow.
    network = {"width": 4, "neuron": "lif"}
    mean = make("vgg-lif", kind="snn", network=network, encoding="direct", num_steps=6)
    for model in (mean, make()):
        torch.testing.assert_close(model.probabilities(rates, num_steps=3), rates.softmax(0))
    mean.card = replace(mean.card, temperature=2.0)
    torch.testing.assert_close(mean.probabilities(rates, num_steps=3), (rates / 2).softmax(0))


def test_the_label_is_that_of_the_scores_where_probabilities_round_to_the_same(images):
    model = make("small-cnn", temperature=100.0)
    with torch.no_grad():
        for weights in model.module.parameters():
            weights.zero_()
        # Differences of 1e-6 vanish in the softmax after a temperature of 100.
        list(model.module.parameters())[-1].copy_(torch.tensor([0.0, 1e-6, 0.0]))
    assert set(model.predict(images)[0]) == {1}


def test_a_trace_is_what_the_network_did(images):
    model, draw = make(), RandomKeys.for_evaluation(np.arange(5))
    trace = model.trace(images, draw)
    assert trace.encoded.shape == (6, 5, 1, 10, 10)
    assert list(trace.spk) == ["lif1", "lif2"]
    expected = model.module(model.encode(torch.from_numpy(images), draw))
    assert all(map(torch.equal, (trace.spk["lif2"], trace.mem["lif2"]), expected))
    torch.testing.assert_close(trace.current["lif2"], model.module.linear2(trace.spk["lif1"]))
    with pytest.raises(InputError, match="does not spike"):
        make("small-cnn").trace(images)


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
@pytest.mark.parametrize("contender", ["dense-snn", "conv-lif"])
def test_streaming_ends_in_the_scores_of_predict(contender, encoding, images):
    card = {"kind": "snn", "num_steps": 6, "network": {"hidden": 12, "neuron": "lif"}}
    model, state = make(contender, encoding=encoding, **card), None
    model.module.eval()
    frames = list(model.frames(images))
    for frame in frames:
        scores, state = model.step(frame, state)
    assert state.num_steps == len(frames) == 6
    labels, probabilities = model.predict(images)
    assert np.array_equal(scores.argmax(1).numpy(), labels)
    assert np.allclose(scores.softmax(1).numpy(), probabilities, atol=1e-5)
    # Another stream begins anew.
    again, _ = model.step(frames[0])
    assert torch.equal(again, model.step(frames[0])[0])


def test_two_streams_do_not_disturb_each_other(images):
    model, alone, state, between = make(encoding="direct"), None, None, None
    one, other = (torch.from_numpy(images[[row]]).float() / 255 for row in (0, 1))
    for _ in range(4):
        expected, alone = model.step(one, alone)
    for _ in range(4):
        scores, state = model.step(one, state)
        _, between = model.step(other, between)
    assert torch.equal(scores, expected)


@pytest.mark.parametrize(
    ("contender", "frame", "problem"),
    [
        ("small-cnn", torch.zeros(1, 1, 10, 10), "does not spike"),
        ("dense-snn", torch.zeros(1, 1, 10, 10, dtype=torch.uint8), r"model\.frames\(images\)"),
        ("dense-snn", torch.zeros(1, 1, 9, 10), r"float32 \[B, 1, 10, 10\]"),
    ],
)
def test_what_cannot_stream_is_refused_with_the_reason(contender, frame, problem):
    with pytest.raises(InputError, match=problem):
        make(contender).step(frame)


def test_a_network_with_large_layers_takes_fewer_images_at_once(images, monkeypatch):
    layers = [{"type": "Flatten"}, {"type": "Linear", "in_features": 100, "out_features": 3}]
    model = make(
        "sequential", kind="snn", encoding="direct", num_steps=6, network={"layers": layers}
    )
    assert model.images_at_once == models.MAX_IMAGES
    before, seen = model.predict(images)[1], []
    # Its largest output are the images themselves: 100 numbers at each of 6 steps.
    monkeypatch.setattr(models, "MAX_VALUES", 1300)
    model.module.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    assert np.allclose(model.predict(images)[1], before, atol=1e-6)
    assert seen == [2, 2, 1]
    monkeypatch.setattr(models, "MAX_VALUES", 1)
    assert model.images_at_once == 1


def test_models_have_the_shortest_distinct_names():
    def files(*paths):
        return list(by_name([Model(one.module, one.card, file=Path(path)) for path in paths]))

    one, other, conventional = make(seed=1), make(seed=2), make("small-cnn")
    assert by_name([one, conventional]) == {"dense-snn": one, "small-cnn": conventional}
    titles = ["dense-snn, seed 1", "dense-snn, seed 2", "small-cnn, seed 4"]
    assert list(by_name([one, other, conventional])) == titles
    assert files("first.safetensors", "second.safetensors") == ["first", "second"]
    paths = [str(Path(name) / "same.safetensors") for name in ("first", "second")]
    assert files(*paths) == paths
    assert list(by_name([one, one]).values()) == [one, one]
