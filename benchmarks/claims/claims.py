"""Claims about spiking against conventional networks, put to the test: a TOML file a claim.

    python -m benchmarks.claims.claims [--write]

Recomputes every figure of `claims/*.toml` from the claim's own numbers, reads the results of re-runs
from benchmarks/results/, and prints what differs, and the figures in titles and sentences that do
not follow from any of these. `--write` makes docs/claims-tested.md of it, and a page in docs/claims/ for
each claim. A re-run without its results file is shown as planned:
`python -m benchmarks.claims.claims_rerun NAME` makes that file.
"""

import json
import math
import re
import statistics
import sys
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import field

from benchmarks import shared
from benchmarks.tables import TEMPLATES
from spikeduel.energy import accounting
from spikeduel.statistics import wilson
from spikeduel.system.errors import InputError, naming
from spikeduel.system.sentences import counted
from spikeduel.system.typed import Frozen, Positive, read_toml

FOLDER, PAGE = shared.ROOT / "claims", shared.DOCS / "claims-tested.md"
PAGES = shared.DOCS / "claims"
"""Folder of the pages of single claims."""
RESULTS = shared.RESULTS
ENOUGH_SEEDS = 4
GROUPS = ("Re-run", "Recomputed", "Our own claims")
KINDS = {
    "paper": "papers",
    "library": "libraries and their tutorials",
    "hardware": "logs of measured hardware",
    "project": "repositories of one to three persons, without a paper",
}
"""Kinds of sources, with what the page calls them."""
FIGURE = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w-])")
"""A figure in a sentence; digits in a name (CIFAR-10) are none."""
SENTENCES = ("title", "claimed", "claimed_value", "found_value", "sentence")
"""Parts of a claim whose figures need a source."""
SAME_SIZE = 1.1
"""Largest ratio of parameters at which two networks count as equally large."""


Selection = Literal[
    "best test epoch",
    "best test epoch, with another choice beside it",
    "validation",
    "last epoch",
    "no training",
]


class Verdict(StrEnum):
    """What the test of a claim gives; the value is the text on the page."""

    HOLDS = "holds"
    HOLDS_IN_PART = "holds in part"
    FAILS = "does not hold"
    OPEN = "open"


LEGEND = {
    Verdict.HOLDS: "The figure follows from the source's own numbers, or our run reaches it.",
    Verdict.HOLDS_IN_PART: "Some of its figures hold, or only under a condition that the claim leaves out.",
    Verdict.FAILS: "The source's own numbers or code, or our run, give another figure.",
    Verdict.OPEN: "What we read and ran does not decide it.",
}
"""What each verdict means."""


class Flag(StrEnum):
    """Property of a claim that its reader should know; the value is the text on the page."""

    ABSTRACT = "read in the abstract or an excerpt only"
    ACCOUNT = "read in an account of it, not in the source"
    BEST_TEST_EPOCH = "best test epoch"
    BEST_BESIDE_ANOTHER = "best test epoch, with another choice beside it"
    SELECTION_UNKNOWN = "selection not stated"
    ONE_SEED = "one seed"
    TOO_FEW_SEEDS = f"fewer than {ENOUGH_SEEDS} seeds"
    SEEDS_UNKNOWN = "seeds not stated"
    ONE_RUN = "one run"
    RUNS_UNKNOWN = "runs not stated"
    LEAKING_SPLIT = "split leaks"
    UNEQUAL_PARAMETERS = "unequal parameters"
    MEMORY_LEFT_OUT = "memory traffic left out"
    FIGURES_DIFFER = "its figures differ among themselves"
    INPUT_AS_SPIKES = "input layer counted as spikes"
    ASSUMED_CONSTANT = "rests on an assumed constant"
    PART_NOT_COUNTED = "part of the network not counted"
    OTHER_DATA = "code loads another data set"
    OTHER_QUANTITY = "measures another quantity than named"
    UNEVEN_TRAINING = "networks trained differently"
    ESTIMATE = "an estimate called measured"
    UNPRUNED_RIVAL = "rival not treated alike"
    COUNTED_TWICE = "one factor counted twice"


class Source(Frozen, forbid_unknown_fields=True):
    """Source of a claim: `by` is a short name of who claims it, `place` a file with lines, a table or
    a cell, and `read` the day on which it was read for its entry.
    """

    by: str
    kind: Literal["paper", "library", "hardware", "project"]
    title: str
    authors: str
    place: str
    read: date
    year: Positive | None = None
    address: str | None = None
    reading: Literal["source", "abstract", "account"] = "source"


