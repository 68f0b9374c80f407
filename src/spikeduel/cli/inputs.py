"""Options of commands, the experiment that they set, and errors as one line with an exit code."""

import errno
import gc
import inspect
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import inspect as kinds
from typer.models import CommandInfo, ParameterInfo

import spikeduel as sd
from spikeduel.experiment import effects
from spikeduel.experiment.fields import (
    as_text,
    checked,
    choices,
    described,
    parsed,
    setting_of,
    union_members,
)
from spikeduel.experiment.recipes import RECIPES, asked, changed
from spikeduel.experiment.settings import FEATURE_SETTINGS, SETTINGS, Experiment, read_experiment
from spikeduel.features import providing
from spikeduel.system import typed
from spikeduel.system.errors import InputError, SpikeduelError, needing_extra, visible
from spikeduel.system.signals import Stopped, heard

RESUMABLE = "What is finished is saved: the same command goes on from there."
DUEL, DATA, MACHINE, OUTPUT = "Duel", "Data", "Machine", "Output"
"""Panels of a command's help."""


def option(written: str, help: str, panel: str = "", **more: Any) -> ParameterInfo:
    """Make an option from what the help shows, such as "--out DIR"; an argument without dashes."""
    words = written.split()
    names = [word for word in words if word.startswith("-")]
    metavar = " ".join(words[len(names) :]) or None
    if not names:
        return typer.Argument(metavar=metavar, help=help, **more)
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel or None, **more)


@dataclass(frozen=True, kw_only=True)
class CommandInput:
    """Settings that the user gave, by field of `Experiment`; options that several commands share;
    `Options` of features, by feature.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=lambda: _options({}))
    experiment_file: Annotated[
        Path | None,
        option(
            "--experiment RUN|FILE.toml",
            "Start from the settings of a run, or of an experiment.toml. Code of your own that it "
            "names runs only if --own-code names it, too.",
            DUEL,
        ),
    ] = None
    own_code: Annotated[
        list[str] | None,
        option(
            "--own-code module:attribute",
            "Your own code that the file, run or model names and that may be run; repeatable.",
            DUEL,
        ),
    ] = None
    out: Annotated[
        Path | None,
        option(
            "--out DIR",
            "Folder for report.html, results.json and models/. (Default: runs/DATASET-RECIPE-…)",
            OUTPUT,
        ),
    ] = None
    store: Annotated[
        Path | None,
        option(
            "--store DIR",
            "Folder that keeps trained trials. (Default: $SPIKEDUEL_STORE, or runs/store)",
            OUTPUT,
        ),
    ] = None
    jobs: Annotated[
        int | None,
        option(
            "--jobs N",
            "Train N trials at a time, each in a process with its share of the cores. The numbers "
            "depend on --threads alone. (Default: one after another, in this process)",
            MACHINE,
        ),
    ] = None
    threads: Annotated[
        int | None,
        option(
            "--threads N",
            "Threads of a training. (Default: as many as cores are free when it begins; with "
            "--jobs its share)",
            MACHINE,
        ),
    ] = None
    as_json: Annotated[
        bool, option("--json", "Print one JSON document and nothing else on stdout.", OUTPUT)
    ] = False
    quiet: Annotated[bool, option("--quiet -q", "Print no progress.", OUTPUT)] = False
    verbose: Annotated[
        bool,
        option(
            "--verbose -v",
            "Print a line for every epoch, and at the end all that the report says.",
            OUTPUT,
        ),
    ] = False
    raw: Annotated[
        bool,
        option(
            "--raw",
            "Uncalibrated probabilities: without the temperature that was fitted on validation "
            "images. Labels are the same.",
        ),
    ] = False

    def experiment(self, dataset: str | None = None) -> Experiment:
        """Return the experiment of the file or the recipe, changed by the settings.

        Raises `InputError`, also if the file names code that neither `own_code` nor an option
        names: a file from someone else must not be enough to run code.
        """
        from spikeduel.data import catalogue

        settings = {"dataset": dataset, **self.settings} if dataset else dict(self.settings)
        dataset = settings.get("dataset")
        if self.experiment_file is None:
            return asked(settings, dataset is not None and catalogue.is_recorded(dataset))
        if "recipe" in settings:
            raise InputError(
                f"recipe: {self.experiment_file} says all settings already. Leave out --recipe, or "
                "--experiment."
            )
        in_file = read_experiment(self.experiment_file)
        experiment = changed(in_file, settings)
        named = {*settings.get("contenders", ()), *map(str, settings.values())}
        of_file = set(in_file.own_code) - named
        self.require_trusted([name for name in experiment.own_code if name in of_file])
        return experiment

    def require_trusted(self, named: Sequence[str], file: Path | None = None) -> None:
        """Raise `InputError` where a file names code that `own_code` does not."""
        if unnamed := [name for name in named if name not in (self.own_code or ())]:
            added = " ".join(f"--own-code {name}" for name in unnamed)
            raise InputError(
                f"{file or self.experiment_file}: runs the code {', '.join(unnamed)}. "
                f"If you trust it, add {added}"
            )

    def opened(self, path: Path) -> "sd.Model":
        return sd.load_model(path, own_code=self.own_code or ())

    def printed_json(self, document: Any) -> bool:
        """Print `document` and return True if --json was given."""
        if self.as_json:
            print_json(document)
        return self.as_json

    def progress(self, on_stderr: bool = False) -> "sd.Progress":
        """Return progress on stdout, or on stderr with `--json`; none with `--quiet`."""
        progress = sd.Progress()
        if not self.quiet:
            progress = sd.TerminalProgress(on_stderr or self.as_json, self.verbose)
        for feature, wrapped in providing("progress").items():
            progress = wrapped(self.options[feature], progress)
        return progress

    @contextmanager
    def workers(self) -> "Iterator[sd.Workers]":
        """Yield what trains: this process, several, or the workers of a feature."""
        of_features = [
            provided
            for feature, workers_of in providing("workers").items()
            if (provided := workers_of(self.options[feature], self.jobs, self.threads))
        ]
        if of_features:
            workers: sd.Workers = of_features[0]
        elif self.jobs is not None:
            workers = sd.Processes(self.jobs, self.threads)
        else:
            workers = sd.Workers(self.threads)
        with redirect_stdout(sys.stderr) if self.as_json else nullcontext(), workers:
            yield workers


_SHARED = {
    field_of.name: field_of
    for field_of in fields(CommandInput)
    if field_of.name not in ("settings", "options")
}
_OF_FEATURES = {
    field_of.name: (feature, field_of.type)
    for feature, kind in providing("Options").items()
    for field_of in fields(kind)
}
"""Feature and type of each feature's option, by name."""
_BY_RECIPE = {name: recipe(dataset="DATASET") for name, recipe in RECIPES.items()}
_NOT_DONE = {
    "preparing": "this command prepares images as the model says",
    "splitting": "this command does not split the data",
    "framing": "this command does not change frames and time steps",
    "training": "this command trains nothing",
    "testing": "this command tests nothing",
    "comparing": "this command compares no results",
}
OF_TESTS = [name for name in FEATURE_SETTINGS if "testing" in setting_of(SETTINGS[name].type).needs]
"""Settings of features that measure trained models."""
LISTED = [name for name in FEATURE_SETTINGS if setting_of(SETTINGS[name].type).listed]
"""Settings of features in the help of `compare`."""
EVERYTHING = (*_NOT_DONE,)
"""Work of commands that all settings concern."""
_PANELS = {"limit": DATA, "group_by": DATA, "device": MACHINE}


