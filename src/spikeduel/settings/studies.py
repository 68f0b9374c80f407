"""A study: every combination of a grid of settings is a duel. Read from a TOML file, checked,
expanded.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel.settings import Experiment
from spikeduel.settings.fields import checked
from spikeduel.settings.recipes import asked
from spikeduel.system import typed
from spikeduel.system.errors import InputError, naming, unknown

CONTENDER = "contender"
"""In an exclusion: leaves out one contender, not the whole duel."""
OF_ALL = ("robustness", "optimism", "equivalence_margin")
"""Settings that decide what is measured of a trial, which duels may share, and what is concluded
from all of them.
"""
_KNOWN = {each.name: each.type for each in fields(Experiment)}


class Tuned(typed.Frozen, forbid_unknown_fields=True):
    """`[tuning]`: how many trials each contender gets in each duel, and the file of ranges, if not
    the usual ones.
    """

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
    """A duel of a study: the `values` of the grid that it has, by setting, and what is to be
    compared.
    """

    values: dict[str, Any]
    experiment: Experiment


@dataclass(frozen=True)
class Study:
    """The duels of a study's file, in the order of its grid; `varied` are the settings with several
    values.
    """

    name: str
    duels: tuple[PlannedDuel, ...]
    varied: tuple[str, ...]
    tuning: Tuned | None = None

    def dataset_of(self, duel: PlannedDuel) -> str:
        """What the data set of one of the duels is called in text: as many of its last parts as no
        other ends with.
        """
        others = {Path(each.experiment.dataset) for each in self.duels} - {
            mine := Path(duel.experiment.dataset)
        }
        for number in range(1, len(mine.parts)):
            if all(each.parts[-number:] != mine.parts[-number:] for each in others):
                return "/".join(mine.parts[-number:])
        return duel.experiment.dataset

    def label(self, duel: PlannedDuel) -> str:
        """What one of the duels is called in text: its data set, and its values of what else
        varies.
        """
        values = (f"{name} {shown(duel.values[name])}" for name in self.varied if name != "dataset")
        return ", ".join([self.dataset_of(duel), *values])

    @property
    def own_code(self) -> tuple[str, ...]:
        """The `module:attribute` names among the settings of all duels."""
        return tuple(
            dict.fromkeys(name for duel in self.duels for name in duel.experiment.own_code)
        )


def read(
    path: Path,
    is_recorded: Callable[[str], bool] = lambda dataset: False,
    is_known: Callable[[str], bool] = lambda dataset: False,
) -> Study:
    """The study in a TOML file; `is_recorded` says of which data sets a recipe for recordings is
    the default.

    Folders are looked for beside the file, then in the current folder, but for data sets that have
    a name of their own (`is_known`). Raises `InputError` naming the file and what in it is wrong.
    Reading runs nothing.
    """
    path = Path(path)
    content = typed.read_toml(path, StudyFile)
    with naming(path):
        if not content.grid:
            raise InputError(
                'has no [grid] of values to combine, such as dataset = ["digits", "my_images/"].'
            )
        for name, value in content.settings.items():
            _require("[settings]", name, [value])
        for name, values in content.grid.items():
            if not isinstance(values, list):
                raise InputError(
                    f"[grid] {name}: must be a list of values, such as {name} = [first, second]."
                )
            _require("[grid]", name, values)
            if name in content.settings:
                raise InputError(f"{name} stands in [settings] and in [grid]. Take it out of one.")
            if not values:
                raise InputError(f"[grid] {name}: is empty. Name its values.")
            if name in OF_ALL:
                raise InputError(f"[grid] {name}: is the same in all duels. Set it in [settings].")
            if len({typed.digest(each) for each in values}) < len(values):
                raise InputError(f"[grid] {name}: names a value twice.")
        used = [False] * len(content.exclude)
        duels = []
        for combination in itertools.product(*content.grid.values()):
            chosen = dict(zip(content.grid, combination, strict=True))
            if duel := _duel(
                chosen, _located(content, chosen, path.parent, is_known), content, is_recorded, used
            ):
                duels.append(duel)
        if idle := [
            each for each, is_used in zip(content.exclude, used, strict=True) if not is_used
        ]:
            raise InputError(
                f"[[exclude]] {_said(idle[0])}: no duel is like that. Check its names and values."
            )
        if not duels:
            raise InputError("no duel is left: [[exclude]] leaves out all of them.")
        for name in {each.experiment.dataset for each in duels}:
            if (
                len({each.experiment.data_dir for each in duels if each.experiment.dataset == name})
                > 1
            ):
                raise InputError(
                    f"[grid] data_dir: {name} has several. A study tells data sets apart by their "
                    f"names."
                )
        tuning = content.tuning
        if (
            tuning is not None
            and tuning.ranges is not None
            and (path.parent / tuning.ranges).exists()
        ):
            tuning = structs.replace(tuning, ranges=str((path.parent / tuning.ranges).resolve()))
        varied = tuple(name for name, values in content.grid.items() if len(values) > 1)
        return Study(content.name or path.stem, tuple(duels), varied, tuning)


def _require(where: str, name: str, values: Sequence[Any]) -> None:
    """Raises `InputError` unless there is a setting of this `name` that can have all these
    `values`.
    """
    if name not in _KNOWN:
        raise unknown(f"setting in {where}", name, _KNOWN)
    with naming(where):
        for value in values:
            checked(name, value, _KNOWN[name])


def _located(
    content: StudyFile, values: Mapping[str, Any], home: Path, is_known: Callable[[str], bool]
) -> dict[str, Any]:
    """The settings of the duel of these `values`. What lies beside the file means the same wherever
    one stands.
    """
    settings = {**content.settings, **values}
    for name in ("dataset", "data_dir", "group_by"):
        text = settings.get(name)
        if (
            text is not None
            and (home / text).exists()
            and not (name == "dataset" and is_known(text))
        ):
            settings[name] = str((home / text).resolve())
    return settings


def _duel(
    values: dict[str, Any],
    settings: Mapping[str, Any],
    content: StudyFile,
    is_recorded: Callable[[str], bool],
    used: list[bool],
) -> PlannedDuel | None:
    """The duel of these `values`, None where it is excluded; notes which exclusions were `used`."""
    with naming(_said(values)):
        experiment = asked(settings, is_recorded(settings.get("dataset", "")))
    without = []
    for number, excluded in enumerate(content.exclude):
        wanted = {name: value for name, value in excluded.items() if name != CONTENDER}
        for name, value in wanted.items():
            # A list is one value of what is a list itself, else several.
            several = isinstance(value, list) and not isinstance(
                getattr(experiment, name, None), tuple
            )
            _require("[[exclude]]", name, value if several else [value])
        if not all(
            _is_like(values.get(name, getattr(experiment, name)), value)
            for name, value in wanted.items()
        ):
            continue
        if CONTENDER not in excluded:
            used[number] = True
            return None
        if excluded[CONTENDER] in experiment.contenders:
            used[number] = True
            without.append(excluded[CONTENDER])
    if without:
        left = [name for name in experiment.contenders if name not in without]
        if len(left) < 2:
            raise InputError(
                f"[[exclude]]: {_said(values)} has fewer than two contenders left. Leave the duel "
                f"out."
            )
        experiment = asked(
            {**settings, "contenders": left}, is_recorded(settings.get("dataset", ""))
        )
    return PlannedDuel(values, experiment)


def _is_like(value: Any, wanted: Any) -> bool:
    """Whether a setting's `value` is the one `wanted`, or one of a list of them."""
    plain = typed.plain(value)
    return plain == wanted or (
        isinstance(wanted, list) and not isinstance(plain, list) and plain in wanted
    )


def shown(value: Any) -> str:
    """A value of a grid, in text."""
    return (
        "+".join(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {shown(value)}" for name, value in values.items())
