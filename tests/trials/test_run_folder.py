from dataclasses import replace

import pytest

from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError
from spikeduel.trials.run_folder import default_name, located, require_writable

EXPERIMENT = baseline(dataset="digits")


def test_the_default_folder():
    name = default_name(EXPERIMENT, "f" * 64)
    assert name.startswith("digits-baseline-")
    assert name == default_name(replace(EXPERIMENT), "f" * 64)
    assert name != default_name(EXPERIMENT, "0" * 64)
    assert name != default_name(replace(EXPERIMENT, beta=0.9), "f" * 64)
    assert default_name(replace(EXPERIMENT, dataset="/my pets/cats & dogs/"), "f").startswith("cats-dogs-baseline-")
    assert default_name(replace(EXPERIMENT, dataset="my_sets:pets"), "f").startswith("my-sets-pets-baseline-")
    assert default_name(replace(EXPERIMENT, dataset="/"), "f").startswith("images-baseline-")


def test_an_experiment_means_the_same_in_every_folder(small, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    inside = located(replace(small, dataset="mine", data_dir="mine"))
    monkeypatch.chdir(tmp_path / "mine")
    assert inside.dataset == inside.data_dir == str(tmp_path / "mine")
    assert located(inside) == inside
    assert located(small) == small
    (tmp_path / "mine" / "groups.csv").touch()
    by_table = located(replace(small, group_by="groups.csv"))
    assert by_table.group_by == str(tmp_path / "mine" / "groups.csv")
    by_expression = replace(small, group_by=r"(\d+)_")
    assert located(by_expression) == by_expression


def test_a_folder_in_which_a_process_was_killed_at_its_first_file_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").touch()
    (tmp_path / "out" / ".experiment.toml.abcdefgh.part").write_text("half")
    require_writable(tmp_path / "out")
    (tmp_path / "out" / ".git").mkdir()
    with pytest.raises(InputError, match="other things"):
        require_writable(tmp_path / "out")


def test_a_folder_of_other_things_is_refused_and_a_runs_own_is_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("precious")
    with pytest.raises(InputError, match="mine: holds other things than a run"):
        require_writable(tmp_path / "mine")
    (tmp_path / "mine" / "experiment.toml").touch()
    require_writable(tmp_path / "mine")
    require_writable(tmp_path / "new")
    require_writable(None)
