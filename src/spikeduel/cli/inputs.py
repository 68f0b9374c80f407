"""Options of the commands, the experiment that they make, and messages on the terminal."""

import inspect
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from msgspec import inspect as kinds
from typer.core import TyperCommand
from typer.models import CommandInfo, ParameterInfo

from spikeduel.settings import Experiment
from spikeduel.settings.fields import choices, members, setting_of
from spikeduel.settings.reading import read_experiment, with_settings
from spikeduel.settings.recipes import RECIPES, asked
from spikeduel.settings.recipes import changed as with_changes
from spikeduel.system import typed
from spikeduel.system.errors import InputError, SpikeduelError, unknown, visible
from spikeduel.system.signals import Stopped, heard

if TYPE_CHECKING:
    from spikeduel.networks.models import Model
    from spikeduel.system.progress import Progress

EPOCHS_ARE_SAVED = (
    "Finished epochs are saved (with --ray, finished trials): the same command goes on from there."
)
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
    """Settings that the user gave as options, and the options that several commands share."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings by the names of the fields of `Experiment`."""
    experiment_file: Annotated[
        Path | None,
        option(
            "--experiment RUN|FILE.toml",
            "Start from the settings of a run, or of an experiment.toml. Code of your own that it "
            "names runs only if --own-code names it, too.",
            DUEL,
        ),
    ] = None
    assignments: Annotated[
        list[str] | None,
        option(
            "--set NAME=VALUE",
            "Any setting, such as learning_rate=1e-3; repeatable. --NAME VALUE does the same. "
            "`spikeduel settings` lists all.",
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
    ray: Annotated[
        str | None,
        option(
            "--ray auto|ADDRESS|local",
            "Train on a Ray cluster: auto finds the one that runs here, local starts one. Data go "
            "there, and trained models come back (pip install 'spikeduel[cluster]').",
            MACHINE,
        ),
    ] = None
    threads: Annotated[
        int | None,
        option(
            "--threads N",
            "Threads of a training. (Default: as many as cores are free when it begins; with "
            "--jobs its share; with --ray 1)",
            MACHINE,
        ),
    ] = None
    loggers: Annotated[
        list[str] | None,
        option(
            "--logger tensorboard|mlflow|csv",
            "Log curves, settings and results: tensorboard and csv in the run's folder logs/, "
            "mlflow where MLFLOW_TRACKING_URI says; repeatable.",
            OUTPUT,
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
    model: Annotated[
        Path,
        option(
            "MODEL",
            "A .safetensors file from a run's models/ folder, or the name of a network that comes "
            "with the package (`spikeduel models`).",
        ),
    ] = Path()
    raw: Annotated[
        bool,
        option(
            "--raw",
            "Uncalibrated probabilities: without the temperature that was fitted on validation "
            "images. Labels are the same.",
        ),
    ] = False

    def experiment(self, dataset: str | None = None) -> Experiment:
        """Return the experiment of the file or the recipe, changed by options and `--set`.

        Without a recipe, each contender brings the settings of its own (`recipes.for_contenders`).
        Raises `InputError`, also if the file names code of one's own that neither `own_code` nor an
        option names: a file from someone else must not be enough to run code.
        """
        assigned, changes = self._assigned(), dict(self.settings)
        if dataset := changes.get("dataset") or dataset:
            changes["dataset"] = dataset
        in_file: tuple[str, ...] = ()
        if self.experiment_file is not None:
            experiment = read_experiment(self.experiment_file)
            in_file = experiment.own_code
            changes.pop("recipe", None)
            experiment = with_changes(experiment, changes, assigned)
        else:
            experiment = asked(changes, self._is_recorded(dataset), assigned)
        changed = with_settings(experiment, assigned)
        named = {*(self.own_code or ()), dataset, *assigned.values()}
        named |= {*changes.get("contenders", ()), changes.get("encoding")}
        self.require_trusted(
            [name for name in in_file if name in changed.own_code and name not in named]
        )
        return changed

    def require_trusted(self, named: Sequence[str], file: Path | None = None) -> None:
        """Raise `InputError` where a file names code that `own_code` does not."""
        if unnamed := [name for name in named if name not in (self.own_code or ())]:
            added = " ".join(f"--own-code {name}" for name in unnamed)
            raise InputError(
                f"{file or self.experiment_file}: runs the code {', '.join(unnamed)}. "
                f"If you trust it, add {added}"
            )

    def changing(self, experiment: Experiment) -> Experiment:
        """Return `experiment` changed by options and `--set`. Raises `InputError`."""
        return with_settings(replace(experiment, **self.settings), self._assigned())

    def opened(self, path: Path | None = None) -> "Model":
        """Open the model in `path`, or in the file that was given. Raises `InputError`."""
        from spikeduel.networks.model_files import load_model

        return load_model(path or self.model, own_code=self.own_code or ())

    def progress(self, on_stderr: bool = False) -> "Progress":
        """Return bars and lines on stdout, or on stderr with `--json`; nothing with `--quiet`."""
        from spikeduel.system.progress import Progress, TerminalProgress

        return (
            Progress() if self.quiet else TerminalProgress(on_stderr or self.as_json, self.verbose)
        )

    def _assigned(self) -> dict[str, str]:
        assigned = {}
        for text in self.assignments or ():
            name, separator, value = text.partition("=")
            if not separator:
                raise InputError(f"--set {text}: write it as name=value.")
            assigned[name.strip()] = value.strip()
        return assigned

    @staticmethod
    def _is_recorded(dataset: str | None) -> bool:
        from spikeduel.data import catalogue

        return dataset is not None and catalogue.is_recorded(dataset)


_SETTINGS = {own.name: own for own in fields(Experiment)}
_SHARED = {own.name: own for own in fields(CommandInput) if own.name != "settings"}
_BY_RECIPE = {name: recipe(dataset="DATASET") for name, recipe in RECIPES.items()}
_OF_DATA, _OF_MACHINE = ("limit", "group_by"), ("device",)
_OPTION_TYPES = {
    kinds.IntType: int,
    kinds.FloatType: float,
    kinds.BoolType: bool,
    kinds.VarTupleType: list[str],
}


def command(
    *names: str,
    name: str | None = None,
    required: tuple[str, ...] = (),
    short: tuple[str, ...] = (),
    examples: Sequence[str] = (),
    when_stopped: str = EPOCHS_ARE_SAVED,
) -> Callable[[Callable[..., None]], CommandInfo]:
    """Make a function a command with an option for each of `names` and of its own parameters.

    A name is a setting (a field of `Experiment`) or an option that commands share (a field of
    `CommandInput`); the function gets their values as a `CommandInput`. Parameters of the function
    come first in the help, unless they are among `names`. With `short`, `--help` shows these
    options, and `--help-all` all of them. Raises `TypeError` for an unknown name.
    """

    def make(function: Callable[..., None]) -> CommandInfo:
        own = {
            parameter.name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        }
        shared = {name: _parameter(name, name in required) for name in names if name not in own}
        first = [name for name in own if name not in names]
        parameters = [{**own, **shared}[name] for name in (*first, *names)]
        if short:
            parameters.append(_HELP_ALL)

        def run(**values: Any) -> None:
            settings = {
                name: values[name]
                for name in shared
                if name in _SETTINGS and values[name] is not None
            }
            inputs = {name: values[name] for name in shared if name in _SHARED}
            with for_people(when_stopped), _under_torchrun(inputs):
                function(
                    CommandInput(settings=settings, **inputs),
                    **{name: values[name] for name in own},
                )

        # typer reads the options from these.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return CommandInfo(
            name or function.__name__,
            cls=type("Command", (Command,), {"short": short}),
            callback=run,
            help=inspect.getdoc(function),
            epilog="\n\n".join([f"Example{'s' if len(examples) > 1 else ''}:", *examples])
            if examples
            else None,
        )

    return make


class Command(TyperCommand):
    """A command that takes `--NAME VALUE` for every setting, and may have a short help."""

    short: ClassVar[tuple[str, ...]] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with settings that have no option as `--set`."""
        with for_people():
            args = self._with_settings(args)
        return super().parse_args(ctx, args)

    def _with_settings(self, args: Iterable[str]) -> list[str]:
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        known |= {"-h", "--help"}
        if "--set" not in known:
            return list(args)
        written: list[str] = []
        rest = iter(args)
        for text in rest:
            name, is_assigned, value = text.partition("=")
            setting = name[2:].replace("-", "_")
            negated = setting.startswith("no_") and setting not in _SETTINGS
            setting = setting[3:] if negated else setting
            if text == "--":
                return [*written, text, *rest]
            if name in known or not name.startswith("--"):
                written.append(text)
            elif setting not in _SETTINGS:
                every = known | {f"--{each.replace('_', '-')}" for each in _SETTINGS}
                raise unknown("option", name, sorted(each for each in every if each[:2] == "--"))
            else:
                if isinstance(members(_SETTINGS[setting].type)[0], kinds.BoolType):
                    value = value if is_assigned else str(not negated).lower()
                elif not is_assigned:
                    value = next(rest, "")
                    if not value:
                        raise InputError(f"{name} needs a value.")
                written += ["--set", f"{setting}={value}"]
        return written

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; with `short` only these options, unless all are asked for."""
        is_short = bool(self.short) and "--help-all" not in ctx.meta
        shown_before = [(param, param.hidden, param.help) for param in self._options()]
        for param, hidden, help in shown_before:
            param.hidden = hidden or (is_short and param.name not in (*self.short, "help_all"))
            param.help = (help or "").replace(_DETAILS, " ")
            if is_short:
                before, _, after = (help or "").partition(_DETAILS)
                default = after[after.find("(Default") :] if "(Default" in after else ""
                param.help = f"{before} {default}".strip()
        try:
            super().format_help(ctx, formatter)
        finally:
            for param, hidden, help in shown_before:
                param.hidden, param.help = hidden, help

    def _options(self) -> list[Any]:
        return [param for param in self.params if param.param_type_name == "option"]


_DETAILS = "\u2060 "
"""Stands between what the short help says of a setting and the rest."""


def _print_all(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        ctx.meta["--help-all"] = True
        typer.echo(ctx.get_help(), nl=False)
        raise typer.Exit


_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--help-all", is_eager=True, callback=_print_all, help="Show all options and exit."
        ),
    ],
)


@contextmanager
def _under_torchrun(shared: Mapping[str, Any]) -> Iterator[None]:
    """Join the processes of torchrun, if it started this one and the command trains."""
    if "jobs" not in shared or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if shared["jobs"] is not None or shared["ray"] is not None:
        raise InputError(
            "torchrun trains one network in several processes; --jobs and --ray train several "
            "networks at a time. Leave one of them out."
        )
    # Read when torch is first imported. It warns of every network that uses all its weights.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from spikeduel.trials.torchrun import process_group  # it takes torch to start

    with process_group():
        yield


def _parameter(name: str, required: bool) -> inspect.Parameter:
    default: Any = inspect.Parameter.empty if required else None
    if name in _SETTINGS:
        kind = _setting_option(name, required)
    elif name in _SHARED:
        kind = _SHARED[name].type
        default = default if required else _SHARED[name].default
    else:
        raise TypeError(f"'{name}' is neither a setting nor an option that commands share")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


@cache
def _setting_option(name: str, required: bool) -> Any:
    """Return the annotated type of a setting's option.

    The option is None where it is not given: the recipe or the file decides then.
    """
    kind = _SETTINGS[name].type
    setting = setting_of(kind)
    value_type: Any = _OPTION_TYPES.get(type(members(kind)[0]), str)
    written = "" if name == "dataset" else setting.option or f"--{name.replace('_', '-')}"
    if value_type is bool and not setting.flag:
        written = f"{written}/--no{written[1:]}"
    written = f"{written} {setting.metavar or '|'.join(choices(kind))}"
    more = " ".join(filter(None, (setting.details, "" if required else default_of(name))))
    text = f"{setting.help}{_DETAILS}{more}" if more and name != "dataset" else setting.help
    panel = DATA if name in _OF_DATA else MACHINE if name in _OF_MACHINE else DUEL
    shown_as = option(written, text, "" if required else panel)
    return Annotated[value_type if required else value_type | None, shown_as]


def default_of(name: str) -> str:
    """Return the default of a setting in words, and the defaults of recipes that differ."""
    if in_words := setting_of(_SETTINGS[name].type).default:
        return f"(Default: {in_words})"
    default = _SETTINGS[name].default
    parts = (
        [] if default in (None, ()) or isinstance(default, bool) else [f"Default: {shown(default)}"]
    )
    for recipe, experiment in _BY_RECIPE.items():
        value = getattr(experiment, name)
        if value != default and name != "dataset":
            parts.append(f"{'recipe' if parts else 'Default of recipe'} {recipe}: {shown(value)}")
    return f"({'; '.join(parts)})" if parts else ""


def shown(value: Any) -> str:
    """Return a setting's value as `--set` takes it."""
    if value is None:
        return "unset"
    return ",".join(value) if isinstance(value, tuple) else str(value)


@contextmanager
def for_people(when_stopped: str = EPOCHS_ARE_SAVED) -> Iterator[None]:
    """Turn errors meant for people into one line on stderr and an exit code.

    `when_stopped` says after Ctrl-C, or SIGTERM, what is kept.
    """
    try:
        with heard():
            yield
    except SpikeduelError as error:
        typer.secho(f"error: {visible(' '.join(str(error).split()))}", fg="red", err=True)
        raise typer.Exit(error.exit_code) from None
    except Stopped as stopped:
        typer.secho(f"\nstopped. {when_stopped}", fg="yellow", err=True)
        raise typer.Exit(stopped.exit_code) from None


def wrapped(text: str, bullet: str = "") -> str:
    """Wrap `text` to the terminal's width, the first line after `bullet`."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    text = visible(" ".join(text.split()))
    return textwrap.fill(
        text,
        width,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
    )


def print_json(value: Any) -> None:
    """Print one JSON document on stdout: dicts and lists, or structs (`system.typed`)."""
    sys.stdout.write(json.dumps(typed.plain(value), indent=2, allow_nan=False) + "\n")