def command(
    options: Sequence[str] = (),
    *,
    name: str | None = None,
    works_on: Collection[str] = (),
    examples: Sequence[str] = (),
    when_stopped: str = RESUMABLE,
) -> Callable[[Callable[..., None]], CommandInfo]:
    """Make a function a command with `options`, and an option for each of its own parameters.

    An option is a field of `Experiment`, of `CommandInput` or of a feature's `Options`. A command
    that `works_on` something takes every other setting as an option that the help does not list,
    and refuses those without effect. Raises `KeyError` for an unknown name.
    """

    def make(function: Callable[..., None]) -> CommandInfo:
        parameters_of = {
            parameter.name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        }
        listed = [*(name for name in parameters_of if name not in options), *options]
        settings = [name for name in SETTINGS if works_on and name != "per_contender"]
        hidden = [name for name in settings if name not in listed]
        parameters = [parameters_of.get(name) or _parameter(name) for name in listed]
        parameters += [_parameter(name, hidden=True) for name in hidden]
        not_done = {need: why for need, why in _NOT_DONE.items() if need not in works_on}

        def run(**values: Any) -> None:
            with for_people(when_stopped):
                chosen = {
                    name: _value(name, value)
                    for name, value in values.items()
                    if name in SETTINGS and name not in parameters_of and value not in (None, [])
                }
                shared = {
                    name: values[name]
                    for name in listed
                    if name in _SHARED.keys() - parameters_of.keys()
                }
                effects.refuse(effects.idle(chosen, not_done))
                inputs = CommandInput(settings=chosen, options=_options(values), **shared)
                if "torch" not in sys.modules and (works_on or "own_code" in listed):
                    # Loaded modules are no garbage. To search them for some takes a quarter of the
                    # time, while torch is loaded and when the program ends.
                    gc.disable()
                    import torch  # noqa: F401

                    gc.freeze()
                    gc.enable()
                function(inputs, **{name: values[name] for name in parameters_of})

        # typer reads the options from these.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        is_any = works_on == EVERYTHING
        epilog = ["Every setting is an option: `spikeduel settings` lists them."] * is_any
        if examples:
            epilog += [f"Example{'s' if len(examples) > 1 else ''}:", *examples]
        return CommandInfo(
            name or function.__name__,
            callback=run,
            help=inspect.getdoc(function),
            epilog="\n\n".join(epilog) or None,
        )

    return make


