import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from factories import evaluate, small_experiment, untimed
from forked import Forked
from spikeduel import data
from spikeduel.comparing import compare
from spikeduel.engine.networks.models import load_model
from spikeduel.evaluation.measures import MEASURES, Measure
from spikeduel.experiment.recipes import baseline
from spikeduel.experiment.settings import read_experiment, write_experiment
from spikeduel.results import predictions
from spikeduel.results.findings import finding
from spikeduel.results.run import GroupSizes, json_schema
from spikeduel.results.significance import compare_predictions
from spikeduel.results.trials import Classification
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files, load
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training.jobs import Processes, Workers
from spikeduel.training.store import Store
from spikeduel.training.timing import SITTINGS
from spikeduel.training.training import Loop
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

TWO_CORES = pytest.mark.skipif(len(load.cores()) < 2, reason="this machine lends a single core")
EXPERIMENT = small_experiment()


@pytest.fixture(scope="module")
def duel(tmp_path_factory):
    """A finished comparison; its store is `duel.out / "../store"`."""
    folder = tmp_path_factory.mktemp("duel")
    return compare(EXPERIMENT, folder / "out", folder / "store")


def test_everything_that_is_promised_is_in_the_runs_folder(duel):
    names = {str(path.relative_to(duel.out)) for path in duel.out.rglob("*") if path.is_file()}
    assert names == {
        "experiment.toml",
        "results.json",
        "report.html",
        "split.csv",
        "predictions.json",
        "labels.csv",
        "sha256sums.txt",
        "models/dense-snn-seed0.safetensors",
        "models/small-cnn-seed0.safetensors",
        ".lock",
    }


def test_the_predictions_are_those_that_were_measured(duel):
    stored, prepared = predictions.read(duel.out), data.load(EXPERIMENT)
    for trial in duel.results.trials:
        right = np.equal(stored.predictions[trial.contender, trial.seed].predicted, stored.labels)
        assert right.mean() == trial.test.accuracy
    labels = np.asarray(prepared.labels)[data.split(prepared, EXPERIMENT).test]
    assert np.array_equal(stored.labels, labels)
    assert stored.fingerprint == duel.results.dataset.fingerprint
    (pair,) = duel.results.comparison.pairs
    predicted = [stored.predictions[name, 0].predicted for name in (pair.a, pair.b)]
    assert compare_predictions(stored.labels, *predicted).p_value == pair.p_value


def test_the_results_on_disk_are_those_returned(duel):
    run, stored = load_run(duel.out), json.loads((duel.out / "results.json").read_text())
    assert stored == run.document() == duel.document()
    assert run.experiment == duel.experiment == read_experiment(duel.out / "experiment.toml")


def test_every_key_on_disk_is_in_the_schema(duel):
    schema, document = json_schema(), json.loads((duel.out / "results.json").read_text())
    jsonschema.validate(document, schema)
    for part in (document, document["comparison"]["recommendation"], document["trials"][0]["test"]):
        part["more"] = 1
        with pytest.raises(jsonschema.ValidationError, match="more"):
            jsonschema.validate(document, schema)
        del part["more"]


def test_scores_agree_with_one_another_and_with_the_labels(duel):
    prepared = data.load(EXPERIMENT)
    truth = prepared.labels[data.split(prepared, EXPERIMENT).test]
    supports = np.bincount(truth).tolist()
    for trial in duel.results.trials:
        test, confusion = trial.test, np.array(trial.test.confusion)
        assert test.n == len(truth) == duel.results.dataset.counts.test
        assert confusion.sum(1).tolist() == [row.support for row in test.per_class] == supports
        assert test.accuracy == np.trace(confusion) / test.n
        assert test.recall == pytest.approx((np.diag(confusion) / supports).mean())
        assert trial.validation.accuracy == max(epoch.val_accuracy for epoch in trial.history)
        assert trial.best_epoch in (0, 1)
        assert len(trial.epoch_seconds) == trial.epochs == 2
    assert duel.results.trials[0].test.accuracy > 0.5


