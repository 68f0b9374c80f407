"""Experiments as text: settings given one by one, and files of them, those of earlier versions
too.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tomli_w

from spikeduel.settings import Experiment
from spikeduel.settings.fields import parsed
from spikeduel.settings.recipes import PLAIN
from spikeduel.system import files, typed
from spikeduel.system.errors import naming, unknown

RENAMED = {"near": "near_duplicate_ratio"}
"""Settings by the names that earlier versions gave them; files and `--set` may still use these."""


def with_settings(experiment: Experiment, assignments: Mapping[str, str]) -> Experiment:
    """`experiment` with settings given as text, as `--set name=value` gives them. Raises
    `InputError`.
    """
    kinds = {f.name: f.type for f in dataclasses.fields(Experiment)}
    given = _by_present_names(assignments, "setting")
    return replace(
        experiment, **{name: parsed(name, text, kinds[name]) for name, text in given.items()}
    )


def read_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file, or of a run's folder. Raises `InputError` naming file and
    setting.

    Reading runs nothing. Comparing runs the code that `own_code` lists: look at that of a file from
    someone else first.
    """
    path = Path(path) / "experiment.toml" if Path(path).is_dir() else path
    content = typed.read_toml(path, dict[str, Any])
    settings = of_earlier(_by_present_names(content, f"setting in {path}"))
    with naming(path):
        return Experiment(**settings)


def of_earlier(content: dict[str, Any]) -> dict[str, Any]:
    """The settings in `content`; where they were written before there was another optimizer, it
    trained plainly.
    """
    plain = "optimizer" not in content and content.get("recipe", "strong") != "strong"
    return {**PLAIN, **content} if plain else content


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Writes `experiment` as TOML; what is unset is left out."""
    content = {name: value for name, value in asdict(experiment).items() if value is not None}
    files.write_text(path, tomli_w.dumps(content))


def _by_present_names(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    present = {RENAMED.get(name, name): value for name, value in given.items()}
    known = {f.name for f in dataclasses.fields(Experiment)}
    for name in present:
        if name not in known:
            raise unknown(what, name, known)
    return present
