"""Findings: what a reader should know about an audit, a run and so on.

A TOML file beside the code that finds them declares findings (`declare`), the gravest first; a
function yields the values of each:

    @finds("one_seed")
    def one_seed(run: RunContext) -> Iterator[Values]:
        if run.experiment.seeds == 1:
            yield {}
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from msgspec import field

from spikeduel.system import typed
from spikeduel.system.sentences import (
    MAX_NAMED,
    assigned,
    counted,
    in_minutes,
    listed,
    per_cent,
    points,
    with_noun,
)
from spikeduel.system.typed import Frozen

Severity = Literal["invalidates", "problem", "caveat", "note"]
"""`invalidates`: scores measure memory. `problem`: the data has to be mended. `caveat`: a careful
reader objects. `note`: worth knowing.
"""
Values = dict[str, Any]
"""Plain data, as in JSON."""
Finder = Callable[[Any], Iterator[Values]]


class Row(Frozen, forbid_unknown_fields=True):
    """A finding `[subject.id]` as a TOML file declares it.

    `example` declares values and their types; any may be None. `sentence` is in the mini-language
    of `_filled`. `remedy`: options ("--seeds {needed}"), or what to do. A finding with a
    `share` not above `problem_above` is a note.
    """

    severity: Severity
    sentence: str
    subject: str = ""
    remedy: str | None = None
    problem_above: float | None = None
    brief: str = ""
    example: Values = field(default_factory=dict)


TABLE: dict[str, Row] = {}
"""Declared findings by id."""
ADVICE: dict[str, str] = {}
"""Sentences for remedies that several findings share."""
_FINDERS: dict[str, Finder] = {}


def declare(path: Path) -> None:
    """Add the findings of a TOML file to `TABLE`, and the sentences of its `advice` to `ADVICE`."""
    content = tomllib.loads(path.read_text("utf-8"))
    ADVICE.update(content.pop("advice", {}))
    for subject, section in content.items():
        for id, row in section.items():
            TABLE[id] = typed.converted({**row, "subject": subject}, Row)


class Finding(Frozen):
    """Something to know: the `values` that the table declares for `id`, and a `remedy`. Raises
    ValueError for an unknown `id` or other values.
    """

    id: str
    severity: Severity
    values: Values = field(default_factory=dict)
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
        """True if it would invalidate a result."""
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
    """Sort findings, the gravest first."""
    places = {id: place for place, id in enumerate(TABLE)}
    return sorted(findings, key=lambda finding: places[finding.id])


def with_id(findings: Iterable[Finding], *ids: str) -> list[Finding]:
    return [finding for finding in findings if finding.id in ids]


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


FORMATS = {
    "points": points,
    "percent": per_cent,
    "minutes": in_minutes,
    "margin": lambda share: f"±{100 * share:.2g} points",
}


_BAR = re.compile(r"\|(?![^{]*\})")
"""A bar between cases, outside the braces of a field."""


def _filled(template: str, values: Values, noun: str, text: str = "") -> str:
    """Return `text` and the template, filled with values, which are never read as templates; `noun`
    names the data.

    | in a sentence | gives |
    |---|---|
    | `{share:.1%}`, `{share:percent}` | "91.2 %", "0.05 %" |
    | `{gap:points}`, `{time:minutes}` | "0.65 points", "2.5 minutes" |
    | `{number:seed}` | "1 seed", "6 seeds" |
    | `{number:it\\|them}` | the text before the bar for 1, else the text behind the bar |
    | `{flag:yes\\|no}` | the text before the bar; behind the bar for False, None and empty values |
    | `{side:test=tested\\|train=trained}` of a text | the case that the text names |
    | `{notes:prose}` | a text of sentences, which call the data `noun`, too |
    | `{names}` of a list | "a, b and c" |
    | `{sources: from }` of a dict | "a from b and c from d" |
    | `{gains: by \\|points}` of a dict | "a by 0.65 points" |
    """
    for literal, name, spec, _ in Formatter().parse(template):
        words = with_noun(literal, noun)
        text += words.lstrip() if text.endswith(" ") else words
        if name is not None and spec is not None:
            value, cases = values[name], _BAR.split(spec)
            if spec == "prose":
                text += with_noun(value or "", noun)
            elif isinstance(value, dict) or (len(cases) == 1 and "=" not in spec):
                text += _formatted(value, with_noun(spec, noun))
            elif "=" in spec:
                by_name = dict(case.split("=", 1) for case in cases)
                text = _filled(by_name.get(value, ""), values, noun, text)
            else:
                is_number = isinstance(value, int) and not isinstance(value, bool)
                chosen = cases[value != 1 if is_number else not value]
                text = _filled(chosen, values, noun, text)
    return text


def _formatted(value: Any, spec: str) -> str:
    if isinstance(value, dict):
        return _paired(value, spec)
    if value is None:
        return ""
    if isinstance(value, list):
        return _several([" and ".join(x) if isinstance(x, list) else str(x) for x in value])
    if spec in FORMATS:
        return FORMATS[spec](value)
    if len(spec) > 1 and spec.replace(" ", "").isalpha():
        return counted(value, spec)
    text = format(value, spec)
    return text.replace("%", " %") if spec.endswith("%") else text


def _paired(pairs: Mapping[str, Any], spec: str) -> str:
    """Return "name link value" for each pair; `spec` is the link, or "link|format"."""
    link, _, form = spec.partition("|")

    def text(value: Any) -> str:
        return assigned(value) if isinstance(value, dict) else _formatted(value, form)

    return _several([f"{name}{link}{text(value)}" for name, value in pairs.items()])


def _several(texts: list[str]) -> str:
    """List texts; semicolons part texts that hold commas or lists."""
    if not any(", " in text or " and " in text for text in texts):
        return listed(texts)
    more = [f"{len(texts) - MAX_NAMED} more"] if len(texts) > MAX_NAMED else []
    return "; ".join([*texts[:MAX_NAMED], *more])


def sentence(finding: Finding, noun: str = "image") -> str:
    """Return a finding's sentence; `noun` names the data."""
    row = TABLE[finding.id]
    values = {
        **finding.values,
        "remedy": finding.remedy,
        "advice": with_noun(ADVICE.get(finding.remedy or "", ""), noun),
        "problem_above": row.problem_above,
    }
    return _filled(" ".join(row.sentence.split()), values, noun).strip()
