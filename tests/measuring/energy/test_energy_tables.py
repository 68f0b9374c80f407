import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeduel.measuring.energy import NAMES, read
from spikeduel.system.errors import InputError

GOOD = """
title = "mine"
source = "measured here"
static_milliwatts = 3.5

[bits]
weight = 4
activation = 8
membrane = 16
address = 12

[picojoules]
multiply = 2
add = 0.5

[memory]
kilobytes = [1, 100]
picojoules_per_byte = [1, 10]
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_named_table(name):
    table = read(name)
    assert table.name == name
    assert table.title
    assert "20" in table.source


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    table = read(path)
    assert (table.name, table.title, table.multiply, table.add) == ("mine", "mine", 2, 0.5)
    assert table.bits == {"weight": 4, "activation": 8, "membrane": 16, "address": 12}
    assert (table.off_chip_picojoules_per_byte, table.static_milliwatts, table.chip) == (None, 3.5, None)
    assert read(str(path)) == table


def test_energy_of_a_byte_by_the_size_of_the_memory():
    table = replace(read("45nm-fp32"), kilobytes=(1, 100), picojoules_per_byte=(1, 10))
    assert [table.byte_on_chip(1024 * size) for size in (0, 0.5, 1, 100, 1e6)] == [1, 1, 1, 10, 10]
    # Ten times the energy for a hundred times the size: it goes by the root.
    assert table.byte_on_chip(1024 * 25) == pytest.approx(5)
    assert replace(table, kilobytes=(), picojoules_per_byte=()).byte_on_chip(5) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("add = 0.5", ""), "picojoules has no 'add'"),
        (("add = 0.5", "add = -1"), "picojoules.add must be picojoules, from 0 to 1,000,000, not -1"),
        (("add = 0.5", "add = nan"), "picojoules.add must be picojoules"),
        (("add = 0.5", "add = 1e300"), "picojoules.add must be picojoules"),
        (("weight = 4", "weight = 0"), "bits.weight must be a number of bits, from 1 to 64, not 0"),
        (("weight = 4", "weight = 4.5"), "bits.weight must be a number of bits"),
        (("multiply = 2", "multiply = 2\nmac = 3"), "unknown key 'picojoules.mac'"),
        (("[1, 100]", "[1]"), "memory: 1 kilobytes and 2 picojoules_per_byte"),
        (("[1, 100]", "[100, 1]"), "memory.kilobytes must go up"),
        (("[1, 100]", "[0, 1]"), "memory.kilobytes[0] must be kilobytes, more than 0"),
        (("[bits]", "[bits"), "not TOML"),
        (("title", "titel"), "it has no 'title'"),
        (("[picojoules]", "[chip]"), "chip has no 'synaptic_operation'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(change, problem, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(InputError, match=re.escape(problem)):
        read(path)


def test_names_and_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="did you mean '45nm-fp32'"):
        read("45nm-fp23")
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        read(tmp_path / "none.toml")
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * 100_001)
    with pytest.raises(InputError, match="larger than 100,000 bytes"):
        read(path)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)), st.integers(0, len(GOOD)))
def test_damaged_tables_are_errors_or_tables(tmp_path_factory, noise, place):
    path = tmp_path_factory.mktemp("fuzz") / "t.toml"
    path.write_bytes(GOOD.encode()[:place] + noise + GOOD.encode()[place:])
    with suppress(InputError):
        read(path)


def test_the_tables_of_the_docs_can_be_read(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "energy-tables.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    found = []
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        found.append(read(path))
    assert [table.chip is None for table in found] == [True, False]
    assert found[0].bits["weight"] == 16
