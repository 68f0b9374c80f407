import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from forked import Forked
from spikeduel.data import cache, pictures, workers
from spikeduel.data.catalogue import prepare
from spikeduel.data.folder import folder
from spikeduel.data.prepared import DataOptions
from spikeduel.system.errors import UnreadableFiles
from synthetic_files import write_pictures


@pytest.fixture
def workplace(tmp_path):
    (tmp_path / "workplace").mkdir()
    return tmp_path / "workplace"


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that were made images."""
    names = []
    make = pictures._image

    def recorded(how, only, row, source):
        made = make(how, only, row, source)
        names.append(source.name)
        return made

    monkeypatch.setattr(pictures, "_image", recorded)
    return names


def options(root, place=None, **more):
    return DataOptions(data_dir=str(root), workplace=place, **more)


def interrupted(items, description, total):
    """Progress that ends a preparation when four images were made."""
    for number, item in enumerate(items):
        if description == "reading images" and number == 4:
            raise KeyboardInterrupt
        yield item


def test_an_interrupted_preparation_goes_on_where_it_ended(
    image_folder, workplace, reads, monkeypatch
):
    monkeypatch.setattr(pictures, "AT_ONCE", 2)
    messages = []
    with pytest.raises(KeyboardInterrupt):
        folder(options(image_folder, workplace, track=interrupted))
    # Later ones may have been made meanwhile; they are not noted.
    reads.clear()
    made = folder(options(image_folder, workplace, say=messages.append))
    assert 2 <= len(reads) <= 8
    whole = folder(options(image_folder))
    np.testing.assert_array_equal(made.images, whole.images)
    np.testing.assert_array_equal(made.content, whole.content)
    assert messages
    assert made.images.shape == (12, 1, 20, 20)


def test_what_was_made_of_files_that_are_the_same_is_taken_over(image_folder, workplace, reads):
    broken = image_folder / "cat" / "003.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(UnreadableFiles) as caught:
        folder(options(image_folder, workplace))
    assert list(caught.value.files) == [str(broken)]
    messages = []
    with pytest.raises(UnreadableFiles):
        folder(options(image_folder, workplace, say=messages.append))
    assert [re.findall(r"\d+", line) for line in messages] == [["11", "12"]]
    broken.unlink()
    write_pictures(image_folder / "dog", 1, seed=7)  # instead of 000.png
    reads.clear()
    made = folder(options(image_folder, workplace))
    assert reads == ["000.png"]
    whole = folder(options(image_folder))
    np.testing.assert_array_equal(made.images, whole.images)
    np.testing.assert_array_equal(made.content, whole.content)


@pytest.mark.parametrize("part", ["*.journal", "*.images", "images.npy"])
def test_a_damaged_workplace_is_no_hindrance(part, image_folder, workplace):
    expected = np.array(folder(options(image_folder, workplace)).images)
    (damaged,) = workplace.glob(part)
    damaged.write_bytes(b"\x93NUMPY and no more")
    np.testing.assert_array_equal(folder(options(image_folder, workplace)).images, expected)


def test_processes_make_the_same_images(image_folder, monkeypatch):
    from joblib.externals.loky import get_reusable_executor

    broken = image_folder / "dog" / "004.png"
    expected = folder(options(image_folder))
    monkeypatch.setattr(workers, "MIN_IMAGES", 1)
    monkeypatch.setattr(workers.load, "cores", lambda: [0, 1])
    monkeypatch.setattr(pictures, "AT_ONCE", 3)
    try:
        made = folder(options(image_folder))
        broken.write_bytes(broken.read_bytes()[:100])
        with pytest.raises(UnreadableFiles) as caught:
            folder(options(image_folder))
    finally:
        get_reusable_executor().shutdown(wait=True)
    np.testing.assert_array_equal(made.images, expected.images)
    np.testing.assert_array_equal(made.content, expected.content)
    assert list(caught.value.files) == [str(broken)]


def test_images_are_not_copied_into_the_cache(image_folder, monkeypatch):
    written = []
    link = os.link
    monkeypatch.setattr(
        os,
        "link",
        lambda source, path: (written.append(Path(source).stat().st_ino), link(source, path)),
    )
    prepared = prepare(str(image_folder))
    assert isinstance(prepared.images, np.memmap)
    assert Path(str(prepared.images.filename)).stat().st_ino in written
    assert cache.unfinished() == []


def test_after_kill_9_the_noted_images_are_not_made_again(image_folder, reads, monkeypatch):
    monkeypatch.setattr(pictures, "AT_ONCE", 2)
    monkeypatch.setattr(pictures, "FLUSH_SECONDS", 0.0)

    def track(items, description, total):
        for number, item in enumerate(items):
            if description == "reading images" and number == 8:
                os.kill(os.getpid(), signal.SIGKILL)
            yield item

    killed = Forked(lambda: prepare(str(image_folder), DataOptions(track=track)))
    assert killed.ended()[0] == -signal.SIGKILL
    assert len(cache.unfinished()) == 1
    prepared = prepare(str(image_folder))
    assert len(reads) <= 6
    assert cache.unfinished() == []
    np.testing.assert_array_equal(prepared.images, folder(options(image_folder)).images)
