"""Experiments as TOML files."""

import dataclasses
from pathlib import Path
from typing import Any

import tomli_w

from spikeduel.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import naming, unknown


def read_experiment(path: Path) -> Experiment:
    """Read the experiment of a TOML file or a run's folder. Raises `InputError` naming file and
    setting.

    Reading runs nothing; comparing runs `own_code`: check a stranger's file first.
    """
    path = Path(path) / "experiment.toml" if Path(path).is_dir() else path
    content = typed.read_toml(path, dict[str, Any])
    known = {member.name for member in dataclasses.fields(Experiment)}
    if others := content.keys() - known:
        raise unknown(f"setting in {path}", min(others), known)
    with naming(path):
        return Experiment(**content)


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write `experiment` as TOML, without unset settings."""
    content = dataclasses.asdict(experiment).items()
    files.write_text(
        path, tomli_w.dumps({name: value for name, value in content if value is not None})
    )
