"""docs/scripting.md trains a network with the engine, and names no part of the duel."""

import ast
import re
from pathlib import Path

import torch

import spikeduel as sd

PAGE = Path(__file__).parent.parent / "docs" / "scripting.md"
ENGINE = {"engine", "export", "inputs", "system"}
"""`lint-imports` checks that these packages import no other."""


def package_of(name):
    """Return the package that the stub loads `name` from."""
    stub = Path(sd.__file__).with_suffix(".pyi").read_text("utf-8")
    return next(
        line.module.partition(".")[0]
        for line in ast.parse(stub).body
        if isinstance(line, ast.ImportFrom) and name in {alias.name for alias in line.names}
    )


def test_a_training_loop_of_ones_own_needs_the_engine_alone(capsys):
    loop = re.search(r"^# engine_alone\.py\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)[1]
    used = {package_of(name) for name in re.findall(r"\bsd\.(\w+)", loop)}
    assert used
    assert used <= ENGINE
    torch.manual_seed(0)
    names = {}
    exec(loop, names)
    first = names["nn"].functional.cross_entropy(names["Net"]()(names["x"]), names["labels"])
    assert names["loss"].item() < 0.9 * first.item()
    assert names["counter"].operations().totals.spikes.total > 0
    assert re.fullmatch(r"[\d,]+ additions per image\n", capsys.readouterr().out)
