"""The answer in one line, in a small table, and what would settle it: for terminal and page
alike.
"""

from typing import NamedTuple

from spikeduel.results import caveats as c
from spikeduel.results.answer import (
    NOTICEABLE,
    Answer,
    Lead,
    Quantity,
    Step,
    Why,
    answer,
    case_of,
    too_few,
    was_busy,
)
from spikeduel.results.costs import Range
from spikeduel.results.run import Results
from spikeduel.results.words.costs import amount, range_in_words
from spikeduel.results.words.numbers import hundredths, per_cent, points
from spikeduel.results.words.power import duration
from spikeduel.results.words.tables import score
from spikeduel.system.sentences import counted

RULE = (
    "The rule: contenders that another one is shown to be better than are out. Of the others, "
    "those are level with the most accurate one that lie within one point of it, or whose "
    "difference to it can be 0 (95 % interval). Of these the one that answers fastest on this "
    "machine is taken, or the most accurate one if the machine was busy when they were timed. "
    "Nobody is taken where test images leak into training, nor where several are level and the "
    "test images are too few to show a difference of five points."
)
TITLES: dict[Quantity, str] = {
    "accuracy": "accuracy, %",
    "training": "training",
    "answer": "answer",
    "energy": "energy",
    "memory": "memory",
    "size": "size",
}
MEANINGS: dict[Quantity, str] = {
    "accuracy": "Share of the test images that are answered correctly, in per cent; ± standard deviation over seeds.",
    "training": "Time of one training on this machine, that of the network it starts from included.",
    "answer": "Time of one answer to one image on this machine, median.",
    "energy": "Estimated energy of one answer, 45 nm, with neurons and memory on the chip: from the cheapest to the "
    "dearest way to compute it. Who leads is judged by all accountings.",
    "memory": "Memory of a process at its first answer, Python and PyTorch included.",
    "size": "Size of the weights.",
}
"""What the columns of the table are."""
LONGEST_NAME = 14
LEGEND = "* leads, against the best of the other kind (SNN or not)."
_NOBODY = {
    Why.LEAKAGE: "Take neither yet: test images leak into training, so that these scores measure memory",
    Why.NOTHING_LEARNED: "Take neither: no contender is shown to have learned anything",
    Why.NOT_FINISHED: "No answer: no trial was finished",
}
_SETTLES = {
    "--group-by": "keeps pictures of one person, object or scan on one side of the split",
    "--folds": "tests every image once",
    "--seeds": "shows whether other trainings agree",
    "--tune": "gives each contender its own best settings",
}


def headline(results: Results) -> str:
    """Whom to take and why, in one or two sentences."""
    found = answer(results)
    if found.take is None:
        return f"{_NOBODY[found.why]}." if found.why in _NOBODY else _too_few(results)
    take = _kind(results, found.take)
    if found.rival is None:
        return f"Only {take} was trained: there is nothing to compare it with."
    accuracy, (faster, pace) = _accuracy(found, results), (True, "")
    if not was_busy(results):
        faster, pace = _pace(found.lead("answer"), found.take, found.rival)
    why = f"{accuracy}, {'and' if faster else 'but'} it {pace}" if pace else accuracy
    if found.why is Why.FASTER and pace and faster:
        why = f"it {pace}, and {accuracy}"
    return f"Take {take}: {why}.{_energy(found, results)}{_untrained(found, results)}"


def _kind(results: Results, name: str) -> str:
    return f"{name} ({results.of(name, tested=False)[0].family.upper()})"


def _accuracy(found: Answer, results: Results) -> str:
    """How the one to take stands to its rival in accuracy."""
    rival, pair = _kind(results, found.rival or ""), found.pair
    if pair is None:
        return f"the highest accuracy; it has no seed in common with {rival}"
    ahead = pair.difference if pair.a == found.take else -pair.difference
    asked = f"{counted(pair.n, 'test image')}, {counted(pair.seeds, 'seed')}"
    scope = "" if pair.seeds > 1 else " for these two trained networks alone"
    if pair.conclusion.better and not pair.negligible:
        more = "more" if ahead > 0 else "less"
        return f"{points(abs(ahead))} {more} accurate than {rival} (shown{scope}; {asked})"
    if pair.conclusion == "equivalent" or pair.negligible:
        return f"as accurate as {rival} within {100 * pair.margin:g} points (shown{scope}; {asked})"
    lead = (
        f"it is {points(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"
        if ahead
        else "they are level"
    )
    return f"no difference in accuracy from {rival} is shown ({lead}; {asked})"


def _pace(lead: Lead, take: str, rival: str) -> tuple[bool, str]:
    """Whether the one to take answers faster than its rival, or as fast; and how much, empty where
    it is not known.
    """
    if take not in lead.values or rival not in lead.values:
        return True, ""
    times = lead.values[rival].low / lead.values[take].low
    if 1 / NOTICEABLE < times < NOTICEABLE:
        return True, "answers as fast here"
    return (
        times > 1,
        f"answers {_times(max(times, 1 / times))} {'faster' if times > 1 else 'slower'} here",
    )


