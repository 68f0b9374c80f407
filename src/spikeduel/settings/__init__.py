"""What defines an experiment; from and to TOML files, from `--set name=value`; and the hash of any settings."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import tomli_w

from spikeduel.settings.experiment import NUMERICS_VERSION, TUNABLE, Experiment
from spikeduel.settings.fields import parsed
from spikeduel.system import files, typed
from spikeduel.system.errors import naming, unknown

__all__ = [
    "NUMERICS_VERSION", "RENAMED", "TUNABLE", "Experiment", "digest", "read_experiment", "with_settings",
    "write_experiment",
]  # fmt: skip

RENAMED = {"near": "near_duplicate_ratio"}
"""Settings by the names that earlier versions gave them; files and `--set` may still use these."""


def with_settings(experiment: Experiment, assignments: Mapping[str, str]) -> Experiment:
    """`experiment` with settings given as text, as `--set name=value` gives them. Raises `InputError`."""
    kinds = {f.name: f.type for f in fields_of(Experiment)}
    given = _by_present_names(assignments, "setting")
    return replace(experiment, **{name: parsed(name, text, kinds[name]) for name, text in given.items()})


def read_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file, as `compare --out` writes it. Raises `InputError` naming file and setting.

    Reading runs nothing. Comparing runs the code that `own_code` lists: look at that of a file from someone else first.
    """
    content = typed.read_toml(path, dict[str, Any])
    settings = _by_present_names(content, f"setting in {path}")
    with naming(path):
        return Experiment(**settings)


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Writes `experiment` as TOML; what is unset is left out."""
    content = {name: value for name, value in asdict(experiment).items() if value is not None}
    files.write_text(path, tomli_w.dumps(content))


def digest(value: Any) -> str:
    """A hash of any JSON-like `value`, the same on every machine: 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _by_present_names(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    present = {RENAMED.get(name, name): value for name, value in given.items()}
    known = {f.name for f in fields_of(Experiment)}
    for name in present:
        if name not in known:
            raise unknown(what, name, known)
    return present
