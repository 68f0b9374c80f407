import pickle

import pytest

from spikeduel.system.errors import (
    AuditFailed,
    InputError,
    MissingExtra,
    UnreadableFiles,
    refusing,
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
def test_errors_reach_another_process_unchanged(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


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


@pytest.mark.parametrize("error", [InputError("a"), KeyboardInterrupt(), SystemExit(3)])
def test_refusing_leaves_errors_in_order_and_interruptions_as_they_are(error):
    with pytest.raises(type(error)) as raised, refusing(lambda _: InputError("b")):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("kind", [ValueError, type("PanicException", (BaseException,), {})])
def test_refusing_turns_any_other_error_into_the_one_described(kind):
    with (
        pytest.raises(InputError, match=r"^it holds c$"),
        refusing(lambda error: InputError(f"it holds {error}")),
    ):
        raise kind("c")