def test_the_models_in_the_runs_folder_give_the_results(duel):
    prepared = data.load(EXPERIMENT)
    test = data.split(prepared, EXPERIMENT).test
    # Without random encoding the answers do not depend on how draws are keyed.
    model = load_model(duel.best("small-cnn"))
    labels, _ = model.predict(np.asarray(prepared.images[test]))
    assert (labels == prepared.labels[test]).mean() == duel.results.trials[1].test.accuracy
    assert model.card.classes == tuple(duel.results.dataset.classes)


def without_date(comparison):
    """Return the content of results.json but for the time of writing."""
    return {**comparison.document(), "created": None}


def test_a_second_call_trains_nothing_and_finds_the_same(duel, unreported):
    log = Telling()
    again = compare(EXPERIMENT, duel.out, duel.out.parent / "store", log)
    assert (log.trained, log.found) == (0, 2)
    assert without_date(again) == without_date(load_run(duel.out)) == without_date(duel)


def test_the_results_are_there_before_the_report_is_drawn(duel, tmp_path, unreported):
    there = []

    def receive(comparison):
        there.extend(name for name in names if (comparison.out / name).exists())

    names = ("results.json", "report.html")
    compare(EXPERIMENT, tmp_path / "run", duel.out.parent / "store", on_results=receive)
    assert there == ["results.json"]
    assert (tmp_path / "run" / "report.html").exists()


def test_more_seeds_train_only_what_is_missing(duel, unreported):
    log, folder = Telling(), duel.out.parent
    more = compare(replace(EXPERIMENT, seeds=2), folder / "more", folder / "store", log)
    assert (log.trained, log.found) == (2 * 2, 2)
    assert [(trial.contender, trial.seed) for trial in more.results.trials] == [
        ("dense-snn", 0),
        ("small-cnn", 0),
        ("dense-snn", 1),
        ("small-cnn", 1),
    ]
    assert more.results.trials[:2] == duel.results.trials
    assert more.results.comparison.pairs[0].seeds == 2
    assert "±" in more.table()


def test_models_of_an_earlier_run_in_the_folder_go(duel, tmp_path, unreported):
    folder, store = shutil.copytree(duel.out, tmp_path / "run"), duel.out.parent / "store"
    named = {path.name for path in (folder / "models").iterdir()}
    others = [folder / "models" / "notes.txt", folder / "own.safetensors"]
    for path in [folder / "models" / "conv-lif-seed0.safetensors", *others]:
        path.write_text("of before")
    log, other = Telling(), replace(EXPERIMENT, tolerance=1.5)
    with pytest.raises(
        InputError, match=r"run: holds another .*differs in tolerance\).* --replace"
    ):
        compare(other, folder, store, log)
    assert len([*(folder / "models").iterdir()]) == len(named) + 2
    compare(other, folder, store, log, replace_run=True)
    assert {path.name for path in (folder / "models").iterdir()} == {*named, "notes.txt"}
    assert all(path.is_file() for path in others)


