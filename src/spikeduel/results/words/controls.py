"""Controls of a contender in sentences, and the loss of recordings without time."""

from collections.abc import Sequence

from spikeduel.results.columns import percent
from spikeduel.results.control_findings import WITHOUT_TIME, claims
from spikeduel.results.controlled import ControlledContender, ControlRow, TemporalLoss
from spikeduel.results.findings import with_id
from spikeduel.results.rankings import control_results, joules_of, mean_range
from spikeduel.results.run import Results
from spikeduel.results.significance import Difference, Reservation
from spikeduel.results.uncertainty import ADVISED_SEEDS
from spikeduel.results.words.costs import range_in_words
from spikeduel.results.words.findings import sentence
from spikeduel.results.words.numbers import per_cent, points, signed
from spikeduel.results.words.verdict import (
    adjusted_for,
    brief_conclusion,
    conclusion,
    terms,
    titled,
)
from spikeduel.system.sentences import counted

_LOST = {
    TemporalLoss.EVERYTHING: "On {name} everything is lost without time",
    TemporalLoss.SOME: "On {name} {difference} are lost without time",
    TemporalLoss.NOTHING: "On {name} nothing is lost without time",
    TemporalLoss.NOT_SHOWN: "On {name} it stays open whether anything is lost without time",
}

TIME_LEGEND = (
    "The axis is in points of accuracy: 0 is the network itself. Without time and without "
    "polarity: trained anew on recordings that lack them. Times redrawn, frames shuffled, time "
    "reversed: the trained network asked about recordings that are changed in this way; what it "
    "loses says how it uses time, not whether time is needed."
)


def of_controls(results: Results, contender: ControlledContender) -> list[str]:
    """Return what each control showed and what that means; with too few seeds, numbers alone."""
    name, measured = contender.contender, _measured(contender)
    texts = [f"{asked(contender).removesuffix(')')}; {name} − control, 95 % interval):"]
    for row, found in measured:
        numbers = (
            f"{titled(row)} {signed(found.difference)} ({signed(found.ci95[0])} to "
            f"{signed(found.ci95[1])})"
        )
        said = conclusion(found, name, "the control") if row.conclusive else _seeds_taken(found)
        # Where all have too few seeds, that is said once, below.
        texts.append(
            f"{numbers}: {said}."
            if any(control.conclusive for control, _ in measured)
            else f"{numbers}."
        )
    return texts + what_it_means(results, contender)


def asked(contender: ControlledContender) -> str:
    """Return the question of a contender's controls, and the number of seeds."""
    seeds = max((found.seeds for _, found in _measured(contender)), default=0)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    what = "time and polarity add" if contender.of_recordings else "spiking adds"
    steps = f"T = {contender.num_steps}, " if contender.num_steps else ""
    return f"What {what} to {contender.contender} ({steps}{over})"


def what_it_means(results: Results, contender: ControlledContender) -> list[str]:
    """Return what the controls of a contender show together, which were left out, and the energy of
    a single step.
    """
    shown, reasons = claims(contender), left_out([contender])
    texts = [*([f"Left out: {' '.join(reasons)}"] if reasons else []), *map(sentence, shown)]
    measured = _measured(contender)
    failed = [
        row.control for row, found in measured if found.reservation is Reservation.CONTROL_AT_CHANCE
    ]
    gain = bool(with_id(shown, "steps_gain"))
    if not contender.of_recordings and not gain and "one_step" not in failed:
        texts += _energy_of_one_step(results, contender)
    return [*texts, "Accuracy does not show what energy it may save."] if shown else texts


def _measured(contender: ControlledContender) -> list[tuple[ControlRow, Difference]]:
    """Return the controls that were measured and say something."""
    skipped = WITHOUT_TIME if contender.num_steps == 1 else ()
    return [(row, row.found) for row in contender.rows if row.found and row.control not in skipped]


def _energy_of_one_step(results: Results, contender: ControlledContender) -> list[str]:
    """Return the energy of an answer with a single step beside that with all, where it is less."""
    trials = [trial for trial in results.of(contender.contender) if trial.controls]
    controls = control_results(trials, "one_step")
    every, one = (
        mean_range([joules_of(entry) for entry in entries]) for entries in (trials, controls)
    )
    if contender.num_steps == 1 or every is None or one is None or not one.below(every):
        return []
    steps = counted(contender.num_steps or 1, "step")
    return [
        f"A single step takes {range_in_words(one)} an answer, {steps} {range_in_words(every)} "
        "(estimates, arithmetic alone, hoisted)."
    ]


def on_time(results: Results) -> str:
    """Return the loss of recordings without time, in one sentence; empty where it was not tried."""
    if (found := results.comparison.without_time) is None:
        return ""
    name, lost = results.dataset.name, points(found.found.difference)
    text = _LOST[found.lost].format(name=name, difference=lost)
    if found.without == found.contender and not found.trained_without:
        return (
            f"{text}: the best on validation, {found.contender} ({per_cent(found.accuracy)}), sees "
            f"none."
        )
    how = (
        "trained on frames that each hold all events"
        if found.trained_without
        else "which sees no time"
    )
    text += (
        f": {found.contender} gets {per_cent(found.accuracy)}, and {found.without}, {how}, "
        f"{per_cent(found.accuracy_without)} ({signed(-found.found.difference)} points, 95 % "
        f"interval {taken(found.found)}). Both are the best on validation images."
    )
    few = f" These are single trainings; --seeds {ADVISED_SEEDS} shows what others would get."
    return text + few * (not found.conclusive)


def time_rows(results: Results) -> list[dict[str, str]]:
    """Return a row for each contender on recordings: accuracy, and the change by each control."""
    return [
        {
            "network": controlled.contender,
            "accuracy %": percent(controlled.accuracy),
            **{
                row.title: signed(-row.found.difference) if row.found else "–"
                for row in controlled.rows
            },
        }
        for controlled in results.comparison.controls
        if controlled.of_recordings
    ]


def taken(difference: Difference) -> str:
    """Return the interval of the change of accuracy by a control, in points."""
    low, high = difference.ci95
    return f"{signed(-high)} to {signed(-low)}"


def left_out(contenders: Sequence[ControlledContender]) -> list[str]:
    """Return the reasons why controls were not measured, without repetitions."""
    rows = [row for contender in contenders for row in contender.rows]
    return list(dict.fromkeys(row.reason for row in rows if row.reason))


def brief(row: ControlRow, contender: str) -> str:
    """Return the conclusion from a control, for a table."""
    if row.found is None:
        return ""
    return (
        brief_conclusion(row.found, contender, "the control")
        if row.conclusive
        else _seeds_taken(row.found)
    )


def _seeds_taken(difference: Difference) -> str:
    """Return the number of seeds that a conclusion from a control takes."""
    return f"takes {difference.fewest_seeds} seeds" + (
        ", compared seed by seed" if difference.paired else ""
    )


def how_controlled(contender: ControlledContender) -> str:
    """Return the tests of the controls, and the meaning of the words; empty without a
    conclusion.
    """
    found: Sequence = [row.found for row in contender.rows if row.found and row.conclusive]
    tests = "; ".join(dict.fromkeys(difference.test for difference in found))
    return f"Test: {tests}.{adjusted_for(len(found), 'control')} {terms(found)}" if found else ""
