"""What the README says is true: its tables are those of the results files, its commands exist."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from spikeduel.settings import Experiment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("section", ["records", "study", "found", "energy", "speed"])
def test_the_tables_are_those_of_the_results_files(section, tables):
    assert section in tables.SECTIONS
    between = README.split(tables.begin(section))[1].split(tables.end(section))[0]
    assert between.strip() == tables.table(section).strip()


def test_a_record_of_one_seed_has_no_deviation(tables):
    assert tables.mean([0.9, 0.92]) == "91.00 ± 1.41"
    assert tables.mean([0.9]) == "90.00"


def test_the_court_is_that_of_its_results_file():
    (case, *_), *_ = [run["cases"] for run in json.loads((ROOT / "benchmarks/results/court.json").read_text())["runs"]]
    found, flips = case["cheaper_in"], {each["accounting"]: each["flips"] for each in case["rulings"]}
    rates = [flip["value"] for name in ("syops", "memory") for flip in flips[name] if flip["axis"] == "rate"]
    text = " ".join(README.split())
    assert (
        f"in {found['spiking']} of {case['judged']} accountings, dearer in {found['other']}, and {found['open']} leave"
        in text
    )
    for rate in (case["rate"], *rates):
        assert f"{100 * rate:.1f} %" in text


def test_results_files_hold_no_path():
    paths = list((ROOT / "benchmarks" / "results").glob("*.json"))
    assert paths
    for path in paths:
        assert not re.search(r'"/\w+', path.read_text()), path


def test_every_command_and_option_it_names_exists():
    import typer.main

    from spikeduel.cli import app

    root = typer.main.get_command(app)
    commands = re.findall(r"^(?:.*`)?(spikeduel [a-z][^`#\n]*)", README, flags=re.MULTILINE)
    assert len(commands) >= 10
    for text in commands:
        words = text.split()[1:]
        command = root
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, text
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, text


def test_the_settings_in_its_python_exist():
    assert Experiment(dataset="fashion-mnist", seeds=6, encoding="direct").seeds == 6
    for name in set(re.findall(r"\bsd\.(\w+)", README)):
        import spikeduel

        assert hasattr(spikeduel, name), name
