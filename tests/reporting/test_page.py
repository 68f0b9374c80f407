import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from msgspec import structs

from factories import failed, replaced, with_dataset, with_pair, with_trials
from spikeduel import data
from spikeduel.reporting import rendering, report, report_again
from spikeduel.results import findings, power
from spikeduel.results.findings import finding
from spikeduel.results.run import Conclusions
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import AddedMeasure
from spikeduel.sentences.verdict import power_of_pairs
from spikeduel.statistics import assumed_variability
from spikeduel.system import typed
from spikeduel.system.errors import InputError

ADDRESSES = ("src", "srcset", "href", "data", "action", "poster")


class Page(HTMLParser):
    """Addresses that a browser would load, tags, and the visible text of a page."""

    def handle_endtag(self, tag):
        self.silent = False

    def __init__(self, path):
        super().__init__()
        self.loaded, self.tags, self.words, self.silent = [], [], [], False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.silent = tag in ("style", "script")
        self.loaded += [
            value for name, value in attributes if name in ADDRESSES and not value.startswith("#")
        ]

    def handle_data(self, data):
        if not self.silent:
            self.words.append(data)


def with_comparison(comparison, **changes):
    """`comparison` with other conclusions."""
    concluded = structs.replace(comparison.results.comparison, **changes)
    return replace(comparison, results=replaced(comparison.results, comparison=concluded))


def running_scripts(shown):
    """Return the scripts that run."""
    return re.findall(r"<script>(.*?)</script>", shown.source, re.DOTALL)


def scripts_of(shown):
    """Count the scripts that run, and those that hold pictures and the data of charts."""
    data = sum(f'id="{name}"' in shown.source for name in ("pictures-data", "inside-data"))
    return len(running_scripts(shown)) + data + shown.source.count('class="chart ')


