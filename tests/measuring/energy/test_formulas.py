import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeduel.measuring.energy.formulas import LONGEST, parse
from spikeduel.system.errors import InputError

KNOWN = ("macs", "acs", "T")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4.6 * macs + 0.9 * acs", 4.6 * 3 + 0.9 * 5),
        ("-(macs - 10) / 2", 3.5),
        ("max(macs, acs) - min(macs, acs)", 2),
        ("ceil(log2(T + 1))", 3),
        ("7 / 2", 3.5),
        ("+1e-3", 1e-3),
    ],
)
def test_values_by_hand(text, value):
    assert parse(text, KNOWN).value({"macs": 3.0, "acs": 5.0, "T": 5.0}) == pytest.approx(value)


def test_a_misspelt_name_is_answered_with_the_nearest_and_with_all():
    with pytest.raises(InputError, match="did you mean 'macs'") as error:
        parse("4.6 * mac", KNOWN)
    assert all(name in str(error.value) for name in KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "macs.__class__",
        "(lambda: 1)()",
        "macs if T else acs",
        "[macs]",
        "macs ** 999999999",
        "'a' * 3",
        "True",
        "1j",
        "macs := 2",
        "max(macs)",
        "log2(macs, 2)",
        "abs(macs)",
        "max(*macs)",
        "macs\n+",
        "",
        "(" * 3000,
        "-" * (LONGEST - 4) + "macs",
        "1" * (LONGEST + 1),
        "1e999",
    ],
)
def test_what_is_no_formula_is_refused_with_what_one_may_have(text):
    with pytest.raises(InputError):
        parse(text, KNOWN)


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text):
    try:
        value = parse(text, KNOWN).value(dict.fromkeys(KNOWN, 2.0))
    except InputError:
        return
    float(value)
