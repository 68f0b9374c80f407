import io
import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from damage import FUZZED, damaged, problem
from spikeduel.data import open_picture, pictures, prepared_picture
from spikeduel.data.pictures import opened
from spikeduel.inputs.preprocessing import Preprocessing, plain
from spikeduel.system.errors import InputError
from synthetic_files import png_that_claims


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
def test_bombs_are_refused_by_their_header(size, tmp_path):
    (tmp_path / "a.png").write_bytes(png_that_claims(*size))
    with (
        pytest.raises(InputError, match="more than the 80,000,000 pixels that are taken"),
        opened(tmp_path / "a.png"),
    ):
        pass


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tmp_path)
        listening.bind("socket.png")
        for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path / "socket.png", tmp_path):
            with pytest.raises(InputError, match="not a regular file"), opened(path):
                pass


def test_bytes_that_are_no_picture_or_too_many_are_refused(monkeypatch):
    how = Preprocessing(channels=1, height=4, width=4)
    with pytest.raises(InputError, match="cannot be read as an image"):
        prepared_picture(b"text", how)
    monkeypatch.setattr(pictures, "MAX_MEMBER_BYTES", 3)
    with pytest.raises(InputError, match="larger than"):
        prepared_picture(b"text", how)


GREY = np.array([[0, 100], [200, 255]], dtype=np.uint8)
AS_IS = Preprocessing(1, 2, 2)


def of(values, dtype):
    return Image.fromarray(np.array(values, dtype))


def with_alpha(alpha):
    colours = np.full((2, 2, 4), 200, dtype=np.uint8)
    colours[..., 3] = alpha
    return Image.fromarray(colours)


def with_transparent_palette():
    picture = of([[0, 1], [1, 0]], np.uint8).convert("P")
    picture.putpalette([10, 10, 10, 250, 250, 250])
    picture.info["transparency"] = 1
    return picture


def upside_down():
    picture = Image.fromarray(GREY)
    picture.getexif()[0x0112] = 3
    return plain(picture)


SIXTEEN_BITS = [[0, 257], [32896, 65535]]
CONVERTED = {
    **{mode: (Image.fromarray(GREY).convert(mode), GREY) for mode in ("L", "RGB", "RGBA", "LA")},
    "a transparent colour of the palette is black": (
        with_transparent_palette(),
        [[10, 0], [0, 10]],
    ),
    "16 bits are scaled down": (of(SIXTEEN_BITS, np.uint16), [[0, 1], [128, 255]]),
    "16 bits in 32": (of(SIXTEEN_BITS, np.int32), [[0, 1], [128, 255]]),
    "floats to 1": (of([[0, 0.5], [1, 0.2]], np.float32), [[0, 128], [255, 51]]),
    "floats beyond": (of([[0, 100], [300, np.nan]], np.float32), [[0, 100], [255, 0]]),
    "alpha lies on black": (with_alpha([[0, 255], [255, 0]]), [[0, 200], [200, 0]]),
    "alpha of zeros is ignored": (with_alpha(0), [[200, 200], [200, 200]]),
    "the orientation of EXIF is applied": (upside_down(), GREY[::-1, ::-1]),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_a_picture_is_converted_to_grey_bytes(case):
    picture, expected = CONVERTED[case]
    np.testing.assert_array_equal(AS_IS(picture)[0], expected)


@pytest.mark.parametrize(
    ("picture", "how", "expected"),
    [
        (of([[np.nan] * 2] * 2, np.float32), AS_IS, "finite"),
        (of([[np.inf] * 2] * 2, np.float32), AS_IS, "finite"),
        # What is too wide to be padded is not decoded.
        (png_that_claims(79_999, 1_000), Preprocessing(1, 8, 8), "padded to 79,999×79,999"),
        (
            Image.fromarray(GREY),
            Preprocessing(1, 2, 2, crop=(1, 0, 1, 0)),
            "2×2 pixels, and is too small",
        ),
    ],
)
def test_a_picture_that_cannot_be_prepared_says_why(picture, how, expected):
    with pytest.raises(InputError, match=expected):
        how(picture) if isinstance(picture, Image.Image) else prepared_picture(picture, how)


def test_crop_then_invert_then_pad_with_black():
    picture = Image.fromarray(np.full((5, 9), 55, dtype=np.uint8))
    array = Preprocessing(1, 4, 4, crop=(2, 1, 3, 2), invert=True, enlarge=False)(picture)
    np.testing.assert_array_equal(array[0], [[0] * 4, [200] * 4, [200] * 4, [0] * 4])


def test_dictionary_there_and_back_through_json():
    made = Preprocessing(1, 97, 96, crop=(2, 2, 4, 4), invert=True, enlarge=False)
    assert Preprocessing.from_dict(json.loads(json.dumps(asdict(made)))) == made
