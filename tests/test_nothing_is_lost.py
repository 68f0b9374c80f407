"""The whole program, broken at every single write in three ways, and started again."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from forked import run_program
from spikeduel.cli.inputs import RESUMABLE
from spikeduel.evaluation.measures import MEASURES, measures_of
from spikeduel.experiment.settings import Experiment
from spikeduel.results.run import Results
from spikeduel.system import typed
from spikeduel.system.progress import Progress

OF_FEATURES = measures_of(Experiment(), Progress(), "").keys() - MEASURES.keys()
WRITTEN = [
    "checkpoint.pt",
    "checkpoint.pt",
    "model.safetensors",
    "trial.json",
    "classification.json",
    "encoding_deviation.json",
    "label_confidences.json",
    "weight_shapes.json",
    "operations.json",
    "by_step.json",
    *(f"{name}.json" for name in OF_FEATURES),
    "latency.json",
    "experiment.toml",
    "dense-snn-seed0.safetensors",
    "results.json",
    "split.csv",
    "predictions.json",
    "labels.csv",
    "sha256sums.txt",
    "report.html",
    "sha256sums.txt",
]
ENDS = {"kill": -9, "interrupt": 130, "full": 2}


def numbers(document):
    """Results without what a clock said."""
    results = typed.converted(document, Results)
    trials = [structs.replace(trial, epoch_seconds=[], latency=None) for trial in results.trials]
    caveats = [caveat for caveat in results.comparison.caveats if caveat.id != "busy_machine"]
    recommendation = structs.replace(
        results.comparison.recommendation, quantities=[], steps=[], text=""
    )
    comparison = structs.replace(results.comparison, caveats=caveats, recommendation=recommendation)
    return structs.replace(results, created="", trials=trials, comparison=comparison)


@pytest.fixture(scope="module")
def broken_runs(tmp_path_factory):
    """Return what `breaking.py` found."""
    folder = tmp_path_factory.mktemp("broken")
    run_program(Path(__file__).with_name("breaking.py"), folder, *ENDS)
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("way", ENDS)
def test_broken_at_any_write_and_started_again_it_ends_in_the_same_numbers(way, broken_runs):
    from breaking import EVERY  # needs fork

    whole, cases = broken_runs["whole"], broken_runs["cases"][way]
    # The prepared set and its audit, with hashes in their names, then each file of the store and of
    # the run.
    assert whole["written"][0].startswith("pictures-")
    assert whole["written"][1].endswith(".json")
    assert whole["written"][2:] == WRITTEN
    assert [case["at"] for case in cases] == whole["written"][:: EVERY if way == "interrupt" else 1]
    for case in cases:
        broken, again = case["broken"], case["again"]
        assert broken["code"] == ENDS[way], (case["at"], broken["said"])
        assert again["code"] == 0, (case["at"], again["said"])
        assert numbers(again["results"]) == numbers(whole["results"]), case["at"]
        assert again["models"] == whole["models"], case["at"]
        # At most the epoch under way is trained twice.
        epochs = [line for line in (*broken["said"], *again["said"]) if ", epoch " in line]
        assert 2 <= len(epochs) + (case["at"] == "checkpoint.pt") <= 3, (case["at"], epochs)
        # Of what was being written, only a killed process leaves something, and in store and cache
        # not for long.
        assert way == "kill" or broken["left"] == []
        assert [path for path in again["left"] if not path.startswith("out/")] == []
        if way == "full":
            assert broken["said"][-1].startswith("error: cannot write to "), broken["said"]
            assert broken["said"][-1].endswith("make room.")
        if way == "interrupt":
            assert broken["said"][-1] == f"stopped. {RESUMABLE}"
        assert not any("Traceback" in line for line in broken["said"]), broken["said"]
