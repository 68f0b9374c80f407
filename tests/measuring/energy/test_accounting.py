from pathlib import Path

import pytest

from spikeduel.measuring.energy import accounting
from spikeduel.measuring.energy.accounting import NAMES, read
from spikeduel.system.errors import InputError

MINE = """
label = "mine"
title = "my counting"
source = "my desk"
where = "page 3"
read = "source"
unit = "pJ"
leaves_out = "all else"
[formula]
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
    law = read(name)
    assert len(law.entry.label.split()) <= 3
    assert law.entry.source
    assert law.entry.leaves_out
    assert all(constant.where for constant in law.constants.values())
    assert 1 <= len(list(law.corners())) <= 16


def test_one_of_the_users_own(file):
    law = read(file(MINE))
    assert (law.name, law.entry.label, law.entry.unit, law.factor) == ("mine", "mine", "J", 1e-12)
    assert law.entry.other == law.entry.spiking == "mac * macs + acs"
    assert list(law.corners()) == [{"mac": 2.0}]


def test_the_accounting_of_the_docs_can_be_read(file):
    page = (Path(__file__).parents[3] / "docs/energy-tables.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```toml\n")[1:]]
    (formula,) = [block for block in blocks if "[formula]" in block]
    law = read(file(formula))
    assert len(list(law.corners())) == 2


def test_every_combination_of_the_ends_of_ranges(file):
    ranges = (
        MINE.replace("value = 2", "low = 1\nhigh = 3")
        + '[constants.ac]\nlow = 0\nhigh = 2\nwhere = "w"\n'
    )
    law = read(file(ranges.replace("+ acs", "+ ac * acs")))
    assert list(law.corners()) == [{"mac": mac, "ac": ac} for mac in (1, 3) for ac in (0, 2)]


@pytest.mark.parametrize(
    ("change", "to", "said"),
    [
        ("mac * macs", "mac * mcs", "did you mean 'macs'"),
        ("mac * macs + acs", "open('x')", "formula.spiking"),
        ("value = 2", "low = 2", "low and high"),
        ("value = 2", "value = 2\nlow = 1\nhigh = 3", "a value, or low and high"),
        ("value = 2", "low = 3\nhigh = 1", "below"),
        ("value = 2", 'value = 2\naxis = "bits"', "least and most"),
        ("value = 2", 'value = 2\naxis = "bits"\nleast = 3\nmost = 4', "least <= value"),
        ("constants.mac", "constants.macs", "call it something else"),
        ("mac * macs", "2 * macs", "no formula uses 'mac'"),
        ('unit = "pJ"', 'unit = "MJ"', "unknown unit"),
        ('read = "source"', 'read = "rumour"', "rumour"),
        ('where = "page 3"\n', "", "where"),
        ("label", "lable", "label"),
        ('label = "mine"', 'label = "a label that is longer than a chart can bear"', "label"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_the_file(file, change, to, said):
    with pytest.raises(InputError, match=said) as error:
        read(file(MINE.replace(change, to, 1)))
    assert "mine.toml" in str(error.value)
    assert "docs/energy-tables.md#accountings-of-your-own" in str(error.value)


def test_too_many_ranges_are_refused(file):
    many = range(accounting.MOST_RANGES + 1)
    text = MINE.replace("+ acs", "".join(f" + c{k} * acs" for k in many))
    text += "".join(f'[constants.c{k}]\nlow = 0\nhigh = 1\nwhere = "w"\n' for k in many)
    with pytest.raises(InputError, match="may have a range"):
        read(file(text))
