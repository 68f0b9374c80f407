import json
from pathlib import Path

import pytest
from hypothesis import given
from msgspec import structs

from damage import FUZZED, changed, problem
from factories import dataset, example, pair, results, scored, trial, untimed, variant_result
from made_audits import audit_with
from made_operations import plain, spiking
from spikeduel.auditing.audit_sentences import problems
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.results.findings import finding
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import Score
from spikeduel.sentences import columns
from spikeduel.sentences.comparison import Comparison, load_run
from spikeduel.system import typed
from spikeduel.system.errors import InputError

EXPERIMENT = Experiment(dataset="made up", contenders=("snn", "cnn"))
SNN = trial(
    "snn",
    0.9,
    parameters=1234,
    seconds=[2.0],
    operations=spiking(),
    latency=untimed(None, None, "cpu"),
    variants={"shuffled": variant_result("shuffled", 0.5, spikes=True)},
)
CNN = trial("cnn", 0.8, parameters=1234, operations=plain())
FINDING = example("conflicting_labels")
ALL = results(
    [SNN, CNN],
    [pair(0.1, conclusion=Conclusion.A_BETTER)],
    experiment=EXPERIMENT,
    about=dataset(audit=audit_with(conclusions=(FINDING,))),
    caveats=[finding("one_seed"), FINDING],
)


def comparison(of=ALL, out=Path("out")):
    return Comparison(EXPERIMENT, of, out)


def of_trials(*trials):
    return comparison(results(trials))


# ---- what it says


def test_the_document_is_the_data_with_its_sentences():
    shown = comparison()
    document = shown.document()["comparison"]
    assert [(caveat["id"], caveat["text"]) for caveat in document["caveats"]] == list(
        zip(("one_seed", "conflicting_labels"), shown.caveats(), strict=True)
    )
    audited = shown.document()["dataset"]["audit"]
    assert (audited["ok"], audited["problems"]) == (False, problems(ALL.dataset.audit))
    json.dumps(shown.document(), allow_nan=False)


def test_leaks_are_separate_from_other_caveats():
    assert comparison().leaks() == []
    leak, near = finding("leakage", shared=0.5, official=False), example("near_test_in_training")
    caveats = [finding("one_seed"), leak, *ALL.comparison.caveats, near]
    about = dataset(audit=audit_with(conclusions=(FINDING, near)))
    shown = comparison(results([SNN], about=about, caveats=caveats))
    texts = shown.caveats()
    assert shown.leaks() == [texts[1], texts[-1]]


def test_the_table_has_a_note_where_there_is_a_spread():
    alone, both = of_trials(SNN), of_trials(SNN, structs.replace(SNN, seed=1))
    assert "±" not in alone.table()
    assert both.table().splitlines()[-1] == columns.spread_note(both.results.trials) != ""


@pytest.mark.parametrize(
    ("other", "failed"),
    [
        (CNN, False),
        (trial("cnn"), True),
        (structs.replace(CNN, failed_measures={"calibration": "it broke"}), True),
    ],
    ids=["nothing", "a trial", "a measure"],
)
def test_what_failed(other, failed):
    assert of_trials(SNN, other).failed is failed


# ---- the best model


def validated(contender, accuracy, seed=0, **changes):
    return trial(contender, 0.5, seed=seed, validation=Score(accuracy=accuracy), **changes)


def test_the_best_is_chosen_on_validation_not_on_test():
    # Seed 0 is perfect on the test images, seed 1 is ahead on validation.
    first = validated("dense-snn", 0.6, test=scored(1.0))
    others = [validated("dense-snn", 0.9, 1), validated("deep-snn", 0.95), validated("cnn", 0.5)]
    shown = of_trials(first, *others)
    best = {"dense-snn": "dense-snn-seed1", "snn": "deep-snn-seed0", "cnn": "cnn-seed0"}
    for name, model in best.items():
        assert shown.best(name) == Path(f"out/models/{model}.safetensors")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ssnn", "unknown contender 'ssnn': did you mean 'snn'"),
        ("cnn", "no trial of cnn was finished"),
    ],
)
def test_who_has_no_best_model_is_named(name, problem):
    with pytest.raises(InputError, match=problem):
        of_trials(SNN, trial("cnn")).best(name)


