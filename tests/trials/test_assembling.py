import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from damage import FUZZED, changed, problem
from spikeduel.data import Preprocessing, Split
from spikeduel.data.prepared import Prepared
from spikeduel.results.comparison import Comparison, list_runs, load_run
from spikeduel.results.words import tables as text_tables
from spikeduel.settings import Experiment, write_experiment
from spikeduel.system.errors import InputError
from spikeduel.trials import assembling
from spikeduel.trials.store import TrialRecord

TRUTH = [0, 0, 0, 1, 1, 2]
NOTHING = {"as_written": 0, "cached": 0}
NO_TOTALS = {
    "totals": {
        "macs": {"dense": NOTHING, "effective": NOTHING},
        "acs": {"total": 0, "per_step": []},
        "spikes_per_neuron_and_step": None,
    }
}
# Right on images 0, 1, 3 and 5, and on 1, 2 and 3.
SNN, CNN = [0, 0, 1, 1, 2, 2], [1, 0, 0, 1, 0, 1]
CLASSES = ("a", "b", "c")


def record(contender="snn", seed=0, val=(0.5, 0.75), **changes):
    spiking = "snn" in contender
    made = TrialRecord(
        key=f"{contender}-{seed}",
        settings={
            "contender": contender,
            "family": "snn" if spiking else "cnn",
            "seed": seed,
            "encoding": "rate" if spiking else None,
            "num_steps": 4 if spiking else None,
        },
        parameters=1234,
        status="done",
        error=None,
        best_epoch=int(np.argmax(val)),
        stopped="limit",
        epoch_seconds=[2.0, 1.0, 6.0],
        history=[{"train_loss": 2.0, "train_accuracy": 0.4, "val_loss": 1.0 - v, "val_accuracy": v} for v in val],
        environment={"cpu": "a chip", "python": "3", "torch": "2", "threads": 1, "device": "cpu", "precision": "32"},
    )
    return replace(made, **changes)


def failed(contender, seed=0):
    return record(
        contender, seed, status="failed", error="it broke", best_epoch=None, stopped=None, epoch_seconds=[], history=[]
    )


LEAVING = {"threshold": 0.75, "mean_steps": 1.5, "accuracy": 4 / 6, "exit_steps": [3, 3]}
ANYTIME = {
    "num_steps": 2,
    "n": 6,
    "accuracies": [0.5, 4 / 6],
    "validation_accuracies": [0.5, 0.5],
    "early_exit": {**LEAVING, "tolerance": 0.002, "validation": {}, "curve": [LEAVING]},
}


