"""A study's TOML file: every combination of a grid of settings is a duel."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel.settings import Experiment
from spikeduel.settings.fields import checked, shown
from spikeduel.settings.recipes import asked
from spikeduel.system import typed
from spikeduel.system.errors import InputError, naming, unknown

CONTENDER = "contender"
"""Key of an exclusion that leaves out one contender, not the whole duel."""
SAME_IN_ALL = ("robustness", "optimism", "equivalence_margin")
"""Settings that cannot vary: duels share measured trials, and one margin decides the verdict."""
_SETTING_TYPES = {setting.name: setting.type for setting in fields(Experiment)}


class Tuned(typed.Frozen, forbid_unknown_fields=True):
    """`[tuning]`: trials of each contender in each duel, and a file of ranges, if not the usual."""

    trials: int
    ranges: str | None = None


class StudyFile(typed.Frozen, forbid_unknown_fields=True):
    """The content of a study's file."""

    grid: dict[str, Any] = {}  # noqa: RUF012 (msgspec copies it)
    name: str = ""
    settings: dict[str, Any] = {}  # noqa: RUF012
    exclude: list[dict[str, Any]] = []  # noqa: RUF012
    tuning: Tuned | None = None


@dataclass(frozen=True)
class PlannedDuel:
    """A duel of a study: its `values` of the grid, by setting, and the experiment."""

    values: dict[str, Any]
    experiment: Experiment


@dataclass(frozen=True)
class Study:
    """The duels of a study in the order of the grid; `varied` settings have several values."""

    name: str
    duels: tuple[PlannedDuel, ...]
    varied: tuple[str, ...]
    tuning: Tuned | None = None

    def dataset_of(self, duel: PlannedDuel) -> str:
        """Return a unique name of the duel's data set: as few last parts of the path as needed."""
        path = Path(duel.experiment.dataset)
        others = {Path(other.experiment.dataset) for other in self.duels} - {path}
        for number in range(1, len(path.parts)):
            if all(other.parts[-number:] != path.parts[-number:] for other in others):
                return "/".join(path.parts[-number:])
        return duel.experiment.dataset

    def label(self, duel: PlannedDuel) -> str:
        """Return a name of the duel: its data set, and its values of the other varied settings."""
        values = (f"{name} {shown(duel.values[name])}" for name in self.varied if name != "dataset")
        return ", ".join([self.dataset_of(duel), *values])

    @property
    def own_code(self) -> tuple[str, ...]:
        """Return the `module:attribute` names among the settings of all duels."""
        return tuple(
            dict.fromkeys(name for duel in self.duels for name in duel.experiment.own_code)
        )


def read(
    path: Path,
    is_recorded: Callable[[str], bool] = lambda dataset: False,
    is_known: Callable[[str], bool] = lambda dataset: False,
) -> Study:
    """Return the study in a TOML file. Runs nothing.

    `is_recorded(dataset)` is True if the recipe for recordings is the default. Folders are looked
    for beside the file, then in the current folder, unless `is_known(dataset)`, a data set with a
    name. Raises `InputError` naming the file and the mistake.
    """
    path = Path(path)
    content = typed.read_toml(path, StudyFile)
    with naming(path):
        _check_values(content)
        duels, used = [], set[int]()
        for combination in itertools.product(*content.grid.values()):
            values = dict(zip(content.grid, combination, strict=True))
            settings = _located({**content.settings, **values}, path.parent, is_known)
            is_recording = is_recorded(settings.get("dataset", ""))
            if duel := _duel(values, settings, content.exclude, is_recording, used):
                duels.append(duel)
        _check_duels(duels, content.exclude, used)
        tuning = content.tuning
        if tuning and tuning.ranges and (path.parent / tuning.ranges).exists():
            tuning = structs.replace(tuning, ranges=str((path.parent / tuning.ranges).resolve()))
        varied = tuple(name for name, values in content.grid.items() if len(values) > 1)
        return Study(content.name or path.stem, tuple(duels), varied, tuning)


