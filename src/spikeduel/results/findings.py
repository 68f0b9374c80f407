"""Findings: what a reader should know about a run, a study, an audit, a control or a test.

`findings.toml` declares every finding, the gravest first; a function yields its values:

    @finds("one_seed")
    def one_seed(run: RunContext) -> Iterator[Values]:
        if run.experiment.seeds == 1:
            yield {}
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from spikeduel.system import typed
from spikeduel.system.typed import Frozen

Severity = Literal["invalidates", "problem", "caveat", "note"]
"""`invalidates`: scores measure memory. `problem`: the data has to be mended. `caveat`: a careful
reader objects. `note`: worth knowing.
"""
Values = dict[str, Any]
"""Numbers, names, lists and dicts as JSON has them."""
Finder = Callable[[Any], Iterator[Values]]


class Row(Frozen, forbid_unknown_fields=True):
    """A row `[subject.id]` of findings.toml.

    `example` declares values and their types; any may be None. `sentence` is in the mini-language
    of `words.findings`. `remedy`: options ("--seeds {needed}"), or what to do. A finding with a
    `share` not above `problem_above` is a note.
    """

    severity: Severity
    sentence: str
    subject: str = ""
    remedy: str | None = None
    problem_above: float | None = None
    brief: str = ""
    example: Values = {}


def _read_table() -> tuple[dict[str, Row], dict[str, str]]:
    content = tomllib.loads(Path(__file__).with_name("findings.toml").read_text("utf-8"))
    advice = content.pop("advice")
    rows = {
        id: typed.converted({**row, "subject": subject}, Row)
        for subject, section in content.items()
        for id, row in section.items()
    }
    return rows, advice


TABLE, ADVICE = _read_table()
"""Every finding by id, the gravest first; and sentences for shared remedies."""
_PLACES = {id: place for place, id in enumerate(TABLE)}
_FINDERS: dict[str, Finder] = {}


class Finding(Frozen):
    """Something to know: the `values` that the table declares for `id`, and a `remedy`. Raises
    ValueError for an unknown `id` or other values.
    """

    id: str
    severity: Severity
    values: Values = {}
    remedy: str | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if self.id not in TABLE:
            raise ValueError(f"there is no finding {self.id!r}")
        example = TABLE[self.id].example
        if self.values.keys() != example.keys() or any(
            value is not None and _kind(value) is not _kind(example[name])
            for name, value in self.values.items()
        ):
            raise ValueError(f"the finding {self.id} lacks a value, or has one of another type")

    @property
    def subject(self) -> str:
        return TABLE[self.id].subject

    @property
    def is_problem(self) -> bool:
        """Return True if it would invalidate a result."""
        return self.severity in ("invalidates", "problem")


def is_leak(finding: Finding) -> bool:
    """Return True if scores measure memory."""
    return finding.severity == "invalidates"


def finding(id: str, **values: Any) -> Finding:
    """Return the finding `id`; a value `remedy` replaces that of the table."""
    row = TABLE[id]
    remedy = row.remedy.format(**values) if row.remedy else None
    remedy = values.pop("remedy", remedy)
    is_small = row.problem_above is not None and values["share"] <= row.problem_above
    severity = "note" if is_small else row.severity
    return Finding(id=id, severity=severity, values=typed.plain(values), remedy=remedy)


def finds(id: str) -> Callable[[Finder], Finder]:
    """Register the finder of `id`, which yields values from a context."""

    def register(finder: Finder) -> Finder:
        _FINDERS[id] = finder
        return finder

    return register


def find(subject: str, context: Any) -> list[Finding]:
    """Return the findings of a `subject`, the gravest first."""
    return [
        finding(id, **values)
        for id, row in TABLE.items()
        if row.subject == subject
        for values in _FINDERS[id](context)
    ]


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, the gravest first."""
    return sorted(findings, key=lambda finding: _PLACES[finding.id])


def with_id(findings: Iterable[Finding], *ids: str) -> list[Finding]:
    return [finding for finding in findings if finding.id in ids]


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)
