"""What was tuned, and what that leaves open, in words."""

from collections.abc import Mapping
from typing import Any

from spikeduel.settings import Experiment

STILL_RISING = 0.005
"""Gain in the expected best, from half the trials to all, above which more trials are worth naming: half a point."""


def in_words(settings: Mapping[str, float | None]) -> str:
    """Settings and their values as text; an unset one has its customary value."""
    return ", ".join(f"{name} {'customary' if value is None else f'{value:g}'}" for name, value in settings.items())


def tuning_caveats(experiment: Experiment, tuning: Mapping[str, Any] | None) -> list[str]:
    """What was tuned and what that leaves open; `tuning` is the content of tuning.json, or None."""
    own = experiment.per_contender
    if tuning is None and own is None:
        return ["Learning rate and all other settings are the same for every contender and tuned for none."]
    if tuning is None:
        each = "; ".join(f"{name}: {in_words(settings)}" for name, settings in (own or {}).items())
        return [
            f"Contenders have settings of their own ({each}). Nothing here shows that each was tuned equally, at the "
            "other settings and on the data of this comparison, and without its test set."
        ]
    return [
        f"Each contender was tuned with {tuning['num_trials']} trials of at most {_most_epochs(tuning)} "
        "epochs, the first at the settings given and the others drawn at random, judged on validation images with one "
        "seed. All other settings are the same for every contender.",
        *tuning_limits(tuning),
    ]


def _most_epochs(tuning: Mapping[str, Any]) -> int:
    ran = (entry["epochs"] for each in tuning["contenders"] for entry in each["trials"])
    return tuning["experiment"]["epochs"] or max(ran)


def tuning_limits(tuning: Mapping[str, Any]) -> list[str]:
    """Where a tuning may have found too little, as sentences."""
    said = []
    num_trials, contenders = tuning["num_trials"], tuning["contenders"]
    if rising := [each for each in contenders if each["gain_of_last_doubling"] > STILL_RISING]:
        gains = " and ".join(f"that of {e['contender']} by {100 * e['gain_of_last_doubling']:.1f}" for e in rising)
        said.append(
            f"From {num_trials // 2} to {num_trials} trials the expected best validation accuracy still rose, {gains} "
            "points: more trials might bring more."
        )
    numbers = [len(each["tuned"]) for each in contenders]
    if len(set(numbers)) > 1:
        counts = ", ".join(f"{each['contender']} {n}" for each, n in zip(contenders, numbers, strict=True))
        said.append(f"The same number of trials covers the choices of some more thinly; settings tuned: {counts}.")
    for each in contenders:
        if failed := sum(entry["status"] == "failed" for entry in each["trials"]):
            said.append(f"{failed} of the {num_trials} tuning trials of {each['contender']} failed.")
        if each["best"] is None:
            said.append(f"{each['contender']} keeps the settings it had: none of its tuning trials was finished.")
    return said
