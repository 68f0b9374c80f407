from dataclasses import fields, replace

import pytest
from hypothesis import given

from damage import FUZZED, damaged, problem
from spikeduel.settings import TUNABLE, Experiment, digest, read_experiment, with_settings, write_experiment
from spikeduel.system.errors import InputError


def test_toml_round_trip(tmp_path):
    experiment = Experiment(
        dataset="my images/å", seeds=3, limit=500, surrogate_alpha=4.0, alterations=("Easy", "Hard")
    )
    write_experiment(tmp_path / "experiment.toml", experiment)
    assert read_experiment(tmp_path / "experiment.toml") == experiment


def test_every_setting_survives_toml_and_text(tmp_path):
    other = {
        "dataset": "digits", "recipe": "mine", "contenders": ("conv-relu",), "seeds": 2,
        "equivalence_margin": 0.01, "encoding": "direct",
        "num_steps": 7, "neuron": "m:n", "beta": 0.5, "threshold": 0.7, "reset_mechanism": "zero",
        "surrogate": "sigmoid", "surrogate_alpha": 3.0, "hidden": 64, "pooling": "avg", "adaptation_decay": 0.8,
        "adaptation_gain": 0.2, "activation_bits": 4, "controls": True, "family": ("own:Net=snn",), "convert": True,
        "conversion_steps": 8, "conversion_percentile": 99.0, "chunk_steps": 5, "epochs": 4, "batch_size": 32,
        "augmentation": "shift", "learning_rate": 1e-3, "patience": 5, "min_delta": 0.02, "split": "published",
        "folds": 5, "split_seed": 9, "limit": 100, "data_dir": "/data",
        "group_by": r"(\d+)_", "image_size": 32, "alterations": ("Hard",), "near": 0.2,
        "robustness": True, "device": "cpu", "precision": "bf16",
        "per_contender": {"conv-relu": {"learning_rate": 0.01}},
    }  # fmt: skip
    assert set(other) == {f.name for f in fields(Experiment)}
    experiment = Experiment(**other)
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment
    # A table is for files only.
    own = other.pop("per_contender")
    texts = {name: ",".join(v) if isinstance(v, tuple) else str(v) for name, v in other.items()}
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


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epochs", -1, "epochs must be at least 1, not -1"),
        ("epochs", 2.5, "epochs must be a whole number"),
        ("epochs", True, "epochs must be a whole number"),
        ("controls", 1, "controls must be true or false"),
        ("beta", 1.5, "beta must be at most 1"),
        ("beta", float("nan"), "beta must be a finite number"),
        ("threshold", 0, "threshold must be greater than 0"),
        ("folds", 1, "folds must be at least 2"),
        ("split", "publishd", "did you mean 'published'"),
        ("reset_mechanism", "zeros", "did you mean 'zero'"),
        ("alterations", ("Easyy",), "did you mean"),
        ("contenders", (), "contenders is empty"),
        ("contenders", ("a", "a"), "named twice"),
        ("contenders", "conv-lif", "contenders must be a list of text"),
        ("dataset", 3, "dataset must be text"),
        ("per_contender", 3, "per_contender must be a table of settings by contender or unset"),
        ("per_contender", {"dens-snn": {}}, "'dens-snn' is not among the contenders"),
        ("per_contender", {"conv-lif": 3}, "conv-lif must have a table of settings"),
        ("per_contender", {"conv-lif": {"bta": 1}}, r"single contender \(conv-lif\) 'bta': did you mean 'beta'"),
        ("per_contender", {"conv-lif": {"batch_size": 1}}, "single contender"),
        ("per_contender", {"conv-lif": {"beta": 2}}, "per_contender: conv-lif: beta must be at most 1"),
    ],
)
def test_values_that_make_no_sense_are_refused(name, value, says):
    with pytest.raises(InputError, match=says):
        Experiment(**{name: value})


def test_unknown_settings_offer_the_nearest():
    with pytest.raises(InputError, match="unknown setting 'lerning_rate': did you mean 'learning_rate'"):
        with_settings(Experiment(), {"lerning_rate": "1"})
    with pytest.raises(InputError, match="epochs must be a whole number or unset, not 'many'"):
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


def test_own_code_is_what_is_named_by_module_and_attribute():
    assert Experiment().own_code == ()
    own = Experiment(contenders=("conv-lif", "m:net"), encoding="m:code", neuron="m:cell", augmentation="m:noise")
    assert own.own_code == ("m:net", "m:code", "m:cell", "m:noise")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("seeds", 10**9, "seeds must be at most 10,000"),
        ("num_steps", 10**12, "num_steps must be at most"),
        ("hidden", 10**12, "hidden must be at most"),
        ("image_size", 10**6, "image_size must be at most 4,096"),
        ("split_seed", 2**40, "split_seed must be at most"),
        ("patience", 10**5000, "patience is a number beyond all reason"),
        ("learning_rate", 10**400, "learning_rate is a number beyond all reason"),
        ("dataset", [10**5000], "dataset must be text"),
        ("dataset", "x" * 5000, "dataset must be text of at most 4,096 characters"),
        ("data_dir", "a\0b", "data_dir must be text"),
        ("dataset", "caf\udce9", r"not 'caf\\udce9'"),
        ("contenders", ("a\nb",), "contenders must be text"),
    ],
    ids=lambda value: type(value).__name__,  # pytest cannot write out numbers of thousands of digits
)
def test_values_beyond_reason_are_refused(name, value, says):
    with pytest.raises(InputError, match=says):
        Experiment(**{name: value})


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


def test_a_data_set_made_by_code_is_own_code_and_a_folder_is_not(tmp_path):
    (tmp_path / "a:b").mkdir()
    assert Experiment(dataset="m:data").own_code == ("m:data",)
    assert Experiment(dataset="a:b").own_code == ()


def test_a_contenders_own_settings_take_the_place_of_the_common_ones(tmp_path):
    experiment = Experiment(num_steps=8, per_contender={"conv-lif": {"beta": 1, "num_steps": 4}, "conv-relu": {}})
    assert experiment.for_contender("conv-lif") == Experiment(num_steps=4, beta=1.0)
    assert experiment.for_contender("conv-relu") == Experiment(num_steps=8)
    # What is unset is the common one, as in a file; hashes do not mind the table.
    assert experiment.per_contender == {"conv-lif": {"beta": 1.0, "num_steps": 4}}
    assert Experiment(per_contender={"conv-lif": {"surrogate_alpha": None}}) == Experiment()
    assert hash(experiment) == hash(replace(experiment))
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment
    with pytest.raises(InputError, match="per_contender cannot be set by --set"):
        with_settings(experiment, {"per_contender": "beta"})


def test_only_what_is_a_contenders_own_can_differ():
    assert TUNABLE["learning_rate"] == "any"
    assert {name for name, family in TUNABLE.items() if family == "snn"} == {
        "num_steps", "beta", "threshold", "surrogate_alpha", "adaptation_decay", "adaptation_gain",
    }  # fmt: skip
