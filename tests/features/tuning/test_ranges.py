import math

import numpy as np
import pytest
import typer.main

from spikeduel.cli import app
from spikeduel.experiment.settings import TUNABLE, Experiment
from spikeduel.features.tuning.tuning import RANGES, draw, read_ranges
from spikeduel.features.tuning.tuning_results import Range
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import listed


def ranges_in(tmp_path, text):
    path = tmp_path / "ranges.toml"
    path.write_text(text)
    return read_ranges(path)


@pytest.mark.parametrize("name", RANGES)
def test_every_range_holds_values_of_its_setting_and_what_is_customary(name):
    of = RANGES[name]
    assert name in TUNABLE
    for value in of.choices or (of.low, of.high):
        assert getattr(Experiment(**{name: value}), name) == value
    customary = getattr(Experiment(), name)
    assert customary in of.choices if of.choices else of.low <= customary <= of.high


def test_the_help_names_the_settings_that_are_tuned():
    options = typer.main.get_command(app).commands["tune"].params
    (ranges,) = (option for option in options if "--ranges" in option.opts)
    assert f"instead of {listed(list(RANGES))}:" in ranges.help


def test_draws_lie_within_and_cover_their_ranges():
    drawn = [draw(RANGES, number) for number in range(1, 201)]
    assert all(list(settings) == list(RANGES) for settings in drawn)
    for name, of in RANGES.items():
        values = [settings[name] for settings in drawn]
        if of.choices:
            assert set(values) == set(of.choices)
            continue
        assert all(of.low <= value <= of.high for value in values)
        ends, middle = (of.low, of.high), np.median(values)
        if of.log:
            ends, middle = (math.log(of.low), math.log(of.high)), math.log(middle)
        assert middle == pytest.approx(sum(ends) / 2, abs=0.1 * (ends[1] - ends[0]))
        assert len(set(values)) > 100


def test_drawn_values_keep_their_kind_and_range_and_common_settings_are_equal():
    for number in range(1, 5):
        alone = draw({"learning_rate": RANGES["learning_rate"]}, number)
        assert alone["learning_rate"] == draw(RANGES, number)["learning_rate"]
    wide = {"learning_rate": Range(1e-5, 1e-2, log=True)}
    assert all(float(f"{(v := draw(wide, n)['learning_rate']):.3g}") == v for n in range(1, 30))
    narrow = {"beta": Range(0.90011, 0.90012)}
    assert all(0.90011 <= draw(narrow, n)["beta"] <= 0.90012 for n in range(1, 10))
    integers = [draw({"num_steps": Range(2, 5)}, number)["num_steps"] for number in range(1, 40)]
    assert set(integers) == {2, 3, 4, 5}
    assert all(isinstance(value, int) for value in integers)


MANY = {
    "beta": Range(0.1, 0.9),
    "num_steps": Range(2, 4000, log=True),
    "threshold": Range(choices=(0.5, 1.0, 2.0)),
    "learning_rate": Range(1e-4, 1, log=True),
    "weight_decay": Range(0.0, 3.0),
}

# By trial: the settings in the order of the ranges.
RECORDED_MANY = [
    (0.247, 32, 0.5, 0.0139, 1.7),
    (0.882, 3, 2.0, 0.781, 1.09),
    (0.886, 1400, 2.0, 0.0179, 0.228),
    (0.364, 196, 1.0, 0.00825, 2.74),
    (0.103, 81, 1.0, 0.00778, 0.342),
    (0.187, 3, 2.0, 0.00508, 1.17),
]


def test_draws_are_those_of_earlier_versions():
    drawn = [tuple(draw(MANY, number).values()) for number in range(len(RECORDED_MANY))]
    assert drawn == RECORDED_MANY


def test_a_file_of_ranges(tmp_path):
    ranges = ranges_in(
        tmp_path,
        "[learning_rate]\nlow = 1e-4\nhigh = 1\nlog = true\n[num_steps]\nchoices = [2, 4]\n",
    )
    assert ranges == {
        "learning_rate": Range(1e-4, 1.0, log=True),
        "num_steps": Range(choices=(2, 4)),
    }
    assert isinstance(ranges["learning_rate"].high, float)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no setting to tune"),
        ("[beta", "not TOML"),
        ("[bta]\nlow = 0.1\nhigh = 0.2", "setting to tune 'bta': did you mean 'beta'"),
        ("[batch_size]\nlow = 1\nhigh = 2", "All others are common to all contenders"),
        ("beta = 0.5", "[beta]: Expected object, got float"),
        ("[beta]\nlow = 0.5", "[beta]: needs either low and high"),
        ("[beta]\nlow = 0.5\nhigh = 0.6\nchoices = [0.5, 0.6]", "[beta]: needs either low and"),
        ("[beta]\nlog = true", "[beta]: needs either low and high"),
        ("[beta]\nlow = 0.9\nhigh = 0.5", "low must be below high, not 0.9 and 0.5"),
        ("[beta]\nlow = 0.9\nhigh = 1.5", "beta must be a number from 0 to 1, not 1.5"),
        ("[beta]\nlow = 'x'\nhigh = 1", "[beta]: low: expected int | float | null, got str"),
        ("[beta]\nlow = 0\nhigh = 1\nlog = true", "with log = true, low must be greater than 0"),
        ("[beta]\nlow = 0.1\nhigh = 0.5\nstep = 1", "[beta]: unknown key 'step'"),
        ("[num_steps]\nlow = 1.5\nhigh = 4", "num_steps must be a whole number"),
        ("[num_steps]\nchoices = [4]", "two or more different values"),
        ("[num_steps]\nchoices = [4, 4]", "two or more different values"),
        ("[num_steps]\nchoices = 4", "[num_steps]: choices: expected array, got int"),
    ],
)
def test_a_mistake_is_named_with_its_file(text, problem, tmp_path):
    with pytest.raises(InputError) as error:
        ranges_in(tmp_path, text)
    assert problem in str(error.value)
    assert "ranges.toml: " in str(error.value)
