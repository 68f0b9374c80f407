import numpy as np
import pytest
from PIL import Image

from spikeduel.data import open_picture, picture_files
from spikeduel.errors import InputError


def save(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(path)
    return path


def test_files_and_the_images_of_folders_in_order(tmp_path):
    single = save(tmp_path / "z.png")
    inside = [save(tmp_path / "folder" / name) for name in ("a.png", "b/c.bmp")]
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    assert picture_files([single, tmp_path / "folder"]) == [single, *inside]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.png: no such file"):
        picture_files([tmp_path / "absent.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no images"):
        picture_files([tmp_path / "empty"])


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
