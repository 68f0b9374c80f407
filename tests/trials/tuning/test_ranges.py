import math

import numpy as np
import pytest

from spikeduel.settings import TUNABLE, Experiment
from spikeduel.spiking.kernels.reference import SURROGATES
from spikeduel.system.errors import InputError
from spikeduel.trials.tuning import RANGES, Range, draw, read_ranges


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


WHOLE = {"num_steps": Range(2, 40)}
MANY = {
    "beta": Range(0.1, 0.9),
    "num_steps": Range(2, 4000, log=True),
    "threshold": Range(choices=(0.5, 1.0, 2.0)),
    "learning_rate": Range(1e-4, 1, log=True),
    "weight_decay": Range(0.0, 3.0),
    "surrogate_alpha": Range(1, 9),
}

# What was tuned by default until the learning rate reached further.
FIRST = {**RANGES, "learning_rate": Range(1e-5, 1e-2, log=True)}

# By trial: the settings in the order of the ranges.
RECORDED_RANGES = [
    (0.000404, 1.69, 0.778, 7.09, 16),
    (0.00831, 1.32, 0.677, 13.0, 4),
    (0.00049, 1.76, 0.537, 18.9, 4),
    (0.000274, 0.645, 0.947, 7.11, 25),
    (0.000262, 0.569, 0.556, 1.66, 25),
    (0.00019, 1.33, 0.691, 19.6, 4),
    (0.000386, 1.42, 0.67, 13.7, 8),
    (1.4e-05, 1.42, 0.938, 6.31, 4),
    (0.000981, 1.7, 0.561, 27.3, 8),
    (0.00133, 0.981, 0.555, 13.1, 8),
    (0.00295, 1.75, 0.652, 2.28, 16),
    (0.00174, 0.832, 0.631, 2.82, 25),
    (2.02e-05, 1.66, 0.973, 10.9, 16),
    (1.85e-05, 0.919, 0.577, 11.5, 8),
    (0.00686, 1.45, 0.929, 44.0, 4),
    (0.000116, 0.984, 0.88, 17.0, 8),
    (0.000128, 0.524, 0.89, 0.867, 4),
    (0.000179, 1.2, 0.866, 4.22, 8),
    (0.00617, 1.58, 0.968, 0.845, 4),
    (0.000179, 1.82, 0.779, 20.0, 4),
    (0.00195, 1.4, 0.503, 17.7, 16),
    (1.21e-05, 0.645, 0.556, 13.4, 25),
    (0.000211, 1.76, 0.669, 0.642, 4),
    (5.09e-05, 1.98, 0.577, 9.52, 8),
    (3.49e-05, 1.92, 0.843, 3.3, 4),
    (5.59e-05, 0.822, 0.937, 1.83, 4),
    (0.000186, 1.82, 0.91, 4.73, 4),
    (0.00828, 1.28, 0.908, 6.92, 16),
    (0.00356, 0.88, 0.588, 2.38, 4),
    (5.04e-05, 0.507, 0.634, 11.8, 4),
    (0.00179, 0.73, 0.65, 2.6, 8),
    (0.000216, 1.02, 0.903, 17.5, 4),
    (0.00578, 1.66, 0.865, 11.0, 4),
    (0.00173, 1.93, 0.652, 0.71, 4),
    (0.00307, 1.39, 0.938, 1.85, 4),
    (1.82e-05, 1.31, 0.961, 7.33, 25),
    (0.00129, 1.05, 0.91, 1.19, 4),
    (0.000405, 0.767, 0.851, 0.717, 4),
    (2.21e-05, 0.663, 0.542, 2.52, 8),
    (2.63e-05, 1.38, 0.951, 4.47, 25),
]
RECORDED_WHOLE = [
    (22,),
    (39,),
    (23,),
    (20,),
    (20,),
    (18,),
    (22,),
    (3,),
    (27,),
    (29,),
    (34,),
    (31,),
    (5,),
    (5,),
    (38,),
    (15,),
    (16,),
    (18,),
    (38,),
    (18,),
]
RECORDED_MANY = [
    (0.247, 32, 2.0, 0.0139, 1.7, 7),
    (0.882, 3, 1.0, 0.781, 1.09, 3),
    (0.886, 1400, 2.0, 0.0179, 0.228, 7),
    (0.364, 196, 0.5, 0.00825, 2.74, 3),
    (0.103, 81, 0.5, 0.00778, 0.342, 3),
    (0.187, 3, 1.0, 0.00508, 1.17, 1),
    (0.477, 279, 1.0, 0.013, 1.04, 4),
    (0.858, 541, 2.0, 0.000157, 2.68, 7),
    (0.238, 153, 1.0, 0.0453, 0.375, 2),
    (0.226, 431, 1.0, 0.068, 0.336, 1),
    (0.262, 3, 2.0, 0.197, 0.929, 3),
    (0.649, 151, 0.5, 0.0974, 0.801, 2),
    (0.412, 882, 2.0, 0.000255, 2.9, 8),
    (0.251, 285, 1.0, 0.000227, 0.474, 3),
    (0.726, 26, 1.0, 0.606, 2.63, 1),
    (0.807, 1835, 1.0, 0.00264, 2.33, 1),
    (0.858, 10, 0.5, 0.00299, 2.39, 1),
    (0.538, 265, 2.0, 0.00467, 2.24, 2),
    (0.839, 29, 2.0, 0.525, 2.86, 8),
    (0.682, 9, 2.0, 0.00468, 1.71, 4),
]