def measured(predicted, precision=0.5):
    right = [t == p for t, p in zip(TRUTH, predicted, strict=True)]
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (TRUTH, predicted), 1)
    per_class = [{"class": name, "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 2} for name in CLASSES]
    quality = {
        "n": 6,
        "accuracy": sum(right) / 6,
        "precision": precision,
        "recall": 0.25,
        "f1": 1 / 3,
        "loss": 1.5,
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "ece": None,
        "tie_share": 0.0,
        "truth": TRUTH,
        "predicted": predicted,
    }
    return {"classification": quality, "encoding_spread": {"accuracies": None, "standard_deviation": None}}


def prepared(groups=None):
    return Prepared(
        name="made up",
        images=np.zeros((10, 1, 4, 4), np.uint8),
        labels=np.zeros(10, np.int64),
        classes=CLASSES,
        preprocessing=Preprocessing(1, 4, 4),
        groups=groups,
        official=None,
        samples=[],
        fingerprint="f" * 64,
        notes=("a note.",),
    )


SPLIT = Split(np.arange(0, 5), np.arange(5, 6), np.arange(6, 10), "stratified")
EXPERIMENT = Experiment(dataset="made up", contenders=("snn", "cnn"))


def assembled(records=None, measures=None, experiment=EXPERIMENT, groups=None, splits=(SPLIT,)):
    records = records or [record("snn"), record("cnn")]
    measures = measures or [measured(SNN), measured(CNN)]
    return assembling.assemble(experiment, prepared(groups), splits, records, measures)


# ---- results.json


SCHEMA = {
    "": "schema spikeduel created environment dataset experiment trials comparison",
    "environment": "python torch cpu threads device precision",
    "dataset": "name fingerprint classes counts split groups audit",
    "dataset counts": "train val test",
    "trials 0": "contender family seed encoding num_steps parameters status error epochs best_epoch stopped "
    "epoch_seconds history validation test operations energy latency anytime controls robustness model",
    "trials 0 history 0": "train_loss train_accuracy val_loss val_accuracy",
    "trials 0 test": "n accuracy precision recall f1 per_class confusion ece calibration tie_share",
    "trials 0 test per_class 0": "class precision recall f1 support",
    "comparison": "pairs verdict caveats",
    "comparison pairs 0": "a b measure difference ci95 p_value test n seeds conclusion",
}


@pytest.mark.parametrize("path", SCHEMA)
def test_results_have_the_keys_that_scripts_rely_on(path):
    found = assembled()
    for step in path.split():
        found = found[int(step) if step.isdigit() else step]
    assert set(SCHEMA[path].split()) <= set(found)


def test_answers_before_the_last_step_stand_beside_the_test():
    nothing = dict.fromkeys(ANYTIME)
    snn, cnn = assembled(measures=[measured(SNN) | {"anytime": ANYTIME}, measured(CNN) | {"anytime": nothing}])[
        "trials"
    ]
    assert (snn["anytime"], cnn["anytime"]) == (ANYTIME, None)


def test_results_are_json_and_what_was_not_measured_is_null():
    results = assembled([record("snn"), failed("cnn")], [measured(SNN), {}])
    assert json.loads(json.dumps(results, allow_nan=False))["schema"] == 1
    done, broken = results["trials"]
    for name in ("operations", "energy", "latency", "anytime", "controls", "robustness", "error"):
        assert done[name] is None
    assert (done["test"]["ece"], done["test"]["calibration"]) == (None, None)
    for name in ("test", "validation", "model", "best_epoch", "stopped", "encoding", "num_steps"):
        assert broken[name] is None
    assert (broken["status"], broken["error"], broken["epochs"]) == ("failed", "it broke", 0)
    assert results["dataset"]["audit"] is None
    assert results["dataset"]["groups"] is None
    assert results["dataset"]["shared_groups"] is None


def test_a_trials_numbers():
    entry = assembled()["trials"][0]
    assert (entry["contender"], entry["family"], entry["seed"], entry["encoding"]) == ("snn", "snn", 0, "rate")
    assert (entry["epochs"], entry["best_epoch"], entry["stopped"]) == (2, 1, "limit")
    assert entry["validation"] == {"accuracy": 0.75, "loss": 0.25}
    assert entry["test"]["accuracy"] == 4 / 6
    # Rows are the truth: of three images of class a, two were called a and one b.
    assert entry["test"]["confusion"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert "predicted" not in entry["test"]
    assert entry["model"] == "models/snn-seed0.safetensors"


def test_calibration_and_robustness_of_a_trial():
    more = {
        "calibration": {"ece": 0.125, "temperature": 2.0},
        "robustness-blur": {"n": 6, "accuracies": [0.5, 0.5, 0.5, 0.25, 0.25]},
        "robustness-altered-hard": {"n": 1200, "accuracies": [0.125]},
    }
    entry = assembled(measures=[{**measured(SNN), **more}, measured(CNN)])["trials"][0]
    assert entry["test"]["ece"] == 0.125
    assert entry["test"]["calibration"] == more["calibration"]
    assert entry["robustness"]["clean"] == 4 / 6
    assert entry["robustness"]["area"] == {"blur": 0.4, "altered-hard": 0.125}
    blur, hard = text_tables.robustness_rows(entry["robustness"])
    assert list(blur.values()) == ["blur", "50.00", "50.00", "50.00", "25.00", "25.00", "40.00", "6"]
    assert list(hard.values()) == ["altered-hard", "", "", "", "", "", "12.50", "1,200"]


def test_a_network_that_cannot_be_counted_is_a_caveat_and_no_failure():
    reason = "'odd' (Odd) does something."
    unknown = {"operations": {"encoding": None, "layers": None, "totals": None, "reason": reason}}
    results = assembled(measures=[measured(SNN) | unknown, measured(CNN)])
    spiking, plain = results["trials"]
    assert (spiking["operations"], spiking["energy"], spiking["not_counted"]) == (None, None, reason)
    assert (plain["operations"], plain["energy"], plain["not_counted"]) == (None, None, None)
    assert f"Operations and energy are not known of snn: {reason}" in results["comparison"]["caveats"]
    assert not comparison(results).failed


def test_a_models_file_name_has_no_colon():
    experiment = replace(EXPERIMENT, contenders=("own.code:build",))
    (entry,) = assembled([record("own.code:build", 2)], [measured(CNN)], experiment)["trials"]
    assert entry["model"] == "models/own.code.build-seed2.safetensors"


def test_the_data_set():
    groups = np.array([0, 0, 1, 2, 3, 4, 1, 5, 5, 6])
    found = assembling.dataset_entry(prepared(groups), [SPLIT])
    assert found["counts"] == {"train": 5, "val": 1, "test": 4}
    # Of the test images 6 to 9, only image 6 is of a group (1) that is also in training.
    assert (found["groups"], found["shared_groups"]) == (7, 0.25)
    # Groups of 2, 2, 1, 1, 1, 2 and 1 images.
    assert found["group_sizes"] == {"largest": 2, "median": 1.0}
    assert found["folds"] is None
    assert found["split"] == "stratified"
    assert found["notes"] == ["a note."]


# ---- folds


def in_fold(fold, contender, seed=0, **changes):
    made = record(contender, seed, **changes)
    return replace(made, settings={**made.settings, "data": {"fold": fold}})


FOLDS = (
    Split(np.arange(5, 9), np.arange(9, 10), np.arange(0, 5), "grouped", 0),
    Split(np.arange(0, 3), np.arange(3, 5), np.arange(5, 10), "grouped", 1),
)


def test_the_data_set_in_folds():
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 5, 0])
    found = assembling.dataset_entry(prepared(groups), FOLDS)
    assert found["folds"] == [{"train": 4, "val": 1, "test": 5}, {"train": 3, "val": 2, "test": 5}]
    # Means of 4 and 3 and of 1 and 2; all ten images are tested.
    assert found["counts"] == {"train": 4, "val": 2, "test": 10}
    # Only image 9 (group 0) is in a test set, fold 1's, whose training images 0 and 1 are of its group.
    assert found["shared_groups"] == 0.1


def test_a_trial_in_a_fold():
    (entry, other, *_) = assembled([in_fold(1, "cnn", 2), record("cnn")], [measured(CNN), measured(CNN)])["trials"]
    assert (entry["fold"], entry["model"]) == (1, "models/cnn-seed2-fold1.safetensors")
    assert (other["fold"], other["model"]) == (None, "models/cnn-seed0.safetensors")


def test_the_folds_of_a_seed_are_one_test_over_all_images():
    records = [in_fold(fold, name, seed) for seed in (0, 1) for fold in (0, 1) for name in ("snn", "cnn")]
    measures = [measured(p) for p in (SNN, CNN, TRUTH, CNN, CNN, CNN, CNN, CNN)]
    experiment = replace(EXPERIMENT, seeds=2, folds=2)
    (pair,) = assembled(records, measures, experiment, splits=FOLDS)["comparison"]["pairs"]
    assert (pair["n"], pair["seeds"]) == (12, 2)
    # The SNN has 4 + 6 right with seed 0 and 3 + 3 with seed 1, the CNN 3 in every fold.
    assert pair["accuracy_a"] == pytest.approx((10 / 12 + 6 / 12) / 2)
    assert pair["accuracy_b"] == pytest.approx(6 / 12)
    # In fold 0 only the SNN is right on images 0 and 5, only the CNN on 2; in fold 1 only the SNN on 0, 4 and 5.
    assert (pair["only_a_right"], pair["only_b_right"]) == (5 / 2, 1 / 2)
    right, _ = assembling.right_answers("snn", "cnn", records[::-1], measures[::-1])
    assert right[0].tolist() == [True, True, False, True, False, True] + [True] * 6


def test_a_seed_with_an_unfinished_fold_is_not_compared():
    records = [in_fold(fold, name) for fold in (0, 1) for name in ("snn", "cnn")]
    results = assembled(records, [measured(SNN), measured(CNN), {}, measured(CNN)], splits=FOLDS)
    (pair,) = results["comparison"]["pairs"]
    assert (pair["seeds"], pair["difference"]) == (0, None)
    assert "snn, seed 0, fold 0, is right on 66.67% of 6 test images" in results["comparison"]["verdict"]


# ---- pairs


def test_a_pair_by_hand():
    (pair,) = assembled()["comparison"]["pairs"]
    assert (pair["a"], pair["b"], pair["measure"], pair["n"], pair["seeds"]) == ("snn", "cnn", "accuracy", 6, 1)
    assert pair["difference"] == pytest.approx(1 / 6)
    assert (pair["accuracy_a"], pair["accuracy_b"]) == (4 / 6, 3 / 6)
    # Only the SNN: images 0 and 5; only the CNN: image 2.
    assert (pair["only_a_right"], pair["only_b_right"]) == (2, 1)
    assert (pair["seeds_a_ahead"], pair["seeds_b_ahead"]) == (1, 0)
    # Three images tell them apart, two against one: any coin does as well. (2 − 1)/8 ± 1.96·sqrt(4 − 1/8)/8.
    assert (pair["p_value"], pair["p_value_raw"], pair["test"]) == (1.0, 1.0, "exact McNemar test")
    half = 1.959964 * math.sqrt(4 - 1 / 8) / 8
    assert pair["ci95"] == pytest.approx([1 / 8 - half, 1 / 8 + half], rel=1e-6)
    assert (pair["conclusion"], pair["margin"], pair["negligible"]) == ("inconclusive", 0.005, False)


def test_a_pair_over_seeds_uses_those_that_both_finished():
    perfect = TRUTH
    records = [record("snn", 0), record("cnn", 0), record("snn", 1), record("cnn", 1), record("snn", 2)]
    measures = [measured(SNN), measured(CNN), measured(CNN), measured(CNN), measured(perfect)]
    results = assembled([*records, failed("cnn", 2)], [*measures, {}], replace(EXPERIMENT, seeds=3))
    (pair,) = results["comparison"]["pairs"]
    assert pair["seeds"] == 2
    assert pair["difference"] == pytest.approx((1 / 6 + 0) / 2)
    assert pair["accuracy_a"] == pytest.approx((4 / 6 + 3 / 6) / 2)
    assert (pair["only_a_right"], pair["only_b_right"]) == (1.0, 0.5)
    assert (pair["seeds_a_ahead"], pair["seeds_b_ahead"]) == (1, 0)
    assert "over 2 seeds, snn is right on 58.33%" in results["comparison"]["verdict"]
    # Of six ways to give four trainings to two sides, at least two are as far apart.
    assert pair["p_permutation"] >= 2 / 6
    assert pair["p_value"] == max(pair["p_value_raw"], pair["p_permutation"])


def test_the_table_and_the_verdict_name_one_accuracy():
    """Folds of different sizes: the mean of 2 of 3 and 3 of 9 is no share of the 12 images."""
    trials = [
        {**assembled()["trials"][0], "fold": fold, "test": {**assembled()["trials"][0]["test"], "n": n, "accuracy": a}}
        for fold, n, a in ((0, 3, 2 / 3), (1, 9, 1 / 3))
    ]
    (row,) = text_tables.table_rows(trials)
    assert row["accuracy"] == f"{100 * 5 / 12:.2f} ± {100 * np.std([2 / 3, 1 / 3], ddof=1):.2f}"


@pytest.mark.parametrize(
    ("seeds", "folds", "note"),
    [
        (1, None, ""),
        (3, None, "± is the standard deviation over 3 seeds."),
        (1, 5, "± is the standard deviation over 5 folds."),
        (3, 5, "± is the standard deviation over 3 seeds and 5 folds."),
    ],
)
def test_a_line_under_the_table_says_what_plus_or_minus_is(seeds, folds, note):
    one = assembled()["trials"][0]
    trials = [
        {**one, "seed": seed, "fold": fold} for seed in range(seeds) for fold in (range(folds) if folds else [None])
    ]
    assert text_tables.spread_note(trials) == note
    table = Comparison(EXPERIMENT, {"trials": trials}, Path()).table()
    assert ("±" in table.splitlines()[-1]) == bool(note)


def test_no_seed_in_common():
    records = [record("snn", 0), failed("cnn", 0), failed("snn", 1), record("cnn", 1)]
    results = assembled(records, [measured(SNN), {}, {}, measured(CNN)], replace(EXPERIMENT, seeds=2))
    (pair,) = results["comparison"]["pairs"]
    assert (pair["difference"], pair["n"], pair["seeds"], pair["conclusion"]) == (None, 0, 0, None)
    # The keys are those of a pair that was compared.
    assert set(pair) == set(assembled()["comparison"]["pairs"][0])
    assert "snn, seed 0, is right on 66.67% of 6 test images" in results["comparison"]["verdict"]
    json.dumps(results, allow_nan=False)


def test_three_contenders_make_three_pairs_and_a_failed_one_none():
    experiment = replace(EXPERIMENT, contenders=("snn", "cnn", "snn2"))
    records = [record("snn"), record("cnn"), record("snn2")]
    pairs = assembled(records, [measured(SNN), measured(CNN), measured(CNN)], experiment)["comparison"]["pairs"]
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("snn", "cnn"), ("snn", "snn2"), ("cnn", "snn2")]
    assert pairs[2]["difference"] == 0
    records[1] = failed("cnn")
    pairs = assembled(records, [measured(SNN), {}, measured(CNN)], experiment)["comparison"]["pairs"]
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("snn", "snn2")]


