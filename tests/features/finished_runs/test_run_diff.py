import json
from dataclasses import replace

import pytest
from msgspec import structs

from factories import dataset, predictions_file, results, scored, trial, untimed
from made_operations import plain, spiking
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.features.finished_runs import run_comparison, run_diff
from spikeduel.features.finished_runs.run_diff import RunSummary
from spikeduel.results import predictions
from spikeduel.results.significance import Conclusion
from spikeduel.sentences.comparison import Comparison
from spikeduel.system import typed

EXPERIMENT = Experiment(dataset="made up", contenders=("snn", "cnn"), epochs=3, batch_size=8)
NUM = 400
HERE = {"cpu": "one", "threads": 2, "device": "cpu"}


@pytest.fixture
def make_run(tmp_path):
    """Makes a run's folder: how many predictions of each contender and seed are wrong, its settings,
    what else it says.
    """

    def make(
        name,
        wrong,
        experiment=EXPERIMENT,
        images=range(NUM),
        environment=HERE,
        about=None,
        test=None,
        **more,
    ):
        run = tmp_path / "runs" / name
        write_experiment(run / "experiment.toml", experiment)
        trials = [
            trial(
                contender,
                1 - numbers[seed] / NUM,
                seed=seed,
                seconds=[2.0, 4.0],
                latency=untimed(None, None, "cpu"),
                operations=spiking() if contender == "snn" else plain(),
                **({"test": test} if test else {}),
            )
            for contender, numbers in wrong.items()
            for seed in range(len(numbers))
        ]
        made = results(trials, experiment=experiment, about=about or dataset(NUM))
        made = structs.replace(made, environment=environment, **more)
        (run / "results.json").write_text(json.dumps(Comparison(experiment, made, run).document()))
        predicted = {
            (contender, seed): [1] * number + [0] * (NUM - number)
            for contender, numbers in wrong.items()
            for seed, number in enumerate(numbers)
        }
        file = predictions_file(
            [0] * NUM, predicted, classes=["a", "b"], images=[f"{image:016x}" for image in images]
        )
        typed.write_json(run / predictions.FILE, file)
        return run

    return make


# ---- many


def test_runs_are_listed_newest_first_with_what_sets_them_apart(make_run):
    older = make_run("older", {"snn": [40], "cnn": [80]})
    newer = make_run(
        "newer",
        {"snn": [40, 20]},
        replace(EXPERIMENT, augmentation="threshold", seeds=2),
        about=dataset(NUM, image_shape=(1, 32, 32)),
        created="2021-02-03T04:05:06+00:00",
    )
    (newer.parent / "store").mkdir()
    first, second = run_diff.list_runs(newer.parent)
    assert (first.run, second.run) == (str(newer), str(older))
    assert second.accuracy == {"snn": [0.9], "cnn": [0.8]}
    assert first.models == [
        str(newer / "models" / f"snn-seed{seed}.safetensors") for seed in (0, 1)
    ]
    # What the set decided counts, and not what was left open: the older run does not say how large
    # its images are.
    apart = ["image_size", "augmentation", "seeds"]
    assert list(first.settings.items()) == list(zip(apart, (32, "threshold", 2), strict=True))
    assert second.settings == dict(zip(apart, (None, "auto", 1), strict=True))


def test_runs_in_inner_folders_are_listed_and_unreadable_ones_named(make_run):
    run, inner = make_run("images-a", {"snn": [1]}), make_run("x/parts/digits-b", {"snn": [1]})
    damaged = make_run("damaged", {"snn": [1]})
    (damaged / "results.json").write_text("{")
    warnings: list[str] = []
    listed = run_diff.list_runs(run.parent, warnings.append)
    assert {summary.run for summary in listed} == {str(run), str(inner)}
    (warning,) = warnings
    assert warning.startswith(f"left out: {damaged}")
    assert [summary.run for summary in run_diff.list_runs(inner.parent.parent)] == [str(inner)]


# ---- two


