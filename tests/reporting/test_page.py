import base64
import re
from html.parser import HTMLParser

import pytest
import torch

from spikeduel import data
from spikeduel.measuring.calibration import judged
from spikeduel.measuring.corruptions import CORRUPTIONS
from spikeduel.measuring.robustness import summary
from spikeduel.reporting import page, report
from spikeduel.system.errors import InputError

ADDRESSES = ("src", "srcset", "href", "data", "action", "poster")


class Page(HTMLParser):
    """What a browser would load, the tags, and the visible text of a page."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.tags, self.words, self.silent = [], [], [], False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.silent = tag in ("style", "script")
        self.loaded += [value for name, value in attributes if name in ADDRESSES]

    def handle_data(self, data):
        if not self.silent:
            self.words.append(data)


def figures_of(comparison):
    return {path.name for path in (comparison.out / "figures").iterdir()}


@pytest.fixture
def comparison(make_run):
    return make_run()


@pytest.fixture
def no_data(comparison, monkeypatch):
    """The data of the run is gone."""

    def gone(experiment, track=None, say=None):
        raise InputError("my_images: no such folder.")

    monkeypatch.setattr("spikeduel.data.load", gone)


def test_the_page_stands_alone(comparison):
    path = report(comparison)

    assert path == comparison.out / "report.html"
    shown = Page(path)
    assert shown.loaded
    assert all(address.startswith("data:image/") for address in shown.loaded)
    assert "script" not in shown.tags
    assert not re.search(r"https?://|url\(|@import", shown.source)
    assert path.stat().st_size < 3_000_000


def test_every_figure_of_the_study_is_there(comparison):
    report(comparison)

    assert figures_of(comparison) >= {
        "samples.png",
        "encoded.gif",
        "diagonal.png",
        "neuron.png",
        "learning-curves.png",
        "confusion-dense-snn.png",
        "confusion-small-cnn.png",
    }
    assert any(name.startswith("answer-wrong-dense-snn") for name in figures_of(comparison))
    assert all((comparison.out / "figures" / name).stat().st_size > 500 for name in figures_of(comparison))


def test_numbers_and_words_are_those_of_the_results(comparison):
    shown = Page(report(comparison)).text

    for trial in comparison.results["trials"]:
        assert f"{100 * trial['test']['accuracy']:.2f} %" in shown
    assert comparison.results["comparison"]["verdict"] in shown
    assert "One seed: part of it can be luck." in shown
    assert f"spikeduel compare --experiment {comparison.out}/experiment.toml" in shown
    assert "a <fast> one" in shown
    assert "leaky integrate-and-fire" in shown
    assert "None" not in shown


def test_differences_are_shown_with_their_intervals(comparison, no_data):
    report(comparison)
    assert "differences.png" not in figures_of(comparison)
    comparison.results["comparison"]["pairs"][0].update(
        ci95=[-0.02, 0.001], ci90=[-0.018, -0.001], p_value=0.03, margin=0.005, negligible=False, test="a coin",
        conclusion="b_better",
    )  # fmt: skip

    shown = Page(report(comparison)).text

    assert "differences.png" in figures_of(comparison)
    assert "−1.23 −2.00 to +0.10 0.030" in shown
    assert "of these two models: small-cnn is better" in shown
    assert "Test: a coin." in shown
    assert "Where the thin line crosses 0, neither is shown to be better." in shown
    assert "keeps clear of 0" not in shown


def test_a_line_clear_of_0_that_shows_nothing_is_explained(comparison, no_data):
    comparison.results["comparison"]["pairs"][0].update(
        ci95=[-0.02, -0.01], ci90=[-0.018, -0.012], p_value=0.1, margin=0.005, negligible=False, test="a coin",
        conclusion="inconclusive", seeds=3, p_value_raw=0.001, p_permutation=0.1,
    )  # fmt: skip
    shown = Page(report(comparison)).text
    assert "A thin line that keeps clear of 0 does not show it either where seeds" in shown
    assert "inconclusive: too few seeds" in shown


def test_that_the_audit_is_of_the_first_fold_is_said(comparison, monkeypatch):
    monkeypatch.setattr("spikeduel.reporting.page._audited", lambda *given: None)
    assert "first of the" not in Page(report(comparison)).text
    comparison.results["dataset"].update(folds=[{"train": 30, "val": 10, "test": 20}] * 3, audit={"problems": ["Cut."]})
    assert "This looks at the first of the 3 folds only" in Page(report(comparison)).text


def test_names_are_text_never_markup(make_run, make_prepared):
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$x^2$ & {{ 7 * 7 }}")
    comparison = make_run(make_prepared(classes=names))
    comparison.results["comparison"]["verdict"] = "<b>won</b>"

    shown = Page(report(comparison))

    assert "script" not in shown.tags
    assert all(address.startswith("data:image/") for address in shown.loaded)
    assert all(name in shown.text for name in names)
    assert "<b>won</b>" in shown.text


@pytest.mark.parametrize(
    ("num_classes", "shape", "contenders", "seeds", "encoding"),
    [
        (2, (1, 8, 8), ("small-cnn",), 1, "rate"),
        (3, (3, 12, 10), ("dense-snn",), 1, "latency"),
        (50, (1, 12, 12), ("dense-snn", "small-cnn"), 1, "direct"),
        (3, (1, 8, 8), ("dense-snn", "small-cnn"), 6, "rate"),
    ],
)
def test_every_kind_of_run_has_a_page(make_run, make_prepared, num_classes, shape, contenders, seeds, encoding):
    prepared = make_prepared(num_classes, shape, num_images=120)
    comparison = make_run(prepared, contenders=contenders, seeds=seeds, encoding=encoding)

    shown = Page(report(comparison))

    assert "Left out of this page" not in shown.text
    assert ("encoded.gif" in figures_of(comparison)) == ("dense-snn" in contenders)
    assert ("±" in shown.text) == (seeds > 1)
    assert ("Shown for comparison" in shown.text) == ("dense-snn" in contenders and encoding != "rate")


def test_a_failed_trial_is_named_and_the_rest_is_shown(comparison):
    trial = comparison.results["trials"][0]
    trial.update(status="failed", error="the loss became NaN", test=None, model=None, best_epoch=None, history=[])
    trial.update(epochs=0, epoch_seconds=[], validation=None, stopped="nan")

    shown = Page(report(comparison))

    assert "dense-snn, seed 0: the loss became NaN" in shown.text
    assert "confusion-small-cnn.png" in figures_of(comparison)
    assert "confusion-dense-snn.png" not in figures_of(comparison)


def test_a_run_in_which_all_failed_has_a_page(comparison, no_data):
    for trial in comparison.results["trials"]:
        trial.update(status="failed", error=None, test=None, model=None, best_epoch=None, history=[], epoch_seconds=[])
    comparison.results["comparison"]["pairs"] = []

    shown = Page(report(comparison))

    assert "no reason was recorded" in shown.text


def test_without_the_data_the_page_goes_without_images(comparison, no_data):
    shown = Page(report(comparison))

    assert "my_images: no such folder." in shown.text
    assert "learning-curves.png" in figures_of(comparison)
    assert "samples.png" not in figures_of(comparison)


def test_data_that_has_changed_is_not_shown(comparison):
    comparison.results["dataset"]["fingerprint"] = "0" * 64

    assert "no longer what these models were trained on" in Page(report(comparison)).text


def test_without_a_model_its_examples_are_left_out(comparison):
    (comparison.out / comparison.results["trials"][0]["model"]).unlink()

    shown = Page(report(comparison))

    assert "The model of dense-snn could not be loaded" in shown.text
    assert any(name.startswith("answer-") and "small-cnn" in name for name in figures_of(comparison))


def test_leakage_is_said_in_red(comparison, no_data):
    assert "must not be trusted" not in Page(report(comparison)).text
    comparison.results["dataset"].update(split="published", groups=12)

    shown = Page(report(comparison))

    assert "Leakage: these scores must not be trusted." in shown.text
    assert "memory, not recognition" in shown.text
    assert 'class="card red"' in shown.source


def test_other_neurons_get_no_false_equation(comparison):
    comparison.results["experiment"]["neuron"] = "my.module:Neuron"

    assert "leaky integrate-and-fire" not in Page(report(comparison)).text


def test_what_was_measured_besides_has_its_sections(comparison):
    assert not {"How sure they are", "Under worse conditions"} & set(Page(report(comparison)).words)
    for trial in comparison.results["trials"]:
        scores = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
        trial["test"]["calibration"] = {**judged(scores, torch.arange(30) % 3), "temperature": None, "scaled": None}
        accuracies = {"n": 20, "accuracies": [0.6, 0.5, 0.4, 0.3, 0.2]}
        trial["robustness"] = summary(0.7, {f"robustness-{name}": accuracies for name in CORRUPTIONS})

    shown = Page(report(comparison))

    assert {"How sure they are", "Under worse conditions"} <= set(shown.words)
    assert "softmax of spike counts" in shown.text
    assert "is right on 40.0% (70.0% on the images as they are)" in shown.text
    assert {"reliability.png", "robustness.png", "corruptions.png"} <= figures_of(comparison)
    assert "None" not in shown.text


def test_the_page_goes_where_it_is_told_and_nothing_half_written_stays(comparison, tmp_path, no_data):
    path = report(comparison, tmp_path / "elsewhere" / "page.html")

    assert path.is_file()
    assert not list(tmp_path.rglob("*.part"))


def test_rendering_again_gives_the_same_page(comparison):
    first = report(comparison).read_bytes()

    assert report(comparison).read_bytes() == first


def test_a_picture_is_its_own_address(comparison, no_data):
    report(comparison)
    picture = comparison.out / "figures" / "learning-curves.png"

    kind, content = page.data_uri(picture).split(",")

    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == picture.read_bytes()


def test_names_cannot_turn_the_page_around_or_break_its_figures(make_run, make_prepared):
    names = ("$\\frac{$", "abc\u202egnp", "two\nlines and a lone \udce9")
    comparison = make_run(make_prepared(classes=names))
    for trial in comparison.results["trials"]:
        trial["contender"] = trial["contender"].replace("small-cnn", "$x_$<b>\u202e")

    shown = Page(report(comparison))

    assert "\u202e" not in shown.source
    assert "b" not in shown.tags
    assert r"abc\u202egnp" in shown.text
    assert r"two\nlines and a lone \udce9" in shown.text
    assert "$\\frac{$" in shown.text


def test_data_made_by_code_is_made_only_where_that_is_allowed(make_run, monkeypatch):
    comparison = make_run(dataset="evil:data")
    loaded = []
    prepared = data.load(comparison.experiment)
    monkeypatch.setattr("spikeduel.data.load", lambda experiment, track=None, say=None: loaded.append(1) or prepared)
    shown = Page(report(comparison))
    assert loaded == []
    assert "The data is made by the code evil:data" in shown.text
    assert "--own-code evil:data" in shown.text
    report(comparison, own_code=["evil:data"])
    assert loaded == [1]
