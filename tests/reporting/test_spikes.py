import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from spikeduel.reporting import encoded_animation, raster_of_diagonal, spikes


def marks(axes):
    return sum(
        len(part.get_segments()) for part in axes.collections if isinstance(part, LineCollection)
    )


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
            pixels = np.asarray(movie.convert("RGB"))[spikes.BAND :, left:][
                : shape[1] * scale, : shape[2] * scale
            ]
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
