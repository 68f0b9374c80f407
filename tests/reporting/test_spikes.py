import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from PIL import Image

from spikeduel.reporting import encoded_animation, neuron_over_time, raster_of_diagonal, spikes, style


def marks(axes):
    return sum(len(part.get_segments()) for part in axes.collections if isinstance(part, LineCollection))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 9, 5), (2, 6, 6)])
def test_the_raster_has_the_spikes_of_the_diagonal(shape, random):
    encoded = (random.random((100, *shape)) < 0.3).astype(np.float32)
    image = random.integers(0, 256, shape, dtype=np.uint8)

    figure = raster_of_diagonal(encoded, image)
    figure.draw_without_rendering()

    picture, raster, rates = figure.axes
    rows, columns = spikes.diagonal(*shape[1:])
    assert marks(raster) == encoded[:, :, rows, columns].sum()
    assert len(picture.images) == 1
    bars = np.array([bar.get_width() for bar in rates.patches]).reshape(shape[0], -1)
    np.testing.assert_allclose(bars, encoded[:, :, rows, columns].mean(0), rtol=1e-6)


def test_the_diagonal_runs_from_corner_to_corner():
    rows, columns = spikes.diagonal(3, 5)

    assert list(rows) == [0, 0, 1, 2, 2]
    assert list(columns) == [0, 1, 2, 3, 4]


def test_the_neuron_is_the_one_nearest_to_a_spike_in_eight_steps():
    spk = np.zeros((16, 4))
    spk[:5, 0], spk[:3, 1], spk[:2, 2], spk[:2, 3] = 1, 1, 1, 1

    assert spikes.moderate_neuron(spk) == 2


def test_a_neuron_that_spikes_much_is_shown_before_a_silent_one():
    spk = np.zeros((16, 2))
    spk[:, 1] = 1

    assert spikes.moderate_neuron(spk) == 1


@pytest.mark.parametrize(("encoding", "num_panels"), [("rate", 4), ("latency", 4), ("direct", 3)])
def test_a_neuron_is_shown_with_its_own_membrane_and_spikes(make_prepared, make_model, encoding, num_panels):
    prepared = make_prepared()
    model = make_model("dense-snn", prepared, encoding, threshold=1.5)
    trace = model.trace(prepared.images[5:7], num_steps=100)

    figure = neuron_over_time(model, trace, image_index=1)
    figure.draw_without_rendering()

    neuron = spikes.moderate_neuron(trace.spk["lif1"][:, 1].numpy())
    spk, mem = (values["lif1"][:, 1, neuron].numpy() for values in (trace.spk, trace.mem))
    current, membrane, output = figure.axes[-3:]
    assert len(figure.axes) == num_panels
    assert marks(output) == spk.sum()
    threshold, course = membrane.lines
    assert set(threshold.get_ydata()) == {1.5}
    np.testing.assert_array_equal(course.get_ydata(), mem)
    np.testing.assert_array_equal(np.nonzero(spk)[0], membrane.collections[0].get_offsets()[:, 0])
    np.testing.assert_array_equal(current.lines[-1].get_ydata(), trace.current["lif1"][:, 1, neuron])


def test_input_spikes_are_those_of_the_strongest_inputs(make_prepared, make_model):
    prepared = make_prepared()
    model = make_model("dense-snn", prepared)
    trace = model.trace(prepared.images[:1], num_steps=100)
    neuron = spikes.moderate_neuron(trace.spk["lif1"][:, 0].numpy())
    with torch.no_grad():
        model.module.linear1.weight[neuron] = 0
        model.module.linear1.weight[neuron, 10] = 5.0
        model.module.linear1.weight[neuron, 20] = -5.0

    axes = neuron_over_time(model, trace).axes[0]

    pixels = trace.encoded[:, 0].flatten(1)
    raising, lowering = axes.collections
    assert len(raising.get_segments()) == pixels[:, 10].sum()
    assert len(lowering.get_segments()) == pixels[:, 20].sum()
    assert raising.get_color()[0] == pytest.approx(matplotlib_colour(style.SPIKING_COLOURS[0]))


def matplotlib_colour(name):
    from matplotlib.colors import to_rgba

    return to_rgba(name)


@pytest.mark.parametrize(
    ("reset", "words"), [("subtract", "is subtracted"), ("zero", "is dropped"), ("none", "is not reset")]
)
def test_the_explanation_names_decay_and_reset(make_prepared, make_model, reset, words):
    prepared = make_prepared()
    model = make_model("dense-snn", prepared, beta=0.8, reset_mechanism=reset)

    text = spikes.explain_neuron(model, model.trace(prepared.images[:1]))

    assert "80 %" in text
    assert words in text


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 10), (1, 28, 20)])
def test_a_frame_a_step_with_the_spikes_of_that_step(shape, random, tmp_path):
    image = random.integers(0, 256, shape, dtype=np.uint8)
    encoded = (random.random((12, *shape)) < image / 255).astype(np.float32)

    path = encoded_animation(encoded, image, tmp_path / "encoded.gif")

    with Image.open(path) as movie:
        assert movie.n_frames == 12
        scale = spikes.PANEL // max(shape[1:])
        left = spikes.GAP + max(shape[2] * scale, spikes.NARROWEST) + spikes.GAP
        for step in range(12):
            movie.seek(step)
            pixels = np.asarray(movie.convert("RGB"))[spikes.BAND :, left:][: shape[1] * scale, : shape[2] * scale]
            seen = pixels[scale // 2 :: scale, scale // 2 :: scale] > 127
            expected = np.broadcast_to(np.moveaxis(encoded[step], 0, -1) > 0.5, (*shape[1:], 3))
            np.testing.assert_array_equal(seen, expected)
    assert path.with_suffix(".png").stat().st_size > 0


def test_the_mean_comes_to_the_image(random):
    image = np.full((1, 8, 8), 128, np.uint8)
    encoded = np.stack([np.full((1, 8, 8), step % 2, np.float32) for step in range(10)])

    last = np.asarray(spikes.encoded_frames(encoded, image)[-1].convert("L"))

    centre = spikes.BAND + spikes.PANEL // 2
    panels = [spikes.GAP + k * (spikes.PANEL + spikes.GAP) + spikes.PANEL // 2 for k in range(3)]
    assert abs(int(last[centre, panels[0]]) - int(last[centre, panels[2]])) <= 4


def test_a_large_image_stays_a_small_file(random, tmp_path):
    image = random.integers(0, 256, (1, 97, 97), dtype=np.uint8)
    encoded = (random.random((40, 1, 97, 97)) < image / 255).astype(np.float32)

    path = encoded_animation(encoded, image, tmp_path / "encoded.gif")

    assert path.stat().st_size <= spikes.LARGEST_BYTES
    with Image.open(path) as movie:
        assert movie.n_frames >= 5
