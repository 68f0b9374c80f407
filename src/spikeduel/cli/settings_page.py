"""The reference of all settings, for `spikeduel settings` and the documentation."""

from dataclasses import fields

from spikeduel.cli.inputs import default_of, shown
from spikeduel.settings import Experiment
from spikeduel.settings.fields import described, setting_of


def rows() -> list[dict[str, str]]:
    """Return name, default, meaning and values of every setting."""
    return [
        {
            "setting": field.name,
            "default": _default(field.name, field.default),
            "meaning": f"{setting_of(field.type).help} {setting_of(field.type).details}".strip(),
            "values": described(field.type).partition(" of at most")[0],
        }
        for field in fields(Experiment)
    ]


def _default(name: str, default: object) -> str:
    """Return the default in words where the recipe decides it, else as text."""
    text = default_of(name).strip("()")
    if "recipe" not in text:
        return shown(default)
    return text.removeprefix("Default: ").removeprefix("Default of ")
