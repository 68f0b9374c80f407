"""What every command is made of: options, the experiment that they make, and how it speaks to people.

A setting's option is made from its field of `Experiment`. Any other is described in the docstring of the function that
has it as a parameter, or, where several do, in `_SHARED`: `parameter (--option METAVAR, Panel): help`.
"""

import inspect
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import inspect as kinds
from typer.models import CommandInfo, ParameterInfo

from spikeduel.settings import Experiment
from spikeduel.settings.fields import choices, members, setting_of
from spikeduel.settings.reading import read_experiment, with_settings
from spikeduel.settings.recipes import RECIPES, asked
from spikeduel.settings.recipes import changed as with_changes
from spikeduel.system import typed
from spikeduel.system.errors import InputError, SpikeduelError, visible
from spikeduel.system.signals import Stopped, heard

if TYPE_CHECKING:
    from spikeduel.networks.models import Model
    from spikeduel.system.progress import Progress

EPOCHS_ARE_SAVED = "TrialOutcome epochs are saved (with --ray, finished trials): the same command goes on from there."

_SHARED = """Args:
    experiment_file (--experiment RUN|FILE.toml, Duel): Start from the settings of an earlier run (its folder, or the
        experiment.toml in it) instead of a recipe. Code of your own that the file names is run only if --own-code, or
        another option, names it too.
    assignments (--set key=value, Duel): Any setting, such as learning_rate=1e-3 or reset_mechanism=zero; repeatable.
        See `spikeduel settings`.
    own_code (--own-code module:attribute, Duel): Code that the given file, or run, names and that may be run;
        repeatable.
    out (--out DIR, Output): The run's folder: report.html, results.json, models/. (Default:
        runs/DATASET-RECIPE-…)
    store (--store DIR, Output): Where trained trials are kept and found again. (Default: $SPIKEDUEL_STORE, or
        runs/store)
    as_json (--json, Output): Print one JSON document and nothing else on standard output.
    jobs (--jobs N, Machine): Train N trials at a time, each in a process with its own share of the cores. The same
        number of --threads gives the same numbers, to the last bit. (Default: one after another, in this process)
    ray (--ray auto|ADDRESS|local, Machine): Train on a Ray cluster: auto finds the one that runs here, local starts one
        on this machine. Data go there, and trained models come back. Comes with: pip install 'spikeduel[cluster]'
    threads (--threads N, Machine): Threads that a trial computes with. (Default: as many as there are free cores
        when it begins, with --jobs of its share; with --ray 1)
    loggers (--logger tensorboard|mlflow|csv, Output): Log the curves as it trains, then settings and results:
        tensorboard and csv in the run's folder logs/, mlflow where MLFLOW_TRACKING_URI says; repeatable.
    quiet (--quiet -q, Output): No progress.
    verbose (--verbose -v, Output): A line for every epoch, and at the end all that the report says, as text.
    model (MODEL): A .safetensors file from a run's models/ folder, or the name of a network that comes with the
        package (`spikeduel models`).
    answers_in (--precision 32|bf16): Precision of the answers. 32 is what reports and exports are about; bf16 is faster
        where the hardware has it, and gives a few images in a thousand another label.
    raw (--raw): Probabilities as the network gives them, without the temperature that was fitted on validation images.
        Labels are the same.
    model_code (--own-code module:attribute): Your own architecture, neuron or encoder that the model needs and that may
        be run; repeatable.
    run (RUN): A run's folder, as `spikeduel runs` lists it.
    ranges (--ranges FILE.toml, Duel): What to tune, instead of learning rate, threshold, beta, surrogate width and
        steps: a table for each setting, such as [learning_rate] with low, high and log = true, or [num_steps] with
        choices.
"""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The settings that the user gave by options of their own, by name; and the options that commands share."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    experiment_file: Path | None = None
    assignments: list[str] | None = None
    own_code: list[str] | None = None
    out: Path | None = None
    store: Path | None = None
    jobs: int | None = None
    ray: str | None = None
    threads: int | None = None
    loggers: list[str] | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    model: Path = Path()
    model_code: list[str] | None = None
    answers_in: str = "32"
    raw: bool = False

    def experiment(self, dataset: str | None = None) -> Experiment:
        """The experiment in the file, or of the recipe, on `dataset` or the one given; changed by options and `--set`.

        Without a recipe, each contender brings the settings of its own (`recipes.for_contenders`).

        Raises `InputError`, also if the file names code of one's own that neither `own_code` nor an option names: a
        file from someone else must not be enough to run code.
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
        """Raises `InputError` where the file names code that neither `own_code` nor an option names."""
        if unnamed := [name for name in named if name not in (self.own_code or ())]:
            added = " ".join(f"--own-code {name}" for name in unnamed)
            file = file or self.experiment_file
            raise InputError(
                f"{file}: runs the code {', '.join(unnamed)}. If you trust it, add {added}"
            )

    def changing(self, experiment: Experiment) -> Experiment:
        """`experiment` with what the options and `--set` change. Raises `InputError`."""
        return with_settings(replace(experiment, **self.settings), self._assigned())

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
        """Whether `dataset` is one of an event camera's recordings."""
        from spikeduel.data import catalogue

        return dataset is not None and catalogue.is_recorded(dataset)

    def opened(self, path: Path | None = None) -> "Model":
        """The model in the file, or in the one at `path`, to answer as asked for. Raises `InputError`."""
        from spikeduel.networks.model_files import load_model

        return load_model(
            path or self.model, own_code=self.model_code or (), precision=self.answers_in
        )

    def progress(self, on_stderr: bool = False) -> "Progress":
        """Bars and lines; nothing with `--quiet`. On standard error also where standard output is for JSON."""
        from spikeduel.system.progress import Progress, TerminalProgress

        return (
            Progress() if self.quiet else TerminalProgress(on_stderr or self.as_json, self.verbose)
        )


