from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import spikeduel as sd
from made_audits import audit_with
from made_findings import example
from made_models import make_recorded
from made_times import untimed
from made_trials import dataset, results, trial
from spikeduel.results.comparison import Comparison
from spikeduel.results.words import notebook
from spikeduel.settings import Experiment

EVIL = "<script>alert(1)</script>\u202e"


class Parsed(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("circle", "rect", "path") or tag == "circle":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def comparison(*names, **of_trials):
    made = {"model": "models/a.safetensors", **of_trials}
    trials = [
        trial(name, 0.9, family="snn" if number else "cnn", **made)
        for number, name in enumerate(names)
    ]
    about = dataset(name=EVIL)
    return Comparison(Experiment(contenders=names), results(trials, about=about), Path("out"))


def audit():
    return audit_with(dataset=EVIL, conclusions=(example("conflicting_labels"),))


@pytest.fixture(scope="module")
def model():
    return make_recorded()[0]


@pytest.mark.parametrize("what", ["comparison", "audit", "model", "cost"])
def test_it_is_a_few_lines_and_in_a_notebook_tables_of_escaped_text(what, model):
    shown = {
        "comparison": lambda: comparison(
            "vgg-lif", f"own:{EVIL}", latency=untimed(None, None, "cpu")
        ),
        "audit": audit,
        "model": lambda: model,
        "cost": lambda: sd.cost(model, np.zeros((2, *model.card.image_shape), np.uint8)),
    }[what]()
    assert len(repr(shown)) < 600
    assert len(repr(shown).splitlines()) <= 3
    assert "\u202e" not in repr(shown)
    page = Parsed(shown._repr_html_())
    assert "table" in page.tags
    assert "script" not in page.tags
    assert "\u202e" not in page.text
    if what in ("comparison", "audit"):
        assert "<script>" in page.text


def test_a_comparison_has_a_chart_with_a_dot_for_every_training():
    trials = [trial("cnn", 0.5, seed=seed, family="cnn") for seed in range(3)]
    trials += [trial("snn", 0.6, seed=seed, family="snn") for seed in range(3)]
    page = Parsed(notebook.chart(results(trials)).svg)
    assert page.tags.count("circle") == 6
    assert "rect" not in page.tags  # nothing was timed
    timed = [trial(name, 0.5, latency=untimed(None, None, "cpu")) for name in ("a", "b")]
    assert Parsed(notebook.chart(results(timed)).svg).tags.count("rect") == 2


def test_nothing_finished_shows_no_chart():
    lone = comparison("cnn", test=None, status="failed", error="no", model=None, validation=None)
    assert "svg" not in Parsed(lone._repr_html_()).tags
    assert "No answer" in repr(lone)
