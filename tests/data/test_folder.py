import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikeduel.data.folder import folder
from spikeduel.data.pictures import endings
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions
from spikeduel.system.errors import InputError, UnreadableFiles
from synthetic_files import noisy_png, png_that_claims, write_pictures


def load(root, **more):
    return folder(DataOptions(data_dir=str(root), **more))


def test_class_folders(image_folder):
    raw = load(image_folder)
    assert raw.classes == ("cat", "dog")
    assert raw.labels.tolist() == [0] * 6 + [1] * 6
    assert raw.official is None
    assert raw.groups is None
    assert raw.names == tuple(f"{name}/00{k}.png" for name in ("cat", "dog") for k in range(6))
    assert [index for index, _ in raw.samples] == [0, 6]
    assert raw.samples[0][1].shape == (16, 20)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "I;16"])
def test_grey_if_every_image_is(tmp_path, mode):
    for label, name in enumerate(("a", "b")):
        for path in write_pictures(tmp_path / name, 3, seed=label):
            with Image.open(path) as opened:
                grey = opened.convert("L")
            sixteen_bits = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
            (sixteen_bits if mode == "I;16" else grey.convert(mode)).save(path)
    raw = load(tmp_path)
    assert raw.images.shape[1] == raw.preprocessing.channels == 1


def test_colour_if_any_image_has_some(image_folder):
    write_pictures(image_folder / "dog", 1, mode="RGB", seed=9)
    raw = load(image_folder)
    assert raw.images.shape[1] == raw.preprocessing.channels == 3
    assert raw.samples[0][1].ndim == 3
    np.testing.assert_array_equal(raw.images[0, 0], raw.images[0, 2])
    assert (raw.images[6, 0] != raw.images[6, 2]).any()


WRITABLE = sorted(
    ending for ending in endings() if Image.registered_extensions()[ending] in Image.SAVE
)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_every_format(tmp_path, suffix):
    mode = "L" if suffix in (".pgm", ".png", ".jpg", ".tif") else "RGB"
    write_pictures(tmp_path / "a", 2, seed=1, suffix=suffix, mode=mode)
    write_pictures(tmp_path / "b", 2, seed=2, suffix=suffix.upper(), mode=mode)
    assert len(load(tmp_path).images) == 4


@pytest.mark.parametrize(
    "splits",
    [
        {"train": TRAIN},
        {"train": TRAIN, "val": VALIDATION, "test": TEST},
        {"train": TRAIN, "valid": VALIDATION, "Test": TEST},
        {"train": TRAIN, "validation": VALIDATION},
    ],
)
def test_official_splits(tmp_path, splits):
    for number, split in enumerate(splits):
        for label, name in enumerate(("a", "b")):
            write_pictures(tmp_path / split / name, 3, seed=10 * number + label)
    raw = load(tmp_path)
    assert len(raw.images) == 6 * len(splits)
    if len(splits) == 1:
        assert raw.official is None
    else:
        assert sorted(raw.official) == sorted(code for code in splits.values() for _ in range(6))


def test_hidden_and_other_files_are_ignored_and_nested_folders_walked(image_folder):
    (image_folder / "cat" / ".hidden.png").write_text("no image")
    (image_folder / "cat" / "notes.txt").write_text("no image")
    (image_folder / ".git").mkdir()
    (image_folder / "__MACOSX").mkdir()
    write_pictures(image_folder / "cat" / "more" / "and more", 2, seed=77)
    assert len(load(image_folder).images) == 14


def test_loops_of_links_end_and_what_only_looks_like_an_image_is_left_alone(image_folder):
    (image_folder / "cat" / "up").symlink_to(image_folder)
    (image_folder / "cat" / "self").symlink_to(image_folder / "cat")
    os.mkfifo(image_folder / "cat" / "pipe.png")
    (image_folder / "cat" / "null.png").symlink_to("/dev/zero")
    (image_folder / "cat" / "loop.png").symlink_to("loop.png")
    (image_folder / "cat" / "nowhere.png").symlink_to("absent")
    assert len(load(image_folder).images) == 12


def test_a_class_whose_name_is_not_utf8_is_named(image_folder):
    (image_folder / "dog").rename(os.fsdecode(os.fsencode(image_folder) + b"/caf\xe9"))
    with pytest.raises(InputError, match=r"not UTF-8\. Rename the folder"):
        load(image_folder)


def test_folders_nested_without_end_are_refused(image_folder):
    deep = image_folder / "cat" / Path(*["a"] * 30)
    write_pictures(deep, 1, seed=5)
    assert len(load(image_folder).images) == 13
    write_pictures(deep / "b" / "c" / "d", 1, seed=6)
    with pytest.raises(InputError, match="nested deeper than 32 folders"):
        load(image_folder)


def test_unreadable_images_are_named_and_counted(image_folder):
    dog = image_folder / "dog"
    cut = (dog / "002.png").read_bytes()[:200]
    broken = {
        "002": cut,
        "003": b"this is no image",
        "004": b"",
        "005": png_that_claims(60_000, 60_000),
    }
    for name, content in broken.items():
        (dog / f"{name}.png").write_bytes(content)
    with pytest.raises(UnreadableFiles, match=r"^4 files cannot be used.*Remove") as caught:
        load(image_folder)
    assert sorted(caught.value.files) == [str(dog / f"{name}.png") for name in broken]
    assert "more than the 80,000,000 pixels" in caught.value.files[str(dog / "005.png")]


UNUSABLE = {
    "absent": (None, "no such folder"),
    "empty": ([], "holds no images"),
    "no images": (["a/", "b/"], "holds no images"),
    "loose": (["1.png", "2.png"], "has 2 images but no class sub-folders"),
    "one class": (["a/1.png"], r"one class only \(a\)"),
    "an empty class": (["a/1.png", "b/"], "b: holds no images.*or remove the folder"),
    "not opened here": (["a/1.png", "b/1.cr2"], r"b: holds no images .* 1 \.cr2 cannot be opened"),
    "other classes": (
        ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"],
        "the classes for test differ .*lacks b; adds c",
    ),
    "only test": (["test/a/1.png", "test/b/1.png"], "has test/ but no train/"),
    "train without classes": (["train/1.png"], "train: has 1 image but no class sub-folders"),
}


def test_a_run_is_no_data_set(tmp_path):
    for name in ("results.json", "experiment.toml"):
        (tmp_path / name).write_text("")
    (tmp_path / "models").mkdir()
    with pytest.raises(InputError, match=r"a run's folder.*--experiment"):
        load(tmp_path)


@pytest.mark.parametrize("case", UNUSABLE)
def test_folders_that_cannot_be_used(case, tmp_path):
    names, problem = UNUSABLE[case]
    root = tmp_path / "root"
    for name in ["", *names] if names is not None else []:
        folder_of = root / name if name.endswith("/") or not name else (root / name).parent
        folder_of.mkdir(parents=True, exist_ok=True)
        if folder_of != root / name:
            (root / name).write_bytes(noisy_png(len(name)))
    with pytest.raises(InputError, match=problem) as caught:
        load(root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)
