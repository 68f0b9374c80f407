"""Rate encoding as a moving picture and a raster, and the images that are shown."""

import numpy as np
import pytest
from PIL import Image

from spikeduel.reporting import encoded, encoded_animation, raster_of_diagonal
from spikeduel.spiking.random_keys import RandomKeys


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 9, 5), (2, 6, 6)])
def test_the_raster_has_the_spikes_of_the_diagonal_and_their_rates(shape, random):
    spiking = (random.random((100, *shape)) < 0.3).astype(np.float32)
    image = np.zeros(shape, np.uint8)
    drawn = np.asarray(raster_of_diagonal(spiking, image))
    rows, columns = encoded.diagonal(*shape[1:])
    of_pixels = spiking[:, :, rows, columns].transpose(2, 1, 0).reshape(-1, 100)
    high = drawn.shape[0] // len(of_pixels)
    raster, bars = drawn[high // 2 :: high, :400:4], drawn[high // 2 :: high, 416:]
    np.testing.assert_array_equal((raster < 255).any(-1), of_pixels > 0)
    # The stroke of a black pixel takes the first two columns.
    lengths = (bars[:, 2:] < 255).any(-1).sum(1) + 2
    np.testing.assert_allclose(lengths / bars.shape[1], of_pixels.mean(1), atol=0.01)


def test_the_diagonal_runs_from_corner_to_corner():
    rows, columns = encoded.diagonal(3, 5)

    assert list(rows) == [0, 0, 1, 2, 2]
    assert list(columns) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 10), (1, 28, 20)])
def test_a_frame_a_step_with_the_spikes_of_that_step(shape, random, tmp_path):
    image = random.integers(0, 256, shape, dtype=np.uint8)
    spiking = (random.random((12, *shape)) < image / 255).astype(np.float32)

    path = encoded_animation(spiking, image, tmp_path / "encoded.gif")

    with Image.open(path) as movie:
        assert movie.n_frames == 12
        scale = encoded.PANEL // max(shape[1:])
        left = encoded.GAP + max(shape[2] * scale, encoded.NARROWEST) + encoded.GAP
        for step in range(12):
            movie.seek(step)
            pixels = np.asarray(movie.convert("RGB"))[encoded.BAND :, left:][
                : shape[1] * scale, : shape[2] * scale
            ]
            seen = pixels[scale // 2 :: scale, scale // 2 :: scale] > 127
            expected = np.broadcast_to(np.moveaxis(spiking[step], 0, -1) > 0.5, (*shape[1:], 3))
            np.testing.assert_array_equal(seen, expected)
    assert path.with_suffix(".png").stat().st_size > 0


def test_the_mean_comes_to_the_image(random):
    image = np.full((1, 8, 8), 128, np.uint8)
    spiking = np.stack([np.full((1, 8, 8), step % 2, np.float32) for step in range(10)])

    last = np.asarray(encoded.encoded_frames(spiking, image)[-1].convert("L"))

    centre = encoded.BAND + encoded.PANEL // 2
    panels = [
        encoded.GAP + k * (encoded.PANEL + encoded.GAP) + encoded.PANEL // 2 for k in range(3)
    ]
    assert abs(int(last[centre, panels[0]]) - int(last[centre, panels[2]])) <= 4


def test_a_large_image_stays_a_small_file(random, tmp_path):
    image = random.integers(0, 256, (1, 97, 97), dtype=np.uint8)
    spiking = (random.random((40, 1, 97, 97)) < image / 255).astype(np.float32)

    path = encoded_animation(spiking, image, tmp_path / "encoded.gif")

    assert path.stat().st_size <= encoded.LARGEST_BYTES
    with Image.open(path) as movie:
        assert movie.n_frames >= 5


@pytest.fixture
def models(make_prepared, make_model):
    prepared = make_prepared(num_images=200)
    return prepared, {name: make_model(name, prepared) for name in ("dense-snn", "small-cnn")}


def test_the_image_to_look_at_is_the_first_on_which_one_is_right_and_the_other_wrong(models):
    prepared, models = models
    tests = {"dense-snn": np.arange(20, 200), "small-cnn": np.arange(40, 180)}

    found = encoded.differing_image(models, prepared, tests)

    both = np.arange(40, 180)
    right = [
        model.predict(prepared.images[both], RandomKeys.for_evaluation(both))[0]
        == prepared.labels[both]
        for model in models.values()
    ]
    assert found == both[(right[0] != right[1]).argmax()]


def test_where_none_is_right_they_at_least_differ(models):
    prepared, models = models
    test = np.arange(200)
    prepared.labels[:] = 7

    found = encoded.differing_image(models, prepared, dict.fromkeys(models, test))

    answers = [
        model.predict(prepared.images, RandomKeys.for_evaluation(test))[0]
        for model in models.values()
    ]
    assert found == (answers[0] != answers[1]).argmax()


def test_of_one_model_it_is_the_first_and_without_a_common_one_none(models):
    prepared, models = models
    one = {"small-cnn": models["small-cnn"]}

    assert encoded.differing_image(one, prepared, {"small-cnn": np.arange(30, 60)}) == 30
    apart = {"dense-snn": np.arange(10), "small-cnn": np.arange(10, 20)}
    assert encoded.differing_image(models, prepared, apart) is None


def test_the_telling_image_has_grey_on_its_diagonal(make_prepared):
    prepared = make_prepared()
    prepared.images[:] = 255
    prepared.images[9] = np.eye(8, dtype=np.uint8) * 127
    prepared.images[3, 0, 0] = 127

    assert encoded.telling_image(prepared, np.arange(60)) == 9
