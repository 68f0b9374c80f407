"""Runs as a table of what sets them apart, and two of them in words."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from spikeduel.results.between import Reached, RunsCompared, RunSummary
from spikeduel.results.comparison import DUELS
from spikeduel.results.words.costs import range_in_words
from spikeduel.results.words.findings import assigned
from spikeduel.results.words.power import duration
from spikeduel.results.words.tables import averaged, percent, render
from spikeduel.results.words.verdict import difference_line
from spikeduel.system.sentences import listed

LONGEST_VALUE = 24
"""Of a setting in a column; what is longer is for `--json`, or for two runs side by side."""


def table(runs: Sequence[RunSummary], width: int = 100) -> tuple[str, str]:
    """The runs, each contender in a line, with as many of the settings that set them apart as fit
    into `width`; and a sentence on the others, "" where there are none.
    """
    apart = list(runs[0].settings)
    shown: list[str] = []
    for name in apart:
        tried = render(_rows(runs, [*shown, name]))
        is_short = all(len(value(run.settings[name])) <= LONGEST_VALUE for run in runs)
        if is_short and max(map(len, tried.splitlines())) <= width:
            shown.append(name)
    others = listed([title(name) for name in apart if name not in shown])
    said = f"They also differ in {others}: spikeduel runs RUN OTHER compares two." if others else ""
    return render(_rows(runs, shown)), said


def _rows(runs: Sequence[RunSummary], settings: Sequence[str]) -> list[dict[str, str]]:
    rows = []
    for run in runs:
        about = {title(name): value(run.settings[name]) for name in settings}
        its = [
            (name, averaged(run.accuracy.get(name, []), weights=run.images.get(name)))
            for name in run.contenders
        ]
        cells = [(name, str(accuracy or "failed")) for name, accuracy in its]
        path = Path(run.run)
        place = f", in {path.parent.parent.name}/{DUELS}" if path.parent.name == DUELS else ""
        first = [path.name, f"  {moment(run.created)}{place}"]
        for number, (called, cell) in enumerate(zip_longest(first, cells)):
            shown = dict.fromkeys(about, "") if number else about
            name, accuracy = cell or ("", "")
            rows.append({"run": called or "", **shown, "contender": name, "accuracy, %": accuracy})
    return rows


def moment(created: str) -> str:
    """A moment to the minute."""
    return created.replace("T", " ")[:16]


def title(setting: str) -> str:
    """A setting's name in words."""
    return setting.replace("_", " ")


def value(of: Any) -> str:
    """A setting's value as text."""
    if isinstance(of, dict):
        return "; ".join(f"{contender}: {assigned(settings)}" for contender, settings in of.items())
    if isinstance(of, bool):
        return "yes" if of else "no"
    if isinstance(of, list | tuple):
        return ", ".join(map(str, of)) or "–"
    return "–" if of is None else f"{of:g}" if isinstance(of, float) else str(of)


def setting_rows(compared: RunsCompared) -> list[dict[str, str]]:
    """The settings in which two runs differ."""
    return [
        {"setting": title(name), "A": value(a), "B": value(b)}
        for name, (a, b) in compared.settings.items()
    ]


def contender_rows(compared: RunsCompared) -> list[dict[str, str]]:
    """What each contender got in each run that has it."""
    return [
        {"contender": each.contender, "run": side, **_cells(reached)}
        for each in compared.contenders
        for side, reached in (("A", each.a), ("B", each.b))
        if reached
    ]


def _cells(reached: Reached) -> dict[str, str]:
    low, high = reached.interval or (None, None)
    answer = reached.answer
    return {
        "accuracy, %": percent(reached.accuracy),
        "95 % interval": ""
        if low is None or high is None
        else f"{percent(low)} to {percent(high)}",
        "seeds": str(reached.seeds),
        "training": duration(reached.training.low) if reached.training else "",
        "answer": f"{1000 * answer.low:.3g} ms" if answer else "",
        "energy": range_in_words(reached.energy),
    }


def sentences(compared: RunsCompared) -> list[str]:
    """What may be concluded of two runs, a sentence for each contender that both have; and of their
    times.
    """
    differences = [
        (each.contender, each.difference) for each in compared.contenders if each.difference
    ]
    said = [
        f"{name}: both runs have the same trained networks."
        if found.paired and not found.difference
        else difference_line(found, f"{name} of A", f"{name} of B")
        for name, found in differences
    ]
    if len(said) > 1:
        said.append(f"p-values are adjusted for {len(said)} contenders (Holm).")
    if compared.why_not:
        said.append(f"Accuracies are not tested against each other: {compared.why_not}")
    elif not any(each.a and each.b for each in compared.contenders):
        said.append(
            f"They have the same test images and no contender in common: spikeduel test "
            f"{compared.a} --a NAME --against {compared.b} --b NAME compares two of your choice."
        )
    said += [
        f"{each.contender}: {each.why_not}"
        for each in compared.contenders
        if each.why_not != compared.why_not
    ]
    if any(
        reached and reached.energy for each in compared.contenders for reached in (each.a, each.b)
    ):
        said.append("Energies are estimates, of one answer, with neurons and memory on the chip.")
    if not compared.times_compare:
        said.append(
            "Times do not compare: they were taken on different machines, or on a busy one."
        )
    return said
