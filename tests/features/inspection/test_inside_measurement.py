import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec import structs
from msgspec.structs import astuple
from torch import nn

from made_models import Tutorial, louder, make, make_recorded
from spikeduel import energy
from spikeduel.engine import kernels
from spikeduel.engine.networks.foreign import ExternalNetwork, calling_of
from spikeduel.engine.networks.models import Model, neurons_watched
from spikeduel.engine.neurons import LIF
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import LogitReadout
from spikeduel.evaluation.costing import operations
from spikeduel.features.inspection import inside_measurement as inside
from spikeduel.features.inspection.inside_measurement import (
    attribution,
    chosen,
    look_inside,
    pictures,
)
from spikeduel.system.errors import InputError

pytestmark = pytest.mark.numeric


@pytest.fixture
def image(random):
    return random.integers(0, 256, (1, 10, 10), dtype=np.uint8)


def spiking(**changes):
    model = make(**changes)
    with torch.no_grad():
        model.module.linear1.weight *= 4
        model.module.linear2.weight *= 8
    return model


def seen(model, image, **settings):
    return look_inside({"it": model}, image, **settings).models[0]


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
def test_spikes_and_membranes_are_those_of_the_trace(image, encoding):
    model, keys = spiking(encoding=encoding), RandomKeys.for_evaluation(np.array([5]))

    view = seen(model, image, keys=keys)

    trace = model.trace(image[None], keys)
    assert [layer.name for layer in view.layers] == list(trace.spk)
    for layer in view.layers:
        spk, mem = (part[layer.name][:, 0].numpy() for part in (trace.spk, trace.mem))
        np.testing.assert_array_equal(layer.fired, spk[:, layer.shown].T > 0)
        assert layer.spikes == spk.sum(1).tolist()
        for membrane in layer.membranes:
            np.testing.assert_allclose(
                membrane.potential, mem[:, membrane.neuron], rtol=1e-3, atol=1e-6
            )
            assert membrane.threshold == [0.5] * 6
    hidden, output = view.layers
    # Each class has a row.
    assert (hidden.of_classes, output.of_classes, output.shown) == (False, True, [0, 1, 2])
    assert sum(view.spikes) == sum(spk.sum() for spk in trace.spk.values()) > 0
    np.testing.assert_allclose(
        view.input.values[:, 0] if encoding != "direct" else view.input.values[[0] * 6, 0],
        trace.encoded[:, 0, 0],
        atol=1 / 255,
    )


@pytest.mark.parametrize("readout", ["counts", "mean"])
def test_probabilities_are_those_of_the_stream_and_the_last_those_of_predict(image, readout):
    model = spiking() if readout == "counts" else make_recorded()[0]
    frames = image if readout == "counts" else make_recorded()[1][0].numpy()
    state, expected = None, []
    for frame in model.frames(frames[None]):
        scores, state = model.step(frame, state)
        expected.append(model.probabilities(scores[0]).numpy())

    view = seen(model, frames)

    np.testing.assert_allclose(view.probabilities, expected, atol=2e-6)
    label, shares = model.predict(frames[None])
    np.testing.assert_allclose(view.probabilities[-1], shares[0], atol=2e-6)
    assert view.prediction == label[0]
    predictions = np.argmax(expected, 1)
    assert all(predictions[view.decided - 1 :] == label[0])
    assert view.decided == 1 or predictions[view.decided - 2] != label[0]


def test_energy_so_far_ends_with_the_energy_per_inference(image):
    model = spiking()

    view = look_inside({"it": model}, image, keys=RandomKeys.for_evaluation(np.array([0])))

    batch = torch.from_numpy(image[None]), torch.zeros(1, dtype=torch.int64), np.arange(1)
    counts = operations(model, [batch]).operations
    table = energy.read(energy.HEADLINE)
    joules = view.models[0].joules
    assert joules == energy.over_time(counts, table)
    # The last one is a range as that of a report, of the same counts.
    reported = energy.estimate(counts.layers, table).of("on_chip").range
    assert astuple(joules[-1]) == pytest.approx(astuple(reported))
    assert joules[-1].low < joules[-1].high
    assert view.energy == f"{table.title}, with memory on the chip"


def test_of_an_adaptive_neuron_the_threshold_rises_with_its_spikes(image):
    network = {
        "hidden": 12,
        "neuron": "alif",
        "beta": 0.9,
        "threshold": 0.5,
        "adaptation_decay": 0.5,
    }
    model = spiking(network={**network, "adaptation_gain": 0.2}, num_steps=20)

    rises = set()
    for layer in seen(model, image).layers:
        for membrane in layer.membranes:
            fired = layer.fired[layer.shown.index(membrane.neuron)]
            np.testing.assert_array_equal(np.array(membrane.potential) > membrane.threshold, fired)
            rises.add(max(membrane.threshold))
    assert max(rises) > 0.69


