"""Devices that `--for` takes: names and titles alone, since they are loaded with the settings."""

import tomllib
from pathlib import Path
from typing import Any

from spikeduel.experiment.targets import Target

FOLDER = Path(__file__).parent
FITTED = FOLDER / "fitted.toml"
FILES = {file.stem: file for file in sorted((FOLDER / "devices").glob("*.toml"))}
"""Devices in the package: a version of the software of a board each."""
DISTANCE = (
    "Energies are estimates with an 80 % interval, by a model fitted to measurements on the device "
    "with a power meter; these networks were not measured."
)


def _newest() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the name and the file of the newest device of each board."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, file in FILES.items():
        device = tomllib.loads(file.read_text(encoding="utf-8"))
        if device["board"] not in found or device["date"] > found[device["board"]][1]["date"]:
            found[device["board"]] = name, device
    return found


_NEWEST, _MODELS = _newest(), tomllib.loads(FITTED.read_text(encoding="utf-8"))
NEWEST = {board: name for board, (name, _) in _NEWEST.items()}
"""Device with the newest software for each board."""
TARGETS = {
    board: Target(
        title=device["title"],
        spiking="spiking" in _MODELS[name],
        other="other" in _MODELS[name],
        distance=DISTANCE,
    )
    for board, (name, device) in _NEWEST.items()
}