def _too_few(results: Results) -> str:
    """That the test images are too few for an answer, and what they show."""
    found, pair = too_few(results), results.comparison.pairs[0]
    tested = pair.n
    if found and abs(pair.difference) > found.detectable:
        asked = f"{counted(tested, 'test image')} and {counted(pair.seeds, 'seed')}"
        return f"No answer yet: with {asked} a lead of {points(abs(pair.difference))} is not shown."
    least = f"{'about ' if found.assumed else ''}{points(found.detectable)}" if found else ""
    return f"No answer yet: {counted(tested, 'test image')} cannot show a difference below {least}."


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _energy(found: Answer, results: Results) -> str:
    """In how many accountings the spiking one of the two takes less energy."""
    case = case_of(results, found.take or "", found.rival or "")
    if case is None or not case.judged:
        return ""
    cheaper, dearer = len(case.found("spiking")), len(case.found("other"))
    of_all = f"{cheaper} of {case.judged} published accountings"
    return (
        f" {case.spiking} takes less energy in {of_all}{f', more in {dearer}' if dearer else ''}."
    )


def _untrained(found: Answer, results: Results) -> str:
    """That no training at all does better, where that is so."""
    below = [
        each for each in results.comparison.caveats if isinstance(each, c.BelowNearestNeighbour)
    ]
    if not below or found.take not in below[0].contenders:
        return ""
    return f" But an untrained nearest neighbour is better: {per_cent(below[0].accuracy)}."


class Cell(NamedTuple):
    """What a contender has of one quantity: a mean as text, its spread over seeds, and whether it
    leads.
    """

    mean: str
    spread: str
    leads: bool

    def __str__(self) -> str:
        return (
            f"{self.mean}{f' ± {self.spread}' if self.spread else ''}{' *' if self.leads else ''}"
        )


class Row(NamedTuple):
    """One quantity: the cells of all contenders, by how much the leader leads `over` whom, and how
    sure that is.
    """

    quantity: Quantity
    cells: dict[str, Cell]
    by: str
    over: str
    sure: str


def table(results: Results) -> list[Row]:
    """The small table, a row a quantity."""
    return [
        Row(
            lead.quantity,
            {name: _cell(results, name, lead) for name in results.contenders},
            by(lead),
            (lead.over or "") if by(lead) else "",
            lead.sure.value,
        )
        for lead in answer(results).leads
    ]


def rows(results: Results) -> list[dict[str, str]]:
    """The small table as text, a row a contender, a star at the one that leads; below it by how
    much, and how sure.
    """
    found = table(results)
    shown = [
        {"": _short(name), **{TITLES[row.quantity]: str(row.cells[name]) for row in found}}
        for name in results.contenders
    ]
    if (several := len(shown)) > 1:
        shown.append({"": "lead", **{TITLES[row.quantity]: row.by for row in found}})
        if several > 2:
            shown.append({"": "over", **{TITLES[row.quantity]: _short(row.over) for row in found}})
        shown.append({"": "how sure", **{TITLES[row.quantity]: row.sure for row in found}})
    return shown


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _cell(results: Results, name: str, lead: Lead) -> Cell:
    if name not in lead.values:
        return Cell("failed" if lead.quantity == "accuracy" else "–", "", False)
    if lead.quantity == "accuracy" and (found := score(results.of(name), "accuracy")):
        return Cell(found.mean, found.spread, name == lead.leader)
    return Cell(_value(lead, lead.values[name]), "", name == lead.leader)


def _value(lead: Lead, value: Range) -> str:
    match lead.quantity:
        case "training":
            return duration(value.low)
        case "answer":
            return f"{1000 * value.low:.3g} ms"
        case "energy":
            return range_in_words(value).replace(" to ", "–")
        case _:
            return f"{amount(value.low)}B"


def by(lead: Lead) -> str:
    """By how much the leader leads; "" where nobody does."""
    if lead.cheaper_in is not None:
        return f"{lead.cheaper_in} of {lead.judged}"
    if lead.leader is None:
        return ""
    if lead.quantity == "accuracy":
        return f"{hundredths(lead.by or 0.0)} points"
    return f"{_times(lead.by).replace(' times', ' ×')}" if lead.by else ""


def settles(step: Step) -> str:
    """What a step would show."""
    if isinstance(step.answers, c.MoreImages):
        least = f"{'about ' if step.answers.assumed else ''}{points(step.answers.detectable)}"
        return f"more test images: these cannot show a difference below {least}"
    return _SETTLES[step.options[0]]


def minutes(step: Step) -> str:
    """How long its training takes."""
    return "" if step.minutes is None else f"trains {duration(60 * step.minutes)}"


def settling(results: Results) -> list[tuple[str, str, str]]:
    """Of each step its options, to be added to the run's own command; about how long it trains;
    what it shows.
    """
    return [
        (" ".join(step.options), minutes(step), settles(step)) for step in answer(results).steps
    ]
