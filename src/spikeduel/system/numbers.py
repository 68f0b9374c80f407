"""Formats of numbers, times, names and settings."""

from typing import Any

# Templates take them from here, too.
from spikeduel.system.sentences import (
    assigned as assigned,
    counted as counted,
    hundredths as hundredths,
    in_minutes as in_minutes,
    listed as listed,
    per_cent as per_cent,
    points as points,
    with_noun as with_noun,
)


def named(measure: str) -> str:
    """Return a measure in words: "balanced accuracy"."""
    return measure.replace("_", " ")


def signed(share: float) -> str:
    """Return a difference in points: "+0.65", "−0.48", "0.00"."""
    text = hundredths(share).replace("-", "−")
    return text if text.startswith("−") or text == "0.00" else f"+{text}"


def p_number(p: float) -> str:
    """Return a p-value in three digits; "1", as "1.000" would look certain."""
    if p < 0.001:
        return "< 0.001"
    return "1" if p >= 0.9995 else f"{p:.3f}"


def p_value(p: float) -> str:
    """Return a p-value: "p = 0.031", "p < 0.001", "p = 1"."""
    number = p_number(p)
    return f"p {number}" if number.startswith("<") else f"p = {number}"


def duration(seconds: float) -> str:
    """Return a time: "0.35 s", "40 s", "12 min", "3.5 h", "2.1 days"."""
    if 0 < seconds < 10:
        return f"{seconds:.2g} s"
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (36 * 3600, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if size < 3600 else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def as_text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {assigned(settings)}" for name, settings in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
