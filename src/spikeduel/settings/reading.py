"""Experiments as text: `--set name=value`, and TOML files."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tomli_w

from spikeduel.settings import Experiment
from spikeduel.settings.fields import parsed
from spikeduel.system import files, typed
from spikeduel.system.errors import naming, unknown


def with_settings(experiment: Experiment, assignments: Mapping[str, str]) -> Experiment:
    """Return `experiment` with settings given as text. Raises `InputError`."""
    kinds = {f.name: f.type for f in dataclasses.fields(Experiment)}
    _require_known(assignments, "setting")
    return replace(
        experiment, **{name: parsed(name, text, kinds[name]) for name, text in assignments.items()}
    )


def read_experiment(path: Path) -> Experiment:
    """Read the experiment of a TOML file or a run's folder.

    Raises `InputError` naming file and setting. Reading runs nothing. Comparing runs the code that
    `own_code` lists: look at that of a file from someone else first.
    """
    path = Path(path) / "experiment.toml" if Path(path).is_dir() else path
    content = typed.read_toml(path, dict[str, Any])
    _require_known(content, f"setting in {path}")
    with naming(path):
        return Experiment(**content)


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write `experiment` as TOML, without unset settings."""
    content = {name: value for name, value in asdict(experiment).items() if value is not None}
    files.write_text(path, tomli_w.dumps(content))


def _require_known(names: Iterable[str], what: str) -> None:
    known = {own.name for own in dataclasses.fields(Experiment)}
    for name in names:
        if name not in known:
            raise unknown(what, name, known)
