from dataclasses import fields

import pytest
from hypothesis import given

from damage import FUZZED, damaged, problem
from spikeduel.experiment.fields import Text, choices, parsed
from spikeduel.experiment.settings import Experiment, read_experiment, write_experiment
from spikeduel.system.errors import InputError

ONE_OFF = {
    "dataset": "my images/å",
    "contenders": ("conv-relu",),
    "per_contender": {"vgg-lif": {"learning_rate": 0.02}},
    "device": "cpu",
}
"""Values of settings for which `other_value` knows none."""


def other_value(field):
    """Return a value of a setting that is not its default."""
    default = field.default
    if field.name in ONE_OFF:
        return ONE_OFF[field.name]
    if names := [name for name in choices(field.type) if name != default]:
        return names[0]
    if isinstance(default, bool):
        return not default
    if isinstance(default, str):
        return "m:n"
    if default is None:
        kind = str(field.type)
        return "1_" if "str" in kind else 0.5 if "float" in kind else 7
    return default / 2 if isinstance(default, float) else default + 1


@pytest.mark.parametrize("field", fields(Experiment), ids=lambda field: field.name)
def test_every_setting_survives_toml_and_text(field, tmp_path):
    value = other_value(field)
    experiment = Experiment(**{field.name: value})
    # Another value than the default, which would survive anything.
    assert experiment != Experiment()
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment
    if field.name == "per_contender":
        return
    if isinstance(value, tuple):
        assert parsed(field.name, value[0], Text) == value[0]
    else:
        assert parsed(field.name, str(value), field.type) == value


@pytest.mark.parametrize(
    "content",
    [
        b"epochs = ",
        b"\xff\xfe",
        b"epoch = 3",
        b"epochs = 0",
        b"seeds = 'x'",
        b"a = " + b"[" * 50_000,
        b"seeds = " + b"9" * 5000,
        b"seeds = 0x" + b"f" * 5000,
        b"#" + bytes(1 << 20) + b"\n",
        b"[a]",
        None,
    ],
    ids=lambda content: "no file" if content is None else content[:10].decode("latin1"),
)
def test_broken_files_are_named(content, tmp_path):
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.toml"):
        read_experiment(path)


VALID = b'dataset = "digits"\ncontenders = ["conv-lif", "conv-relu"]\nseeds = 2\nbeta = 0.9\ndata_dir = "x"\n'


@FUZZED
@given(content=damaged(VALID))
def test_damaged_files_give_an_experiment_or_an_input_error(content, tmp_path):
    path = tmp_path / "e.toml"
    path.write_bytes(content)
    assert "e.toml" in (problem(read_experiment, path) or "e.toml")
