"""Results as the first version wrote them: dense-lif against dense-relu on scikit-learn's digits,
two of its trials.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given

from damage import FUZZED, changed, problem
from made_trials import tuning
from spikeduel.results import caveats as c
from spikeduel.results.comparison import load_run
from spikeduel.results.run import Results
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import EncodingSpread
from spikeduel.settings import Experiment
from spikeduel.settings.reading import write_experiment
from spikeduel.settings.recipes import PLAIN
from spikeduel.system import typed
from spikeduel.system.errors import InputError

OLD = json.loads((Path(__file__).parent / "schema_1.json").read_text())


@pytest.fixture
def read(tmp_path):
    """Reads content of schema 1, with changes, from a run's folder."""

    def from_disk(change=lambda content: None):
        content = json.loads(json.dumps(OLD))
        change(content)
        (tmp_path / "results.json").write_text(json.dumps(content))
        return load_run(tmp_path)

    write_experiment(tmp_path / "experiment.toml", Experiment(dataset="digits"))
    return from_disk


def test_numbers_stay_and_names_are_the_present_ones(read):
    found = read().results
    assert found.schema == 2
    assert found.experiment.near_duplicate_ratio == 0.33
    assert found.dataset.audit.near_portions == 20
    spiking, plain = found.trials
    then, _ = OLD["trials"]
    assert (spiking.family, plain.family) == ("snn", "ann")
    assert spiking.test.accuracy == then["test"]["accuracy"]
    assert spiking.test.calibration.ece == then["test"]["calibration"]["ece"]
    assert spiking.anytime.accuracies == then["anytime"]["accuracies"]
    assert spiking.latency.one_image.median_ms == then["latency"]["one_image"]["median_ms"]
    assert spiking.weight_shapes == then["weights"]
    assert found.twins == [("dense-lif", "dense-relu")]
    first, counted = spiking.operations.layers[0], then["operations"]["layers"][0]
    assert first.macs.dense.per_step == counted["macs"]["dense"]["as_written"]
    assert first.macs.dense.hoisted == counted["macs"]["dense"]["cached"]
    acs, then_acs = spiking.operations.totals.acs, then["operations"]["totals"]["acs"]
    assert (acs.total, acs.by_step) == (then_acs["total"], then_acs["per_step"])
    energy = then["energy"]["tables"]["45nm-fp32"]["compute"]["synapses"]
    assert (
        spiking.energy.tables["45nm-fp32"].compute.synapses.hoisted.dense
        == energy["cached"]["dense"]
    )
    (pair,) = found.comparison.pairs
    assert list(pair.ci95) == OLD["comparison"]["pairs"][0]["ci95"]


def test_it_was_trained_plainly(read):
    assert "optimizer" not in OLD["experiment"]
    found = read().results.experiment
    assert {name: getattr(found, name) for name in PLAIN if name not in OLD["experiment"]} == {
        name: value for name, value in PLAIN.items() if name not in OLD["experiment"]
    }
    for name in (
        "recipe",
        "learning_rate",
        "batch_size",
        "epochs",
        "beta",
        "threshold",
        "augmentation",
    ):
        assert getattr(found, name) == OLD["experiment"][name]


def test_results_of_the_present_schema_from_before_the_optimizers_were_trained_plainly(
    read, tmp_path
):
    document = json.loads(json.dumps(read().document()))
    later = (
        "optimizer",
        "weight_decay",
        "schedule",
        "label_smoothing",
        "dropout",
        "start",
        "minutes",
        "equal",
        "width",
    )
    for name in (*later, "distillation", "averaging", "first_steps", "per_step_loss"):
        document["experiment"].pop(name, None)
    document["experiment"]["recipe"] = "twins"
    for name in ("rules", "budget"):
        document.pop(name, None)
    (tmp_path / "results.json").write_text(json.dumps(document))
    found = load_run(tmp_path).results
    assert (found.experiment.recipe, found.experiment.optimizer, found.experiment.schedule) == (
        "twins",
        "adam",
        "constant",
    )
    assert (found.experiment.start, found.rules, found.budget) == ("fresh", None, None)


def test_controls_have_their_titles(read):
    found = read().results
    controls, then = found.trials[0].controls, OLD["trials"][0]["controls"]
    assert {name: control.accuracy for name, control in controls.items()} == {
        name: control["accuracy"] for name, control in then.items() if name != "reasons"
    }
    assert (controls["relu_twin"].title, controls["relu_twin"].spikes) == ("ReLU twin", False)
    assert controls["relu_twin"].operations.num_steps == 1
    assert controls["shuffled"].spikes
    (controlled,) = found.comparison.controls
    rows, then_rows = controlled.rows, OLD["comparison"]["controls"][0]["rows"]
    assert [row.control for row in rows] == [row["b"] for row in then_rows]
    assert [row.title for row in rows] == [control.title for control in controls.values()]
    for row, then_row in zip(rows, then_rows, strict=True):
        assert (row.accuracy, row.bits, row.spread) == (
            then_row["accuracy"],
            then_row["bits"],
            then_row["spread"],
        )
        assert (row.found.difference, row.found.p_value) == (
            then_row["difference"],
            then_row["p_value"],
        )


