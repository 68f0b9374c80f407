import re
from dataclasses import fields, replace
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from spikeduel.cli import app
from spikeduel.cli.inputs import EVERYTHING, CommandInput, command, option
from spikeduel.experiment.fields import choices, setting_of
from spikeduel.experiment.recipes import baseline, matched, strong
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.system.errors import InputError


def experiment(file=None, own_code=(), **settings):
    return CommandInput(settings=settings, experiment_file=file, own_code=own_code).experiment()


IN_DIGITS = {"dataset": "digits", "recipe": "baseline"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"recipe": "baseline"}, baseline()),
        (IN_DIGITS, baseline("digits")),
        ({**IN_DIGITS, "epochs": 3, "seeds": 2}, baseline("digits", epochs=3, seeds=2)),
        # Epochs take the place of a recipe's minutes, and minutes of its epochs.
        ({"epochs": 3}, strong(epochs=3)),
        ({"recipe": "matched", "minutes": 2.0}, matched(epochs=None, minutes=2.0)),
        # Both are refused by `compare`.
        (
            {"recipe": "matched", "minutes": 2.0, "epochs": 3},
            replace(matched(epochs=3), minutes=2.0),
        ),
    ],
    ids=str,
)
def test_what_is_given_changes_the_recipe(given, expected):
    assert experiment(**given) == expected


def test_without_a_recipe_it_is_the_default_experiment():
    assert CommandInput().experiment("digits") == Experiment(dataset="digits")


def test_a_file_takes_the_place_of_the_recipe(tmp_path):
    path = tmp_path / "e.toml"
    written = baseline("digits", hidden=7, epochs=3)
    write_experiment(path, written)
    assert experiment(path) == written
    with pytest.raises(InputError, match=r"recipe: .*e\.toml says all settings already"):
        experiment(path, recipe="matched")
    changed = experiment(path, dataset="mnist", epochs=4, hidden=8)
    assert changed == baseline("mnist", hidden=8, epochs=4)


@pytest.mark.parametrize("given", [{"epochs": 3}, {"minutes": 2.0}])
def test_what_is_given_takes_the_place_of_the_epochs_in_a_file(given, tmp_path):
    path = tmp_path / "e.toml"
    own = {"vgg-lif": {"epochs": 5, "beta": 0.7}, "vgg-relu": {"epochs": 16}}
    written = strong("digits", epochs=16, per_contender=own)
    write_experiment(path, written)
    assert experiment(path, **given) == strong(
        "digits", per_contender={"vgg-lif": {"beta": 0.7}}, **given
    )
    assert experiment(path, seeds=2) == replace(written, seeds=2)


def test_who_is_not_among_the_contenders_needs_no_settings(tmp_path):
    path = tmp_path / "e.toml"
    own = {"vgg-lif": {"epochs": 5}, "vgg-relu": {"epochs": 16}}
    write_experiment(path, strong("digits", epochs=16, per_contender=own))
    alone = {"vgg-relu": {"epochs": 16}}
    assert experiment(path, contenders=["vgg-relu", "resnet-silu"]).per_contender == alone


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"recipe": "basline"}, "unknown recipe 'basline': did you mean 'baseline'"),
        ({"epochs": -1}, "epochs must be a whole number from 1"),
    ],
)
def test_what_cannot_be_used_is_named(given, problem):
    with pytest.raises(InputError, match=problem):
        experiment(**{"dataset": "digits", "recipe": "baseline", **given})


def test_a_files_code_is_run_only_where_it_is_named_again(tmp_path):
    path = tmp_path / "e.toml"
    write_experiment(path, baseline("m:data", contenders=("m:net", "small-cnn"), neuron="m:cell"))
    with pytest.raises(
        InputError,
        match=r"e\.toml: runs the code m:net, m:cell, m:data\. If .*add --own-code m:net",
    ):
        experiment(path)
    with pytest.raises(InputError, match=r"runs the code m:cell\."):
        experiment(path, dataset="m:data", contenders=["m:net"])
    named = experiment(path, own_code=["m:net", "m:cell", "m:data"])
    assert named.own_code == ("m:net", "m:cell", "m:data")
    replaced = experiment(path, dataset="digits", contenders=["dense-snn"], neuron="lif")
    assert replaced.own_code == ()
    # What is not from the file is the user's own word.
    assert experiment(dataset="digits", contenders=["m:net"]).own_code == ("m:net",)


