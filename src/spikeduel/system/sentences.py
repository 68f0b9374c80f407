"""Counts, lists, shares and the noun of the data in sentences."""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

MAX_NAMED = 6

_IMAGE = re.compile(
    r"(?<![\w/.:<-])(?:(an|one|grey) )?(image)(s?)(?![\w-]|/png|/gif|/svg|[.:]\w)", re.IGNORECASE
)


def listed(names: Sequence[str], most: int = MAX_NAMED) -> str:
    """Return `names` as "a, b and c", cut short after `most`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def counted(number: int, thing: str) -> str:
    """Return a number with its noun: "1 seed", "6 seeds"."""
    plural = f"{thing}s"
    if thing.endswith("s"):
        plural = f"{thing}es"
    elif thing.endswith("y"):
        plural = f"{thing[:-1]}ies"
    return f"{number:,} {thing if number == 1 else plural}"


def hundredths(share: float, digits: int = 2) -> str:
    """Return `share` times 100: "91.23", "-0.48".

    Halves go away from zero, after twelve digits, so that equal means look equal however they were
    summed.
    """
    rounded = Decimal(f"{100 * share:.12g}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    # And no "-0.00".
    return f"{rounded + 0:f}"


def points(share: float) -> str:
    """Return a difference: "0.65 points"."""
    return f"{hundredths(share)} points"


def per_cent(share: float, digits: int | None = None) -> str:
    """Return a share: "91.2 %"; by default below 0.1 %: "0.05 %"."""
    if digits is None:
        digits = 2 if 0 < share < 0.001 else 1
    return f"{hundredths(share, digits)} %"


def in_minutes(number: float) -> str:
    return f"{number:g} minute{'' if number == 1 else 's'}"


def assigned(settings: Mapping[str, float | str | None]) -> str:
    """Return settings as text; None is the customary value."""

    def text(value: float | str | None) -> str:
        if value is None:
            return "customary"
        return value if isinstance(value, str) else f"{value:g}"

    return ", ".join(f"{name} {text(value)}" for name, value in settings.items())


def with_noun(text: str, noun: str) -> str:
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
