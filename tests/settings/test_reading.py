from dataclasses import fields, replace

import pytest
from hypothesis import given

from damage import FUZZED, damaged, problem
from spikeduel.settings import Experiment
from spikeduel.settings.reading import read_experiment, with_settings, write_experiment
from spikeduel.settings.recipes import PLAIN, RECIPES
from spikeduel.system.errors import InputError
from spikeduel.system.typed import digest


def test_toml_round_trip(tmp_path):
    experiment = Experiment(
        dataset="my images/å", seeds=3, limit=500, surrogate_alpha=4.0, alterations=("Easy", "Hard")
    )
    write_experiment(tmp_path / "experiment.toml", experiment)
    assert read_experiment(tmp_path / "experiment.toml") == experiment


def test_every_setting_survives_toml_and_text(tmp_path):
    other = {
        "dataset": "digits",
        "recipe": "mine",
        "contenders": ("conv-relu",),
        "seeds": 2,
        "equivalence_margin": 0.01,
        "encoding": "rate",
        "num_steps": 7,
        "neuron": "m:n",
        "beta": 0.6,
        "threshold": 0.7,
        "reset_mechanism": "zero",
        "surrogate": "sigmoid",
        "surrogate_alpha": 3.0,
        "hidden": 64,
        "width": 8,
        "dropout": 0.3,
        "pooling": "avg",
        "readout": "membrane",
        "adaptation_decay": 0.8,
        "adaptation_gain": 0.2,
        "activation_bits": 4,
        "controls": True,
        "family": ("own:Net=snn",),
        "convert": True,
        "conversion_steps": 8,
        "conversion_percentile": 99.0,
        "chunk_steps": 5,
        "epochs": 4,
        "batch_size": 32,
        "minutes": 1.5,
        "equal": "epochs",
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "schedule": "constant",
        "label_smoothing": 0.2,
        "averaging": 0.5,
        "start": "fresh",
        "distillation": 0.25,
        "pretrained": "no",
        "whitening": True,
        "first_steps": (1, 2),
        "first_surrogate_alpha": 1.5,
        "per_step_loss": 0.4,
        "augmentation": "shift",
        "learning_rate": 1e-3,
        "patience": 5,
        "min_delta": 0.02,
        "split": "published",
        "folds": 5,
        "split_seed": 9,
        "limit": 100,
        "data_dir": "/data",
        "group_by": r"(\d+)_",
        "image_size": 32,
        "alterations": ("Hard",),
        "bin_by": "events",
        "bin_ms": 20.0,
        "first_ms": 5.0,
        "last_ms": 90.0,
        "binary_frames": True,
        "recording_change": "shuffled",
        "near_duplicate_ratio": 0.2,
        "robustness": True,
        "optimism": True,
        "device": "cpu",
        "precision": "bf16",
        "per_contender": {"conv-relu": {"learning_rate": 0.01}},
    }
    assert set(other) == {f.name for f in fields(Experiment)}
    experiment = Experiment(**other)
    # Another value than the default, which would survive anything.
    assert not [name for name, value in other.items() if value == getattr(Experiment(), name)]
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment
    # A table is for files only.
    own = other.pop("per_contender")
    texts = {
        name: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in other.items()
    }
    assert replace(with_settings(Experiment(), texts), per_contender=own) == experiment


def test_yes_and_no_as_text():
    assert with_settings(Experiment(), {"robustness": "True"}).robustness is True
    assert with_settings(Experiment(robustness=True), {"robustness": "false"}).robustness is False
    with pytest.raises(InputError, match="robustness must be true or false, not 'maybe'"):
        with_settings(Experiment(), {"robustness": "maybe"})


def test_settings_as_text_are_converted_and_can_be_unset():
    changed = with_settings(
        Experiment(limit=10), {"limit": "none", "learning_rate": "1e-3", "alterations": "Easy,Hard"}
    )
    assert changed.limit is None
    assert changed.learning_rate == 1e-3
    assert changed.alterations == ("Easy", "Hard")