def charts_of(shown):
    return set(re.findall(r'data-name="([^"]+)"', shown.source))


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
    # Its own scripts and their data; the policy names the former, and the others do not
    # run.
    assert shown.tags.count("script") == scripts_of(shown)
    policy = re.search(r"script-src ([^\"]*)", html.unescape(shown.source))[1]
    scripts = running_scripts(shown)
    assert policy == " ".join(map(rendering.policy_of, scripts))
    assert len(scripts) >= len(rendering.SCRIPTS)
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|url\((?!data:image/webp;|#)|@import|\son\w+=",
        shown.source,
    )
    assert path.stat().st_size < 3_000_000


def test_numbers_and_words_are_those_of_the_results(comparison, unpainted):
    shown = Page(report(comparison)).text

    for trial in comparison.results.trials:
        assert f"{trial.contender} {100 * trial.test.accuracy:.2f} " in shown
    for text in (
        comparison.verdict(),
        *comparison.caveats(),
        f"spikeduel compare --experiment {comparison.out}/experiment.toml",
        "a <fast> one",
        "leaky integrate-and-fire",
    ):
        assert text in shown
    assert "None" not in shown


def test_differences_are_shown_with_their_intervals(comparison, no_data, unpainted):
    results = with_pair(
        comparison.results,
        conclusion=Conclusion.B_BETTER,
        p_value=0.03,
        power=power.power(assumed_variability(0.003, 20), 0.01, 6),
    )
    better = replace(comparison, results=results)
    page = Page(report(better))
    shown = page.text

    assert "differences" in charts_of(page)
    # The leader comes first, in the table as in the verdict.
    assert "small-cnn − dense-snn +1.23 −0.07 to +2.53 0.030" in shown
    assert "of these trained models: small-cnn is better" in shown
    assert power_of_pairs(results) in shown
    grey = "Where it excludes 0 and is grey"
    assert grey not in shown
    reserved = with_pair(
        comparison.results, reservation=Reservation.TOO_FEW_SEEDS, ci95=(-0.02, -0.01), seeds=3
    )
    shown = Page(report(replace(comparison, results=reserved))).text
    assert grey in shown
    assert "inconclusive: too few seeds" in shown
    alone = replaced(results, comparison=Conclusions())
    assert "differences" not in charts_of(Page(report(replace(comparison, results=alone))))


def test_names_are_text_and_neither_markup_nor_formulas(make_run, make_prepared):
    plain = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$x^2$ & {{ 7 * 7 }}")
    names = (*plain, "$\\frac{$", "abc\u202egnp", "two\nlines and a lone \udce9")
    comparison = make_run(make_prepared(num_classes=len(names), classes=names))
    noted = with_comparison(comparison, caveats=[finding("data_note", text="<b>won</b>")])
    results = with_trials(
        comparison.results, contender=lambda t: t.contender.replace("small-cnn", "$x_$<b>\u202e")
    )

    pages = [Page(report(noted))]
    assert "<b>won</b>" in pages[0].text
    assert pages[0].tags.count("script") == scripts_of(pages[0])
    assert all(address.startswith("data:image/") for address in pages[0].loaded)
    (comparison.out / "predictions.json").unlink()  # which has the other names
    pages.append(Page(report(replace(comparison, results=results))))

    for shown in pages:
        assert "\u202e" not in shown.source
        escaped = (*plain, r"abc\u202egnp", r"two\nlines and a lone \udce9", "$\\frac{$")
        assert [text for text in escaped if text not in shown.text] == []
    assert "b" not in pages[1].tags


@pytest.mark.parametrize(
    ("num_classes", "shape", "contenders", "seeds", "encoding"),
    [
        (2, (1, 8, 8), ("small-cnn",), 1, "rate"),
        (3, (3, 12, 10), ("dense-snn",), 1, "latency"),
        (50, (1, 12, 12), ("dense-snn", "small-cnn"), 1, "direct"),
        (3, (1, 8, 8), ("dense-snn", "small-cnn"), 6, "rate"),
    ],
)
def test_every_kind_of_run_has_a_page(
    make_run, make_prepared, num_classes, shape, contenders, seeds, encoding
):
    prepared = make_prepared(num_classes, shape, num_images=120)
    comparison = make_run(prepared, contenders=contenders, seeds=seeds, encoding=encoding)

    shown = Page(report(comparison))

    assert "Left out of this page" not in shown.text
    assert ("± is the standard deviation" in shown.text) == (seeds > 1)


def test_a_failed_trial_is_named_and_the_rest_is_shown(comparison, unpainted):
    first, *others = comparison.results.trials
    trials = [structs.replace(trial, fold=1) for trial in (failed(first), *others)]

    shown = Page(
        report(replace(comparison, results=structs.replace(comparison.results, trials=trials)))
    )

    assert "dense-snn, seed 0, fold 1: the loss became NaN" in shown.text
    assert "Confusions of small-cnn" in shown.text
    assert "Confusions of dense-snn" not in shown.text


def test_the_method_says_how_spiking_contenders_start(comparison, no_data, unpainted, golden):
    results = with_trials(comparison.results, relu_epochs=1)
    shown = Page(report(replace(comparison, results=results))).text
    golden(re.search(r"spiking contenders have [^;]*", shown)[0])


def test_a_run_in_which_all_failed_has_a_page(comparison, no_data):
    trials = [failed(trial, error=None) for trial in comparison.results.trials]
    results = replaced(comparison.results, trials=trials, comparison=Conclusions())

    shown = Page(report(replace(comparison, results=results)))

    assert "no reason was recorded" in shown.text


def test_without_the_data_the_page_goes_without_images(comparison, no_data, unpainted):
    shown = Page(report(comparison))

    assert "my_images: no such folder." in shown.text
    assert "learning-curves" in charts_of(shown)
    assert "One image per class" not in shown.text


def test_data_that_has_changed_is_not_shown(comparison, unpainted):
    changed = replace(comparison, results=with_dataset(comparison.results, fingerprint="0" * 64))

    assert "no longer what these models were trained on" in Page(report(changed)).text


def test_leakage_has_its_own_box(comparison, no_data, unpainted):
    assert "Do not trust these scores" not in Page(report(comparison)).text
    leak, seed = finding("leakage", shared=0.25, official=True), finding("one_seed")

    shown = Page(report(with_comparison(comparison, caveats=[leak, seed])))

    order = [
        'class="card red"',
        findings.sentence(leak),
        'id="recommendation"',
        'class="card amber"',
        findings.sentence(seed),
    ]
    assert sorted(order, key=shown.source.index) == order


def test_measures_from_outside_have_a_table(comparison, no_data, unpainted):
    measures = {
        "entropy": AddedMeasure(
            title="mean <entropy>", meaning="of the predictions", value=0.125, form="{:.3f} bits"
        ),
        "unknown": AddedMeasure(title="unknown", meaning="not here", value=None, form="{:.3f}"),
    }
    shown = Page(
        report(replace(comparison, results=with_trials(comparison.results, measures=measures)))
    ).text

    assert "dense-snn 0.125 bits" in shown
    assert "mean <entropy>: of the predictions" in shown


def test_files_are_drawn_only_where_they_are_asked_for(comparison, no_data, unpainted):
    figures = comparison.out / "figures"
    shown = Page(report(comparison))
    assert not figures.exists()

    report(comparison, figures=True)
    expected = {f"{name}.{kind}" for name in charts_of(shown) for kind in ("png", "svg")}
    assert {path.name for path in figures.iterdir()} == expected
    assert all(path.stat().st_size > 500 for path in figures.iterdir())


def test_data_made_by_code_is_made_only_where_that_is_allowed(make_run, monkeypatch, unpainted):
    comparison = make_run(dataset="evil:data")
    loaded = []
    prepared = data.load(comparison.experiment)
    monkeypatch.setattr(
        "spikeduel.data.load", lambda experiment, track=None, say=None: loaded.append(1) or prepared
    )
    shown = Page(report(comparison))
    assert loaded == []
    assert "The data is made by the code evil:data" in shown.text
    assert "--own-code evil:data" in shown.text
    report(comparison, own_code=["evil:data"])
    assert loaded == [1]


def test_the_page_is_made_from_the_folder_alone(comparison, no_data):
    typed.write_json(comparison.out / "results.json", comparison.document())

    path = report_again(comparison.out)

    assert path == comparison.out / "report.html"
    assert "dense-snn against small-cnn" in path.read_text()


@pytest.mark.parametrize(
    "damage",
    [
        # A number that no figure can draw.
        lambda run: run["trials"][0]["history"][0].update(val_loss=10**400),
        lambda run: run["trials"][0].update(
            measures={"x": {"title": "", "meaning": "", "value": 1.0, "form": "{:q}"}}
        ),
        lambda run: run["experiment"].update(per_contender={"dense-snn": "fast"}),
    ],
    ids=["loss", "measure", "settings"],
)
def test_what_only_a_figure_stumbles_over_is_an_error_for_people(comparison, no_data, damage):
    document = json.loads(json.dumps(comparison.document()))
    damage(document)
    (comparison.out / "results.json").write_text(json.dumps(document))

    with pytest.raises(InputError, match=r"results\.json: "):
        report_again(comparison.out)
