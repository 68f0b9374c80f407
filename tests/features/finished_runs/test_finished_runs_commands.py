from pathlib import Path

import pytest

from factories import small_experiment
from made_commands import document, printed, refused
from spikeduel.comparing import compare
from spikeduel.features.finished_runs import compare_runs
from spikeduel.sentences.verdict import difference_line


def words(*arguments):
    """Return the output of a command that ends well, with single spaces."""
    return " ".join(printed(*arguments).split())


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
    text = words("test", run, "--a", pair["b"], "--margin", "90")
    wide = compare_runs(run, pair["b"], pair["a"], margin=0.9)
    assert text == " ".join(difference_line(wide, pair["b"], pair["a"]).split())
    itself = words("test", run, "--a", pair["b"], "--against", run)
    assert itself.startswith(f"{pair['b']} of {run} − {pair['b']} of {run}: ")


def test_an_impossible_test_is_refused_with_the_reason(desk):
    line = refused(desk, "test", desk / "nowhere")
    assert "nowhere: no such folder" in line
    assert "experiment.toml" not in line
    (desk / "empty").mkdir()
    assert "empty: has no predictions.json." in refused(desk, "test", desk / "empty")


def test_runs(comparison, desk):
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


def test_two_runs_side_by_side(comparison, desk):
    run = comparison.out
    both = document("runs", run, run)
    assert (both["settings"], both["why_not"]) == ({}, {})
    assert [entry["difference"] for entry in both["differences"].values()] == [0, 0]
    assert "All settings are the same." in printed("runs", run, run)
    assert "name two runs" in refused(desk, "runs", "nowhere")
    assert "nowhere: no run here" in refused(desk, "runs", run, "nowhere")
