import json
import re

import pytest
from typer.testing import CliRunner

from spikeduel.cli import app
from spikeduel.training.store import RECORD, Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The default store of an empty folder, with a training that was not finished."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPIKEDUEL_STORE")
    store = Store("runs/store")
    store.folder("a" * 16).mkdir(parents=True)
    store.checkpoint_path("a" * 16).write_bytes(bytes(2_000_000))
    return store


def clean(*arguments, reply=None):
    return CliRunner().invoke(app, ["clean", *arguments], input=reply)


def test_clean_says_what_would_go_and_asks(store):
    assert "--yes" in clean("--json").stderr
    assert "--runs names" in clean("--runs", "nowhere").stderr
    for done in (clean("--dry-run"), clean(reply="n")):
        assert re.search(r"not finished +1 +2\.0 MB", done.stdout)
        assert store.folder("a" * 16).exists()
    (entry,) = json.loads(clean("--dry-run", "--json").stdout)["removed"]
    assert entry["kind"] == "unfinished"
    done = clean(reply="y")
    assert done.exit_code == 0
    assert re.search(r"Freed 2(\.\d+)? MB", done.stdout)
    assert not store.folder("a" * 16).exists()
    assert "Nothing to remove" in clean().stdout
    store.folder("b" * 16).mkdir(parents=True)
    (store.folder("b" * 16) / RECORD).write_bytes(b"{}")
    assert "networks that no run in runs refers to" in clean("--dry-run").stdout
