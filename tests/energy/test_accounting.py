import pytest
from hypothesis import given, settings, strategies as st

from spikeduel.energy import accounting
from spikeduel.energy.accounting import NAMES, read
from spikeduel.system.errors import InputError

MINE = """
label = "mine"
group = "memory"
title = "my counting"
source = "my desk"
where = "page 3"
read = "source"
unit = "pJ"
leaves_out = "all else"
spiking = "mac * macs + acs"
[constants.mac]
value = 2
where = "line 4"
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", NAMES)
def test_each_says_where_its_numbers_stand_and_what_it_leaves_out(name):
    entry = read(name)
    assert len(entry.label.split()) <= 3
    assert entry.source
    assert entry.leaves_out
    assert all(constant.where for constant in entry.constants.values())
    assert sum(len(constant.ends) > 1 for constant in entry.constants.values()) <= 4


def test_accountings_of_one_formula_are_of_one_group():
    by_formula = {}
    for name in NAMES:
        by_formula.setdefault((read(name).spiking, read(name).other), set()).add(read(name).group)
    assert by_formula["mac * macs_per_step + ac * acs", None] == {"arithmetic"}
    assert all(len(groups) == 1 for groups in by_formula.values())
    # A group of accountings with memory leaves no memory out of one network alone.
    assert {name for name in NAMES if read(name).group == "memory"} == {
        "memory",
        "lemaire",
        "dampfhoffer",
        "yan",
        "yan-dram",
    }


def test_one_of_the_users_own(file):
    entry = read(file(MINE))
    assert (entry.name, entry.label, entry.group, entry.unit) == ("mine", "mine", "memory", "pJ")
    assert entry.formula("other") == entry.formula("spiking") == "mac * macs + acs"
    assert entry.constants["mac"].ends == [2]


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("mac * macs", "mac * mcs", r"did you mean 'macs'.*acs"),
        ("mac * macs + acs", "open('x')", "spiking: "),
        ("value = 2", "value = [2]", "value"),
        ("value = 2", "value = [3, 1]", "below"),
        ("value = 2", 'value = 2\naxis = "bits"', "least and most"),
        ("value = 2", 'value = 2\naxis = "bits"\nleast = 3\nmost = 4', "least <= value"),
        ("constants.mac", "constants.macs", "call it something else"),
        ("mac * macs", "2 * macs", "no formula uses 'mac'"),
        ('unit = "pJ"', 'unit = "MJ"', "unit: .*MJ"),
        ('read = "source"', 'read = "rumour"', "rumour"),
        ('where = "page 3"\n', "", "where"),
        ('group = "memory"\n', "", "group"),
        ('group = "memory"', 'group = "relatives"', "relatives"),
        ("label", "lable", "label"),
        ('label = "mine"', 'label = "a label that is longer than a chart can bear"', "label"),
    ],
)
def test_an_error_names_the_file(file, change, to, message):
    with pytest.raises(InputError, match=message) as error:
        read(file(MINE.replace(change, to, 1)))
    assert "mine.toml" in str(error.value)
    assert "docs/counting.md#accountings-of-your-own" in str(error.value)


def test_too_many_ranges_are_refused(file):
    many = range(accounting.MAX_RANGES + 1)
    text = MINE.replace("+ acs", "".join(f" + c{k} * acs" for k in many))
    text += "".join(f'[constants.c{k}]\nvalue = [0, 1]\nwhere = "w"\n' for k in many)
    with pytest.raises(InputError, match="may have a range"):
        read(file(text))


KNOWN = frozenset(("macs", "acs", "T"))


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
    amounts = {"macs": 3.0, "acs": 5.0, "T": 5.0}
    assert accounting.evaluate(accounting.parse(text, KNOWN), amounts) == pytest.approx(value)


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
        "1j",
        "macs := 2",
        "max(macs)",
        "log2(macs, 2)",
        "abs(macs)",
        "max(*macs)",
        "macs\n+",
        "",
        "(" * 3000,
        "-" * (1996) + "macs",
        "1" * 400,
    ],
)
def test_what_is_no_formula_is_refused_with_what_one_may_have(text):
    with pytest.raises(InputError):
        accounting.parse(text, KNOWN)


@settings(max_examples=50, deadline=None)
@given(st.text("macsT0123456789.+-*/(), _e\n'é", max_size=60))
def test_no_text_raises_anything_else(text):
    try:
        value = accounting.evaluate(accounting.parse(text, KNOWN), dict.fromkeys(KNOWN, 2.0))
    except InputError:
        return
    float(value)
