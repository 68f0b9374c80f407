import numpy as np
import pytest
from PIL import Image

from spikeduel.reporting import animation, encoded_animation


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 10), (1, 28, 20)])
def test_a_frame_a_step_with_the_spikes_of_that_step(shape, random, tmp_path):
    image = random.integers(0, 256, shape, dtype=np.uint8)
    encoded = (random.random((12, *shape)) < image / 255).astype(np.float32)

    path = encoded_animation(encoded, image, tmp_path / "encoded.gif")

    with Image.open(path) as movie:
        assert movie.n_frames == 12
        scale = animation.PANEL // max(shape[1:])
        left = animation.GAP + max(shape[2] * scale, 140) + animation.GAP
        for step in range(12):
            movie.seek(step)
            pixels = np.asarray(movie.convert("RGB"))[animation.BAND :, left:][: shape[1] * scale, : shape[2] * scale]
            seen = pixels[scale // 2 :: scale, scale // 2 :: scale] > 127
            expected = np.broadcast_to(np.moveaxis(encoded[step], 0, -1) > 0.5, (*shape[1:], 3))
            np.testing.assert_array_equal(seen, expected)
    assert path.with_suffix(".png").stat().st_size > 0


def test_the_mean_comes_to_the_image(random):
    image = np.full((1, 8, 8), 128, np.uint8)
    encoded = np.stack([np.full((1, 8, 8), step % 2, np.float32) for step in range(10)])

    last = np.asarray(animation.encoded_frames(encoded, image)[-1].convert("L"))

    centre = animation.BAND + animation.PANEL // 2
    panels = [animation.GAP + k * (animation.PANEL + animation.GAP) + animation.PANEL // 2 for k in range(3)]
    assert abs(int(last[centre, panels[0]]) - int(last[centre, panels[2]])) <= 4


def test_a_large_image_stays_a_small_file(random, tmp_path):
    image = random.integers(0, 256, (1, 97, 97), dtype=np.uint8)
    encoded = (random.random((40, 1, 97, 97)) < image / 255).astype(np.float32)

    path = encoded_animation(encoded, image, tmp_path / "encoded.gif")

    assert path.stat().st_size <= animation.LARGEST_BYTES
    with Image.open(path) as movie:
        assert movie.n_frames >= 5
