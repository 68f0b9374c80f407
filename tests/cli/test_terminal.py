import json
import signal

import pytest
import typer

from spikeduel.cli.inputs import RESUMABLE, CommandInput, for_people, print_json, wrapped
from spikeduel.system.errors import InputError, SpikeduelError


@pytest.mark.parametrize(
    ("error", "stopped", "code", "says"),
    [
        (InputError("a\n  file is missing"), {}, 2, "error: a file is missing\n"),
        (SpikeduelError("no"), {}, 1, "error: no\n"),
        (KeyboardInterrupt(), {}, 130, f"\nstopped. {RESUMABLE}\n"),
        (KeyboardInterrupt(), {"when_stopped": "All is safe."}, 130, "\nstopped. All is safe.\n"),
    ],
)
def test_errors_become_one_line_and_a_code(error, stopped, code, says, capsys):
    with pytest.raises(typer.Exit) as caught, for_people(**stopped):
        raise error
    assert caught.value.exit_code == code
    assert capsys.readouterr() == ("", says)


def test_a_name_that_is_too_long_is_an_error_for_people(tmp_path, capsys):
    with pytest.raises(typer.Exit) as caught, for_people():
        (tmp_path / ("n" * 300)).stat()
    assert caught.value.exit_code == 2
    assert "File name too long" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError), for_people():
        (tmp_path / "absent").stat()


def test_a_defect_is_not_hidden():
    with pytest.raises(ZeroDivisionError), for_people():
        raise ZeroDivisionError


def test_text_is_wrapped_under_its_bullet(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert wrapped("one two three four --seeds 6", "· ") == "· one two three four\n  --seeds 6"


def test_json_is_the_only_thing_on_standard_output(capsys):
    CommandInput(as_json=True).progress().say("news")
    print_json({"a": None})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": None}
    assert err == "news\n"
    CommandInput(quiet=True, as_json=True).progress().say("news")
    assert capsys.readouterr().err == ""


def test_names_cannot_command_the_terminal(capsys):
    with pytest.raises(typer.Exit), for_people():
        raise InputError("\x1b]0;owned\x07 caf\udce9: no such file")
    assert capsys.readouterr().err == "error: \\x1b]0;owned\\x07 caf\\udce9: no such file\n"
    assert wrapped("a \x1b[31m b") == r"a \x1b[31m b"


def test_the_handler_of_ctrl_c_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with for_people():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with for_people():
            # As under nohup.
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