def command(
    *names: str,
    name: str | None = None,
    required: tuple[str, ...] = (),
    epilog: str | None = None,
    when_stopped: str = EPOCHS_ARE_SAVED,
) -> Callable[[Callable[..., None]], CommandInfo]:
    """Makes a function a command that has an option for each of `names`, and for the function's own parameters.

    A name is a setting (a field of `Experiment`) or an option that commands share (a field of `Given`); the function
    gets their values as its first argument, a `Given`. Its own parameters come first in the help, unless they are
    among `names` too. Raises `TypeError` for any other name.
    """

    def make(function: Callable[..., None]) -> CommandInfo:
        text, described = _described(inspect.getdoc(function) or "")
        own = {}
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            kind = parameter.annotation
            if not hasattr(kind, "__metadata__"):
                kind = Annotated[kind, (_SHARED_OPTIONS | described)[parameter.name]]
            own[parameter.name] = parameter.replace(
                kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind
            )
        derived = {
            option: _parameter(option, option in required) for option in names if option not in own
        }
        first = [option for option in own if option not in names]
        signature = inspect.Signature([{**own, **derived}[option] for option in (*first, *names)])

        def run(**values: Any) -> None:
            settings = {
                name: values[name]
                for name in derived
                if name in _SETTINGS and values[name] is not None
            }
            shared = {name: values[name] for name in derived if name in _GIVEN}
            with for_people(when_stopped), _under_torchrun(shared):
                function(Given(settings=settings, **shared), **{name: values[name] for name in own})

        # What typer reads.
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {
            option: parameter.annotation for option, parameter in signature.parameters.items()
        }
        return CommandInfo(name or function.__name__, callback=run, help=text, epilog=epilog)

    return make


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


def _described(text: str) -> tuple[str, dict[str, ParameterInfo]]:
    """A docstring without its `Args`, and the options or arguments that these describe, by parameter."""
    text, _, args = text.partition("Args:\n")
    found = re.findall(
        r"^    (\w+) \((.+?)(?:, (\w+))?\): (.+(?:\n {8}.+)*)", args, flags=re.MULTILINE
    )
    return text, {
        name: _option(written, " ".join(help.split()), panel)
        for name, written, panel, help in found
    }


