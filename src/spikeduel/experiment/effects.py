"""Settings that the user gave and that change nothing: found and refused in one place."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from spikeduel.experiment.fields import as_text, setting_of
from spikeduel.experiment.recipes import RECIPES, strong
from spikeduel.experiment.settings import SETTINGS, Experiment
from spikeduel.system.errors import InputError

Reasons = Mapping[str, str]
"""Why something is missing, by need (`Setting.needs`) or by the one setting that is concerned."""


def usual(experiment: Experiment) -> Experiment:
    """Return the recipe's experiment on the same data."""
    return RECIPES.get(experiment.recipe, strong)(experiment.dataset)


def chosen(experiment: Experiment) -> set[str]:
    """Return the settings that differ from the recipe's, which somebody must have chosen."""
    recipe = usual(experiment)
    names = SETTINGS.keys() - {"per_contender"}  # which recipes and tuning set
    return {name for name in names if getattr(experiment, name) != getattr(recipe, name)}


def idle(names: Collection[str], missing: Reasons) -> dict[str, str]:
    """Return those of `names` that have no effect, with the reasons."""
    lacking = {
        name: [need for need in (*setting_of(field_of.type).needs, name) if need in missing]
        for name, field_of in SETTINGS.items()
        if name in names
    }
    return {name: missing[needs[0]] for name, needs in lacking.items() if needs}


def refuse(reasons: Reasons, experiment: Experiment | None = None) -> None:
    """Raise `InputError` for the first setting without effect; without any, do nothing."""
    for name, reason in reasons.items():
        value = experiment and getattr(usual(experiment), name)
        can_set = value not in (None, True, False, experiment and getattr(experiment, name))
        instead = f", or give the recipe's ({as_text(value)})" if can_set else ""
        option = setting_of(SETTINGS[name].type).option
        named = f"{name} ({option})" if option else name
        raise InputError(f"{named}: has no effect: {reason}. Leave it out{instead}.")


def without(experiment: Experiment, names: Iterable[str]) -> Experiment:
    """Return `experiment` with the recipe's values for `names`."""
    recipe = usual(experiment)
    return replace(experiment, **{name: getattr(recipe, name) for name in names})