def test_contenders_of_both_are_tested_on_the_same_images(make_run):
    a = make_run("a", {"snn": [80], "cnn": [10]})
    b = make_run("b", {"snn": [10], "cnn": [10], "gru": [5]}, replace(EXPERIMENT, epochs=9))
    compared = run_diff.compare(a, b)
    assert compared.settings == {"epochs": (3, 9)}
    assert (compared.why_not, compared.times_compare) == ({}, True)
    snn, cnn = compared.differences.values()
    assert snn.difference == pytest.approx(-70 / NUM)
    assert snn.conclusion is Conclusion.B_BETTER
    assert cnn.difference == 0
    # Two tests were made.
    alone = run_comparison.compare_runs(a, "snn", "snn", b)
    assert snn.p_value == pytest.approx(2 * alone.p_value_raw)


def test_an_impossible_test_has_a_reason(make_run):
    a, b = make_run("a", {"snn": [80]}), make_run("b", {"snn": [10]}, replace(EXPERIMENT, epochs=9))
    content = json.loads((b / predictions.FILE).read_text())
    content["trials"][0]["seed"] = 7
    (b / predictions.FILE).write_text(json.dumps(content))
    assert "no finished seed in common" in run_diff.compare(a, b).why_not["snn"]
    (a / predictions.FILE).unlink()
    compared = run_diff.compare(a, b)
    assert "has no predictions.json" in compared.why_not["snn"]
    assert (compared.differences, compared.settings) == ({}, {"epochs": (3, 9)})
    other = make_run("other", {"snn": [10]}, images=range(1, NUM + 1))
    third = make_run("third", {"snn": [10]})
    assert "different test images" in run_diff.compare(third, other).why_not["snn"]


@pytest.mark.parametrize("environment", [None, {**HERE, "threads": 4}])
def test_times_of_other_machines_do_not_compare(environment, make_run):
    a, b = make_run("a", {"snn": [80]}), make_run("b", {"snn": [10]}, environment=environment)
    assert not run_diff.compare(a, b).times_compare


# ---- as text


def summary(name="images-strong-85380ed6", **settings):
    return RunSummary(
        run=f"runs/{name}",
        created="2001-02-03T04:05:06+00:00",
        dataset="images",
        accuracy={"vgg-lif": [0.5, 0.75], "vgg-relu": [0.5], "broken": []},
        measure="accuracy",
        models=[],
        settings=settings,
    )


def test_a_run_has_a_line_for_each_contender():
    text, others = run_diff.table([summary(image_size=32, folds=None)])
    assert others == ""
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["images-strong-85380ed6", "2001-02-03", "32", "–", "vgg-lif", "62.50", "±", "17.68"],
        ["vgg-relu", "50.00"],
        ["broken", "failed"],
    ]


def test_runs_are_listed_by_the_measure_that_decides(make_run):
    # Always the class of 300 of 320 images: 93.75 %, and half of balanced accuracy.
    constant = scored(0.9375, (300, 20), [[300, 0], [20, 0]])
    run = make_run("rare", {"snn": [0]}, test=constant)
    (listed,) = run_diff.list_runs(run.parent)
    assert (listed.measure, listed.accuracy) == ("balanced_accuracy", {"snn": [0.5]})
    table, _ = run_diff.table([structs.replace(listed, accuracy={"snn": [0.5], "broken": []})])
    assert "50.00 (balanced)" in table
    assert "failed (" not in table


def test_only_settings_that_fit_have_a_column_and_the_others_are_named():
    many = {f"setting_{number}": "a value" for number in range(9)}
    of_contenders = {"vgg-lif": {"threshold": 0.7, "beta": 0.9}}
    table, note = run_diff.table([summary(own_settings=of_contenders, image_size=32, **many)])
    assert max(map(len, table.splitlines())) <= 100
    assert "image size" in table
    assert "own settings" in note
    assert [f"setting {number}" in table for number in (0, 8)] == [True, False]
