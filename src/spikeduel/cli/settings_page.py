"""The reference of all settings: rows of `spikeduel settings`, and docs/settings.md."""

from dataclasses import fields

from spikeduel.cli.inputs import default_of, shown
from spikeduel.settings import Experiment
from spikeduel.settings.fields import described, setting_of

HEAD = """# Settings

Every setting of an experiment. `--set name=value`, or `--name value`, sets it on the command line;
`Experiment(name=value)`, or `spikeduel.strong(name=value)`, in Python; a line of experiment.toml in a file.
Made by `python -m spikeduel.cli.settings_page > docs/settings.md`.

| setting | default | meaning | values |
|---|---|---|---|
"""


def rows() -> list[dict[str, str]]:
    """Return name, default, meaning and values of every setting."""
    return [
        {
            "setting": own.name,
            "default": shown(own.default),
            "meaning": f"{setting_of(own.type).help} {setting_of(own.type).details}".strip(),
            "values": described(own.type).partition(" of at most")[0],
        }
        for own in fields(Experiment)
    ]


def page() -> str:
    """Return docs/settings.md."""
    lines = []
    for row, own in zip(rows(), fields(Experiment), strict=True):
        recipes = default_of(own.name).strip("()")
        default = recipes.removeprefix("Default: ") if "recipe" in recipes else row["default"]
        cells = (
            f"`{row['setting']}`",
            default.removeprefix("Default of "),
            row["meaning"],
            row["values"],
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
