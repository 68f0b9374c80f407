"""What a study takes, in tables and sentences."""

from spikeduel.results import signed_rank
from spikeduel.results.survey import VARIES, DuelSurvey, Survey
from spikeduel.results.uncertainty import FEWEST_SEEDS
from spikeduel.results.words.power import duration
from spikeduel.system.sentences import counted


def rows(survey: Survey) -> list[dict[str, str]]:
    """A row for each duel."""
    return [_row(duel) for duel in survey.duels]


def _row(duel: DuelSurvey) -> dict[str, str]:
    missing = [trial for trial in duel.trials if not trial.stored]
    known = [trial.seconds for trial in missing]
    seconds = None if None in known else sum(each or 0.0 for each in known)
    return {
        "duel": duel.label,
        "test images": f"{duel.test_images:,}",
        "trials": f"{len(duel.trials)}",
        "to train": f"{len(missing)}",
        "training": "?" if seconds is None else duration(seconds) if missing else "–",
        "smallest lead": _leads(duel),
    }


def _leads(duel: DuelSurvey) -> str:
    return "–" if duel.leads is None else _points(duel.leads)


def _points(leads: tuple[float, float]) -> str:
    low, high = (f"{100 * lead:.1f}" for lead in leads)
    return f"{low} points" if low == high else f"{low} to {high} points"


def sentences(survey: Survey) -> list[str]:
    """How many trials, how long, how much of the disk, and what can be found; one thought each."""
    trials, missing = survey.trials, survey.missing
    text = f"{counted(len(trials), 'trial')} of {counted(len(survey.duels), 'duel')} on "
    found = [
        f"{text}{counted(len(survey.datasets), 'data set')}; {len(missing):,} are to be trained."
    ]
    if sum(len(duel.trials) for duel in survey.duels) > len(trials):
        found.append(
            "Duels share trials: these are counted once here, and in the row of each duel."
        )
    if survey.tuning_trials:
        found.append(
            f"Before them, {counted(survey.tuning_trials, 'trial')} of tuning; their time is not "
            f"in these."
        )
    if more := sum(duel.controls for duel in survey.duels):
        found.append(
            f"Controls may train {counted(more, 'network')} more; their time is not in these."
        )
    if survey.seconds is None:
        found.append("How long that takes is not known: a training step of some contender failed.")
    elif missing:
        found.append(
            f"One after another, they train for about {duration(survey.seconds)}.{_at_once(survey)}"
        )
        found.append(
            "Every duel is then measured, one after another, and gets its report: some seconds "
            "each."
        )
    if missing:
        found.append(
            f"Models and answers take about {survey.bytes / 1e6:,.0f} MB in the store; reports "
            f"come on top."
        )
    if any(duel.seeds < FEWEST_SEEDS for duel in survey.duels):
        found.append(f"A single duel finds no lead with fewer than {FEWEST_SEEDS} seeds.")
    leads = survey.leads
    if leads is None and survey.pairs:
        needed = signed_rank.fewest(survey.pairs)
        found.append(
            f"Nothing can be shown over all data sets: {counted(survey.pairs, 'pair')} of variants "
            f"{'takes' if survey.pairs == 1 else 'take'} {needed} data sets at least."
        )
    elif leads is not None:
        found.append(
            f"Over all data sets, it finds a lead of {_points(leads)}, if that varies over them by "
            f"{100 * VARIES:g} points."
        )
    assumed = sum(duel.source == "assumed" for duel in survey.duels)
    how = (
        "assumed as measured on Fashion-MNIST"
        if assumed
        else "as in the trials that are in the store"
    )
    if 0 < assumed < len(survey.duels):
        how += f" for {counted(assumed, 'duel')}, and taken from the store for the others"
    found.append(
        f"Leads are true ones, found in 80 % of cases; how accuracy varies over seeds is {how}."
    )
    return found


def _at_once(survey: Survey) -> str:
    if survey.at_once == 1:
        return " --jobs N or --ray trains several at a time."
    seconds = (survey.seconds or 0.0) / survey.at_once
    return f" {survey.at_once} at a time, that is at best {duration(seconds)}."
