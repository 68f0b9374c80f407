from typing import Annotated, Literal

import pytest

from spikeduel.experiment.fields import (
    Count,
    DeviceName,
    Positive,
    Steps,
    Text,
    checked,
    choices,
    parsed,
    setting,
)
from spikeduel.system.errors import InputError

Colour = Literal["red", "green", "blue"]


def test_choices_keep_their_order():
    colours = ("red", "green", "blue")
    assert choices(Annotated[Colour, setting("Meaning.")]) == colours
    assert choices(Annotated[tuple[Colour, ...] | None, setting("Meaning.")]) == colours
    assert choices(Text) == choices(int | None) == ()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Steps, "1_000", 1000),
        (Count | None, "None", None),
        (Count | None, "", None),
        (Count | None, "none", None),
        (Positive, "1e-3", 1e-3),
        (Positive, "2", 2.0),
        (bool, "True", True),
        (Text, "1_000", "1_000"),
        (Text, "none", "none"),
        (Colour, "red", "red"),
    ],
)
def test_text_becomes_a_value(kind, text, value):
    read = parsed("name", text, kind)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Steps, "0", "name must be a whole number from 1 to 100,000, not '0'"),
        (Steps, "2.5", "a whole number"),
        (Positive, "nan", "a number above 0, not 'nan'"),
        (Positive, "inf", "a number above 0, not 'inf'"),
        (bool, "maybe", "true or false, not 'maybe'"),
        (Colour, "gren", "unknown name 'gren': did you mean 'green'"),
    ],
)
def test_text_that_is_no_value_is_refused(kind, text, problem):
    with pytest.raises(InputError, match=problem):
        parsed("name", text, kind)


def test_long_values_are_cut_in_errors():
    with pytest.raises(InputError, match=r"^.{,199}$"):
        checked("name", "x" * 10_000, int)


def test_devices_may_be_numbered():
    for name in ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu:12"):
        assert checked("device", name, DeviceName) == name
    for name in ("gpu", "cuda:", "cuda:one", "cpu:0", "auto:1", "cuda:1\n", "rocm"):
        with pytest.raises(InputError, match="device must be auto, cpu, cuda, cuda:N, mps or xpu"):
            checked("device", name, DeviceName)
