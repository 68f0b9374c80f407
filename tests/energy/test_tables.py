import re
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeduel.energy import Arithmetic, Bits, Memory, read
from spikeduel.system.errors import InputError

GOOD = """
title = "mine"
source = "measured here"

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


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    table = read(path)
    assert (table.name, table.title) == ("mine", "mine")
    assert table.picojoules == Arithmetic(multiply=2, add=0.5)
    assert table.bits == Bits(weight=4, activation=8, membrane=16, address=12)
    assert table.memory.off_chip_picojoules_per_byte is None
    assert read(str(path)) == table


def test_energy_of_a_byte_by_the_size_of_the_memory():
    memory = Memory(kilobytes=(1, 100), picojoules_per_byte=(1, 10))
    sizes = 1024 * np.array([0, 0.5, 1, 100, 1e6])
    assert memory.byte_on_chip(sizes) == pytest.approx([1, 1, 1, 10, 10])
    # Ten times the energy for a hundred times the size: it goes by the root.
    assert memory.byte_on_chip([1024 * 25]) == pytest.approx([5])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("add = 0.5", ""), "picojoules: object missing required field add"),
        (("add = 0.5", "add = -1"), "picojoules.add: expected float >= 0"),
        (("add = 0.5", "add = nan"), "picojoules.add: expected float >= 0"),
        (("add = 0.5", "add = 1e300"), "picojoules.add: expected float <= 1000000"),
        (("weight = 4", "weight = 0"), "bits.weight: expected int >= 1"),
        (("weight = 4", "weight = 4.5"), "bits.weight: expected int, got float"),
        (
            ("multiply = 2", "multiply = 2\nmac = 3"),
            "picojoules: object contains unknown field mac",
        ),
        (("[1, 100]", "[1]"), "memory: 1 kilobytes, 2 picojoules_per_byte"),
        (("[1, 100]", "[100, 1]"), "memory: kilobytes must go up"),
        (("[1, 100]", "[0, 1]"), "memory.kilobytes[0]: expected float > 0"),
        (("[bits]", "[bits"), "not TOML"),
        (("[bits]", "static_milliwatts = 3\n[bits]"), "unknown key 'static_milliwatts'"),
        (("title", "titel"), "unknown key 'titel'"),
        (("[picojoules]\nmultiply = 2\nadd = 0.5", ""), "missing required field picojoules"),
    ],
)
def test_an_error_in_a_table_is_named(change, problem, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change))
    message = rf"mine\.toml: not an energy table: .*{re.escape(problem)}.*docs/counting\.md"
    with pytest.raises(InputError, match=message):
        read(path)


def test_names_and_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="did you mean '45nm-fp32'"):
        read("45nm-fp23")
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        read(tmp_path / "none.toml")
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(InputError, match="larger than 1 MB"):
        read(path)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    st.integers(0, len(GOOD)),
)
def test_damaged_tables_are_errors_or_tables(tmp_path_factory, noise, place):
    path = tmp_path_factory.mktemp("fuzz") / "t.toml"
    path.write_bytes(GOOD.encode()[:place] + noise + GOOD.encode()[place:])
    with suppress(InputError):
        read(path)