def _check_values(content: StudyFile) -> None:
    """Raise `InputError` for wrong names and values in [settings] and [grid]."""
    if not content.grid:
        raise InputError(
            'has no [grid] of values to combine, such as dataset = ["digits", "my_images/"].'
        )
    for name, value in content.settings.items():
        _check("[settings]", name, [value])
    for name, values in content.grid.items():
        if not isinstance(values, list):
            raise InputError(
                f"[grid] {name}: must be a list of values, such as {name} = [first, second]."
            )
        _check("[grid]", name, values)
        if name in content.settings:
            raise InputError(f"{name} stands in [settings] and in [grid]. Take it out of one.")
        if not values:
            raise InputError(f"[grid] {name}: is empty. Name its values.")
        if name in SAME_IN_ALL:
            raise InputError(f"[grid] {name}: is the same in all duels. Set it in [settings].")
        if len({typed.digest(value) for value in values}) < len(values):
            raise InputError(f"[grid] {name}: names a value twice.")


def _check_duels(
    duels: Sequence[PlannedDuel], exclude: Sequence[Mapping[str, Any]], used: set[int]
) -> None:
    """Raise `InputError` if an exclusion is unused, no duel is left, or a name means two sets."""
    for number, exclusion in enumerate(exclude):
        if number not in used:
            raise InputError(
                f"[[exclude]] {_said(exclusion)}: no duel is like that. Check its names and values."
            )
    if not duels:
        raise InputError("no duel is left: [[exclude]] leaves out all of them.")
    folders: dict[str, str | None] = {}
    for duel in duels:
        name, folder = duel.experiment.dataset, duel.experiment.data_dir
        if folders.setdefault(name, folder) != folder:
            raise InputError(
                f"[grid] data_dir: {name} has several. A study tells data sets apart by their "
                f"names."
            )


def _check(where: str, name: str, values: Sequence[Any]) -> None:
    """Raise `InputError` unless there is a setting `name` that can have all `values`."""
    if name not in _SETTING_TYPES:
        raise unknown(f"setting in {where}", name, _SETTING_TYPES)
    with naming(where):
        for value in values:
            checked(name, value, _SETTING_TYPES[name])


def _located(
    settings: dict[str, Any], home: Path, is_known: Callable[[str], bool]
) -> dict[str, Any]:
    """Return `settings` with absolute paths of data that lie in `home`, beside the study's file."""
    for name in ("dataset", "data_dir", "group_by"):
        text = settings.get(name)
        if text is None or (name == "dataset" and is_known(text)):
            continue
        if (home / text).exists():
            settings[name] = str((home / text).resolve())
    return settings


def _duel(
    values: dict[str, Any],
    settings: Mapping[str, Any],
    exclude: Sequence[Mapping[str, Any]],
    is_recording: bool,
    used: set[int],
) -> PlannedDuel | None:
    """Return the duel of these `values`, None if it is excluded; add exclusions to `used`."""
    with naming(_said(values)):
        experiment = asked(settings, is_recording)
    without = set()
    for number, exclusion in enumerate(exclude):
        if not _applies(exclusion, values, experiment):
            continue
        if CONTENDER not in exclusion:
            used.add(number)
            return None
        if exclusion[CONTENDER] in experiment.contenders:
            used.add(number)
            without.add(exclusion[CONTENDER])
    if without:
        left = [name for name in experiment.contenders if name not in without]
        if len(left) < 2:
            raise InputError(
                f"[[exclude]]: {_said(values)} has fewer than two contenders left. Leave the duel "
                "out."
            )
        experiment = asked({**settings, "contenders": left}, is_recording)
    return PlannedDuel(values, experiment)


def _applies(
    exclusion: Mapping[str, Any], values: Mapping[str, Any], experiment: Experiment
) -> bool:
    """Return True if a duel has all values of an exclusion. Raises `InputError` for wrong ones.

    A list means any of its values, unless the setting itself is a list.
    """
    applies = True
    for name, wanted in exclusion.items():
        if name == CONTENDER:
            continue
        is_list = isinstance(getattr(experiment, name, None), tuple)
        choices = wanted if isinstance(wanted, list) and not is_list else [wanted]
        _check("[[exclude]]", name, choices)
        value = typed.plain(values.get(name, getattr(experiment, name)))
        applies = applies and value in choices
    return applies


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {shown(value)}" for name, value in values.items())
