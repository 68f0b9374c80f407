from dataclasses import fields, replace

import msgspec
import pytest

from spikeduel.experiment.fields import setting_of
from spikeduel.experiment.settings import Experiment, read_experiment, write_experiment
from spikeduel.system.errors import InputError


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epochs", -1, "epochs must be a whole number from 1 to 1,000,000 or unset, not -1"),
        ("epochs", 2.5, "epochs must be a whole number"),
        ("epochs", True, "epochs must be a whole number"),
        ("whitening", 1, "whitening must be true or false"),
        ("beta", 1.5, "beta must be a number from 0 to 1, not 1.5"),
        ("beta", float("nan"), "beta must be a number from 0 to 1, not nan"),
        ("threshold", 0, "threshold must be a number above 0, not 0"),
        ("threshold", float("inf"), "threshold must be a number above 0, not inf"),
        ("learning_rate", float("nan"), "learning_rate must be a number above 0, not nan"),
        ("folds", 1, "folds must be a whole number of at least 2 or unset, not 1"),
        ("reset_mechanism", "zeros", "did you mean 'zero'"),
        ("contenders", (), "contenders is empty"),
        ("contenders", ("a", "a"), "named twice"),
        ("contenders", "conv-lif", "contenders must be a list of text"),
        ("dataset", 3, "dataset must be text"),
        (
            "per_contender",
            3,
            "per_contender must be a table of settings by contender, or unset, not 3",
        ),
        ("per_contender", {"dens-snn": {}}, "'dens-snn' is not among the contenders"),
        (
            "per_contender",
            {"vgg-lif": 3},
            "per_contender must be a table of settings by contender, or unset, not {",
        ),
        (
            "per_contender",
            {"vgg-lif": {"bta": 1}},
            r"single contender \(vgg-lif\) 'bta': did you mean 'beta'",
        ),
        ("per_contender", {"vgg-lif": {"batch_size": 1}}, "single contender"),
        ("per_contender", {"vgg-lif": {"epochs": 0}}, "vgg-lif: epochs must be a whole number"),
        (
            "per_contender",
            {"vgg-lif": {"beta": 2}},
            "per_contender: vgg-lif: beta must be a number from 0 to 1, not 2",
        ),
        (
            "per_contender",
            {"vgg-lif": {"beta": 10**5000}},
            "per_contender: vgg-lif: beta must be a number",
        ),
        ("seeds", 10**9, "seeds must be a whole number from 1 to 10,000, not 1000000000"),
        ("num_steps", 10**12, "num_steps must be a whole number from 1 to 100,000"),
        ("hidden", 10**12, "hidden must be a whole number from 1 to 1,000,000"),
        ("image_size", 10**6, "image_size must be a whole number from 4 to 4,096"),
        ("patience", 10**5000, "patience must be a whole number"),
        ("learning_rate", 10**400, "learning_rate must be a number"),
        ("dataset", [10**5000], "dataset must be text"),
        ("dataset", "x" * 5000, "dataset must be text of at most 4,096 characters"),
        ("data_dir", "a\0b", "data_dir must be text"),
        ("dataset", "caf\udce9", r"not 'caf\\udce9'"),
        ("contenders", ("a\nb",), "contenders must be a list of text"),
    ],
    # pytest cannot write out numbers of thousands of digits
    ids=lambda value: type(value).__name__,
)
def test_values_that_make_no_sense_are_refused(name, value, says):
    with pytest.raises(InputError, match=says):
        Experiment(**{name: value})


def test_own_code_is_what_is_named_by_module_and_attribute_and_a_folder_is_not(tmp_path):
    own = Experiment(
        contenders=("conv-lif", "m:net"), encoding="m:code", neuron="m:cell", augmentation="m:noise"
    )
    assert own.own_code == ("m:net", "m:code", "m:cell", "m:noise")
    assert Experiment(dataset="m:data").own_code == ("m:data",)
    (tmp_path / "a:b").mkdir()
    assert Experiment(dataset="a:b").own_code == Experiment().own_code == ()


def test_a_contenders_own_settings_take_the_place_of_the_common_ones(tmp_path):
    experiment = Experiment(
        num_steps=8, per_contender={"vgg-lif": {"beta": 1, "num_steps": 4}, "vgg-relu": {}}
    )
    assert experiment.for_contender("vgg-lif") == Experiment(num_steps=4, beta=1.0)
    assert experiment.for_contender("vgg-relu") == Experiment(num_steps=8)
    # What is unset is the common one, as in a file; hashes do not mind the table.
    assert experiment.per_contender == {"vgg-lif": {"beta": 1.0, "num_steps": 4}}
    assert Experiment(per_contender={"vgg-lif": {"epochs": None}}) == Experiment()
    assert hash(experiment) == hash(replace(experiment))
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment


def test_epochs_of_single_contenders_are_what_equal_times_decide():
    experiment = Experiment(
        epochs=7, per_contender={"vgg-lif": {"epochs": 3, "beta": 0.9}, "vgg-relu": {"epochs": 7}}
    )
    epochs = [experiment.for_contender(name).num_epochs for name in experiment.contenders]
    assert epochs == [3, 7, 7]
    # Epochs do not count as an own setting, which a report would have to name.
    assert experiment.own_settings == {"vgg-lif": {"beta": 0.9}}
    assert Experiment().own_settings == {}


def test_what_is_not_decided_yet_is_asked_for():
    for name, setting in (("num_epochs", "epochs"), ("decided_batch_size", "batch_size")):
        with pytest.raises(InputError, match=f"{setting}: not decided yet"):
            getattr(Experiment(), name)
        assert getattr(Experiment(**{setting: 3}), name) == 3


def test_every_setting_says_what_it_means_and_is_in_the_json_schema():
    described = msgspec.json.schema(Experiment)["$defs"]["Experiment"]["properties"]
    for field in fields(Experiment):
        assert described[field.name]["description"] == setting_of(field.type).help
        assert setting_of(field.type).help.endswith(".")
    assert (described["seeds"]["minimum"], described["seeds"]["maximum"]) == (1, 10_000)


def test_values_are_converted_to_the_types_of_the_fields():
    experiment = Experiment(contenders=["conv-lif"], beta=1)
    assert experiment.contenders == ("conv-lif",)
    assert isinstance(experiment.beta, float)
