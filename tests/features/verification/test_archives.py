"""Damaged and hostile zip files: each is an error that names the file, or unpacks as it was."""

import io
import warnings
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spikeduel.analysis import hashes
from spikeduel.cli import app
from spikeduel.features.verification import verifying
from spikeduel.features.verification.verifying import unpacked
from spikeduel.system.errors import InputError

CONTENT = {
    "results.json": b'{"schema": 3, "numbers": [1, 2, 3, 1, 2, 3, 1, 2, 3]}',
    "tables/scores.csv": b"contender,accuracy\na,1\nb,1\n",
    "größe.txt": b"",
}


def archive(contents, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in contents:
            made.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def unpack(path):
    """Return the content of the files of an archive."""
    with unpacked(path) as folder:
        files = [part for part in Path(folder).rglob("*") if part.is_file()]
        return {part.relative_to(folder).as_posix(): part.read_bytes() for part in files}


@pytest.mark.parametrize(
    ("method", "flips"),
    [
        (zipfile.ZIP_STORED, [0xFF]),
        (zipfile.ZIP_DEFLATED, [0x01, 0x80]),
        (zipfile.ZIP_BZIP2, [0x01]),
        (zipfile.ZIP_LZMA, [0x01]),
    ],
)
def test_an_archive_with_a_flipped_byte_is_an_error_or_unpacks_as_it_was(tmp_path, method, flips):
    whole, path, errors = archive(CONTENT.items(), method), tmp_path / "kit.zip", []
    path.write_bytes(whole)
    assert unpack(path) == CONTENT
    for place in range(len(whole)):
        for flipped in flips:
            damaged = bytearray(whole)
            damaged[place] ^= flipped
            path.write_bytes(damaged)
            try:
                # A name or an attribute can be another one; content cannot.
                assert {*unpack(path).values()} <= {*CONTENT.values()}, place
            except InputError as error:
                errors.append(str(error))
    assert len(errors) > len(whole) / 2
    assert all(error.startswith(f"{path}: ") for error in errors)


def test_a_name_that_is_not_unicode_is_an_error(tmp_path):
    path, name = tmp_path / "kit.zip", "größe.txt".encode()
    path.write_bytes(archive(CONTENT.items()).replace(name, b"gr\xff" + name[3:]))
    ended = CliRunner().invoke(app, ["verify", str(path)])
    assert ended.exit_code == 2
    assert "kit.zip: not a whole zip file" in " ".join(ended.output.split())


def test_a_name_that_is_empty_is_an_error(tmp_path):
    path = tmp_path / "kit.zip"
    path.write_bytes(archive(CONTENT.items()).replace(b"results.json", b"\0esults.json"))
    ended = CliRunner().invoke(app, ["verify", str(path)])
    assert ended.exit_code == 2
    assert ended.output.startswith("error: ")


def test_hashes_of_a_name_that_no_file_system_has_are_damaged(tmp_path):
    tmp_path.joinpath(hashes.FILE).write_text(f"{'0' * 64}  tables/{'x' * 300}.csv\n")
    with pytest.raises(InputError, match="damaged"):
        hashes.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../results.json", "leads out"),
        ("tables/../../results.json", "leads out"),
        ("/etc/passwd", "leads out"),
        ("C:/results.json", "leads out"),
        ("results.json", "occurs twice"),
        ("Results.json", "occurs twice"),
    ],
)
def test_a_name_that_leads_out_or_occurs_twice_is_refused(tmp_path, name, why):
    path = tmp_path / "kit.zip"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        path.write_bytes(archive([(name, b"forged"), *CONTENT.items()]))
    with pytest.raises(InputError) as raised:
        unpack(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert f"{why} " in str(raised.value)


def test_an_archive_of_many_or_large_files_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "kit.zip"
    path.write_bytes(archive(CONTENT.items()))
    for limit, value in (("MAX_FILES", 2), ("MAX_BYTES", 50)):
        with monkeypatch.context() as patch:
            patch.setattr(verifying, limit, value)
            with pytest.raises(InputError, match=r"kit\.zip: more than"):
                unpack(path)
    assert unpack(path) == CONTENT


def test_a_kit_of_own_code_says_how_to_train_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(verifying, "verify", lambda place: [])
    path = tmp_path / "kit.zip"
    text = b'dataset = "digits"\ncontenders = ["net.py:make", "dense-relu"]\n'
    path.write_bytes(archive([("experiment.toml", text)]))
    ended = CliRunner().invoke(app, ["verify", str(path), "--rerun", "1"])
    printed_text = " ".join(ended.output.split())
    assert ended.exit_code == 2
    assert "Unzip a file; `spikeduel compare --experiment FOLDER --store NEW`" in printed_text