class Protocol(Frozen, forbid_unknown_fields=True):
    """Protocol behind the figures of a claim, as its source says or its code shows.

    `counted`: what its figures are of. `seeds`: training runs behind an accuracy. `runs`: runs of the
    benchmark behind a time. `parameters`: numbers of weights by network. None: not stated.
    """

    dataset: str
    counted: list[
        Literal["accuracy", "parameters", "operations", "energy", "memory traffic", "time"]
    ]
    selection: Selection | None = None
    seeds: Positive | None = None
    runs: Positive | None = None
    split: Literal["official", "by person", "leaks"] | None = None
    test_images: Positive | None = None
    time_steps: Positive | None = None
    parameters: dict[str, Positive] = field(default_factory=dict)


class Step(Frozen, forbid_unknown_fields=True):
    """A figure recomputed: `expression` over the claim's numbers, and of steps above by their `name`,
    gives `gives`, to its digits; `reported` is the claim's own figure.

    `take` "mean" averages a list of numbers; "interval" is Wilson's 95 % interval of an accuracy in
    per cent, or of the mean of several, on the claim's test images. `key`: shown in bold on the claim's page.
    """

    what: str
    expression: str
    gives: str
    take: Literal["value", "mean", "interval"] = "value"
    reported: str | None = None
    unit: str = ""
    name: str | None = None
    key: bool = False


class Rerun(Frozen, forbid_unknown_fields=True):
    """A re-run: `figures` are paths in `results`, a file of benchmarks/results/.

    `settings` are those of `spikeduel.compare`; with them, claims_rerun.py makes the results file.
    `protocol`: theirs or ours. `network`: theirs, one like it, or another one that answers the same
    question. `limits` says in what the re-run differs from the claim. A figure has a value for each
    seed, or else `each`.
    """

    what: str
    protocol: Literal["theirs", "ours"]
    network: Literal["theirs", "similar", "another"]
    results: str
    figures: dict[str, str]
    limits: str
    command: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    unit: Literal["%", "s", "times", "µJ"] = "%"
    each: Literal["seed", "epoch", "run"] = "seed"

    @property
    def is_done(self) -> bool:
        return (RESULTS / self.results).is_file()

    @property
    def made_by(self) -> str:
        """The command that makes the results file."""
        if self.command:
            return self.command
        if self.is_done and (command := _document(self.results).get("command")):
            return str(command)
        return f"python -m benchmarks.claims.claims_rerun {self.results[:-5]}"


class Claim(Frozen, forbid_unknown_fields=True):
    """A claim: `claimed` is what it reports, `sentence` what is to be concluded.

    `claimed_value` and `found_value` are both in a few words, for the table of all claims. `declared`: figures of these sentences that neither follow from the rest nor stand in it, with what
    each is. `flags` are those that do not follow from the rest: see `flags_of`.
    """

    title: str
    source: Source
    claimed: str
    claimed_value: str
    found_value: str
    verdict: Verdict
    protocol: Protocol
    sentence: str
    recomputed: list[Step]
    numbers: dict[str, float | list[float]] = field(default_factory=dict)
    declared: dict[str, str] = field(default_factory=dict)
    rerun: list[Rerun] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    ours: bool = False


class Recomputed(Frozen):
    """A step with the figure that it `found`; `agrees` with the reported one, None without one."""

    step: Step
    found: str
    agrees: bool | None

    @property
    def text(self) -> str:
        """The figure with its unit."""
        return f"{self.found} {self.step.unit}".rstrip()

    @property
    def is_right(self) -> bool:
        """True if the step gives what the claim's file says."""
        return self.found == self.step.gives


class Figure(Frozen):
    """Values of a re-run, one a seed; `text` is their mean ± standard deviation."""

    name: str
    values: list[float]
    text: str

    def count(self, each: str) -> str:
        """The number of values, as "4 seeds"."""
        return counted(len(self.values), each)


class Done(Frozen):
    """A re-run whose results file is there."""

    rerun: Rerun
    figures: list[Figure]

    @property
    def num_seeds(self) -> int:
        """The least number of seeds behind a figure; 0 where values are not of seeds."""
        if self.rerun.each != "seed":
            return 0
        return min(len(figure.values) for figure in self.figures)


class Tested(Frozen):
    """A claim with all that was recomputed and re-run."""

    name: str
    claim: Claim
    recomputed: list[Recomputed]
    done: list[Done]
    planned: list[Rerun]
    flags: list[Flag]
    without_source: list[str] = field(default_factory=list)

    @property
    def group(self) -> str:
        """Heading under which the page lists the claim."""
        if self.claim.ours:
            return "Our own claims"
        return "Re-run" if self.done else "Recomputed"

    @property
    def has_enough_seeds(self) -> bool:
        return any(done.num_seeds >= ENOUGH_SEEDS for done in self.done)

    @property
    def has_similar_network(self) -> bool:
        """True if the claim's own network, or one like it, was run."""
        return any(done.rerun.network != "another" for done in self.done)


