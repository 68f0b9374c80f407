"""A study from its file to its page: what is trained, how often, and what is left behind."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from factories import verify
from made_commands import document, printed
from made_pages import without_pages
from spikeduel.features import FEATURES
from spikeduel.features.study import studying
from spikeduel.features.study.study_files import read_study
from spikeduel.features.study.study_sentences import headline
from spikeduel.sentences.comparison import load_run
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.training.jobs import Workers
from spikeduel.training.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data", "unreported")

FILE = """
name = "two sets"
[grid]
dataset = ["digits", "shapes"]
encoding = ["direct", "rate"]
[settings]
contenders = ["dense-lif", "dense-relu"]
hidden = 16
num_steps = 2
epochs = 1
seeds = 2
limit = 200
[[exclude]]
dataset = "shapes"
encoding = "rate"
"""


def write_pictures(folder):
    for label, brightest in (("dark", 100), ("light", 255)):
        (folder / label).mkdir(parents=True)
        for n in range(20):
            random = np.random.default_rng([brightest, n])
            pixels = random.integers(0, brightest, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{n}.png")


def study_of(folder, text):
    """The study of this text, in a file of the folder."""
    (folder / "study.toml").write_text(text)
    return read_study(folder / "study.toml")


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_pictures(folder / "shapes")
    return study_of(folder, FILE)


@pytest.fixture(scope="module")
def done(planned, tmp_path_factory):
    """A finished study: what it found, its page, its folder and its progress."""
    folder, progress = tmp_path_factory.mktemp("done"), Watching()
    with without_pages():
        results, page = studying.study(planned, folder / "out", folder / "store", progress)
    return results, page, folder, progress


class Watching(Telling):
    """Progress that notes the runs that begin (folder, label) and end."""

    def __init__(self):
        super().__init__()
        self.begun, self.over = [], []

    def of_run(self, folder, label=""):
        self.begun.append((folder, label))
        return super().of_run(folder, label)

    def ends(self, comparison, store):
        self.over.append((comparison.out, store.root))


def test_trials_that_duels_share_are_trained_once(done):
    results, _, folder, progress = done
    # Two seeds: on the digits dense-relu, and dense-lif with each encoding; on the other set one of
    # each.
    assert progress.trained == 2 * (3 + 2) == len(Store(folder / "store").trials())
    assert [(duel.dataset, *duel.settings.items()) for duel in results.duels] == [
        ("digits", ("encoding", "direct")),
        ("digits", ("encoding", "rate")),
        ("shapes", ("encoding", "direct")),
    ]
    assert {variant.name: len(variant.datasets) for variant in results.variants} == {
        "dense-relu": 2,
        "dense-lif (direct)": 2,
        "dense-lif (rate)": 1,
    }


def test_each_duel_has_a_run_of_its_own_with_its_progress_and_the_study_a_page(done):
    results, page, folder, progress = done
    runs = [folder / "out" / duel.folder for duel in results.duels]
    for duel, run in zip(results.duels, runs, strict=True):
        assert load_run(run).results.dataset.name == duel.dataset
        assert (run / "report.html").is_file()
        assert f"{duel.folder}/report.html" in page.read_text()
    labels = ["digits, encoding direct", "digits, encoding rate", "shapes, encoding direct"]
    assert progress.begun == list(zip(runs, labels, strict=True))
    assert progress.over == [(run, folder / "store") for run in runs]
    assert json.loads((folder / "out" / "study.json").read_text())["name"] == "two sets"


def test_a_study_goes_on_where_it_stopped(planned, done, tmp_path):
    class Stopping(Telling):
        def finished(self, title, text):
            super().finished(title, text)
            if self.trained == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studying.study(planned, tmp_path / "out", tmp_path / "store", Stopping())
    progress, whole = Telling(), done[0]
    results, _ = studying.study(planned, tmp_path / "out", tmp_path / "store", progress)
    assert progress.trained == 6
    expected = [score.accuracies for score in whole.scores]
    assert [score.accuracies for score in results.scores] == expected


def test_a_plan_trains_nothing_and_says_what_is_missing(planned, done, tmp_path):
    progress = Telling()
    plan = studying.plan(planned, tmp_path, progress)
    assert (len(plan.trials), len(plan.missing)) == (10, 10)
    assert progress.trained == 0 == len(Store(tmp_path).trials())
    assert all(trial.seconds > 0 for trial in plan.missing)
    assert studying.plan(planned, done[2] / "store").missing == []


def test_a_step_of_each_shape_is_timed_once(tmp_path, monkeypatch):
    def timed(trial, prepared):
        shapes.append((trial.card.contender, trial.card.precision))
        return 1.0

    shapes = []
    monkeypatch.setattr("spikeduel.training.timing.seconds_of_an_epoch", timed)
    study = study_of(
        tmp_path,
        '[grid]\nprecision = ["32", "bf16"]\nlearning_rate = [1e-3, 1e-2]\n[settings]\n'
        'dataset = "digits"\nlimit = 100\nepochs = 1\ncontenders = ["dense-lif", "dense-relu"]\n',
    )
    studying.plan(study, tmp_path / "store")
    assert sorted(shapes) == [
        (name, precision) for name in ("dense-lif", "dense-relu") for precision in ("32", "bf16")
    ]


def test_a_duel_stays_where_it_lies_when_the_study_grows(planned, done, tmp_path):
    results, _, folder, _ = done
    grown = FILE.replace("num_steps = 2", "").replace(
        "[settings]", "num_steps = [2, 3]\n[settings]"
    )
    study = study_of(tmp_path, grown.replace("shapes", planned.duels[-1].experiment.dataset))
    store = Store(folder / "store")
    parts = studying.prepare_all(study, folder / "out", store, Telling(), Workers())
    places = {part.ready.folder.relative_to(folder / "out").as_posix() for part in parts}
    assert len(places) == 6
    assert {duel.folder for duel in results.duels} <= places


def test_a_duel_is_written_again_only_where_it_has_changed(planned, done, monkeypatch):
    results, _, folder, _ = done
    first, second, third = (folder / "out" / duel.folder for duel in results.duels)
    (first / "report.html").unlink()
    changed = json.loads((second / "results.json").read_text())
    changed["environment"]["torch"] = "of before"
    (second / "results.json").write_text(json.dumps(changed))
    before = {run: (run / "results.json").stat().st_mtime_ns for run in (first, second, third)}
    studying.study(planned, folder / "out", folder / "store")
    written = {run for run in before if (run / "results.json").stat().st_mtime_ns != before[run]}
    assert written == {first, second}
    for run in (first, second):
        assert (run / "report.html").stat().st_mtime_ns >= (run / "results.json").stat().st_mtime_ns
    (third / "results.json").write_text("[]")
    studying.study(planned, folder / "out", folder / "store")
    assert "created" in json.loads((third / "results.json").read_text())


@pytest.mark.parametrize(
    ("folder", "more"),
    [
        ("nowhere", ""),
        pytest.param(
            "broken",
            "limit = 100\nrecipe = 'baseline'\n[tuning]\ntrials = 1\n",
            marks=pytest.mark.skipif("tuning" not in FEATURES, reason="the feature was deleted"),
        ),
    ],
    ids=["trained", "tuned"],
)
def test_all_data_are_looked_at_before_anything_is_trained_or_tuned(folder, more, tmp_path):
    (tmp_path / "broken" / "a").mkdir(parents=True)
    (tmp_path / "broken" / "a" / "1.png").write_bytes(b"no picture")
    progress = Telling()
    study = study_of(
        tmp_path, f'[grid]\ndataset = ["digits", "{folder}/"]\n[settings]\nepochs = 1\n{more}'
    )
    with pytest.raises(InputError, match=folder):
        studying.study(study, tmp_path / "out", tmp_path / "store", progress)
    assert (progress.trained, (tmp_path / "out").exists()) == (0, False)
    assert Store(tmp_path / "store").trials() == []


def test_names_are_checked_before_any_data_are_looked_at(tmp_path):
    progress = Telling()
    study = study_of(
        tmp_path, '[grid]\ndataset = ["digits", "nowhere/"]\nencoding = ["rate", "rtae"]\n'
    )
    with pytest.raises(InputError, match="rtae"):
        studying.plan(study, tmp_path / "store", progress)
    assert progress.lines == []


def test_data_sets_that_share_images_are_a_family_or_refused(tmp_path):
    for name in ("one", "two"):
        write_pictures(tmp_path / name)
    for n in range(10):
        Image.new("L", (8, 8), 20 * n).save(tmp_path / "two" / "dark" / f"grey{n}.png")
    settings = 'epochs = 1\ncontenders = ["dense-relu"]\n'
    text = f'[grid]\ndataset = ["one", "two"]\n[settings]\n{settings}'
    related = study_of(tmp_path, f'{text}[families]\nshapes = ["one", "two"]\n')
    plan = studying.plan(related, tmp_path / "store")
    assert [duel.family for duel in plan.duels] == ["family shapes"] * 2
    study = study_of(tmp_path, text)
    with pytest.raises(InputError, match=r"one and two share 40 images.*families. one = "):
        studying.plan(study, tmp_path / "store")


def test_a_setting_may_stay_that_one_duel_uses():
    assert studying._common([{"bin_ms": "images", "beta": "x"}, {"beta": "y"}]) == {"beta": "x"}
    assert studying._common([{"bin_ms": "images"}, {}]) == {}


def test_a_study_is_verified_with_its_runs(planned, done, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(done[2] / "out", folder)
    verifications = verify(folder)
    assert [verification.holds for verification in verifications] == [True] * 4
    content = json.loads((folder / "study.json").read_text())
    content["scores"][0]["accuracies"][0] /= 2
    (folder / "study.json").write_text(json.dumps(content))
    (found,) = verify(folder)[-1].discrepancies
    assert found.place == "scores[0].accuracies[0]"


def test_the_command_prints_the_verdict_and_where_the_page_lies(planned, done, tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(FILE.replace("shapes", planned.duels[-1].experiment.dataset))
    folder = done[2]
    words = ["study", file, "--out", folder / "out", "--store", folder / "store", "--quiet"]
    output = printed(*words)
    assert headline(done[0]) in " ".join(output.split())
    assert output.endswith(f"report: {folder / 'out' / 'study.html'}\n")
    assert typed.plain(done[0]) == document(*words)


def test_a_folder_with_other_things_is_refused(planned, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other things"):
        studying.study(planned, tmp_path, tmp_path / "store", workers=Workers())