def test_p_values_are_adjusted_for_the_number_of_pairs():
    truth = np.zeros(100, int)
    predicted = {"snn": truth.copy(), "cnn": truth.copy(), "snn2": truth.copy()}
    predicted["cnn"][:9] = 1
    predicted["snn2"][5:13] = 1
    measures = [{"classification": {"truth": truth.tolist(), "predicted": p.tolist()}} for p in predicted.values()]
    records = [record(name) for name in predicted]
    pairs = assembling.pair_entries(list(predicted), records, measures, None, 0.005)
    # 9 of 9, 8 of 8, and 5 against 4 coins.
    assert [pair["p_value_raw"] for pair in pairs] == pytest.approx([2 / 512, 2 / 256, 1.0])
    assert [pair["p_value"] for pair in pairs] == pytest.approx([6 / 512, 4 / 256, 1.0])
    grouped = assembling.pair_entries(list(predicted), records, measures, np.arange(100) // 25, 0.005)
    assert grouped[0]["test"] == "exact sign flips of 4 groups"
    assert grouped[0]["p_value_raw"] == 1.0


def test_groups_of_the_test_images_count():
    groups = np.array([0, 0, 1, 2, 3, 4, 7, 7, 8, 9])
    split = Split(np.arange(0, 3), np.arange(3, 4), np.arange(4, 10), "grouped")
    results = assembling.assemble(
        EXPERIMENT, prepared(groups), [split], [record("snn"), record("cnn")], [measured(SNN), measured(CNN)]
    )
    assert results["comparison"]["pairs"][0]["test"] == "exact sign flips of 5 groups"


def test_the_margin_is_the_experiments():
    wide = replace(EXPERIMENT, equivalence_margin=0.9)
    assert assembled(experiment=wide)["comparison"]["pairs"][0]["conclusion"] == "equivalent"


# ---- the table


def test_table_cells():
    rows = text_tables.table_rows(assembled()["trials"])
    assert [row["model"] for row in rows] == ["snn", "cnn"]
    assert (rows[0]["family"], rows[0]["encoding"], rows[1]["encoding"]) == ("SNN", "rate", "analogue")
    assert (rows[0]["accuracy"], rows[1]["accuracy"]) == ("66.67", "50.00")
    assert (rows[0]["precision"], rows[0]["recall"], rows[0]["F1"]) == ("50.00", "25.00", "33.33")
    assert (rows[0]["s/epoch"], rows[0]["epochs"], rows[0]["parameters"]) == ("2.0", "2", "1,234")


def test_several_seeds_share_a_row_with_mean_and_standard_deviation():
    records = [record("snn", 0), record("snn", 1, val=(0.1, 0.2, 0.3))]
    (row,) = text_tables.table_rows(
        assembled(records, [measured(SNN), measured(CNN)], replace(EXPERIMENT, contenders=("snn",)))["trials"]
    )
    # 4/6 and 3/6: mean 7/12, sd (1/6)/sqrt(2).
    assert row["accuracy"] == f"58.33 ± {100 / 6 / math.sqrt(2):.2f}" == "58.33 ± 11.79"
    assert row["precision"] == "50.00 ± 0.00"
    assert row["epochs"] == "2, 3"


def test_the_table_names_everybodys_twin():
    trials = assembled()["trials"]
    assert all("same weights as" not in row for row in text_tables.table_rows(trials))
    for trial in trials:
        trial["weights"] = {"linear.weight": [2, 3]}
    assert [row["same weights as"] for row in text_tables.table_rows(trials)] == ["cnn", "snn"]


def test_a_failed_contender_stays_in_the_table():
    results = assembled([record("snn"), failed("cnn")], [measured(SNN), {}])
    row = text_tables.table_rows(results["trials"])[1]
    assert (row["accuracy"], row["F1"], row["s/epoch"], row["epochs"]) == ("failed", "failed", "failed", "0")
    lines = [line for line in comparison(results).table().splitlines() if line]
    assert " ".join(lines[0].split()) == (
        "model family encoding accuracy precision recall F1 s/epoch epochs parameters"
    )
    assert " ".join(lines[2].split()) == "snn SNN rate 66.67 50.00 25.00 33.33 2.0 2 1,234"
    assert lines[3].split()[:4] == ["cnn", "CNN", "analogue", "failed"]


def test_long_names_are_not_cut():
    name = "a_module_with_a_long_name.and_a_part:build_the_network_of_my_dreams"
    assert name in text_tables.render([{"model": name, "family": "SNN", "F1": "1.00"}])


def test_class_rows():
    rows = text_tables.class_rows(assembled()["trials"][0]["test"])
    assert rows[0] == {"class": "a", "precision": "50.00", "recall": "25.00", "f1": "33.33", "images": "2"}
    assert rows[3] == {"class": "macro average", "precision": "50.00", "recall": "25.00", "f1": "33.33", "images": "6"}
    assert (rows[4]["class"], rows[4]["f1"]) == ("accuracy", "66.67")


# ---- the best model


def comparison(results=None, out=Path("out")):
    return Comparison(EXPERIMENT, results or assembled(), out)


def test_the_best_is_chosen_on_validation_not_on_test():
    records = [record("snn", 0, val=(0.5, 0.6)), record("snn", 1, val=(0.9, 0.1)), record("cnn")]
    # Seed 0 is perfect on the test images, seed 1 is ahead on validation.
    results = assembled(records, [measured(TRUTH), measured(CNN), measured(CNN)])
    assert comparison(results).best("snn") == Path("out/models/snn-seed1.safetensors")
    assert comparison(results).best("cnn") == Path("out/models/cnn-seed0.safetensors")


def test_the_best_of_a_family():
    experiment = replace(EXPERIMENT, contenders=("dense-snn", "deep-snn"))
    records = [record("dense-snn", val=(0.7, 0.2)), record("deep-snn", val=(0.8, 0.2))]
    results = assembled(records, [measured(SNN), measured(CNN)], experiment)
    assert comparison(results).best("snn").name == "deep-snn-seed0.safetensors"
    assert comparison(results).best("dense-snn").name == "dense-snn-seed0.safetensors"


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match="unknown contender 'ssnn': did you mean 'snn'"):
        comparison().best("ssnn")


