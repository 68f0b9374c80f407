"""Commands of the program, called in this process, and their output."""

import json

from typer.testing import CliRunner

from spikeduel.cli import app

OF_A_CNN = ["--recipe", "baseline", "--device", "cpu", "--learning-rate", "5e-3"]
FAST = [*OF_A_CNN, "--num-steps", "4", "--hidden", "32"]
ONE_EPOCH = ["--epochs", "1", "--limit", "200"]
QUICKEST = [*FAST, *ONE_EPOCH]


def spikeduel(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments):
    """The output of a command that ends well."""
    done = spikeduel(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*arguments):
    """The JSON document of a command that ends well."""
    return json.loads(printed(*arguments, "--json"))


def model(run, contender="dense-snn"):
    return run / "models" / f"{contender}-seed0.safetensors"


def one_line(done):
    assert "Traceback" not in done.output
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(desk, *arguments):
    """The one line that a command says before it ends with exit code 2, leaving the user's folder
    as it was.
    """
    before = contents(desk)
    done = spikeduel(*arguments)
    assert done.exit_code == 2, done.output
    line = one_line(done)
    assert line.startswith("error: ")
    assert done.stdout == ""
    assert contents(desk) == before
    return line