def claims() -> dict[str, Claim]:
    """Return all claims by name. Raises `InputError` for a file that is none."""
    return {path.stem: read_toml(path, Claim) for path in sorted(FOLDER.glob("*.toml"))}


def recompute(claim: Claim) -> list[Recomputed]:
    """Return the claim's steps with the figures found. Raises `InputError`."""
    values = {name: np.asarray(number, float) for name, number in claim.numbers.items()}
    recomputed = []
    for step in claim.recomputed:
        with naming(f"step {step.what!r}"):
            formula = accounting.parse(step.expression, frozenset(values))
            value = accounting.evaluate(formula, values)
            found = _written(_taken(step, value, claim.protocol.test_images), step.gives)
        if step.name:
            values[step.name] = np.asarray(value, float)
        agrees = None
        if step.reported is not None:
            shown = _written(_taken(step, value, claim.protocol.test_images), step.reported)
            agrees = shown == step.reported
        recomputed.append(Recomputed(step=step, found=found, agrees=agrees))
    return recomputed


def _taken(step: Step, value: Any, test_images: int | None) -> list[float]:
    match step.take:
        case "mean":
            return [float(np.mean(value))]
        case "value":
            return [float(value)]
    if test_images is None:
        raise InputError("an interval needs test_images in the claim's protocol.")
    right = round(float(np.mean(value)) / 100 * test_images)
    return [100 * end for end in wilson(right / test_images, test_images)]


def _written(values: list[float], like: str) -> str:
    """Return `values` with as many decimals as the figure `like` has."""
    if not all(map(math.isfinite, values)):
        raise InputError("the result is not a finite number.")
    decimals = _decimals(like.split(" to ")[0])
    return " to ".join(f"{value:,.{decimals}f}" for value in values)


def _decimals(figure: str) -> int:
    return len(figure.partition(".")[2])


def _number(figure: str) -> float:
    return float(figure.replace(",", ""))


def without_source(claim: Claim, recomputed: list[Recomputed], done: list["Done"]) -> list[str]:
    """Return the figures of title and sentences that follow from nothing, as "claimed: 93"."""
    protocol = claim.protocol
    numbers = [number for each in claim.numbers.values() for number in np.atleast_1d(each)]
    counts = (
        claim.source.year,
        protocol.seeds,
        protocol.runs,
        protocol.test_images,
        protocol.time_steps,
    )
    numbers += [count for count in (*counts, *protocol.parameters.values()) if count]
    texts = [step.found for step in recomputed]
    texts += [text for step in claim.recomputed for text in (step.expression, step.reported or "")]
    figures = [figure for rerun in done for figure in rerun.figures]
    texts += [figure.text for figure in figures] + list(claim.declared)
    numbers += [_number(found) for text in texts for found in FIGURE.findall(text)]
    numbers += [len(figure.values) for figure in figures]

    def follows(figure: str) -> bool:
        # Too many numbers are the same if they are rounded to one or two digits.
        if not _decimals(figure) and len(figure) < 3:
            return _number(figure) in numbers
        digits = figure.replace(",", "")
        return any(f"{number:.{_decimals(figure)}f}" == digits for number in numbers)

    return [
        f"{name}: {figure}"
        for name in SENTENCES
        for figure in FIGURE.findall(getattr(claim, name))
        if not follows(figure)
    ]


def flags_of(claim: Claim, recomputed: list[Recomputed]) -> list[Flag]:
    """Return the flags that follow from the protocol and the figures, then those of the file."""
    protocol, parameters = claim.protocol, claim.protocol.parameters.values()
    trained = protocol.selection != "no training" and "accuracy" in protocol.counted
    timed = "time" in protocol.counted
    follows = {
        Flag.ABSTRACT: claim.source.reading == "abstract",
        Flag.ACCOUNT: claim.source.reading == "account",
        Flag.BEST_TEST_EPOCH: protocol.selection == "best test epoch",
        Flag.SELECTION_UNKNOWN: trained and protocol.selection is None,
        Flag.BEST_BESIDE_ANOTHER: protocol.selection == Flag.BEST_BESIDE_ANOTHER,
        Flag.ONE_SEED: trained and protocol.seeds == 1,
        Flag.TOO_FEW_SEEDS: trained and 1 < (protocol.seeds or 1) < ENOUGH_SEEDS,
        Flag.SEEDS_UNKNOWN: trained and protocol.seeds is None,
        Flag.ONE_RUN: timed and protocol.runs == 1,
        Flag.RUNS_UNKNOWN: timed and protocol.runs is None,
        Flag.LEAKING_SPLIT: protocol.split == "leaks",
        Flag.UNEQUAL_PARAMETERS: bool(parameters) and max(parameters) > SAME_SIZE * min(parameters),
        Flag.MEMORY_LEFT_OUT: "energy" in protocol.counted
        and "memory traffic" not in protocol.counted,
        Flag.FIGURES_DIFFER: any(step.agrees is False for step in recomputed),
    }
    if twice := [flag for flag in claim.flags if flag in follows]:
        raise InputError(f"flag {twice[0]!r} follows from the claim's protocol: leave it out.")
    return [flag for flag, holds in follows.items() if holds] + claim.flags


