"""What the user gives a command: options made from the fields of `Experiment`, and the experiment that they make."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import inspect as kinds

from spikeduel.cli import options
from spikeduel.cli.terminal import EPOCHS_ARE_SAVED, for_people, progress_for
from spikeduel.settings import Experiment, read_experiment, with_settings
from spikeduel.settings.fields import choices, members, setting_of
from spikeduel.settings.recipes import RECIPES, for_contenders
from spikeduel.system.errors import InputError, unknown

if TYPE_CHECKING:
    from spikeduel.system.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Given:
    """The settings that the user gave by options of their own, by name; and the options that commands share."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    experiment_file: options.ExperimentFile = None
    assignments: options.Assignments = None
    own_code: options.OwnCode = None
    out: options.Out = None
    store: options.StoreFolder = None
    as_json: options.Json = False
    quiet: options.Quiet = False

    def experiment(self, dataset: str | None = None) -> Experiment:
        """The experiment in the file, or of the recipe, on `dataset` or the one given; changed by options and `--set`.

        Without a recipe, each contender brings the settings of its own (`recipes.for_contenders`).

        Raises `InputError`, also if the file names code of one's own that neither `own_code` nor an option names: a
        file from someone else must not be enough to run code.
        """
        assigned = self._assigned()
        changes = dict(self.settings)
        recipe, dataset = changes.pop("recipe", None), changes.pop("dataset", None) or dataset
        on: dict[str, Any] = {"dataset": dataset} if dataset else {}
        if self.experiment_file is not None:
            experiment = replace(read_experiment(self.experiment_file), **on)
        elif recipe is None and "contenders" in changes:
            experiment = for_contenders(changes["contenders"], **on, given={*changes, *assigned})
        elif recipe is None or recipe in RECIPES:
            experiment = RECIPES[recipe or next(iter(RECIPES))](**on)
        else:
            raise unknown("recipe", recipe, RECIPES)
        in_file = experiment.own_code if self.experiment_file is not None else ()
        changed = with_settings(replace(experiment, **changes), assigned)
        named = {*(self.own_code or ()), dataset, *assigned.values()}
        named |= {*changes.get("contenders", ()), changes.get("encoding")}
        if unnamed := [name for name in in_file if name in changed.own_code and name not in named]:
            added = " ".join(f"--own-code {name}" for name in unnamed)
            raise InputError(
                f"{self.experiment_file}: runs the code {', '.join(unnamed)}. If you trust it, add {added}"
            )
        return changed

    def progress(self) -> "Progress":
        """What shows progress: on standard error if standard output is for JSON, nothing with `--quiet`."""
        return progress_for(self.quiet, self.as_json)

    def _assigned(self) -> dict[str, str]:
        pairs = {}
        for text in self.assignments or ():
            name, separator, value = text.partition("=")
            if not separator:
                raise InputError(f"--set {text}: write it as name=value.")
            pairs[name.strip()] = value.strip()
        return pairs


@dataclass(frozen=True)
class Command:
    """A command of the program: its name, what typer makes it from, and the examples below its help."""

    name: str
    run: Callable[..., None]
    epilog: str | None

    def add_to(self, app: typer.Typer) -> None:
        app.command(self.name, epilog=self.epilog)(self.run)


def command(
    *names: str,
    name: str | None = None,
    required: tuple[str, ...] = (),
    epilog: str | None = None,
    when_stopped: str = EPOCHS_ARE_SAVED,
) -> Callable[[Callable[..., None]], Command]:
    """Makes a function a command that has an option for each of `names`, and for the function's own parameters.

    A name is a setting (a field of `Experiment`) or an option that commands share (a field of `Given`); the function
    gets their values as its first argument, a `Given`. Its own parameters come first in the help, unless they are
    among `names` too. Raises `TypeError` for any other name.
    """

    def make(function: Callable[..., None]) -> Command:
        _, *parameters = inspect.signature(function).parameters.values()
        own = {parameter.name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters}
        derived = {option: _parameter(option, option in required) for option in names if option not in own}
        first = [option for option in own if option not in names]
        signature = inspect.Signature([{**own, **derived}[option] for option in (*first, *names)])

        def run(**values: Any) -> None:
            settings = {name: values[name] for name in derived if name in _SETTINGS and values[name] is not None}
            shared = {name: values[name] for name in derived if name in _SHARED}
            with for_people(when_stopped):
                function(Given(settings=settings, **shared), **{name: values[name] for name in own})

        # What typer reads.
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {option: parameter.annotation for option, parameter in signature.parameters.items()}
        run.__doc__ = function.__doc__
        return Command(name or function.__name__, run, epilog)

    return make


_SETTINGS = {f.name: f for f in fields(Experiment)}
_SHARED = {f.name: f for f in fields(Given) if f.name != "settings"}
_OPTION_TYPES = {kinds.IntType: int, kinds.FloatType: float, kinds.BoolType: bool, kinds.VarTupleType: list[str]}


def _parameter(name: str, required: bool) -> inspect.Parameter:
    default: Any = inspect.Parameter.empty if required else None
    if name in _SETTINGS:
        kind = _option(name, required)
    elif name in _SHARED:
        kind, default = _SHARED[name].type, _SHARED[name].default
    else:
        raise TypeError(f"'{name}' is neither a setting nor an option that commands share")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


@cache
def _option(name: str, required: bool) -> Any:
    """The type of a setting's option. It is None where it is not given: the recipe or the file decides then."""
    kind = _SETTINGS[name].type
    setting = setting_of(kind)
    value_type: Any = _OPTION_TYPES.get(type(members(kind)[0]), str)
    metavar = setting.metavar or "|".join(choices(kind)) or None
    text = " ".join(filter(None, (setting.meaning, setting.details, "" if required else _default(name))))
    if name == "dataset":
        shown_as: Any = typer.Argument(metavar=metavar, help=text)
    else:
        option = setting.option or f"--{name.replace('_', '-')}"
        if value_type is bool and not setting.option:
            option = f"{option}/--no{option[1:]}"
        panel = None if required else setting.panel
        shown_as = typer.Option(option, metavar=metavar, help=text, rich_help_panel=panel)
    return Annotated[value_type if required else value_type | None, shown_as]


def _default(name: str) -> str:
    """The default of a setting in words, and those of recipes that have another one."""
    if in_words := setting_of(_SETTINGS[name].type).default:
        return f"(Default: {in_words})"
    default = _SETTINGS[name].default
    parts = [] if default in (None, ()) or isinstance(default, bool) else [f"Default: {shown(default)}"]
    for recipe, experiment in _by_recipe().items():
        value = getattr(experiment, name)
        if value != default and name != "dataset":
            parts.append(f"{'recipe' if parts else 'Recipe'} {recipe}: {shown(value)}")
    return f"({'; '.join(parts)})" if parts else ""


@cache
def _by_recipe() -> dict[str, Experiment]:
    return {name: recipe(dataset="DATASET") for name, recipe in RECIPES.items()}


def shown(value: Any) -> str:
    """A setting's value as `--set` takes it."""
    if value is None:
        return "unset"
    return ",".join(value) if isinstance(value, tuple) else str(value)
