from html.parser import HTMLParser
from pathlib import Path

import pytest

from factories import dataset, example, results, trial
from made_audits import audit_with
from spikeduel.experiment.settings import Experiment
from spikeduel.sentences.comparison import Comparison

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
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def comparison():
    names = ("vgg-lif", f"own:{EVIL}")
    made = results([trial(name, 0.9, model="models/a") for name in names], about=dataset(name=EVIL))
    return Comparison(Experiment(contenders=names), made, Path("out"))


def audit():
    return audit_with(dataset=EVIL, conclusions=(example("conflicting_labels"),))


@pytest.mark.parametrize("make", [comparison, audit])
def test_it_is_a_few_lines_and_in_a_notebook_tables_of_escaped_text(make):
    shown = make()
    assert len(repr(shown)) < 600
    assert len(repr(shown).splitlines()) <= 3
    page = Parsed(shown._repr_html_())
    assert "table" in page.tags
    assert "script" not in page.tags
    assert "\u202e" not in repr(shown) + page.text
    assert "<script>" in page.text
