import pytest

from spikeduel.cli.options import experiment_from, given_options
from spikeduel.settings import write_experiment
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError


def test_only_settings_are_taken_from_a_commands_arguments():
    given = given_options({"encoding": "rate", "seeds": None, "out": "x", "as_json": True})
    assert given["encoding"] == "rate"
    assert "out" not in given
    assert "as_json" not in given
    assert all(value is None for name, value in given.items() if name != "encoding")


def test_nothing_given_is_the_recipe():
    assert experiment_from(None, "baseline", None, {}, None) == baseline()
    assert experiment_from("digits", "baseline", None, given_options({}), []) == baseline("digits")


def test_options_change_the_recipe_and_set_changes_both():
    found = experiment_from(
        "digits", "baseline", None, {"epochs": 3, "seeds": 2, "limit": None}, ["seeds=4", " beta = 0.5 ", "limit=none"]
    )
    assert found == baseline("digits", epochs=3, seeds=4, beta=0.5)


def test_a_value_may_hold_equal_signs():
    assert experiment_from("digits", "baseline", None, {}, ["data_dir=a=b"]).data_dir == "a=b"


def test_a_file_takes_the_place_of_the_recipe(tmp_path):
    written = baseline("digits", hidden=7, epochs=3)
    write_experiment(tmp_path / "e.toml", written)
    assert experiment_from(None, "baseline", tmp_path / "e.toml", {}, None) == written
    found = experiment_from("mnist", "baseline", tmp_path / "e.toml", {"epochs": 4}, ["hidden=8"])
    assert found == baseline("mnist", hidden=8, epochs=4)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("digits", "basline", None, {}, None), "unknown recipe 'basline': did you mean 'baseline'"),
        (("digits", "baseline", None, {}, ["beta"]), "--set beta: write it as name=value"),
        (("digits", "baseline", None, {}, ["=3"]), "unknown setting ''"),
        (("digits", "baseline", None, {}, ["bta=3"]), "unknown setting 'bta': did you mean 'beta'"),
        (("digits", "baseline", None, {}, ["seeds=many"]), "seeds must be a whole number, not 'many'"),
        (("digits", "baseline", None, {"epochs": -1}, None), "epochs must be at least 1"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, problem):
    with pytest.raises(InputError, match=problem):
        experiment_from(*arguments)


def test_a_files_code_is_run_only_where_it_is_named_again(tmp_path):
    path = tmp_path / "e.toml"
    write_experiment(path, baseline("m:data", contenders=("m:net", "small-cnn"), neuron="m:cell"))
    with pytest.raises(InputError, match=r"e\.toml: runs the code m:net, m:cell, m:data\. If .*add --own-code m:net"):
        experiment_from(None, "baseline", path, {}, None)
    with pytest.raises(InputError, match=r"runs the code m:cell\."):
        experiment_from("m:data", "baseline", path, {"contenders": ("m:net",)}, None)
    named = experiment_from(None, "baseline", path, {}, None, ["m:net", "m:cell", "m:data"])
    assert named.own_code == ("m:net", "m:cell", "m:data")
    replaced = experiment_from("digits", "baseline", path, {"contenders": ("dense-snn",)}, ["neuron=lif"])
    assert replaced.own_code == ()
    # What is not from the file is the user's own word.
    assert experiment_from("digits", "baseline", None, {"contenders": ("m:net",)}, None).own_code == ("m:net",)