@pytest.mark.parametrize("which", ["out", "store"])
def test_a_folder_that_cannot_be_written_is_refused_before_training(which, small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    log = Telling()
    folders = {"out": tmp_path / "out", "store": tmp_path / "store"}
    with pytest.raises(InputError, match=r"cannot write to .*file.below"):
        compare(small, progress=log, **{**folders, which: tmp_path / "file" / "below"})
    assert log.trained == 0


def test_a_failed_contender_is_named_and_the_others_are_reported(small, tmp_path, unpainted):
    (tmp_path / "own_failing.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    kind = 'cnn'\n"
        "    def forward(self, x):\n"
        "        raise RuntimeError('no more')\n"
        "def build(image_shape, num_classes, num_steps, **settings):\n"
        "    return Net(64, num_classes)\n"
    )
    contenders = ("own_failing:build", "small-cnn")
    run = compare(replace(small, contenders=contenders, num_steps=25, epochs=1, limit=200))
    sys.modules.pop("own_failing")
    assert run.failed
    failed, done = run.results.trials
    assert (failed.status, failed.error, failed.test) == ("failed", "RuntimeError: no more", None)
    assert done.test.n == 179
    assert run.results.comparison.pairs == []
    expected = finding("failed_trials", titles=["own_failing:build, seed 0"])
    assert expected in run.results.comparison.caveats
    assert [path.name for path in (run.out / "models").iterdir()] == ["small-cnn-seed0.safetensors"]
    assert (run.out / "report.html").is_file()


def test_when_nothing_is_finished_there_is_still_a_report(small):
    run = compare(replace(small, learning_rate=1e36, limit=200))
    assert (run.failed, run.results.comparison.pairs) == (True, [])
    assert "failed" in run.table()
    assert (run.out / "report.html").is_file()


def test_in_folds_every_image_is_tested_once_and_a_rerun_trains_nothing(
    small, tmp_path, random, unreported
):
    for name, level in (("dark", 0), ("light", 150)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(15):
            pixels = random.integers(level, level + 100, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(f"pets/{name}/{number // 3}_{number % 3}.png")
    experiment = replace(small, dataset="pets", folds=3, seeds=2, epochs=1, group_by=r"(\w+/\d+)_")
    run = compare(experiment, tmp_path / "out", tmp_path / "store")
    assert {path.name for path in (run.out / "models").iterdir()} == {
        f"{name}-seed{seed}-fold{fold}.safetensors"
        for name in ("dense-snn", "small-cnn")
        for seed in range(2)
        for fold in range(3)
    }
    heading, *rows = [line.split(",") for line in (run.out / "split.csv").read_text().splitlines()]
    assert heading == ["path", "split", "fold", "group", "image"]
    tested = [path for path, split_name, *_ in rows if split_name == "test"]
    pictures = [path.relative_to("pets").as_posix() for path in Path("pets").rglob("*.png")]
    assert sorted(tested) == sorted(pictures)
    for fold in "012":
        splits = {
            (path[: path.index("_")], split_name)
            for path, split_name, number, *_ in rows
            if number == fold
        }
        assert len(splits) == len({group for group, _ in splits}) == 10
    dataset = run.results.dataset
    assert (dataset.counts.test, dataset.groups, dataset.split) == (30, 10, "grouped")
    assert dataset.group_sizes == GroupSizes(largest=3, median=3.0)
    assert [fold.total for fold in dataset.folds] == [30] * 3
    sizes = [fold.test for fold in dataset.folds for _ in range(4)]
    assert [trial.test.n for trial in run.results.trials] == sizes
    (pair,) = run.results.comparison.pairs
    assert (pair.n, pair.seeds) == (30, 2)
    assert "±" in run.table()

    log, written = Telling(), read_experiment(run.out / "experiment.toml")
    again = compare(written, tmp_path / "again", tmp_path / "store", log)
    assert (log.trained, log.found) == (0, 12)
    assert without_date(again) == without_date(run)


def test_a_folder_with_other_things_is_not_written_to(small, tmp_path):
    precious = tmp_path / "mine" / "report.html"
    precious.parent.mkdir()
    precious.write_text("precious")
    with pytest.raises(InputError, match="mine: holds other things than a run"):
        compare(small, tmp_path / "mine")
    assert precious.read_text() == "precious"


def test_the_folder_of_a_run_on_other_data_is_not_written_to(duel):
    before = (duel.out / "results.json").read_bytes()
    other = replace(EXPERIMENT, dataset="fashion-mnist-mini", limit=100, epochs=1)
    with pytest.raises(InputError, match=r"differs in dataset, .*images\). Choose another --out"):
        compare(other, duel.out)
    assert (duel.out / "results.json").read_bytes() == before


class Printing(Progress):
    """Prints all lines."""

    def say(self, text):
        print(text, flush=True)

    detail = say


def started(experiment, out):
    """A process that makes the comparison of a settings file, with a store that they share."""
    return Forked(lambda: compare(read_experiment(experiment), out, "shared", Printing()))


def test_experiments_that_share_a_contender_train_it_once(small, tmp_path, unreported):
    small = replace(small, epochs=1, limit=200)
    write_experiment(tmp_path / "both.toml", small)
    write_experiment(tmp_path / "one.toml", replace(small, contenders=("small-cnn",), num_steps=25))
    # Both write to one folder, where what one of them wrote must be left, and not a mixture.
    processes = [started("both.toml", "out"), started("one.toml", "out")]
    codes, output = zip(*(process.ended() for process in processes), strict=True)
    lines = "\n".join(line for part in output for line in part)
    assert codes == (0, 0), lines
    assert lines.count("small-cnn, seed 0, epoch 1/1") == 1
    assert lines.count("small-cnn, seed 0: trained before, tested now") == 1
    # By who waits for its training, and again by who comes second to test it.
    assert lines.count("small-cnn, seed 0: found in the store") in (1, 2)
    assert lines.count(", epoch 1/1") == 2
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    settings = read_experiment(tmp_path / "out" / "experiment.toml")
    assert [trial["contender"] for trial in results["trials"]] == list(settings.contenders)
    assert list((tmp_path / "out").rglob("*.part")) == []


def test_who_waits_for_a_trial_or_a_folder_says_so(small, tmp_path, unreported):
    small = replace(small, contenders=("small-cnn",), num_steps=25, epochs=1, limit=200)
    (key,) = [entry.key for entry in compare(small, "out", "shared").results.trials]
    write_experiment(tmp_path / "e.toml", small)
    with files.locked(tmp_path / "out" / ".lock"):
        with files.locked(tmp_path / "shared" / f"{key}.lock"):
            other = started("e.toml", "out")
            lines = iter(other)
            assert any("is training this trial; waiting" in line for line in lines)
        assert any("is writing out; waiting" in line for line in lines)
    assert other.ended()[0] == 0


def test_a_measure_that_fails_is_null_and_a_caveat(small, monkeypatch, unpainted):
    def broken(model, batches):
        raise RuntimeError("no luck")

    monkeypatch.setitem(MEASURES, "classification", Measure(broken, Classification))
    run = compare(replace(small, epochs=1, limit=200))
    assert run.failed
    for trial in run.results.trials:
        assert (trial.status, trial.test) == ("done", None)
        assert trial.failed_measures == {"classification": "RuntimeError: no luck"}
        assert (run.out / trial.model).is_file()
        values = {"trial": f"{trial.contender}, seed 0", "reason": "RuntimeError: no luck"}
        caveat = finding("failed_measure", measure="classification", **values)
        assert run.results.comparison.caveats.count(caveat) == 1
    assert (run.out / "report.html").is_file()


def test_the_uses_of_the_test_images_are_counted_and_explained(small, unreported):
    def uses(**changes):
        experiment = replace(small, contenders=("small-cnn",), num_steps=25, epochs=1, **changes)
        results = compare(experiment, store="s").results
        warned = [caveat for caveat in results.comparison.caveats if caveat.id == "test_uses"]
        return results.dataset.test_uses, results.dataset.test_uses_here, warned

    assert uses(limit=200) == uses(limit=200) == (1, 1, [])
    assert uses(limit=300, learning_rate=1e-3) == (2, 1, [finding("test_uses", uses=2, here=1)])


WORKERS = {"here": Workers, "processes": lambda: Processes(2, threads=1)}


@pytest.mark.parametrize("kind", ["here", pytest.param("processes", marks=TWO_CORES)])
def test_trainings_that_are_thrown_away_see_no_test_image(kind, small, monkeypatch, unreported):
    def slow(trials, *others):
        return {trial.card.contender: 0.3 for trial in trials}

    monkeypatch.setattr("spikeduel.training.timing.epoch_seconds", slow)
    experiment = replace(small, epochs=None, minutes=0.02, limit=200)
    with WORKERS[kind]() as workers:
        results = compare(experiment, "out", "s", log := Telling(), workers=workers).results
    assert any("it is trained anew, with" in line for line in log.messages)
    keys, store = {trial.key for trial in results.trials}, Store("s")
    thrown_away = set(store.trials()) - keys
    assert thrown_away
    uses = [json.loads(line) for line in Path("s/ledger.jsonl").read_text().split("\n") if line]
    assert sorted(use["trial"] for use in uses) == sorted(keys)
    assert results.dataset.test_uses == results.dataset.test_uses_here == len(keys)
    assert not any([*store.folder(key).glob("measures/*.json")] for key in thrown_away)
    # Nothing is trained twice.
    records = [store.record(key) for key in store.trials()]
    assert log.trained == sum(len(record.history) for record in records)


def test_a_failed_training_is_not_repeated_to_be_tested(small, monkeypatch, unreported):
    begun, run = [], Loop.run

    def failing(loop):
        begun.append(loop.model.card.contender)
        if loop.model.card.contender == "small-cnn":
            raise RuntimeError("lost")
        return run(loop)

    monkeypatch.setattr(Loop, "run", failing)
    compare(replace(small, epochs=1, limit=200), "out", "s")
    assert sorted(begun) == ["dense-snn", "small-cnn"]


def test_inference_is_timed_once_a_contender(small, monkeypatch, unreported):
    timed = []

    def made(path, images, device, own_code=()):
        timed.append((path.parent.name, images.shape))
        return untimed(path, images, device, own_code)

    monkeypatch.setattr("spikeduel.evaluation.latency.latency", made)
    experiment = replace(small, seeds=2, epochs=1, limit=200)
    trials, again = (compare(experiment, store="s").results.trials for _ in range(2))
    assert [bool(trial.latency) for trial in trials] == [True, True, False, False]
    # All test images, for there are fewer than 256.
    assert timed == [(trial.key, (trials[0].test.n, 1, 8, 8)) for trial in trials[:2]] * SITTINGS
    assert [trial.latency for trial in again] == [trial.latency for trial in trials]


@pytest.fixture
def pictures(tmp_path):
    """A folder of 60 images in two classes with a test set of their own, 12×12; in `moved` the same
    files elsewhere.
    """
    random = np.random.default_rng(0)
    for number in range(60):
        label, split_name = ("dark", "light")[number % 2], "test" if number % 6 < 2 else "train"
        pixels = random.integers(0, (150, 255)[number % 2], (12, 12), dtype=np.uint8)
        # Another name, and so another order.
        for root, name in (("pictures", number), ("moved", 97 - number)):
            path = tmp_path / root / split_name / label / f"{name:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "pictures"


def test_a_test_set_is_its_images_and_not_their_pixels_at_one_size(
    pictures, unreported, monkeypatch
):
    def compared(out, dataset=pictures, **changes):
        tiny = baseline(
            str(dataset), contenders=("small-cnn", "dense-snn"), hidden=8, num_steps=2, epochs=1
        )
        return compare(replace(tiny, device="cpu", **changes), out, "s").results

    def uses(results):
        return results.dataset.test_uses, results.dataset.test_uses_here

    first = compared("first", image_size=8)
    larger = compared("larger", image_size=12)
    moved = compared("moved-run", pictures.parent / "moved", image_size=10)
    assert len({results.dataset.fingerprint for results in (first, larger, moved)}) == 3
    assert [uses(results) for results in (first, larger, moved)] == [(2, 2), (4, 2), (6, 2)]
    assert finding("test_uses", uses=4, here=2) in larger.comparison.caveats
    # And a model that is evaluated on them at the size that it takes.
    model = load_model("first/" + first.trials[0].model)
    evaluate(model, replace(first.experiment, dataset=str(pictures.parent / "moved")), store="s")
    assert uses(compared("first", image_size=8)) == (7, 2)

    images = sorted(predictions.read("first").images)
    for name in ("larger", "moved-run"):
        assert sorted(predictions.read(name).images) == images

    # Without a test set of their own, the images that are tested depend on the split.
    for seed in range(2):
        monkeypatch.setattr(sys.modules["spikeduel.data.splits"], "_STREAM", seed)
        assert uses(compared(f"seed-{seed}", pictures / "train")) == (2, 2)
    first_images, other_images = (set(predictions.read(f"seed-{seed}").images) for seed in (0, 1))
    assert first_images != other_images