@pytest.fixture
def calls():
    """The arguments of each call of a command of many options."""
    return []


@pytest.fixture
def program(calls):
    @command(
        options=("dataset", "num_steps", "whitening", "contenders", "as_json"),
        works_on=EVERYTHING,
        examples=("go digits",),
    )
    def go(
        given: CommandInput,
        size: Annotated[int, option("--size METRES", "How large.", "Data")] = 3,
    ) -> None:
        """Go."""
        calls.append((given, size))

    app = typer.Typer(add_completion=False)
    app.registered_commands.append(go)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_a_command_gets_the_settings_that_were_given(program, calls):
    given = "digits --num-steps 7 --no-whitening --contender a --contender b --size 4 --json"
    for arguments in ([], given.split()):
        assert program(*arguments).exit_code == 0
    assert calls[0] == (CommandInput(), 3)
    settings = {"dataset": "digits", "num_steps": 7, "whitening": False, "contenders": ("a", "b")}
    assert calls[1] == (CommandInput(settings=settings, as_json=True), 4)


def test_every_setting_is_an_option(program, calls):
    given = "digits --beta 0.3 --folds=5 --skip-unreadable --no-whitening --limit none"
    assert program(*given.split()).exit_code == 0
    assert calls[0][0].settings == {
        "dataset": "digits",
        "beta": 0.3,
        "folds": 5,
        "skip_unreadable": True,
        "whitening": False,
        "limit": None,
    }
    assert program("--", "--beta").exit_code == 0
    assert calls[1][0].settings == {"dataset": "--beta"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--folds"], "'--folds' requires an argument"),
        (["--fold", "5"], "--folds"),
        (["--folds", "many"], "folds must be a whole number of at least 2 or unset, not 'many'"),
    ],
)
def test_options_that_cannot_be_understood_are_named(arguments, says, program, calls):
    done = program(*arguments)
    assert (done.exit_code, calls) == (2, [])
    assert says in " ".join(done.stderr.split())


def test_the_help_shows_the_options_that_a_command_names(program):
    text = program("--help").stdout
    for name in ("--num-steps", "--size", "METRES", "--contender", "--no-whitening", "go digits"):
        assert name in text
    assert "--beta" not in text


def test_a_name_that_is_no_option_is_an_error_when_the_command_is_made():
    with pytest.raises(KeyError, match="encodding"):

        @command(options=("encodding",))
        def go(given: CommandInput) -> None:
            pass


@pytest.mark.parametrize(
    ("words", "takes"),
    [
        (("evaluate", "m.safetensors", "digits"), {"splitting", "testing"}),
        (("export", "m.safetensors", "--out", "m.onnx"), {"splitting"}),
        (("import", "m.nir", "--out", "m.safetensors"), {"preparing", "framing"}),
        (("audit", "digits"), {"preparing", "splitting"}),
        (("data", "prepare", "digits"), {"preparing"}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_refuses_every_setting_that_it_does_not_work_with(words, takes):
    if words[0] not in typer.main.get_command(app).commands:
        pytest.skip("its feature was deleted")
    odd = {"device": "cpu", "image_size": "8", "folds": "2", "limit": "2"}
    odd |= {"weight_bits": "4"}
    own = {"import": {"encoding", "num_steps"}}.get(words[0], set())
    for field_of in fields(Experiment):
        name, setting = field_of.name, setting_of(field_of.type)
        if (
            name in {"per_contender", *own}
            or set(setting.needs) - {"images", "recordings"} <= takes
        ):
            continue
        option = [setting.option or f"--{name.replace('_', '-')}"]
        if not isinstance(field_of.default, bool):
            option += [odd.get(name, next(iter(choices(field_of.type)), "1"))]
        done = CliRunner().invoke(app, [*words, *option])
        assert done.exit_code == 2
        effect = rf"error: {name}( \(--[a-z-]+\))?: has no effect: this command "
        assert re.search(effect, done.output)


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "digits", "--out", "x" * 300],
        ["compare", "digits", "--epochs", "1", "--limit", "60", "--out", f"runs/{'x' * 300}"],
        ["report", "x" * 300],
    ],
)
def test_a_name_that_is_too_long_for_the_file_system_is_an_error_in_order(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert f"{'x' * 300}" in done.output.partition("error: ")[2]
    assert "File name too long. Choose a" in done.output
    assert "accuracy" not in done.output