def _parameter(name: str, hidden: bool = False) -> inspect.Parameter:
    """Return the option of a setting (default: None) or a shared option as a parameter."""
    if name in SETTINGS:
        panel = _PANELS.get(name, DUEL)
        default, kind = None, _declared_option(name, SETTINGS[name].type, panel, hidden)
    elif name in _OF_FEATURES:
        feature, kind = _OF_FEATURES[name]
        panel = MACHINE if feature in providing("workers") else OUTPUT
        panel = DUEL if feature in providing("before_training") else panel
        default, kind = None, _declared_option(name, kind, panel)
    else:
        default, kind = _SHARED[name].default, _SHARED[name].type
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _declared_option(name: str, kind: Any, panel: str, hidden: bool = False) -> Any:
    setting = setting_of(kind)
    written = setting.option or f"--{name.replace('_', '-')}"
    value_type: Any = str
    match union_members(kind)[0]:
        case kinds.BoolType():
            value_type, written = bool, f"{written}/--no{written[1:]}"
        case kinds.VarTupleType():
            value_type = list[str]
    metavar = setting.metavar or "|".join(choices(kind))
    written = "DATASET" if name == "dataset" else f"{written} {metavar}"
    default = "" if hidden or name not in SETTINGS else default_of(name)
    text = f"{setting.help} (Default: {default})" if default else setting.help
    return Annotated[value_type | None, option(written, text, panel, hidden=hidden)]


def options_with(part: str) -> list[str]:
    """Return the options of the features that have `part`."""
    return [name for name, (feature, _) in _OF_FEATURES.items() if feature in providing(part)]


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `Options` of each feature, with those of `values` that the user gave."""
    return {
        feature: kind(
            **{
                field_of.name: _typed(field_of.name, values[field_of.name], field_of.type)
                for field_of in fields(kind)
                if values.get(field_of.name) not in (None, [])
            }
        )
        for feature, kind in providing("Options").items()
    }


def _value(name: str, value: bool | str | list[str]) -> Any:
    kind = SETTINGS[name].type
    return _typed(setting_of(kind).option or name, value, kind)


def _typed(written: str, value: bool | str | list[str], kind: Any) -> Any:
    return parsed(written, value, kind) if isinstance(value, str) else checked(written, value, kind)


def default_of(name: str) -> str:
    """Return a setting's default in words, with the recipes that have another; "" if none."""
    if in_words := setting_of(SETTINGS[name].type).default:
        return in_words
    default = SETTINGS[name].default
    parts = [] if default in (None, ()) or isinstance(default, bool) else [as_text(default)]
    parts += [
        f"recipe {recipe}: {as_text(value)}"
        for recipe, experiment in _BY_RECIPE.items()
        if (value := getattr(experiment, name)) != default and name != "dataset"
    ]
    return "; ".join(parts)


def settings_rows() -> list[dict[str, str]]:
    return [
        {
            "setting": name,
            "default": default_of(name) or as_text(field.default),
            "meaning": f"{setting_of(field.type).help} {setting_of(field.type).details}".strip(),
            "values": described(field.type).partition(" of at most")[0],
        }
        for name, field in SETTINGS.items()
    ]


@contextmanager
def for_people(when_stopped: str = RESUMABLE) -> Iterator[None]:
    """Turn errors meant for people into one line on stderr and an exit code. `when_stopped` says
    after Ctrl-C or SIGTERM what is kept.
    """
    try:
        with heard(), needing_extra(("torch", "numba", "matplotlib", "jinja2"), "train"):
            yield
    except (SpikeduelError, OSError) as error:
        if isinstance(error, OSError):
            if error.errno != errno.ENAMETOOLONG:
                raise
            error = InputError(f"{error.filename}: {error.strerror}. Choose a shorter name.")
        typer.secho(f"error: {visible(' '.join(str(error).split()))}", fg="red", err=True)
        raise typer.Exit(error.exit_code) from None
    except Stopped as stopped:
        typer.secho(f"\nstopped. {when_stopped}", fg="yellow", err=True)
        raise typer.Exit(stopped.exit_code) from None


def wrapped(text: str, bullet: str = "") -> str:
    """Wrap `text` to the terminal's width, the first line after `bullet`."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    return textwrap.fill(
        visible(text),
        width,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
    )


def print_bullets(texts: Sequence[str], title: str = "") -> None:
    """Print texts as a list below `title`; nothing if empty."""
    if title and texts:
        typer.echo(title)
    for text in texts:
        typer.echo(wrapped(text, "  · "))


def print_json(value: Any) -> None:
    """Print a JSON document on stdout, of plain data or structs."""
    sys.stdout.write(json.dumps(typed.plain(value), indent=2, allow_nan=False) + "\n")
