"""How numbers and names stand in sentences and tables."""

from collections.abc import Sequence

from spikeduel.results.significance import Difference

MOST_NAMED = 6


def points(share: float) -> str:
    """A difference in accuracy: "0.65 points"."""
    return f"{100 * share:.2f} points"


def per_cent(share: float, digits: int = 1) -> str:
    """A share of one: "91.2 %"."""
    return f"{100 * share:.{digits}f} %"


def signed(share: float) -> str:
    """A difference in points with its sign, "+0.65", "−0.48", "0.00"."""
    text = f"{100 * share:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


def margin(found: Difference) -> str:
    """What counts as no difference: "±0.5 points"."""
    return f"±{100 * found.margin:g} points"


def lead(found: Difference, level: int = 95) -> str:
    """The interval of the leader's lead, in points: "−0.48 to 1.78"."""
    low, high = found.ci95 if level == 95 else found.ci90
    if found.difference < 0:
        low, high = -high, -low
    return f"{100 * low:.2f} to {100 * high:.2f}".replace("-", "−")


def p_number(p: float) -> str:
    """A p-value in three digits. Three digits of 1 would look like certainty: it is no evidence, either way."""
    if p < 0.001:
        return "< 0.001"
    return "1" if p >= 0.9995 else f"{p:.3f}"


def p_value(p: float) -> str:
    """A p-value: "p = 0.031", "p < 0.001", "p = 1"."""
    number = p_number(p)
    return f"p {number}" if number.startswith("<") else f"p = {number}"


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Names as a list in a sentence; many are cut short."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def counted(number: int, thing: str) -> str:
    """A number and what it counts: "1 seed", "6 seeds"."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"
