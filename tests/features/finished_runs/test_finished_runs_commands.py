import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factories import small_experiment
from spikeduel.cli import app
from spikeduel.comparing import compare
from spikeduel.features.finished_runs import compare_runs
from spikeduel.sentences.verdict import difference_line


def invoked(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments):
    """Return the output of a command that ends well."""
    done = invoked(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*arguments):
    return json.loads(printed(*arguments, "--json"))


def refused(*arguments):
    """Return the line that a command says before it ends with exit code 2."""
    done = invoked(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return done.stderr


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return compare(small_experiment(limit=200), folder / "run", folder / "store")


def test_a_run_is_tested_from_its_predictions(comparison):
    run, (pair,) = comparison.out, comparison.document()["comparison"]["pairs"]
    tested = document("test", run)
    shared = tested.keys() & pair.keys()
    assert {"a", "b", "p_value"} <= shared
    assert [tested[name] for name in shared] == [pair[name] for name in shared]
    said = " ".join(printed("test", run, "--a", pair["b"], "--margin", "90").split())
    wide = compare_runs(run, pair["b"], pair["a"], margin=0.9)
    assert said == " ".join(difference_line(wide, pair["b"], pair["a"]).split())
    itself = " ".join(printed("test", run, "--a", pair["b"], "--against", run).split())
    assert itself.startswith(f"{pair['b']} of {run} − {pair['b']} of {run}: ")


def test_what_cannot_be_tested_is_named(comparison, tmp_path):
    line = refused("test", tmp_path / "nowhere")
    assert "nowhere: no such folder" in line
    assert "experiment.toml" not in line
    (tmp_path / "empty").mkdir()
    assert "empty: has no predictions.json." in refused("test", tmp_path / "empty")
    name = comparison.results.contenders[0]
    line = refused("test", comparison.out, "--a", f"{name}x")
    assert f"unknown contender '{name}x': did you mean '{name}'" in line


def test_runs(comparison, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = comparison.out
    (row,) = document("runs", run.parent)
    assert row["run"] == str(run)
    assert set(row["accuracy"]) == set(comparison.results.contenders)
    assert all(Path(path).is_file() for path in row["models"])
    listed = printed("runs", run.parent)
    assert run.name in listed
    assert max(map(len, listed.splitlines())) <= 100
    assert printed("runs").startswith("no runs in runs/. Make one")
    assert document("runs") == []


def test_two_runs_side_by_side(comparison):
    run = comparison.out
    both = document("runs", run, run)
    assert (both["settings"], both["why_not"]) == ({}, {})
    assert [entry["difference"] for entry in both["differences"].values()] == [0, 0]
    assert "All settings are the same." in printed("runs", run, run)
    assert "name two runs" in refused("runs", "nowhere")
    assert "nowhere: no run here" in refused("runs", run, "nowhere")
