import sys
from dataclasses import replace

import numpy as np
import pytest

from factories import planned, prepared, record, small_experiment
from made_pages import without_pages
from spikeduel import energy
from spikeduel.analysis.predicted import Predictions
from spikeduel.comparing import compare
from spikeduel.data import Split
from spikeduel.energy.rescaling import relu_twin
from spikeduel.engine.counting.operations import Ways
from spikeduel.evaluation.correctness import classified
from spikeduel.features.ablations import ABLATIONS
from spikeduel.features.ablations.ablation_conclusion import compare_with_ablations
from spikeduel.results import significance
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import (
    Classification,
    MissingVariant,
    VariantResult,
)
from spikeduel.sentences.comparison import load_run
from spikeduel.system.progress import Progress
from spikeduel.training import variants
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.outcomes import TrialOutcome, predictions_of, trial_entry
from spikeduel.training.store import Store
from spikeduel.training.variants import TrialVariants
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(
    encoding="direct",
    limit=300,
    contenders=("dense-snn", "small-cnn"),
    ablations=True,
)


ON_IMAGES = {name: ablation for name, ablation in ABLATIONS.items() if not ablation.of_recordings}


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    """A comparison with ablations, without figures, which take seconds."""
    folder = tmp_path_factory.mktemp("ablated")
    with without_pages():
        return compare(EXPERIMENT, folder / "out", folder / "store")


@pytest.fixture
def write(tmp_path):
    def module(name, source):
        (tmp_path / f"{name}.py").write_text(source)

    yield module
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def run(experiment, root, progress=None):
    """The results of the ablations of each trial, by contender."""
    prepared, trials = planned(experiment)
    store, progress = Store(root), progress or Progress()
    Workers().run([Job(trial, prepared, progress) for trial in trials], store)
    by_key = variants.run(trials, prepared, store, progress, Workers())
    return {trial.card.contender: by_key.get(trial.key) for trial in trials}


def test_every_ablation_is_in_the_results(ablated):
    spiking, other = ablated.results.trials
    assert other.variants == {}
    assert list(spiking.variants) == list(ON_IMAGES)
    for name, result in spiking.variants.items():
        about, ablation = (result.title, result.meaning, result.spikes), ABLATIONS[name]
        assert about == (ablation.title, ablation.meaning, ablation.spikes)
        assert result.n == spiking.test.n
        # With one step, hardly any neuron reaches its threshold so early.
        assert (0.05 if name == "one_step" else 0.3) < result.accuracy <= 1
    assert [result.num_steps for result in spiking.variants.values()] == [1, 1, 1, 4]
    assert spiking.variants["quantised_twin"].bits == 3
    (about,) = ablated.results.features["ablations"].contenders
    assert [row.ablation for row in about.rows] == list(ON_IMAGES)
    for row in about.rows:
        assert row.accuracy == spiking.variants[row.ablation].accuracy
        assert row.comparison.difference == pytest.approx(spiking.test.accuracy - row.accuracy)
    # Ablations are no rows of the main table.
    assert ablated.results.contenders == list(EXPERIMENT.contenders)


def test_energy_stands_beside_the_accuracy_of_twins(ablated):
    spiking, plain = ablated.results.trials
    first = spiking.operations.layers[0].macs.dense
    assert first == Ways(per_step=4 * 64 * 32, hoisted=64 * 32)
    assert plain.energy.tables["45nm-fp32"].of().dense > 0
    for name in ("relu_twin", "quantised_twin"):
        twin = spiking.variants[name]
        assert twin.operations.num_steps == 1
        assert twin.operations.totals.macs.dense.hoisted == 64 * 32 + 32 * 10
        # From its shape alone it is the same.
        alone = energy.estimate(relu_twin(spiking.operations).layers, energy.read("45nm-int8"))
        for memory in ("compute", "off_chip"):
            dense = twin.energy.tables["45nm-int8"].of(memory).dense
            assert dense <= alone.of(memory).dense
            assert (dense == pytest.approx(alone.of(memory).dense)) or name == "quantised_twin"
    # Activations of 3 bits are moved in 3.
    bits = [layer.input_bits for layer in spiking.variants["quantised_twin"].operations.layers]
    assert bits == [None, 3]


