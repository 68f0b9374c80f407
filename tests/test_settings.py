from dataclasses import fields, replace

import pytest

from spikeduel.errors import InputError
from spikeduel.settings import Experiment, digest, read_experiment, with_settings, write_experiment


def test_toml_round_trip(tmp_path):
    experiment = Experiment(
        dataset="my images/å", seeds=3, limit=500, surrogate_alpha=4.0, alterations=("Easy", "Hard")
    )
    write_experiment(tmp_path / "experiment.toml", experiment)
    assert read_experiment(tmp_path / "experiment.toml") == experiment


def test_every_setting_survives_toml_and_text(tmp_path):
    other = {
        "dataset": "digits", "recipe": "mine", "contenders": ("small-cnn",), "seeds": 2, "encoding": "direct",
        "num_steps": 7, "neuron": "m:n", "beta": 0.5, "threshold": 0.7, "reset_mechanism": "zero",
        "surrogate": "sigmoid", "surrogate_alpha": 3.0, "hidden": 64, "adaptation_decay": 0.8,
        "adaptation_gain": 0.2, "chunk_steps": 5, "epochs": 4, "batch_size": 32,
        "augmentation": "shift", "learning_rate": 1e-3, "patience": 5, "min_delta": 0.02, "split": "published",
        "split_seed": 9, "limit": 100, "data_dir": "/data", "image_size": 32, "alterations": ("Hard",), "near": 0.2,
        "device": "cpu", "precision": "bf16",
    }  # fmt: skip
    assert set(other) == {f.name for f in fields(Experiment)}
    experiment = Experiment(**other)
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment
    texts = {name: ",".join(v) if isinstance(v, tuple) else str(v) for name, v in other.items()}
    assert with_settings(Experiment(), texts) == experiment


def test_settings_as_text_are_converted_and_can_be_unset():
    changed = with_settings(
        Experiment(limit=10), {"limit": "none", "learning_rate": "1e-3", "alterations": "Easy,Hard"}
    )
    assert changed.limit is None
    assert changed.learning_rate == 1e-3
    assert changed.alterations == ("Easy", "Hard")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epochs", -1, "epochs must be at least 1, not -1"),
        ("epochs", 2.5, "epochs must be a whole number"),
        ("epochs", True, "epochs must be a whole number"),
        ("beta", 1.5, "beta must be at most 1"),
        ("beta", float("nan"), "beta must be a finite number"),
        ("threshold", 0, "threshold must be greater than 0"),
        ("split", "publishd", "did you mean 'published'"),
        ("reset_mechanism", "zeros", "did you mean 'zero'"),
        ("alterations", ("Easyy",), "did you mean"),
        ("contenders", (), "contenders is empty"),
        ("contenders", ("a", "a"), "named twice"),
        ("contenders", "dense-snn", "contenders must be a list of text"),
        ("dataset", 3, "dataset must be text"),
    ],
)
def test_values_that_make_no_sense_are_refused(name, value, says):
    with pytest.raises(InputError, match=says):
        Experiment(**{name: value})


def test_unknown_settings_offer_the_nearest():
    with pytest.raises(InputError, match="unknown setting 'lerning_rate': did you mean 'learning_rate'"):
        with_settings(Experiment(), {"lerning_rate": "1"})
    with pytest.raises(InputError, match="epochs must be a whole number, not 'many'"):
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
    assert Experiment() == replace(Experiment(), epochs=20)


def test_own_code_is_what_is_named_by_module_and_attribute():
    assert Experiment().own_code == ()
    own = Experiment(contenders=("dense-snn", "m:net"), encoding="m:code", neuron="m:cell", augmentation="m:noise")
    assert own.own_code == ("m:net", "m:code", "m:cell", "m:noise")
