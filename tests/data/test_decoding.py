import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikeduel.data import decoding, preprocessing
from spikeduel.data.decoding import opened, over_pictures
from spikeduel.system.errors import InputError
from synthetic_files import png_that_claims


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
    monkeypatch.setattr(decoding, "MOST_FILE_BYTES", 50)
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
    monkeypatch.setattr(decoding, "_LARGE", 10)
    Image.new("L", (4, 4)).save(tmp_path / "large.png")
    Image.new("L", (3, 3)).save(tmp_path / "small.png")
    with opened(tmp_path / "large.png"):
        assert decoding._ONE_LARGE_AT_A_TIME.locked()
    with opened(tmp_path / "small.png"):
        assert not decoding._ONE_LARGE_AT_A_TIME.locked()
    paths = [tmp_path / "large.png"] * 8

    def side(path: Path) -> int:
        with opened(path) as picture:
            return picture.width

    assert over_pictures(side, paths, lambda items, description, total: items, "") == [4] * 8