def test_ablations_are_read_again_and_found_again(ablated, unreported):
    read = load_run(ablated.out).results.features["ablations"]
    assert read.contenders == ablated.results.features["ablations"].contenders
    # The sentences are added when they are written.
    assert read.text == ablated.summaries()["ablations"] != ""
    store, progress = ablated.out.parent / "store", Telling()
    again = compare(EXPERIMENT, ablated.out.parent / "again", store, progress)
    assert not any(", epoch " in line for line in progress.lines)
    again_found = [line for line in progress.lines if "not trained again" in line]
    assert len(again_found) == 3 + len(EXPERIMENT.contenders)
    assert again.results.comparison == ablated.results.comparison


TAKES = """
from torch import nn
import spikeduel as sd
from spikeduel.engine import over_time
class Net(nn.Module):
    kind = "snn"
    readout = sd.MeanReadout()
    def __init__(self, num_classes, neuron):
        super().__init__()
        self.one, self.two, self.lif = nn.Linear(64, 24), nn.Linear(24, num_classes), neuron()
        self.end = sd.LeakyReadout(0.9)
    def forward(self, x):
        spk, _ = self.lif(over_time(lambda images: self.one(images.flatten(1)), x))
        return self.end(over_time(self.two, spk))
def build(image_shape, num_classes, num_steps, *, neuron, **settings):
    return Net(num_classes, neuron)
def stubborn(image_shape, num_classes, num_steps, **settings):
    return Net(num_classes, lambda: sd.LIF(0.9))
class Foreign(nn.Module):
    kind = "snn"
    readout = sd.MeanReadout()
    def __init__(self, num_classes):
        super().__init__()
        self.one, self.two = nn.Linear(64, 24), nn.Linear(24, num_classes)
    def forward(self, x):
        x = x.expand() if isinstance(x, sd.ConstantInput) else x
        return self.two((self.one(x.flatten(2)).cumsum(0) > 0.5).float())
def foreign(image_shape, num_classes, num_steps, **settings):
    return Foreign(num_classes)
"""


def test_a_network_of_ones_own_gets_its_ablations(write, tmp_path):
    write("own_takes", TAKES)
    own = replace(EXPERIMENT, contenders=("own_takes:build",), epochs=1)
    (made,) = run(own, tmp_path / "store").values()
    assert made.missing == {}
    assert all(made.results[name].accuracy > 0 for name in ON_IMAGES)
    assert sum(bool(result.key) for result in made.results.values()) == 3


@pytest.mark.parametrize(
    ("name", "left_out", "says"),
    [
        (
            "stubborn",
            {"relu_twin", "quantised_twin"},
            "has layers of LIF whatever neuron it is given",
        ),
        ("foreign", {"relu_twin", "quantised_twin", "shuffled"}, "no layer of spikeduel's neurons"),
    ],
)
def test_what_cannot_be_had_is_left_out_with_a_reason_and_the_others_run(
    name, left_out, says, write, tmp_path
):
    write("own_stubborn", TAKES)
    experiment = replace(EXPERIMENT, contenders=(f"own_stubborn:{name}",), epochs=1, seeds=2)
    progress = Telling()
    (made,) = run(experiment, tmp_path / "store", progress).values()
    assert set(made.missing) == left_out == set(ON_IMAGES) - set(made.results)
    assert set(made.predictions) == set(made.results)
    assert says in made.missing["relu_twin"].reason
    reasons = [line.partition("left out, ")[2] for line in progress.messages if "left out" in line]
    assert any(says in reason for reason in reasons)
    assert len(reasons) == len({*reasons})