def test_of_a_threshold_for_each_step_none_is_shown(image):
    model = spiking()
    for neuron in model.module.modules():
        if isinstance(neuron, LIF) and neuron.threshold < float("inf"):
            neuron.register_buffer("threshold_by_step", torch.ones(7, 1))
            neuron.__class__ = ByStep
    shown = [one.threshold for layer in seen(model, image).layers for one in layer.membranes]
    assert shown
    assert set(shown) == {None}


class ByStep(LIF):
    """A neuron of one's own, whose threshold has the shape of its steps."""

    threshold = property(lambda neuron: neuron.threshold_by_step)
    dynamics = None

    def over_time(self, current, state, with_mem):
        return LIF(0.9, 0.5).over_time(current, state, with_mem)


def test_a_network_without_spikes_shows_what_its_layers_give_to_the_next(image):
    model = make("small-cnn")

    view = seen(model, image)

    with torch.no_grad():
        x = model.module.border(torch.from_numpy(image[None] / 255).float())
        first = model.module.features[:3](x)
        last = model.module.features(x).flatten(1)
    maps, flat, _ = view.activations
    strongest = first.mean((0, 2, 3)).argsort(descending=True)[:6].sort().values
    assert maps.channels == 16
    np.testing.assert_allclose(maps.maps.values, first[:, strongest], atol=maps.maps.high / 255)
    assert flat.channels == last.shape[1]
    np.testing.assert_allclose(
        flat.maps.values.ravel()[: flat.channels], last[0], atol=flat.maps.high / 255
    )
    assert not view.layers
    assert (view.decided, view.spikes, len(view.joules)) == (None, None, 1)


def test_maps_have_the_numbers_of_their_layers_and_say_what_they_are(image, monkeypatch):
    # The recipe chip: average pooling between convolution and neurons, and before the last layer.
    network = {"width": 4, "pooling": "avg"}
    lif = network | {"neuron": "lif", "threshold": 0.01}
    spiking = make("vgg-lif", kind="snn", network=lif, encoding="direct", num_steps=3)
    other = make("vgg-relu", network=network)
    with neurons_watched(spiking.module.eval()) as watched:
        spiking.predict(image[None])
    spikes = [spk[:, 0] for _, spk, _ in watched.values()]
    numbers = []
    for relu in other.module.neurons:
        relu.register_forward_hook(lambda layer, inputs, output: numbers.append(output))
    other.predict(image[None])

    views = look_inside({"spiking": spiking, "other": other}, image).models

    expected = [(number, True) for number in range(1, len(spikes) + 1)]
    assert len(expected) > 2
    assert [(layer.number, True) for layer in views[0].layers] == expected
    for view, outputs, of_spikes in zip(views, (spikes, numbers), (True, False), strict=True):
        assert [(one.number, one.of_spikes) for one in view.activations] == [
            (number, of_spikes) for number, _ in expected
        ]
        for one, output in zip(view.activations, outputs, strict=False):
            assert one.maps.shape[2:] == output.shape[-2:]
            assert one.maps.high == pytest.approx(float(output.max()))
            assert (one.maps.bits == 1) is of_spikes
    # Layers that are left out leave a gap.
    monkeypatch.setattr(inside, "MAX_LAYERS", 2)
    for view in look_inside({"spiking": spiking, "other": other}, image).models:
        assert [one.number for one in view.activations] == [1, len(spikes)]
        assert not view.layers or [layer.number for layer in view.layers] == [1, len(spikes)]


@pytest.mark.parametrize("contender", ["vgg-lif", "vgg-gru", "vgg-sum"])
def test_a_recording_is_shown_frame_by_frame(contender):
    model, frames = make_recorded(contender)

    view = look_inside({"it": model}, frames[1].numpy(), truth="b")

    pixels = view.models[0].input
    assert pixels.shape == (3, 2, 6, 6)
    np.testing.assert_allclose(pixels.values, frames[1].reshape(3, 2, 6, 6), atol=pixels.high / 255)
    assert (view.noun, view.num_steps, view.classes[view.truth]) == ("recording", 3, "b")
    assert view.models[0].attribution.shape == (1, 1, 6, 6)


def test_of_another_librarys_neurons_there_is_what_can_be_had(image):
    torch.manual_seed(0)
    module = louder(Tutorial(100, 8), 8)
    calling = calling_of(module, (1, 10, 10))
    card = replace(make().card, encoding="direct", num_steps=4, foreign=calling)
    model = Model(ExternalNetwork(module, calling, "snn"), card)

    view = seen(model, image)

    assert view.foreign
    assert not view.layers
    assert len(view.probabilities) == len(view.spikes) == 4
    assert sum(view.spikes) > 0
    assert view.attribution is not None
    assert view.activations[0].maps.values.shape[0] == 4


def test_several_models_are_asked_about_one_image_and_left_as_they_were(image):
    models = {"a": spiking(), "b": make("small-cnn"), "c": spiking(encoding="direct", num_steps=3)}
    before = [copy.deepcopy(model.module.state_dict()) for model in models.values()]

    view = look_inside(models, image, truth="c")

    assert [model.name for model in view.models] == ["a", "b", "c"]
    assert view.num_steps == 6
    for model, weights in zip(models.values(), before, strict=True):
        torch.testing.assert_close(model.module.state_dict(), weights)
        assert not any(
            part._forward_hooks or part._forward_pre_hooks for part in model.module.modules()
        )
    assert look_inside(models, image, truth="c") == view


