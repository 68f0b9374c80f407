"""A study's TOML file: each combination of a grid of settings is a duel."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

import spikeduel as sd
from spikeduel.data import catalogue
from spikeduel.experiment.fields import as_text, checked
from spikeduel.experiment.recipes import asked
from spikeduel.experiment.settings import FEATURE_SETTINGS, SETTINGS, Experiment, unknown_setting
from spikeduel.system import typed
from spikeduel.system.errors import InputError, naming

SAME_IN_ALL = (*FEATURE_SETTINGS, "target", "tolerance", "data_dir")
"""Settings that cannot vary: duels share measured trials, and names tell data sets apart."""


class Tuned(typed.Frozen, forbid_unknown_fields=True):
    """Section `[tuning]`: trials of each contender in each duel, and a file of ranges."""

    trials: int
    ranges: str | None = None


class StudyFile(typed.Frozen, forbid_unknown_fields=True):
    grid: dict[str, Any] = {}
    name: str = ""
    settings: dict[str, Any] = {}
    exclude: list[dict[str, Any]] = []
    families: dict[str, list[str]] = {}
    tuning: Tuned | None = None


@dataclass(frozen=True)
class PlannedDuel:
    """A duel with its `values` of the grid, and the family of its data set if it has one."""

    values: dict[str, Any]
    experiment: Experiment
    family: str | None = None


@dataclass(frozen=True)
class Study:
    r"""Comparisons over a grid of settings, as `read_study` returns them.

    Parameters
    ----------
    name : str
        Name of the study.
    duels : tuple of PlannedDuel
        Comparisons, in order of the grid.
    varied : tuple of str
        Settings with several values.
    tuning : Tuned, optional
        Settings that were tuned for each comparison.

    Examples
    --------
    >>> import spikeduel as sd
    >>> from pathlib import Path
    >>> _ = Path("study.toml").write_text('[grid]\ndataset = ["digits", "fashion-mnist-mini"]')
    >>> sd.read_study("study.toml").varied
    ('dataset',)
    """

    name: str
    duels: tuple[PlannedDuel, ...]
    varied: tuple[str, ...]
    tuning: Tuned | None = None

    def dataset_of(self, duel: PlannedDuel) -> str:
        """Return a unique name of the data set: the fewest last parts of its path."""
        path = Path(duel.experiment.dataset)
        others = {Path(other.experiment.dataset) for other in self.duels} - {path}
        unique = (
            "/".join(path.parts[-number:])
            for number in range(1, len(path.parts))
            if all(other.parts[-number:] != path.parts[-number:] for other in others)
        )
        return next(unique, duel.experiment.dataset)

    def label(self, duel: PlannedDuel) -> str:
        """Return a duel's name: data set, and other varied settings."""
        values = (
            f"{name} {as_text(duel.values[name])}" for name in self.varied if name != "dataset"
        )
        return ", ".join([self.dataset_of(duel), *values])

    @property
    def own_code(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(name for duel in self.duels for name in duel.experiment.own_code)
        )


def read_study(path: Path | str) -> Study:
    r"""Read a study from a TOML file (docs/features/study.md). Nothing runs.

    Parameters
    ----------
    path : Path or str
        The file. Folders that it names are looked for beside it, then in the current folder.

    Returns
    -------
    Study
        Its comparisons.

    Raises
    ------
    InputError
        If the file is missing or wrong. The text names the mistake.

    Examples
    --------
    >>> import spikeduel as sd
    >>> from pathlib import Path
    >>> _ = Path("study.toml").write_text('[grid]\ndataset = ["digits", "fashion-mnist-mini"]')
    >>> len(sd.read_study("study.toml").duels)
    2
    """
    path = Path(path)
    content = typed.read_toml(path, StudyFile)
    with naming(path):
        _check(content)
        varied = tuple(name for name, values in content.grid.items() if len(values) > 1)
        duels = _without_excluded(content, list(_duels(content, path.parent)))
        tuning = content.tuning
        if tuning and tuning.ranges and (path.parent / tuning.ranges).exists():
            tuning = structs.replace(tuning, ranges=str((path.parent / tuning.ranges).resolve()))
        return Study(content.name or path.stem, tuple(duels), varied, tuning)


