import pickle

import pytest

from spikeduel.system.errors import (
    AuditFailed,
    InputError,
    MissingExtra,
    UnreadableFiles,
    unknown,
    visible,
)


@pytest.mark.parametrize(
    "error",
    [
        InputError("no such folder."),
        AuditFailed("2 copies."),
        MissingExtra("Ray", "cluster"),
        UnreadableFiles({"a.png": "cut off", "b.png": "empty"}, "cats"),
    ],
)
def test_another_process_is_told_the_same(error):
    told = pickle.loads(pickle.dumps(error))
    assert (type(told), str(told), vars(told)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("name", "offered"), [("fold", "did you mean 'folds'?"), ("foo", "choose from folds, seeds.")]
)
def test_only_what_is_near_is_offered_as_what_was_meant(name, offered):
    assert (
        str(unknown("setting", name, ["seeds", "folds"])) == f"unknown setting '{name}': {offered}"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("T-shirt/top, Größe ß, 猫, ±", "T-shirt/top, Größe ß, 猫, ±"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_cannot_be_printed_is_an_escape(text, shown):
    assert visible(text) == shown
    assert visible(text).encode("utf-8")