def test_a_contender_that_failed_has_no_best():
    results = assembled([record("snn"), failed("cnn")], [measured(SNN), {}])
    with pytest.raises(InputError, match="no trial of cnn was finished"):
        comparison(results).best("cnn")
    assert comparison(results).failed
    assert not comparison().failed


# ---- runs on disk


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "made-up"
    write_experiment(folder / "experiment.toml", EXPERIMENT)
    (folder / "results.json").write_text(json.dumps(assembled()))
    return folder


def test_a_run_is_read_again(run):
    found = load_run(run)
    assert found.experiment == EXPERIMENT
    assert found.out == run
    assert found.results == json.loads((run / "results.json").read_text())
    assert found.table() == comparison(found.results).table()


@pytest.mark.parametrize(
    "damage", ["missing", "folder", "cut", "list", "other schema", "foreign", "no experiment", "experiment cut"]
)
def test_what_is_no_run_is_named(damage, run):
    results, toml = run / "results.json", run / "experiment.toml"
    if damage == "missing":
        results.unlink()
    elif damage == "folder":
        results.unlink()
        results.mkdir()
    elif damage == "no experiment":
        toml.unlink()
    elif damage == "experiment cut":
        toml.write_text("dataset = 'di")
    else:
        whole = results.read_text()
        content = {
            "cut": whole[:200],
            "list": "[]",
            "other schema": json.dumps({**json.loads(whole), "schema": 2}),
            "foreign": '{"schema": 1, "name": "something else"}',
        }
        results.write_text(content[damage])
    with pytest.raises(InputError, match=r"runs.made-up"):
        load_run(run)
    assert list_runs(run.parent) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="nowhere: no run here"):
        load_run(tmp_path / "nowhere")
    assert list_runs(tmp_path / "nowhere") == []


