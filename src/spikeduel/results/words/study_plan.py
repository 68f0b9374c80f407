"""The plan of a study, in a table and sentences."""

from spikeduel.results.across import fewest_datasets
from spikeduel.results.study_plan import VARIES, DuelPlan, StudyPlan, total_seconds
from spikeduel.results.uncertainty import FEWEST_SEEDS
from spikeduel.results.words.numbers import duration
from spikeduel.system.sentences import counted


def rows(plan: StudyPlan) -> list[dict[str, str]]:
    """Return a table row for each duel."""
    return [_row(duel) for duel in plan.duels]


def _row(duel: DuelPlan) -> dict[str, str]:
    missing = [trial for trial in duel.trials if not trial.stored]
    seconds = total_seconds(missing)
    return {
        "duel": duel.label,
        "test images": f"{duel.test_images:,}",
        "trials": f"{len(duel.trials)}",
        "to train": f"{len(missing)}",
        "training": "?" if seconds is None else duration(seconds) if missing else "–",
        "smallest lead": "–" if duel.leads is None else _points(duel.leads),
    }


def _points(leads: tuple[float, float]) -> str:
    low, high = (f"{100 * lead:.1f}" for lead in leads)
    return f"{low} points" if low == high else f"{low} to {high} points"


def sentences(plan: StudyPlan) -> list[str]:
    """Return sentences on trials, time, disk, and what the study can find."""
    return [*_trials(plan), *_time_and_disk(plan), *_leads(plan)]


def _trials(plan: StudyPlan) -> list[str]:
    trials = plan.trials
    texts = [
        f"{counted(len(trials), 'trial')} of {counted(len(plan.duels), 'duel')} on "
        f"{counted(len(plan.datasets), 'data set')}; {len(plan.missing):,} are to be trained."
    ]
    if sum(len(duel.trials) for duel in plan.duels) > len(trials):
        texts.append("Duels share trials: a shared trial is counted once here, and in each row.")
    if plan.tuning_trials:
        texts.append(
            f"Before that, {counted(plan.tuning_trials, 'trial')} of tuning, not counted here."
        )
    if controls := sum(duel.controls for duel in plan.duels):
        texts.append(f"Controls may train {counted(controls, 'network')} more, not counted here.")
    return texts


def _time_and_disk(plan: StudyPlan) -> list[str]:
    if not plan.missing:
        return []
    if plan.seconds is None:
        texts = ["Training time unknown: a training step of some contender failed."]
    else:
        at_once = " --jobs N or --ray trains several at a time."
        if plan.at_once > 1:
            shortest = duration(plan.seconds / plan.at_once)
            at_once = f" {plan.at_once} at a time, at best {shortest}."
        texts = [
            f"Training takes about {duration(plan.seconds)}, one trial after another.{at_once}",
            "Then every duel is measured and gets its report: some seconds each.",
        ]
    megabytes = plan.bytes / 1e6
    return [*texts, f"Models and answers take about {megabytes:,.0f} MB, reports not counted."]


def _leads(plan: StudyPlan) -> list[str]:
    texts, leads = [], plan.leads
    if any(duel.seeds < FEWEST_SEEDS for duel in plan.duels):
        texts.append(f"A single duel finds no lead with fewer than {FEWEST_SEEDS} seeds.")
    if leads is None and plan.pairs:
        takes = "takes" if plan.pairs == 1 else "take"
        texts.append(
            f"Nothing can be shown over all data sets: {counted(plan.pairs, 'pair')} of variants "
            f"{takes} at least {fewest_datasets(plan.pairs)} data sets."
        )
    elif leads is not None:
        texts.append(
            f"Over all data sets, the study finds a lead of {_points(leads)}, if leads vary over "
            f"data sets by {100 * VARIES:g} points."
        )
    assumed = sum(duel.source == "assumed" for duel in plan.duels)
    how = "assumed as on Fashion-MNIST" if assumed else "taken from trials in the store"
    if 0 < assumed < len(plan.duels):
        how += f" for {counted(assumed, 'duel')}, and taken from the store for the others"
    texts.append(f"Leads are true leads, found in 80 % of cases; the variance over seeds is {how}.")
    return texts
