import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from damage import FUZZED, damaged, problem
from spikeduel.data import Preprocessing, open_picture, picture_files, prepared_picture
from spikeduel.system.errors import InputError
from synthetic_files import png_that_claims


def save(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(path)
    return path


def test_files_and_the_images_of_folders_in_order(tmp_path):
    single = save(tmp_path / "z.png")
    inside = [save(tmp_path / "folder" / name) for name in ("a.png", "b/c.bmp")]
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    assert picture_files([single, tmp_path / "folder"]) == ([single, *inside], [])


def test_what_is_not_there_is_named_and_costs_the_others_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    single = save(tmp_path / "z.png")
    found, (absent, empty) = picture_files([tmp_path / "absent.png", tmp_path / "empty", single])
    assert found == [single]
    assert absent.endswith("absent.png: no such file.")
    assert "empty: holds no images" in empty


def test_a_picture_is_decoded_and_its_file_can_go(tmp_path):
    path = save(tmp_path / "a.png")
    picture = open_picture(path)
    path.unlink()
    assert np.array_equal(np.asarray(picture), np.arange(24, dtype=np.uint8).reshape(6, 4))


def test_unreadable_files_are_named_with_the_remedy(tmp_path):
    Image.effect_noise((64, 64), 90).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:500])
    (tmp_path / "text.png").write_text("I am a text")
    (tmp_path / "empty.bmp").touch()
    for name in ("cut.jpg", "text.png", "empty.bmp"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as an image.*Remove or replace"):
            open_picture(tmp_path / name)


def test_a_bomb_is_named_with_the_limit(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    for read in (open_picture, lambda path: prepared_picture(path, Preprocessing(1, 8, 8))):
        with pytest.raises(InputError, match=r"bomb\.png: it has more than the 80,000,000 pixels"):
            read(tmp_path / "bomb.png")


def test_a_thin_picture_is_not_padded_to_a_square_of_any_size(tmp_path):
    Image.new("L", (60_000, 1)).save(tmp_path / "thin.png")
    with pytest.raises(InputError, match=r"thin\.png: it is 60,000×1 pixels, padded to 60,000×60,000, more than"):
        prepared_picture(tmp_path / "thin.png", Preprocessing(1, 8, 8))


def test_a_prepared_picture_is_the_preprocessing_of_the_file(tmp_path):
    path = save(tmp_path / "a.png", (8, 8))
    preprocessing = Preprocessing(1, 8, 8)
    assert np.array_equal(prepared_picture(path, preprocessing), preprocessing(open_picture(path)))
    assert np.array_equal(prepared_picture(path, preprocessing)[0].ravel(), np.arange(64))


def test_pipes_and_impossible_names_are_told(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    found, (pipe, impossible) = picture_files([tmp_path / "pipe.png", tmp_path / ("x" * 300)])
    assert found == []
    assert "pipe.png: not a regular file" in pipe
    assert "no such file" in impossible


def encoded(format_, mode):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(content, format_)
    return content.getvalue()


MODES = {"PNG": "RGBA", "JPEG": "RGB", "GIF": "P", "BMP": "RGB", "TIFF": "L", "WEBP": "RGB", "PPM": "L"}
FILES = {format_: encoded(format_, mode) for format_, mode in MODES.items()}


@pytest.mark.parametrize("format_", FILES)
@FUZZED
@given(data=st.data())
def test_damaged_pictures_give_an_array_or_an_input_error(format_, data, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data.draw(damaged(FILES[format_])))
    assert "picture.png" in (problem(prepared_picture, path, Preprocessing(3, 8, 8)) or path.name)