def test_of_many_classes_the_likely_ones_are_shown_and_the_truth(image):
    names = tuple(f"class {k}" for k in range(60))
    model = make("small-cnn", classes=names)
    shares = model.predict(image[None])[1][0]
    least = int(shares.argmin())

    view = look_inside({"it": model}, image, truth=names[least])

    assert len(view.classes) == 12
    assert view.classes[view.truth] == names[least]
    np.testing.assert_allclose(
        view.models[0].probabilities[0],
        shares[[names.index(name) for name in view.classes]],
        atol=1e-4,
    )
    assert view.classes[view.models[0].prediction] == names[shares.argmax()]


@pytest.mark.parametrize(
    ("image", "truth", "words"),
    [
        (np.zeros((1, 9, 10), np.uint8), None, "prepared image"),
        (np.zeros((1, 10, 10), np.float32), None, "float32"),
        (np.zeros((1, 10, 10), np.uint8), "d", "unknown class"),
    ],
)
def test_images_and_classes_that_do_not_fit_are_refused(image, truth, words):
    with pytest.raises(InputError, match=words):
        look_inside({"it": make()}, image, truth)


def test_pictures_come_back(random):
    grey = random.random((2, 3, 5, 4)) * 7 - 2
    black_and_white = (random.random((4, 1, 3, 3)) < 0.4) * 3.0

    grey_pictures, bits = pictures(grey, 1000), pictures(black_and_white, 1000)

    np.testing.assert_allclose(grey_pictures.values, grey, atol=7 / 255)
    np.testing.assert_array_equal(bits.values, black_and_white)
    assert (grey_pictures.bits, bits.bits, len(bits.data)) == (8, 1, 5)
    # Nothing for and nothing against is exactly nothing.
    signed = pictures(np.array([[[[-2.0, 0.0, 1.0]]]]), 10, symmetric=True)
    assert signed.values[0, 0, 0, 1] == pytest.approx(0, abs=1e-6)


def test_the_neurons_shown_go_from_busy_to_still():
    spk = np.zeros((10, 6), bool)
    for neuron, times in enumerate([2, 9, 0, 5, 7, 1]):
        spk[:times, neuron] = True

    assert chosen(spk, 3) == [1, 3, 5]
    assert chosen(spk, 40) == [1, 4, 3, 0, 5]
    assert chosen(np.zeros((10, 6), bool), 3) == [0]


class Corner(nn.Module):
    """Looks only at the first 3×3 pixels, which speak for class 0 with the weights 1 … 9, and
    against class 1.
    """

    readout = LogitReadout()

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, 10.0))

    def forward(self, x):
        score = x[:, 0, :3, :3].flatten(1) @ self.weight
        return torch.stack([score, -score, torch.zeros_like(score)], 1)


@pytest.mark.parametrize(("label", "sign"), [(None, 1), (0, 1), (1, -1), (2, 0)])
def test_of_a_linear_network_it_is_weight_times_input(image, label, sign):
    shares = attribution(Model(Corner(), make("small-cnn").card), image, label)

    expected = np.zeros((10, 10))
    expected[:3, :3] = sign * np.arange(1, 10).reshape(3, 3) * image[0, :3, :3] / 255
    np.testing.assert_allclose(shares, expected, atol=1e-5)


@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_a_spiking_network_that_sees_one_corner_is_found_out(image, encoding):
    model = make(encoding=encoding)
    with torch.no_grad():
        seen = torch.zeros(1, 10, 10)
        seen[:, :4, :4] = 1
        model.module.linear1.weight *= 20 * seen.flatten()

    shares = attribution(model, image)

    assert np.abs(shares[:4, :4]).max() > 0
    shares[:4, :4] = 0
    assert not shares.any()


def test_it_adds_up_to_what_the_image_adds_to_the_score(image):
    model = make("small-cnn")
    black = np.zeros_like(image)

    shares = attribution(model, image, 1, points=256)

    with torch.no_grad():
        scores = [
            model.module(torch.from_numpy(picture[None] / 255).float())[0, 1]
            for picture in (image, black)
        ]
    assert shares.sum() == pytest.approx(float(scores[0] - scores[1]), rel=0.02)


@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_one_image_looks_alike_without_compiled_kernels(image, encoding, monkeypatch):
    models = {"a": spiking(encoding=encoding)}
    (compiled,) = look_inside(models, image).models
    monkeypatch.setattr(kernels, "_kernels", None)
    with kernels.unfused():
        (seen,) = look_inside(models, image).models
    # Sums of gradients may be rounded otherwise.
    assert structs.replace(seen, attribution=None) == structs.replace(compiled, attribution=None)
    before, after = compiled.attribution.values, seen.attribution.values
    np.testing.assert_allclose(after, before, atol=0.01 * abs(before).max())