def test_what_was_kept_in_sentences_alone_is_data(read):
    found = read().results.comparison
    assert found.caveats == [
        c.FewTestImages(num_test=179, folds_help=True),
        c.BelowNearestNeighbour(
            contenders=["dense-lif", "dense-relu"],
            accuracy=OLD["dataset"]["audit"]["probe"]["accuracy"],
            first_fold=False,
        ),
        c.SameWeights(pairs=[("dense-lif", "dense-relu")], only=True),
        c.Untuned(),
        c.EpochLimit(contenders=["dense-lif", "dense-relu"], epochs=2),
        c.TestUses(uses=24, here=20),
    ]
    assert found.overturned_by == [c.EnoughSeeds(fewest=4), c.OtherSettings()]


def test_reservations_are_found_again(read):
    def excluding_zero(content):
        content["comparison"]["pairs"][0].update(ci95=[0.01, 0.1], conclusion="inconclusive")
        for row in content["comparison"]["controls"][0]["rows"]:
            row.update(ci95=[0.01, 0.1], conclusion="inconclusive")

    (without,) = read().results.comparison.pairs
    assert without.reservation is None
    found = read(excluding_zero).results.comparison
    assert (found.pairs[0].conclusion, found.pairs[0].reservation) == (
        Conclusion.INCONCLUSIVE,
        Reservation.FEW_SEEDS,
    )
    assert {row.found.reservation for row in found.controls[0].rows} == {Reservation.FEW_SEEDS}


def test_what_was_not_measured_is_none(read):
    def lacking(content):
        spiking, plain = content["trials"]
        for name in (
            "latency",
            "anytime",
            "operations",
            "energy",
            "controls",
            "key",
            "failed_measures",
        ):
            spiking.pop(name)
        plain.update(
            status="failed",
            error="it broke",
            test=None,
            validation=None,
            model=None,
            best_epoch=None,
        )
        pair = content["comparison"]["pairs"][0]
        pair.update(dict.fromkeys(("difference", "ci95", "p_value", "conclusion")), seeds=0)
        row = content["comparison"]["controls"][0]["rows"][0]
        row.update(
            dict.fromkeys(("difference", "ci95", "conclusion", "accuracy")), reason="it broke."
        )

    found = read(lacking)
    spiking, plain = found.results.trials
    assert {
        spiking.latency,
        spiking.anytime,
        spiking.operations,
        spiking.energy,
        spiking.key,
        plain.test,
    } == {None}
    assert (spiking.controls, spiking.failed_measures) == ({}, {})
    # Who had no seed in common was no pair.
    assert found.results.comparison.pairs == []
    row = found.results.comparison.controls[0].rows[0]
    assert (row.found, row.reason) == (None, "it broke.")
    assert found.failed


def test_draws_problems_and_a_tuning(read):
    spread = {"accuracies": [0.5, 0.25], "standard_deviation": 0.1}

    def more(content):
        content["trials"][0]["test"]["draws"] = spread
        content["dataset"]["audit"]["problems"] = ["Two labels are wrong."]
        content["dataset"]["notes"] = ["a note."]
        content["tuning"] = typed.plain(tuning(a=0.0))

    found = read(more).results
    assert found.trials[0].test.encoding_spread == EncodingSpread(**spread)
    assert found.tuning == tuning(a=0.0)
    assert found.comparison.caveats[-2:] == [
        c.DataNote(text="Data audit: Two labels are wrong."),
        c.DataNote(text="a note."),
    ]
    assert c.Tuned(num_trials=8, most_epochs=6) in found.comparison.caveats


def test_written_down_again_it_is_the_present_schema_with_equal_content(read):
    found = read()
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["schema"] == 2
    assert typed.converted(document, Results) == found.results
    assert found.table()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda r: r.pop("trials"), r"schema 1 that cannot be read \(KeyError: 'trials'\)"),
        (lambda r: r.update(trials=3), "schema 1 that cannot be read"),
        (lambda r: r["trials"][0].pop("test"), "schema 1 that cannot be read"),
        (lambda r: r["trials"][0].pop("history"), r"trials\[0\]: .*history"),
        (
            lambda r: r["trials"][1].update(epochs="2"),
            r"trials\[1\]\.epochs: expected int, got str",
        ),
        (
            lambda r: r["trials"][0].update(model="../../secret"),
            r"trials\[0\]: model must be a path within the run",
        ),
        (lambda r: r["trials"][0]["test"]["confusion"].pop(), "tested on other classes"),
        (
            lambda r: r["trials"][0]["anytime"].update(num_steps=3),
            r"trials\[0\]: .*different numbers of time steps",
        ),
        (lambda r: r["trials"][0]["controls"].update(own={"n": 3}), "schema 1 that cannot be read"),
        (
            lambda r: r["trials"][0]["operations"].update(layers=3),
            r"operations\.layers: expected array, got int",
        ),
        (lambda r: r["trials"].clear(), "trials: "),
        (lambda r: r["experiment"].update(learning_rate="fast"), "learning_rate"),
        (
            lambda r: r["comparison"]["pairs"][0].update(conclusion="sure"),
            r"pairs\[0\]\.conclusion: ",
        ),
        (lambda r: r["dataset"]["audit"].pop("probe"), "audit: .*probe"),
    ],
)
def test_damage_is_named_with_the_place(change, place, read):
    with pytest.raises(
        InputError, match=rf"results\.json: damaged, or not results of spikeduel: .*{place}"
    ):
        read(change)


@FUZZED
@given(content=changed(OLD))
def test_changed_results_are_shown_or_an_input_error(read, content):
    def replaced(before):
        before.clear()
        before.update(content)

    if not isinstance(content, dict):
        return
    if (text := problem(read, replaced)) is None:
        found = read(replaced)
        assert found.table()
        assert found.verdict()
        json.dumps(found.document())
    else:
        assert "results.json" in text