def test_runs_are_listed_newest_first(run):
    older = run.parent / "older"
    write_experiment(older / "experiment.toml", EXPERIMENT)
    (older / "results.json").write_text(json.dumps({**assembled(), "created": "2001-02-03T04:05:06+00:00"}))
    (run.parent / "store").mkdir()
    runs = list_runs(run.parent)
    assert [entry["run"] for entry in runs] == [str(run), str(older)]
    assert runs[0]["accuracy"] == {"snn": [4 / 6], "cnn": [0.5]}
    assert runs[0]["models"] == [str(run / "models" / f"{name}-seed0.safetensors") for name in ("snn", "cnn")]
    row = text_tables.run_rows(runs)[1]
    assert row["created"] == "2001-02-03 04:05"
    assert row["accuracy"] == "snn 66.67, cnn 50.00"
    assert row["models"] == "2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["trials"][0].pop("history"), r"trials\[0\] has no 'history'"),
        (
            lambda r: r["trials"][1]["test"].update(accuracy=7),
            r"trials\[1\]\.test\.accuracy must be a number",
        ),
        (lambda r: r["trials"][0].update(model="../../secret"), r"trials\[0\]\.model must be a path within the run"),
        (lambda r: r["trials"][0].update(model=None), r"trials\[0\] is done, and has no model"),
        (lambda r: r["trials"][0]["test"]["confusion"].pop(), "has other classes than the 3 of the data set"),
        (lambda r: r["trials"][0].update(epoch_seconds=[10**400]), r"epoch_seconds\[0\] must be a number"),
        (
            lambda r: r["trials"][0].update(anytime=ANYTIME | {"num_steps": 3}),
            r"trials\[0\] says different numbers of time steps",
        ),
        (
            lambda r: r["trials"][0].update(
                anytime=ANYTIME, latency={"machine": {}, "one_image": None, "stream_ms": [1.0, 2.0, 3.0]}
            ),
            r"trials\[0\] says different numbers of time steps",
        ),
        (
            lambda r: r["trials"][0].update(anytime=ANYTIME, operations={"num_steps": 4, "layers": [], **NO_TOTALS}),
            r"trials\[0\] says different numbers of time steps",
        ),
        (
            lambda r: r["trials"][0].update(
                anytime=ANYTIME | {"early_exit": {**LEAVING, "exit_steps": [0, 0], "curve": []}}
            ),
            r"trials\[0\] says different numbers of time steps",
        ),
        (lambda r: r["trials"].clear(), "trials is empty"),
        (lambda r: r["experiment"].pop("learning_rate"), "experiment has no 'learning_rate'"),
        (lambda r: r["comparison"]["pairs"][0].update(conclusion="sure"), "conclusion must be one of a_better"),
        (lambda r: r.update(created=5), "created must be text"),
    ],
)
def test_damaged_results_are_named_with_the_place(change, said, run):
    content = json.loads((run / "results.json").read_text())
    change(content)
    (run / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"results\.json: damaged, or not results of spikeduel: .*{said}"):
        load_run(run)


def test_names_in_a_table_are_text_never_markup():
    shown = text_tables.render(
        [{"class": "[red]x[/blue] :smile:", "images": "1"}, {"class": "two\nlines", "images": "2"}]
    )
    assert "[red]x[/blue] :smile:" in shown
    assert r"two\nlines" in shown


@FUZZED
@given(content=changed(assembled()))
def test_changed_results_are_listed_and_shown_or_an_input_error(run, content):
    (run / "results.json").write_text(json.dumps(content))
    if said := problem(load_run, run):
        assert "results.json" in said
        assert list_runs(run.parent) == []
    else:
        assert load_run(run).table()
        assert text_tables.render(text_tables.run_rows(list_runs(run.parent)))
