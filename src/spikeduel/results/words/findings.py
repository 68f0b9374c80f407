"""Findings as sentences, and the mini-language of `results/findings.toml`."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from spikeduel.results.findings import ADVICE, TABLE, Finding
from spikeduel.results.words.numbers import assigned, in_minutes, per_cent, points, said_of
from spikeduel.system.sentences import MOST_NAMED, counted, listed

FORMATS = {
    "points": points,
    "percent": per_cent,
    "minutes": in_minutes,
    "margin": lambda share: f"±{100 * share:g} points",
}


class _Template(Formatter):
    """Fill a sentence with values.

    | in a sentence | gives |
    |---|---|
    | `{share:.1%}`, `{share:percent}` | "91.2 %", "0.05 %" |
    | `{gap:points}`, `{time:minutes}` | "0.65 points", "2.5 minutes" |
    | `{number:seed}` | "1 seed", "6 seeds" |
    | `{number:it\\|them}` | the text before the bar for 1, else the text behind the bar |
    | `{flag:yes\\|no}` | the text before the bar; behind the bar for False, None and empty values |
    | `{side:test=tested\\|train=trained}` of a text | the case that the text names |
    | `{names}` of a list | "a, b and c" |
    | `{sources: from }` of a dict | "a from b and c from d" |
    | `{gains: by \\|points}` of a dict | "a by 0.65 points" |
    """

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, dict):
            return _paired(value, format_spec)
        if "=" in format_spec:
            return dict(case.split("=", 1) for case in format_spec.split("|")).get(value, "")
        if "|" in format_spec:
            is_number = isinstance(value, int) and not isinstance(value, bool)
            chosen = value == 1 if is_number else bool(value)
            return format_spec.split("|")[not chosen]
        if value is None:
            return ""
        if isinstance(value, list):
            return _several([" and ".join(x) if isinstance(x, list) else str(x) for x in value])
        if format_spec in FORMATS:
            return FORMATS[format_spec](value)
        if len(format_spec) > 1 and format_spec.replace(" ", "").isalpha():
            return counted(value, format_spec)
        text = format(value, format_spec)
        return text.replace("%", " %") if format_spec.endswith("%") else text


def _paired(pairs: Mapping[str, Any], spec: str) -> str:
    """Return "name link value" for each pair; `spec` is the link, or "link|format"."""
    link, _, form = spec.partition("|")

    def text(value: Any) -> str:
        return assigned(value) if isinstance(value, dict) else _fill.format_field(value, form)

    return _several([f"{name}{link}{text(value)}" for name, value in pairs.items()])


def _several(texts: list[str]) -> str:
    """Return a list; semicolons part texts that hold commas or lists."""
    if not any(", " in text or " and " in text for text in texts):
        return listed(texts)
    more = [f"{len(texts) - MOST_NAMED} more"] if len(texts) > MOST_NAMED else []
    return "; ".join([*texts[:MOST_NAMED], *more])


_fill = _Template()


def sentence(finding: Finding, noun: str = "image") -> str:
    """Return a finding's sentence; `noun` names the data."""
    row = TABLE[finding.id]
    text = _fill.format(
        row.sentence,
        **finding.values,
        remedy=finding.remedy,
        advice=ADVICE.get(finding.remedy or "", ""),
        problem_above=row.problem_above,
    )
    return said_of(" ".join(text.split()), noun)


def caveat(finding: Finding, noun: str = "image") -> str:
    """Return a caveat's sentence, with its source."""
    source = "Data audit: " if finding.subject == "audit" else ""
    return source + sentence(finding, noun)