def look_up(document: Any, path: str) -> list[float]:
    """Return the numbers at `path`: keys between slashes; `key=value` keeps the entries of a list
    that have it, and further keys are looked up in each.
    """
    places = [document]
    for key in path.split("/"):
        name, equals, value = key.partition("=")
        try:
            if equals:
                entries = [entry for place in places for entry in place]
                places = [entry for entry in entries if str(entry[name]) == value]
            else:
                places = [place[key] for place in places]
        except (KeyError, TypeError):
            raise InputError(f"nothing at {path!r}: {key!r} is not there.") from None
    values = [
        value for place in places for value in (place if isinstance(place, list) else [place])
    ]
    if not values or not all(isinstance(value, int | float) for value in values):
        raise InputError(f"no numbers at {path!r}.")
    if not all(map(math.isfinite, values)):
        raise InputError(f"a number at {path!r} is not finite.")
    return [float(value) for value in values]


@cache
def _document(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def done(rerun: Rerun) -> Done | None:
    """Return a re-run with its figures, None where its results file is missing."""
    if not rerun.is_done:
        return None
    document = _document(rerun.results)
    figures = []
    for name, path in rerun.figures.items():
        with naming(f"{rerun.results}, {name!r}"):
            values = look_up(document, path)
        figures.append(Figure(name=name, values=values, text=_figure(values, rerun.unit)))
    return Done(rerun=rerun, figures=figures)


def _figure(values: list[float], unit: str) -> str:
    """Return their mean ± standard deviation, with the unit."""
    scale, decimals = {"%": (100.0, 2), "s": (1.0, 1), "times": (1.0, 2), "µJ": (1.0, 2)}[unit]
    scaled = [scale * value for value in values]
    spread = f" ± {statistics.stdev(scaled):.{decimals}f}" if len(scaled) > 1 else ""
    return f"{statistics.fmean(scaled):.{decimals}f}{spread} {unit}"


def tested() -> list[Tested]:
    """Return all claims, recomputed."""
    rows = []
    for name, claim in claims().items():
        with naming(FOLDER / f"{name}.toml"):
            steps = recompute(claim)
            flags = flags_of(claim, steps)
            ran = [found for rerun in claim.rerun if (found := done(rerun))]
        rows.append(
            Tested(
                name=name,
                claim=claim,
                recomputed=steps,
                done=ran,
                planned=[rerun for rerun in claim.rerun if not rerun.is_done],
                flags=flags,
                without_source=without_source(claim, steps, ran),
            )
        )
    return rows


def page(rows: list[Tested]) -> str:
    """Return docs/claims-tested.md."""
    by_kind = sorted(rows, key=lambda row: list(KINDS).index(row.claim.source.kind))
    groups = {title: [row for row in by_kind if row.group == title] for title in GROUPS}
    template = TEMPLATES.get_template("claims/claims.md.j2")
    return template.render(
        rows=rows, groups=groups, kinds=KINDS, legend=LEGEND, enough=ENOUGH_SEEDS
    )


def page_of(row: Tested) -> str:
    """Return the page of one claim."""
    return TEMPLATES.get_template("claims/claim.md.j2").render(row=row)


def pages(rows: list[Tested]) -> dict[Path, str]:
    """Return all pages by their files: the table, and a page for each claim."""
    return {PAGE: page(rows)} | {PAGES / f"{row.name}.md": page_of(row) for row in rows}


def wrong(rows: list[Tested]) -> list[str]:
    """Return a sentence for every step that does not give what its file says, and for every figure
    without a source.
    """
    steps = [
        f"claims/{row.name}.toml, {step.step.what!r}: {step.found}, not {step.step.gives}."
        for row in rows
        for step in row.recomputed
        if not step.is_right
    ]
    return steps + [
        f"claims/{row.name}.toml, {figure} is no figure of the file or its re-runs. Correct it, or "
        f"compute it in a step, or enter under [declared] what it is."
        for row in rows
        for figure in row.without_source
    ]


def main() -> None:
    try:
        rows = tested()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    if sentences := wrong(rows):
        raise SystemExit("\n".join(sentences))
    if "--write" in sys.argv:
        PAGES.mkdir(exist_ok=True)
        written = pages(rows)
        for path in {*PAGES.glob("*.md")} - written.keys():
            path.unlink()
        for path, text in written.items():
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