def test_unknown_settings_offer_the_nearest():
    with pytest.raises(
        InputError, match="unknown setting 'lerning_rate': did you mean 'learning_rate'"
    ):
        with_settings(Experiment(), {"lerning_rate": "1"})
    with pytest.raises(
        InputError, match="epochs must be a whole number from 1 to 1,000,000 or unset, not 'many'"
    ):
        with_settings(Experiment(), {"epochs": "many"})


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "broken.toml"
    with pytest.raises(InputError, match=r"broken\.toml"):
        read_experiment(path)
    for content in (b"epochs = ", b"\xff\xfe", b"epoch = 3", b"epochs = 0", b"seeds = 'x'"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.toml"):
            read_experiment(path)


def test_digest_sees_every_change_and_no_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert Experiment() == replace(Experiment(), epochs=None)


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 50_000,
        b"seeds = " + b"9" * 5000,
        b"seeds = 0x" + b"f" * 5000,
        b"#" + bytes(1 << 20) + b"\n",
        b"[a]",
    ],
    ids=["deep", "long", "long hexadecimal", "large", "table"],
)
def test_files_beyond_reason_are_named(content, tmp_path):
    (tmp_path / "e.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"e\.toml"):
        read_experiment(tmp_path / "e.toml")


VALID = b'dataset = "digits"\ncontenders = ["conv-lif", "conv-relu"]\nseeds = 2\nbeta = 0.9\ndata_dir = "x"\n'


@FUZZED
@given(content=damaged(VALID))
def test_damaged_files_give_an_experiment_or_an_input_error(content, tmp_path):
    path = tmp_path / "e.toml"
    path.write_bytes(content)
    assert "e.toml" in (problem(read_experiment, path) or "e.toml")


def test_earlier_names_of_settings_are_still_read(tmp_path):
    (tmp_path / "e.toml").write_text("near = 0.2\n")
    assert read_experiment(tmp_path / "e.toml") == Experiment(near_duplicate_ratio=0.2)
    assert with_settings(Experiment(), {"near": "0.2"}) == Experiment(near_duplicate_ratio=0.2)


def test_a_file_of_an_earlier_version_gives_the_same_experiment(tmp_path):
    (tmp_path / "e.toml").write_text(EARLIER)
    given = {
        "dataset": "digits",
        "recipe": "baseline",
        "contenders": ("m:net", "dense-snn"),
        "family": ("m:net=snn",),
        "seeds": 3,
        "encoding": "rate",
        "num_steps": 25,
        "surrogate_alpha": 2.0,
        "hidden": 1024,
        "epochs": 4,
        "learning_rate": 8.5e-5,
        "patience": 3,
        "min_delta": 0.01,
        "limit": 500,
        "group_by": r"(\d+)_",
        "alterations": ("Easy", "Hard"),
        "near_duplicate_ratio": 0.25,
        "per_contender": {"dense-snn": {"beta": 1.0, "num_steps": 4}},
    }
    assert read_experiment(tmp_path / "e.toml") == Experiment(**{**PLAIN, **given})


@pytest.mark.parametrize("recipe", ["twins", "baseline", "matched", "of my own"])
def test_what_was_written_before_there_was_another_optimizer_trains_plainly(recipe, tmp_path):
    (tmp_path / "e.toml").write_text(
        f'recipe = "{recipe}"\nepochs = 3\nbatch_size = 64\nbeta = 0.8\n'
    )
    found = read_experiment(tmp_path / "e.toml")
    assert (found.optimizer, found.schedule, found.label_smoothing) == ("adam", "constant", 0.0)
    assert (found.augmentation, found.dropout, found.start, found.threshold) == (
        "none",
        0.0,
        "fresh",
        1.0,
    )
    # What it says itself holds.
    assert (found.batch_size, found.beta, found.epochs) == (64, 0.8, 3)


def test_a_file_without_a_recipe_or_with_an_optimizer_is_of_today(tmp_path):
    for content in (
        "seeds = 2",
        'recipe = "strong"\nseeds = 2',
        'recipe = "twins"\noptimizer = "muon"\nseeds = 2',
    ):
        (tmp_path / "e.toml").write_text(content)
        found = read_experiment(tmp_path / "e.toml")
        assert replace(found, recipe="strong") == Experiment(seeds=2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_read_as_it_was_written(recipe, tmp_path):
    experiment = RECIPES[recipe]("digits")
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment


EARLIER = r"""
dataset = "digits"
recipe = "baseline"
contenders = [
    "m:net",
    "dense-snn",
]
family = [
    "m:net=snn",
]
seeds = 3
controls = false
convert = false
conversion_steps = 32
conversion_percentile = 99.9
equivalence_margin = 0.005
encoding = "rate"
num_steps = 25
neuron = "lif"
beta = 0.95
threshold = 1.0
reset_mechanism = "subtract"
surrogate = "atan"
surrogate_alpha = 2.0
hidden = 1024
pooling = "max"
adaptation_decay = 0.9
adaptation_gain = 0.1
activation_bits = 3
epochs = 4
batch_size = 128
augmentation = "none"
learning_rate = 8.5e-05
patience = 3
min_delta = 0.01
split = "default"
split_seed = 0
limit = 500
group_by = "(\\d+)_"
alterations = [
    "Easy",
    "Hard",
]
near = 0.25
robustness = false
device = "auto"
precision = "auto"

[per_contender.dense-snn]
beta = 1.0
num_steps = 4
"""
"""As the version before `near_duplicate_ratio` wrote it."""
