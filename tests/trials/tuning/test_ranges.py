import math
import sys

import numpy as np
import pytest

from spikeduel.settings import TUNABLE, Experiment
from spikeduel.spiking.surrogates import SURROGATES
from spikeduel.system.errors import InputError, MissingExtra
from spikeduel.trials.tuning import RANGES, Range, draw, read_ranges, require_optuna


@pytest.fixture
def ranges_in(tmp_path):
    def read(text):
        path = tmp_path / "ranges.toml"
        path.write_text(text)
        return read_ranges(path)

    return read


@pytest.mark.parametrize("name", RANGES)
def test_every_range_holds_values_of_its_setting_and_what_is_customary(name):
    of = RANGES[name]
    assert name in TUNABLE
    for value in of.choices or (of.low, of.high):
        assert getattr(Experiment(**{name: value}), name) == value
    customary = [getattr(Experiment(), name)]
    if name == "surrogate_alpha":
        customary = [surrogate.alpha for surrogate in SURROGATES.values()]
    for value in customary:
        assert value in of.choices if of.choices else of.low <= value <= of.high


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


def test_a_draw_depends_on_the_number_and_the_ranges_only():
    assert draw(RANGES, 3) == draw(dict(reversed(RANGES.items())), 3)
    assert draw(RANGES, 3) != draw(RANGES, 4)


def test_contenders_with_more_to_tune_try_the_same_learning_rates():
    for number in range(1, 5):
        alone = draw({"learning_rate": RANGES["learning_rate"]}, number)
        assert alone["learning_rate"] == draw(RANGES, number)["learning_rate"]


def test_what_is_shown_is_what_is_drawn_and_never_leaves_the_range():
    wide = {"learning_rate": Range(1e-5, 1e-2, log=True)}
    assert all(float(f"{(v := draw(wide, n)['learning_rate']):.3g}") == v for n in range(1, 30))
    narrow = {"beta": Range(0.90011, 0.90012)}
    assert all(0.90011 <= draw(narrow, n)["beta"] <= 0.90012 for n in range(1, 10))


def test_whole_numbers_stay_whole():
    drawn = {draw({"num_steps": Range(2, 5)}, number)["num_steps"] for number in range(1, 40)}
    assert drawn == {2, 3, 4, 5}
    assert all(isinstance(value, int) for value in drawn)


def test_drawing_leaves_optunas_own_messages_as_they_were(capfd):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.INFO)
    draw(RANGES, 1)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"optuna is not installed: pip install 'spikeduel\[tune\]'"):
        require_optuna()


def test_a_file_of_ones_own(ranges_in):
    found = ranges_in("[learning_rate]\nlow = 1e-4\nhigh = 1\nlog = true\n[num_steps]\nchoices = [2, 4]\n")
    assert found == {"learning_rate": Range(1e-4, 1.0, log=True), "num_steps": Range(choices=(2, 4))}
    assert isinstance(found["learning_rate"].high, float)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no setting to tune"),
        ("[beta", "not a TOML file"),
        ("[bta]\nlow = 0.1\nhigh = 0.2", "setting to tune 'bta': did you mean 'beta'"),
        ("[batch_size]\nlow = 1\nhigh = 2", "All others are common to all contenders"),
        ("beta = 0.5", "beta must be a table with low and high, or choices"),
        ("[beta]\nlow = 0.5", "beta needs either low and high"),
        ("[beta]\nlow = 0.5\nhigh = 0.6\nchoices = [0.5, 0.6]", "beta needs either low and high"),
        ("[beta]\nlog = true", "beta needs either low and high"),
        ("[beta]\nlow = 0.9\nhigh = 0.5", "low must be below high, not 0.9 and 0.5"),
        ("[beta]\nlow = 0.9\nhigh = 1.5", "beta must be at most 1"),
        ("[beta]\nlow = 'x'\nhigh = 1", "beta must be a number, not 'x'"),
        ("[beta]\nlow = 0\nhigh = 1\nlog = true", "with log = true, low must be greater than 0"),
        ("[beta]\nlow = 0.1\nhigh = 0.5\nstep = 1", "word in [beta] 'step'"),
        ("[num_steps]\nlow = 1.5\nhigh = 4", "num_steps must be a whole number"),
        ("[num_steps]\nchoices = [4]", "two or more different values"),
        ("[num_steps]\nchoices = [4, 4]", "two or more different values"),
        ("[num_steps]\nchoices = 4", "choices must be a list of numbers"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(text, problem, ranges_in):
    with pytest.raises(InputError) as error:
        ranges_in(text)
    assert problem in str(error.value)
    assert "ranges.toml: " in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml: cannot be read"):
        read_ranges(tmp_path / "nowhere.toml")