def _duels(content: StudyFile, home: Path) -> Iterator[PlannedDuel]:
    """Yield a duel for each combination of the grid. Raises `InputError` for a wrong setting."""
    # No data set is called so.
    family_of = {
        dataset: f"family {family}"
        for family, datasets in content.families.items()
        for dataset in datasets
    }
    for combination in itertools.product(*content.grid.values()):
        values = dict(zip(content.grid, combination, strict=True))
        with naming(_exclusion_text(values)):
            settings = {
                name: checked(name, value, SETTINGS[name].type)
                for name, value in {**content.settings, **values}.items()
            }
            settings = _located(settings, home)
            experiment = asked(settings, catalogue.is_recorded(settings.get("dataset", "")))
        yield PlannedDuel(values, experiment, family_of.get(values.get("dataset", "")))


def _without_excluded(content: StudyFile, duels: Sequence[PlannedDuel]) -> list[PlannedDuel]:
    """Return the duels that no exclusion applies to. Raises `InputError` for an exclusion without
    a duel, and if no duel is left.
    """
    excluded = [[_applies(exclusion, duel) for duel in duels] for exclusion in content.exclude]
    for exclusion, applies in zip(content.exclude, excluded, strict=True):
        if not any(applies):
            raise InputError(
                f"[[exclude]] {_exclusion_text(exclusion)}: no duel is like that. Check its names "
                "and values."
            )
    remaining = [
        duel
        for number, duel in enumerate(duels)
        if not any(applies[number] for applies in excluded)
    ]
    if not remaining:
        raise InputError("no duel is left: [[exclude]] leaves out all of them.")
    return remaining


def _check(content: StudyFile) -> None:
    """Raise `InputError` for unknown, repeated or fixed settings."""
    if content.tuning and not hasattr(sd, "tune"):
        raise InputError("[tuning]: tuning is not installed. Leave the section out.")
    if not content.grid:
        raise InputError(
            'has no [grid] of values to combine, such as dataset = ["digits", "my_images/"].'
        )
    tables = [content.settings, content.grid, *content.exclude]
    for name in itertools.chain(*tables):
        if name not in SETTINGS:
            raise unknown_setting("setting", name)
    for name, values in content.grid.items():
        if name in content.settings:
            raise InputError(f"{name} stands in [settings] and in [grid]. Take it out of one.")
        if not isinstance(values, list) or not values:
            raise InputError(
                f"[grid] {name}: must be a list of values, such as {name} = [first, second]."
            )
        if name in SAME_IN_ALL:
            raise InputError(f"[grid] {name}: is the same in all duels. Set it in [settings].")
        if len({typed.digest(value) for value in values}) < len(values):
            raise InputError(f"[grid] {name}: names a value twice.")
    related = list(itertools.chain(*content.families.values()))
    for dataset in related:
        if dataset not in content.grid.get("dataset", []) or related.count(dataset) > 1:
            raise InputError(
                f"[families]: {dataset} must be one of the data sets in [grid], and in one family."
            )


def _located(settings: dict[str, Any], home: Path) -> dict[str, Any]:
    """Return `settings` with absolute paths of data beside the study's file."""
    for name in ("dataset", "data_dir", "group_by"):
        text = settings.get(name)
        is_known = name == "dataset" and text in catalogue.datasets()
        if text and not is_known and (home / text).exists():
            settings[name] = str((home / text).resolve())
    return settings


def _applies(exclusion: Mapping[str, Any], duel: PlannedDuel) -> bool:
    """Return True if a duel has an exclusion's values; a list means any of them, unless the setting
    is a list.
    """
    values_of = {
        name: typed.plain(duel.values.get(name, getattr(duel.experiment, name)))
        for name in exclusion
    }
    return all(
        values_of[name] in wanted
        if isinstance(wanted, list) and not isinstance(values_of[name], list)
        else values_of[name] == wanted
        for name, wanted in exclusion.items()
    )


def _exclusion_text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {as_text(value)}" for name, value in values.items())
