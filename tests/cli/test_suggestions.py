"""Commands and options that sentences suggest exist, and the first steps of a run work on it."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import spikeduel
from spikeduel.analysis.run_findings import search_option
from spikeduel.cli import app
from spikeduel.features import FEATURES
from spikeduel.results.findings import TABLE
from spikeduel.sentences.comparison import load_run

SOURCE = Path(spikeduel.__file__).parent
OF_OTHERS = {"--head", "--num-gpus", "--check", "--name", "--no"}
"""Options of other programs, and what stands for any option."""


def commands():
    """The program's commands by name, those on data as "data NAME"."""
    program = typer.main.get_command(app)
    groups = {"": program, "data ": program.commands["data"]}
    return {
        f"{prefix}{name}": command
        for prefix, group in groups.items()
        for name, command in group.commands.items()
    }


def texts():
    """All texts of the package that a user can meet, without docstrings, by file."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.name, node.value
    for path in SOURCE.rglob("*findings.toml"):
        yield path.name, path.read_text(encoding="utf-8")


def test_every_option_that_a_text_names_is_one():
    known = {"--help", "--version", *OF_OTHERS}
    if "export" not in FEATURES:
        known |= {"--dataset", "--dt", "--to"}  # which readers and writers of files name
    if not {"predicting", "inspection"} & FEATURES.keys():
        known.add("--raw")  # an option that several features share
    for command in commands().values():
        for param in command.params:
            known |= {*param.opts, *param.secondary_opts}
    named = {
        option: file
        for file, text in texts()
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+\b", text)
        if file != "drawing.py"  # variables of style sheets
    }
    assert {option: file for option, file in named.items() if option not in known} == {}


def test_every_command_that_a_text_names_is_one():
    known = {name.split()[0] for name in commands()}
    named = {
        word: file
        for file, text in texts()
        for word in re.findall(r"(?<!pip install )`spikeduel ([a-z]+)", text)
    }
    assert {word: file for word, file in named.items() if word not in known} == {}
    assert len(named) > 3


def test_remedies_are_options_with_values():
    remedies = {row.remedy for row in TABLE.values() if row.remedy}
    assert all(re.fullmatch(r"--(seeds|folds|tune) (\d+|\{\w+\})", text) for text in remedies)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(24):
            pixels = rng.integers(0, 128, (8, 8), dtype=np.uint8) + np.uint8(127 * (name == "b"))
            path = tmp_path / "pictures" / name / f"p{number % 8}_{number}.png"
            Image.fromarray(pixels).save(path)
    return str(tmp_path / "pictures")


QUICK = (
    *("--recipe", "baseline", "--hidden", "4", "--num-steps", "2", "--epochs", "1"),
    *("--batch-size", "16", "--device", "cpu"),
)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ((), {"--epochs", "--seeds", "--folds"}),
        (
            ("--epochs", "30", "--batch-size", "4"),
            {"--seeds", "--folds", *(search_option() or "").split()[:1]},
        ),
    ],
    ids=["nothing learned", "few images"],
)
def test_the_first_steps_of_a_run_work_on_it(more, expected, folder, unreported):
    done = CliRunner().invoke(app, ["compare", folder, *QUICK, *more, "--out", "first"])
    assert done.exit_code == 0, done.output
    steps = load_run(Path("first")).results.recommendation.steps
    suggested = {step.options[0]: step.options for step in steps if step.options}
    assert expected <= suggested.keys()
    for number, options in enumerate(suggested.values()):
        again = ["compare", "--experiment", "first", *options, "--out", f"step-{number}"]
        done = CliRunner().invoke(app, again)
        assert done.exit_code == 0, f"{options}: {done.output}"