def test_an_integer_network_is_its_own_quantised_twin(tmp_path):
    experiment = replace(EXPERIMENT, contenders=("vgg-integer",), epochs=1, width=4)
    (made,) = run(experiment, tmp_path / "store").values()
    twin, (trial,) = made.results["quantised_twin"], planned(experiment)[1]
    own = Store(tmp_path / "store").measure(trial.key, "classification", Classification)
    # A sum in another order can pass a threshold.
    assert twin.accuracy == pytest.approx(own.accuracy, abs=0.02)
    assert (twin.key, twin.epochs, twin.bits, twin.num_steps) == (None, None, 3, 1)
    assert not any(layer.acs and layer.acs.total for layer in twin.operations.layers)
    bits = [layer.input_bits for layer in twin.operations.layers if layer.type == "Conv2d"]
    assert (bits[0], {*bits[1:]}) == (None, {3})
    assert {*made.missing} == {"relu_twin"}
    assert trial.card.network == {"width": 4, "dropout": 0.0}


def test_an_ablation_that_fails_costs_the_others_nothing(tmp_path, monkeypatch):
    failing = replace(
        ABLATIONS["one_step"], settings=lambda context: {"num_steps": 1, "learning_rate": 1e36}
    )
    monkeypatch.setitem(ABLATIONS, "one_step", failing)
    made, none = run(replace(EXPERIMENT, epochs=1), tmp_path / "store").values()
    assert none is None
    assert "one_step" not in made.results
    assert "its training failed: loss or weights became NaN" in made.missing["one_step"].reason
    assert made.results["relu_twin"].accuracy > 0


# ---- what is concluded


SPIKING = {"kind": "snn", "num_steps": 4}


def correct_on(num_right, n=1000, start=0):
    """Right on `num_right` of `n` images, from image `start` on."""
    predicted = (np.roll(np.arange(n), start) >= num_right).astype(int)
    return classified(("a", "b"), np.zeros(n, int), predicted)