def _option(written: str, help: str, panel: str) -> ParameterInfo:
    """The option, or argument, that is `written` as in the help: its names, and what its value is called."""
    words = written.split()
    names = [word for word in words if word.startswith("-")]
    metavar = " ".join(words[len(names) :]) or None
    if not names:
        return typer.Argument(metavar=metavar, help=help)
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel or None)


_, _SHARED_OPTIONS = _described(_SHARED)
_SETTINGS = {f.name: f for f in fields(Experiment)}
_BY_RECIPE = {name: recipe(dataset="DATASET") for name, recipe in RECIPES.items()}
_GIVEN = {f.name: f for f in fields(Given) if f.name != "settings"}
_OPTION_TYPES = {
    kinds.IntType: int,
    kinds.FloatType: float,
    kinds.BoolType: bool,
    kinds.VarTupleType: list[str],
}


def _parameter(name: str, required: bool) -> inspect.Parameter:
    default: Any = inspect.Parameter.empty if required else None
    if name in _SETTINGS:
        kind = _setting_option(name, required)
    elif name in _GIVEN:
        kind = Annotated[_GIVEN[name].type, _SHARED_OPTIONS[name]]
        default = default if required else _GIVEN[name].default
    else:
        raise TypeError(f"'{name}' is neither a setting nor an option that commands share")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


@cache
def _setting_option(name: str, required: bool) -> Any:
    """The type of a setting's option. It is None where it is not given: the recipe or the file decides then."""
    kind = _SETTINGS[name].type
    setting = setting_of(kind)
    value_type: Any = _OPTION_TYPES.get(type(members(kind)[0]), str)
    option = "" if name == "dataset" else setting.option or f"--{name.replace('_', '-')}"
    if value_type is bool and not setting.flag:
        option = f"{option}/--no{option[1:]}"
    written = f"{option} {setting.metavar or '|'.join(choices(kind))}"
    text = " ".join(
        filter(None, (setting.help, setting.details, "" if required else _default(name)))
    )
    shown_as = _option(written, text, "" if required else _panel(name))
    return Annotated[value_type if required else value_type | None, shown_as]


def _panel(name: str) -> str:
    """Return the part of the help that has the option of a setting."""
    if name in ("device", "precision"):
        return "Machine"
    of_data = ("limit", "split", "folds", "data_dir", "group_by", "image_size", "bin_ms")
    return "Data" if name in of_data else "Duel"


def _default(name: str) -> str:
    """The default of a setting in words, and those of recipes that have another one."""
    if in_words := setting_of(_SETTINGS[name].type).default:
        return f"(Default: {in_words})"
    default = _SETTINGS[name].default
    parts = (
        [] if default in (None, ()) or isinstance(default, bool) else [f"Default: {shown(default)}"]
    )
    for recipe, experiment in _BY_RECIPE.items():
        value = getattr(experiment, name)
        if value != default and name != "dataset":
            parts.append(f"{'recipe' if parts else 'Recipe'} {recipe}: {shown(value)}")
    return f"({'; '.join(parts)})" if parts else ""


def shown(value: Any) -> str:
    """A setting's value as `--set` takes it."""
    if value is None:
        return "unset"
    return ",".join(value) if isinstance(value, tuple) else str(value)


@contextmanager
def for_people(when_stopped: str = EPOCHS_ARE_SAVED) -> Iterator[None]:
    """Errors meant for people become one line on standard error and an exit code.

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
    """`text` in lines that fit the terminal, the first after `bullet`."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    indent = " " * len(bullet)
    text = visible(" ".join(text.split()))
    return textwrap.fill(
        text, width, initial_indent=bullet, subsequent_indent=indent, break_on_hyphens=False
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output: dicts and lists, or structs (`system.typed`)."""
    sys.stdout.write(json.dumps(typed.plain(value), indent=2, allow_nan=False) + "\n")
