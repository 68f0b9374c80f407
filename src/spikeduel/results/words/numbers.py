"""How numbers and names stand in sentences and tables."""

from decimal import ROUND_HALF_UP, Decimal

from spikeduel.results.significance import Difference

# Templates take them from here, too.
from spikeduel.system.sentences import counted as counted
from spikeduel.system.sentences import listed as listed


def hundredths(share: float, digits: int = 2) -> str:
    """`share` times 100, with so many digits: "91.23", "-0.48".

    Halves go away from zero. Which side of a half the float of a mean lies on depends on how it was
    summed; twelve digits of it do not, so that equal means look equal wherever they stand.
    """
    rounded = Decimal(f"{100 * share:.12g}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    # And no "-0.00".
    return f"{rounded + 0:f}"


def points(share: float) -> str:
    """A difference in accuracy: "0.65 points"."""
    return f"{hundredths(share)} points"


def per_cent(share: float, digits: int = 1) -> str:
    """A share of one: "91.2 %"."""
    return f"{hundredths(share, digits)} %"


def signed(share: float) -> str:
    """A difference in points with its sign, "+0.65", "−0.48", "0.00"."""
    text = hundredths(share).replace("-", "−")
    return text if text.startswith("−") or text == "0.00" else f"+{text}"


def margin(found: Difference) -> str:
    """What counts as no difference: "±0.5 points"."""
    return f"±{100 * found.margin:g} points"


def lead(found: Difference, level: int = 95) -> str:
    """The interval of the leader's lead, in points: "−0.48 to 1.78"."""
    low, high = found.ci95 if level == 95 else found.ci90
    if found.difference < 0:
        low, high = -high, -low
    return f"{hundredths(low)} to {hundredths(high)}".replace("-", "−")


def p_number(p: float) -> str:
    """A p-value in three digits. Three digits of 1 would look like certainty: it is no evidence,
    either way.
    """
    if p < 0.001:
        return "< 0.001"
    return "1" if p >= 0.9995 else f"{p:.3f}"


def p_value(p: float) -> str:
    """A p-value: "p = 0.031", "p < 0.001", "p = 1"."""
    number = p_number(p)
    return f"p {number}" if number.startswith("<") else f"p = {number}"


def in_minutes(number: float) -> str:
    """A time that was given in minutes: "1 minute", "2.5 minutes"."""
    return f"{number:g} minute{'' if number == 1 else 's'}"
