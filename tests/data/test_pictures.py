import io
import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from damage import FUZZED, damaged, problem
from spikeduel.data import files_to_answer, open_picture, pictures, prepared_picture
from spikeduel.data.pictures import opened
from spikeduel.networks.preprocessing import Preprocessing, plain
from spikeduel.system.errors import InputError
from synthetic_files import png_that_claims


def save(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(path)
    return path


def test_unreadable_files_are_named_with_the_remedy(tmp_path):
    Image.effect_noise((64, 64), 90).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:500])
    (tmp_path / "text.png").write_text("I am a text")
    (tmp_path / "empty.bmp").touch()
    for name in ("cut.jpg", "text.png", "empty.bmp"):
        with pytest.raises(
            InputError, match=rf"{name}: cannot be read as an image.*Remove or replace"
        ):
            open_picture(tmp_path / name)


def encoded(format_, mode):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(content, format_)
    return content.getvalue()


MODES = {"PNG": "RGBA", "JPEG": "RGB", "GIF": "P", "TIFF": "L"}
FILES = {format_: encoded(format_, mode) for format_, mode in MODES.items()}


@pytest.mark.parametrize("format_", FILES)
@settings(FUZZED, max_examples=50)
@given(data=st.data())
def test_damaged_pictures_give_an_array_or_an_input_error(format_, data, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data.draw(damaged(FILES[format_])))
    assert "picture.png" in (problem(prepared_picture, path, Preprocessing(3, 8, 8)) or path.name)


@pytest.mark.parametrize("size", [(60_000, 60_000), (8_001, 10_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_that_claims(*size))
    with (
        pytest.raises(InputError, match="more than the 80,000,000 pixels that are taken"),
        opened(tmp_path / "a.png"),
    ):
        pass


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tmp_path)
        listening.bind("socket.png")
        for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path / "socket.png", tmp_path):
            with pytest.raises(InputError, match="not a regular file"), opened(path):
                pass


def test_bytes_that_are_no_picture_or_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    how = Preprocessing(channels=1, height=4, width=4)
    with pytest.raises(InputError, match="cannot be read as an image"):
        prepared_picture(b"text", how)
    monkeypatch.setattr(pictures, "MOST_MEMBER_BYTES", 3)
    with pytest.raises(InputError, match="larger than"):
        prepared_picture(b"text", how)


GREY = np.array([[0, 100], [200, 255]], dtype=np.uint8)
AS_IS = Preprocessing(1, 2, 2)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_values_survive_every_mode(mode: str) -> None:
    np.testing.assert_array_equal(AS_IS(Image.fromarray(GREY).convert(mode))[0], GREY)


def test_transparent_palette_colour_is_black() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    picture.putpalette([10, 10, 10, 250, 250, 250])
    picture.info["transparency"] = 1
    np.testing.assert_array_equal(AS_IS(picture)[0], [[10, 0], [0, 10]])


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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_picture_without_a_finite_value_is_no_black_one(value: float) -> None:
    with pytest.raises(InputError, match="finite"):
        AS_IS(Image.fromarray(np.full((2, 2), value, dtype=np.float32)))


def test_what_is_too_wide_to_be_padded_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(png_that_claims(79_999, 1_000))
    with pytest.raises(InputError, match="padded to 79,999×79,999"):
        prepared_picture(tmp_path / "wide.png", Preprocessing(1, 8, 8))


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


def test_crop_that_leaves_nothing() -> None:
    with pytest.raises(InputError, match="2×2 pixels, and is too small"):
        Preprocessing(1, 2, 2, crop=(1, 0, 1, 0))(Image.fromarray(GREY))


def test_dictionary_there_and_back_through_json() -> None:
    made = Preprocessing(1, 97, 96, crop=(2, 2, 4, 4), invert=True, enlarge=False)
    assert Preprocessing.from_dict(json.loads(json.dumps(asdict(made)))) == made


def test_files_to_answer_are_those_named_and_the_images_of_folders(tmp_path):
    single = save(tmp_path / "z.png")
    inside = [save(tmp_path / "folder" / name) for name in ("a.png", "b/c.bmp")]
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    wrong = [tmp_path / name for name in ("absent.png", "empty", "pipe.png", "x" * 300)]
    found, problems = files_to_answer([single, tmp_path / "folder", *wrong], False)
    assert found == [single, *inside]
    expected = ("no such file", "holds no images", "no such file", "no such file")
    for path, told, line in zip(wrong, expected, problems, strict=True):
        assert line.startswith(f"{path}: {told}")
