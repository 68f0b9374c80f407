import os
import shutil
from pathlib import Path

import pytest

from spikeduel.auditing.audit_results import IgnoredFiles
from spikeduel.data.folder import folder
from spikeduel.data.inventory import inventory
from spikeduel.data.prepared import DataOptions
from spikeduel.features import FEATURES
from synthetic_files import write_pictures


def counted(root):
    return inventory(
        root, [root / name for name in folder(DataOptions(data_dir=str(root))).names or ()]
    )


def ignored(rule, **endings):
    named = {f".{name}" if name != "none" else "": count for name, count in endings.items()}
    return IgnoredFiles(rule=rule, count=sum(endings.values()), endings=named)


def test_every_file_is_counted_once_by_its_rule(image_folder):
    cat = image_folder / "cat"
    for name in ("a.HEIC", "b.heic", "c.nef", "notes.txt", ".hidden.png", "Thumbs.db", "README"):
        (cat / name).write_bytes(b"0123456789abcdef")
    for name, events in {
        "one.bin": b"01234",
        "two.BIN": b"0123401234",
        "model.bin": b"012",
    }.items():
        (cat / name).write_bytes(events)
    for place in (".git/objects/one", "__MACOSX/cat/000.png", ".DS_Store"):
        (image_folder / place).parent.mkdir(parents=True, exist_ok=True)
        (image_folder / place).write_bytes(b"nothing")
    write_pictures(image_folder, 2, seed=8, suffix=".jfif")
    shutil.copy(cat / "000.png", cat / "no ending")
    os.mkfifo(cat / "pipe.png")
    counts = counted(image_folder)
    by_content = [ignored("no picture", none=1, txt=1, bin=3)]
    if "event_cameras" in FEATURES:
        recordings = ignored("recording beside images", bin=2)
        by_content = [recordings, ignored("no picture", none=1, txt=1, bin=1)]
    assert counts.ignored == (
        ignored("format not opened here", heic=2, nef=1),
        ignored("picture without its ending", none=1),
        ignored("outside the class folders", jfif=2),
        *by_content,
        ignored("hidden", none=2, png=1),
        ignored("of the system", db=1, png=1),
        ignored("no regular file", png=1),
    )
    walked = [Path(place, name) for place, _, names in os.walk(image_folder) for name in names]
    num_ignored = sum(files.count for files in counts.ignored)
    assert counts.num_read + num_ignored == len(walked) == 12 + 17


def test_what_links_reach_counts_once(image_folder, tmp_path):
    write_pictures(tmp_path / "elsewhere", 4, seed=3)
    (tmp_path / "elsewhere" / "note.txt").write_text("no image")
    (image_folder / "fox").symlink_to(tmp_path / "elsewhere")
    (image_folder / "cat" / "up").symlink_to(image_folder)
    counts = counted(image_folder)
    assert (counts.num_read, counts.ignored) == (16, (ignored("no picture", txt=1),))


PICTURES = {
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0",
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0",
    "webp": b"RIFF\1\2\3\4WEBPVP8 ",
    "jxl": b"\0\0\0\x0cJXL \r\n\x87\n",
    "gif": b"GIF89a0123456789",
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
}
OTHERS = {
    "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "wav": b"RIFF\1\2\3\4WAVEfmt ",
    "text": b"GIF is a format",
    "empty": b"",
}


@pytest.mark.parametrize("name", [*PICTURES, *OTHERS])
def test_pictures_are_known_by_their_first_bytes(image_folder, name):
    (image_folder / "dog" / "thing.dat").write_bytes({**PICTURES, **OTHERS}[name])
    rule = "picture without its ending" if name in PICTURES else "no picture"
    assert counted(image_folder).ignored == (ignored(rule, dat=1),)


def test_the_csv_that_lists_the_images_is_not_ignored(image_folder):
    names = folder(DataOptions(data_dir=str(image_folder))).names or ()
    for name in ("labels.csv", "notes.csv"):
        (image_folder / name).write_text("")
    read = [image_folder / name for name in names]
    counts = inventory(image_folder, read, table=image_folder / "labels.csv")
    assert counts.ignored == (ignored("no picture", csv=1),)
