import json

import numpy as np
import pytest
from PIL import Image

from spikeduel.data.preprocessing import Preprocessing, plain
from spikeduel.system.errors import InputError

GREY = np.array([[0, 100], [200, 255]], dtype=np.uint8)
AS_IS = Preprocessing(1, 2, 2)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_values_survive_every_mode(mode: str) -> None:
    np.testing.assert_array_equal(AS_IS(Image.fromarray(GREY).convert(mode))[0], GREY)


def test_colour_becomes_channels_first() -> None:
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    array = Preprocessing(3, 2, 2)(Image.fromarray(colours))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, colours.transpose(2, 0, 1))


def test_grey_is_repeated_for_a_colour_model() -> None:
    np.testing.assert_array_equal(Preprocessing(3, 2, 2)(Image.fromarray(GREY)), np.stack([GREY] * 3))


def test_black_and_white() -> None:
    picture = Image.fromarray(np.array([[True, False], [False, True]]))
    np.testing.assert_array_equal(AS_IS(picture)[0], [[255, 0], [0, 255]])


def test_palette() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    picture.putpalette([10, 10, 10, 250, 250, 250])
    np.testing.assert_array_equal(AS_IS(picture)[0], [[10, 250], [250, 10]])


def test_transparent_palette_colour_is_black() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    picture.putpalette([10, 10, 10, 250, 250, 250])
    picture.info["transparency"] = 1
    np.testing.assert_array_equal(AS_IS(picture)[0], [[10, 0], [0, 10]])


def test_cmyk() -> None:
    picture = Image.new("CMYK", (2, 2), (0, 0, 0, 255))
    np.testing.assert_array_equal(AS_IS(picture)[0], np.zeros((2, 2)))


def test_16_bit_is_scaled_down() -> None:
    values = np.array([[0, 257], [32896, 65535]], dtype=np.uint16)
    expected = [[0, 1], [128, 255]]
    np.testing.assert_array_equal(AS_IS(Image.fromarray(values))[0], expected)
    np.testing.assert_array_equal(AS_IS(Image.fromarray(values.astype(np.int32)))[0], expected)


def test_floats_in_the_unit_interval_and_beyond() -> None:
    unit = Image.fromarray(np.array([[0, 0.5], [1, 0.2]], dtype=np.float32))
    np.testing.assert_array_equal(AS_IS(unit)[0], [[0, 128], [255, 51]])
    bytes_ = Image.fromarray(np.array([[0, 100], [300, np.nan]], dtype=np.float32))
    np.testing.assert_array_equal(AS_IS(bytes_)[0], [[0, 100], [255, 0]])


def test_alpha_lies_on_black() -> None:
    colours = np.full((2, 2, 4), 200, dtype=np.uint8)
    colours[..., 3] = [[0, 255], [255, 0]]
    np.testing.assert_array_equal(AS_IS(Image.fromarray(colours))[0], [[0, 200], [200, 0]])


def test_alpha_that_is_zero_everywhere_is_ignored() -> None:
    colours = np.full((2, 2, 4), 200, dtype=np.uint8)
    colours[..., 3] = 0
    np.testing.assert_array_equal(AS_IS(Image.fromarray(colours))[0], np.full((2, 2), 200))


def test_exif_orientation_is_applied() -> None:
    picture = Image.fromarray(GREY)
    picture.getexif()[0x0112] = 3  # upside down
    np.testing.assert_array_equal(np.asarray(plain(picture)), GREY[::-1, ::-1])


def test_crop_then_invert_then_pad_with_black() -> None:
    picture = Image.fromarray(np.full((5, 9), 55, dtype=np.uint8))
    array = Preprocessing(1, 4, 4, crop=(2, 1, 3, 2), invert=True, enlarge=False)(picture)
    np.testing.assert_array_equal(array[0], [[0] * 4, [200] * 4, [200] * 4, [0] * 4])


def test_smaller_is_centred_unless_enlarged() -> None:
    picture = Image.fromarray(np.full((2, 2), 9, dtype=np.uint8))
    small = Preprocessing(1, 4, 4, enlarge=False)(picture)[0]
    np.testing.assert_array_equal(small, np.pad(np.full((2, 2), 9), 1))
    np.testing.assert_array_equal(Preprocessing(1, 4, 4)(picture)[0], np.full((4, 4), 9))


def test_larger_is_shrunk_and_keeps_its_aspect_ratio() -> None:
    picture = Image.fromarray(np.full((40, 80), 90, dtype=np.uint8))
    array = Preprocessing(1, 20, 20, enlarge=False)(picture)[0]
    assert (array[:4] == 0).all()
    assert (array[-4:] == 0).all()
    assert (array[6:14] == 90).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 7), (200, 30)])
@pytest.mark.parametrize("enlarge", [True, False])
def test_any_size_gives_the_target_shape(size: tuple[int, int], enlarge: bool) -> None:
    array = Preprocessing(3, 12, 17, enlarge=enlarge)(Image.new("RGB", size, (255, 255, 255)))
    assert array.shape == (3, 12, 17)
    assert array.max() > 0


def test_crop_that_leaves_nothing() -> None:
    with pytest.raises(InputError, match="2×2 pixels is too small"):
        Preprocessing(1, 2, 2, crop=(1, 0, 1, 0))(Image.fromarray(GREY))


def test_dictionary_there_and_back_through_json() -> None:
    made = Preprocessing(1, 97, 96, crop=(2, 2, 4, 4), invert=True, enlarge=False)
    assert Preprocessing.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    "content",
    [{}, {"channels": 2, "height": 4, "width": 4}, {"channels": 1, "height": "x", "width": 4}, "text", {"crop": 3}],
)
def test_dictionary_that_makes_no_sense(content: object) -> None:
    with pytest.raises(InputError, match="preprocessing"):
        Preprocessing.from_dict(content)  # type: ignore[arg-type]
