import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from damage import FUZZED, damaged, problem
from spikeduel.data import Preprocessing, open_picture, picture_files, pictures, prepared_picture, preprocessing
from spikeduel.data.pictures import opened, over_pictures
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


@pytest.mark.parametrize("size", [(60_000, 60_000), (8_001, 10_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    with (
        pytest.raises(InputError, match="more than the 80,000,000 pixels that are taken"),
        opened(io.BytesIO(png_that_claims(*size))),
    ):
        pass


def test_as_many_pixels_as_are_allowed_are_opened() -> None:
    with opened(io.BytesIO(png_that_claims(8_000, 10_000))) as picture:
        assert picture.size == (8_000, 10_000)


def test_formats_that_other_programs_would_decode_are_none_of_ours(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(Image.UnidentifiedImageError), opened(tmp_path / "a.png"):
        pass


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(tmp_path)
        listening.bind("socket.png")
        for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path / "socket.png", tmp_path):
            with pytest.raises(InputError, match="not a regular file"), opened(path):
                pass


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.bmp")
    monkeypatch.setattr(pictures, "MOST_FILE_BYTES", 50)
    with pytest.raises(InputError, match="larger than"), opened(tmp_path / "a.bmp"):
        pass


def test_of_several_frames_the_first_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((3, 5), grey, dtype=np.uint8)) for grey in (10, 200, 90)]
    for suffix in ("gif", "tiff", "png", "webp"):
        extra = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **extra)
        with opened(tmp_path / f"a.{suffix}") as picture:
            assert getattr(picture, "n_frames", 1) == 3
            np.testing.assert_array_equal(preprocessing.Preprocessing(1, 5, 5)(picture)[0, 2], np.full(5, 10))


def test_large_pictures_wait_for_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_LARGE", 10)
    Image.new("L", (4, 4)).save(tmp_path / "large.png")
    Image.new("L", (3, 3)).save(tmp_path / "small.png")
    with opened(tmp_path / "large.png"):
        assert pictures._ONE_LARGE_AT_A_TIME.locked()
    with opened(tmp_path / "small.png"):
        assert not pictures._ONE_LARGE_AT_A_TIME.locked()
    paths = [tmp_path / "large.png"] * 8

    def side(path: Path) -> int:
        with opened(path) as picture:
            return picture.width

    assert over_pictures(side, paths, lambda items, description, total: items, "") == [4] * 8