def concluded(own, reasons=None, groups=None, bits=None, folds=1, **by_variant):
    """A contender with the answers `own` beside its ablations, a seed for each answer; None is a
    failure.

    With `folds`, each seed has as many, one after the other.
    """
    outcomes = []
    for place, predictions in enumerate(own):
        beside = {name: row[place] for name, row in by_variant.items() if row[place] is not None}
        results = {
            name: VariantResult(
                title="",
                meaning="",
                spikes=False,
                paired=ABLATIONS[name].paired,
                n=scores.n,
                accuracy=scores.accuracy,
                by_class=scores.by_class,
                bits=bits if name == "quantised_twin" else None,
                feature="ablations",
            )
            for name, scores in beside.items()
        }
        fold = None if folds == 1 else place % folds
        own = record("conv-lif", place // folds, fold=fold, settings=SPIKING)
        if predictions is None:
            outcomes.append(TrialOutcome(own, {}))
        else:
            missing = {
                name: MissingVariant(title="", meaning="", reason=reason, feature="ablations")
                for name, reason in (reasons or {}).items()
            }
            ablated = TrialVariants(results, beside, missing)
            outcomes.append(TrialOutcome(own, {"classification": predictions}, variants=ablated))
    nothing = np.arange(0)
    splits = [
        Split(nothing, nothing, np.arange(1000 * fold, 1000 * (fold + 1)), "stratified", fold)
        for fold in range(folds)
    ]
    predictions = Predictions(
        predictions_of(prepared(1000 * folds, groups=groups), splits, outcomes)
    )
    trials = [trial_entry(outcome) for outcome in outcomes]
    about = compare_with_ablations("conv-lif", trials, predictions)
    return about, {row.ablation: row for row in about.rows}


def right(predictions):
    return np.array([np.equal(scores.truth, scores.predicted) for scores in predictions])


def test_differences_are_those_of_contenders():
    own, other = (
        [correct_on(800), correct_on(820)],
        [correct_on(700, start=50), correct_on(760, start=50)],
    )
    _, rows = concluded(own, relu_twin=other)
    row = rows["relu_twin"]
    assert row.comparison == significance.difference(right(own), right(other))
    # Of two ablations, the smaller p-value counts twice (Holm).
    _, both = concluded(own, relu_twin=other, quantised_twin=[correct_on(790), correct_on(810)])
    smaller, larger = sorted(
        (row.comparison for row in both.values() if row.comparison),
        key=lambda found: found.p_value_raw,
    )
    assert smaller.p_value == 2 * smaller.p_value_raw
    assert larger.p_value == max(larger.p_value_raw, 2 * smaller.p_value_raw)
    # Images that belong together say less than as many single ones.
    _, rows = concluded(own, groups=np.arange(1000) // 50, relu_twin=other)
    grouped = rows["relu_twin"].comparison
    assert grouped.groups == 20
    assert grouped.ci95[1] - grouped.ci95[0] > row.comparison.ci95[1] - row.comparison.ci95[0]


def test_what_is_asked_of_the_trained_network_itself_is_compared_seed_by_seed():
    own = [correct_on(800 + 10 * seed) for seed in range(6)]
    less = [correct_on(780 + 10 * seed) for seed in range(6)]
    _, rows = concluded(own, shuffled=less, one_step=less)
    assert rows["shuffled"].comparison.p_permutation == pytest.approx(2 / 64)
    assert rows["shuffled"].comparison.conclusion is Conclusion.A_BETTER
    # As many right answers of other trainings say less.
    assert not rows["one_step"].comparison.paired
    assert rows["one_step"].comparison.conclusion is Conclusion.INCONCLUSIVE
    assert [name for name, ablation in ON_IMAGES.items() if ablation.paired] == ["shuffled"]


def test_rows_are_pairs_of_the_contender_and_an_ablation():
    about, rows = concluded(
        [correct_on(800), correct_on(820)],
        reasons={"one_step": "its training failed: NaN"},
        bits=3,
        relu_twin=[correct_on(900), correct_on(900)],
        quantised_twin=[correct_on(700), None],
    )
    assert list(rows) == ["relu_twin", "quantised_twin", "one_step"]
    assert (about.contender, about.num_steps, about.seeds) == ("conv-lif", 4, 2)
    assert about.accuracy == pytest.approx(0.81)
    relu, quantised, one_step = (rows[name] for name in ("relu_twin", "quantised_twin", "one_step"))
    assert relu.comparison.difference == pytest.approx(-0.09)
    assert relu.deviation == pytest.approx(np.std([0.1, 0.08], ddof=1))
    assert (relu.comparison.seeds, relu.comparison.n, relu.bits) == (2, 1000, None)
    # Only the seed that both have.
    assert quantised.comparison.difference == pytest.approx(0.1)
    assert (quantised.comparison.seeds, quantised.bits, quantised.deviation) == (1, 3, None)
    assert (one_step.accuracy, one_step.comparison, one_step.reason) == (
        None,
        None,
        "its training failed: NaN",
    )


def test_folds_are_pooled_by_seed_and_an_unfinished_seed_is_left_out():
    # Two seeds of two folds of 1,000 images; the last fold of the second seed has no twin.
    own = [
        correct_on(800),
        correct_on(600),
        correct_on(700),
        correct_on(900),
    ]
    about, rows = concluded(
        own,
        folds=2,
        relu_twin=[correct_on(700), correct_on(600), correct_on(700), None],
    )
    assert about.accuracy == pytest.approx((0.7 + 0.8) / 2)
    difference = rows["relu_twin"].comparison
    assert (difference.seeds, difference.n) == (1, 2000)
    assert difference.difference == pytest.approx(0.7 - 0.65)
    # A seed with an unfinished fold of its own is no seed.
    about, _ = concluded([*own[:3], None], folds=2, relu_twin=[correct_on(700)] * 4)
    assert (about.seeds, about.accuracy) == (1, pytest.approx(0.7))