@pytest.mark.parametrize(
    ("ranges", "recorded"),
    [
        (FIRST, RECORDED_RANGES),
        (WHOLE, RECORDED_WHOLE),
        (MANY, RECORDED_MANY),
    ],
)
def test_draws_are_those_of_earlier_versions(ranges, recorded):
    """Recorded when optuna drew them: a tuning in an old store is found again."""
    names = list(ranges)
    assert [
        tuple(draw(ranges, number)[name] for name in names) for number in range(len(recorded))
    ] == recorded


def test_draws_are_optunas_to_the_last_bit(monkeypatch):
    optuna = pytest.importorskip("optuna")
    monkeypatch.setattr("spikeduel.trials.tuning.DIGITS", 17)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def distribution(of):
        if of.choices:
            return optuna.distributions.CategoricalDistribution(of.choices)
        if isinstance(of.low, int) and isinstance(of.high, int):
            return optuna.distributions.IntDistribution(of.low, of.high, log=of.log)
        return optuna.distributions.FloatDistribution(of.low, of.high, log=of.log)

    for ranges in (RANGES, WHOLE, MANY):
        order = sorted(ranges, key=lambda name: (TUNABLE[name] != "any", name))
        for number in range(50):
            seed = int(np.random.SeedSequence([0, number]).generate_state(1)[0])
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
            asked = study.ask({name: distribution(ranges[name]) for name in order}).params
            assert draw(ranges, number) == asked


def test_a_file_of_ones_own(ranges_in):
    found = ranges_in(
        "[learning_rate]\nlow = 1e-4\nhigh = 1\nlog = true\n[num_steps]\nchoices = [2, 4]\n"
    )
    assert found == {
        "learning_rate": Range(1e-4, 1.0, log=True),
        "num_steps": Range(choices=(2, 4)),
    }
    assert isinstance(found["learning_rate"].high, float)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no setting to tune"),
        ("[beta", "not TOML"),
        ("[bta]\nlow = 0.1\nhigh = 0.2", "setting to tune 'bta': did you mean 'beta'"),
        ("[batch_size]\nlow = 1\nhigh = 2", "All others are common to all contenders"),
        ("beta = 0.5", "beta must be a table with low and high, or choices"),
        ("[beta]\nlow = 0.5", "[beta]: needs either low and high"),
        (
            "[beta]\nlow = 0.5\nhigh = 0.6\nchoices = [0.5, 0.6]",
            "[beta]: needs either low and high",
        ),
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
def test_what_is_wrong_with_a_file_is_said_with_its_name(text, problem, ranges_in):
    with pytest.raises(InputError) as error:
        ranges_in(text)
    assert problem in str(error.value)
    assert "ranges.toml: " in str(error.value)


def test_a_range_made_in_code_is_checked_too():
    for low, high, log, choices in (
        (None, 1, False, ()),
        (2, 1, False, ()),
        (0, 1, True, ()),
        (None, None, False, (1,)),
    ):
        with pytest.raises(InputError):
            Range(low, high, log, choices)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml: no such file"):
        read_ranges(tmp_path / "nowhere.toml")