# ---- for other programs


def test_a_table_for_latex(golden):
    seeds = [trial("own_net:50%", accuracy, seed=seed) for seed, accuracy in enumerate((0.9, 0.8))]
    golden(of_trials(*seeds, trial("cnn")).to_latex())


# ---- runs on disk


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "made-up"
    write_experiment(folder / "experiment.toml", EXPERIMENT)
    (folder / "results.json").write_text(json.dumps(comparison().document()))
    return folder


def test_a_run_is_read_again(run):
    read = load_run(run)
    assert (read.experiment, read.out) == (EXPERIMENT, run)
    assert typed.plain(read.results) == typed.plain(comparison().worded())
    assert read.document() == json.loads((run / "results.json").read_text())


def replaced_by(change):
    """A damage: the text of a file becomes `change` of it."""
    return lambda path: path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("file", "damage", "is_advised"),
    [
        ("results.json", Path.unlink, False),
        ("results.json", lambda path: (path.unlink(), path.mkdir()), False),
        ("results.json", replaced_by(lambda text: text[:200]), True),
        ("results.json", replaced_by(lambda text: "[]"), True),
        (
            "results.json",
            replaced_by(lambda text: json.dumps(json.loads(text) | {"schema": 2})),
            True,
        ),
        ("results.json", replaced_by(lambda text: '{"schema": 3, "name": "something else"}'), True),
        ("experiment.toml", Path.unlink, False),
        ("experiment.toml", replaced_by(lambda text: "dataset = 'di"), False),
    ],
    ids=[
        "missing",
        "folder",
        "cut",
        "list",
        "other schema",
        "foreign",
        "no experiment",
        "cut toml",
    ],
)
def test_what_is_no_run_is_named(file, damage, is_advised, run):
    damage(run / file)
    with pytest.raises(InputError, match=r"runs.made-up") as refused:
        load_run(run)
    assert ("`spikeduel compare --experiment" in str(refused.value)) == is_advised


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda r: r["trials"][0].pop("history"), r"trials\[0\]: .*history"),
        (
            lambda r: r["trials"][1]["test"].update(accuracy=7),
            r"trials\[1\]\.test\.accuracy: .*<= 1",
        ),
        (lambda r: r["trials"][0].update(model=None), r"trials\[0\]: a finished trial has a model"),
        (lambda r: r["trials"][0].update(epoch_seconds=[10**400]), r"epoch_seconds\[0\]: "),
        (
            lambda r: r["trials"][0].update(epochs="2"),
            r"trials\[0\]\.epochs: expected int, got str",
        ),
        (lambda r: r["trials"].clear(), "trials: "),
        (lambda r: r["experiment"].update(learning_rate="fast"), "experiment.*learning_rate"),
        (
            lambda r: r["comparison"]["pairs"][0].update(conclusion="sure"),
            r"pairs\[0\]\.conclusion: .*'sure'",
        ),
        (lambda r: r["comparison"]["caveats"][0].update(id="no"), r"caveats\[0\].*: .*'no'"),
        (lambda r: r.update(created=5), "created: expected str, got int"),
    ],
)
def test_damaged_results_are_named_with_the_place(change, place, run):
    content = json.loads((run / "results.json").read_text())
    change(content)
    (run / "results.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=rf"results\.json: damaged, or not results of spikeduel: .*{place}"
    ):
        load_run(run)


@FUZZED
@given(content=changed(comparison().document()))
def test_changed_results_are_listed_and_shown_or_an_input_error(run, content):
    (run / "results.json").write_text(json.dumps(content))
    if text := problem(load_run, run):
        assert "results.json" in text
    else:
        shown = load_run(run)
        assert shown.table()
        assert shown.verdict()
        json.dumps(shown.document())
