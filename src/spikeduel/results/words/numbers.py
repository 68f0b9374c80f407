"""Formats of numbers, times, names and settings."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

# Templates take them from here, too.
from spikeduel.system.sentences import counted as counted, listed as listed

_IMAGE = re.compile(
    r"(?<![\w/.:<-])(?:(an|one|grey) )?(image)(s?)(?![\w-]|/png|/gif|/svg|[.:]\w)", re.IGNORECASE
)


def hundredths(share: float, digits: int = 2) -> str:
    """Return `share` times 100: "91.23", "-0.48".

    Halves go away from zero, after twelve digits, so that equal means look equal however they were
    summed.
    """
    rounded = Decimal(f"{100 * share:.12g}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    # And no "-0.00".
    return f"{rounded + 0:f}"


def named(measure: str) -> str:
    """Return a measure in words: "balanced accuracy"."""
    return measure.replace("_", " ")


def points(share: float) -> str:
    """Return a difference: "0.65 points"."""
    return f"{hundredths(share)} points"


def per_cent(share: float, digits: int | None = None) -> str:
    """Return a share: "91.2 %"; by default below 0.1 %: "0.05 %"."""
    if digits is None:
        digits = 2 if 0 < share < 0.001 else 1
    return f"{hundredths(share, digits)} %"


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


def in_minutes(number: float) -> str:
    return f"{number:g} minute{'' if number == 1 else 's'}"


def assigned(settings: Mapping[str, float | str | None]) -> str:
    """Return settings as text; None is the customary value."""

    def text(value: float | str | None) -> str:
        return value if isinstance(value, str) else "customary" if value is None else f"{value:g}"

    return ", ".join(f"{name} {text(value)}" for name, value in settings.items())


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


def said_of(text: str, noun: str) -> str:
    """Return `text` with another `noun` in place of "image"."""
    if noun == "image":
        return text

    def other(match: re.Match[str]) -> str:
        before, image, plural = match.groups()
        # A small grey version of a recording is a picture.
        if before and before.lower() == "grey":
            return f"{before} picture{plural}"
        renamed = noun.capitalize() if image[0].isupper() else noun
        article = {"an": "a ", "An": "A ", None: ""}.get(before, f"{before} ")
        return f"{article}{renamed}{plural}"

    return _IMAGE.sub(other, text)
