import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from markupsafe import escape
from msgspec import structs

from made_pages import told
from made_results import make_results, with_dataset, with_trials
from spikeduel.auditing import examine
from spikeduel.data import Split
from spikeduel.measuring.correctness import judged
from spikeduel.measuring.robustness import CORRUPTIONS, corrupt, summary
from spikeduel.reporting import audit_page, reliability, report, style
from spikeduel.results.audit import Counts, Details, DistanceBin, Move
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin, CorruptedAccuracies
from spikeduel.results.words.audit import document, problems
from spikeduel.results.words.report import first_fold
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError


def calibration(seed, temperature=2.0):
    scores = 3 * torch.randn(
        200, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    truth = torch.arange(200) % 3
    given = structs.asdict(judged(scores, truth))
    return Calibration(**given, temperature=temperature, scaled=judged(scores / 2, truth))


@pytest.fixture
def results(make_prepared, make_results):
    """Two contenders, two seeds each, all with a calibration."""
    numbers = itertools.count()
    made = make_results(make_prepared(), baseline(seeds=2))
    return with_trials(
        made,
        test=lambda t: structs.replace(
            t.test, calibration=calibration(n := next(numbers), temperature=2.0 + n)
        ),
    )


def test_pooled_bins_by_hand():
    def one(count, confidence, accuracy):
        only = CalibrationBin(
            low=0.0, high=1.0, count=count, confidence=confidence, accuracy=accuracy
        )
        return Calibrated(ece=0.0, nll=0.0, brier=0.0, bins=[only])

    (found,) = reliability.pooled([one(10, 0.5, 0.4), one(30, 0.9, 0.8), one(0, None, None)])
    assert (found.low, found.high, found.count) == (0.0, 1.0, 40)
    assert (found.confidence, found.accuracy) == (pytest.approx(0.8), pytest.approx(0.7))
    (empty,) = reliability.pooled([one(0, None, None)])
    assert empty.accuracy is None


def test_bars_are_the_accuracies_and_counts_stand_below(results):
    measured = {"dense-snn": [calibration(0)], "small-cnn": [calibration(1)]}
    figure = reliability.diagrams(measured, {"dense-snn": "red", "small-cnn": "blue"})
    figure.draw_without_rendering()
    assert len(figure.subfigs) == 2
    for part, found in zip(figure.subfigs, measured.values(), strict=True):
        upper, lower = part.axes
        bins = found[0].bins
        heights = [bar.get_height() for bar in upper.patches]
        expected = [np.nan if entry.accuracy is None else entry.accuracy for entry in bins]
        np.testing.assert_allclose(heights, expected)
        bars = [bar.get_height() for bar in lower.patches[: len(bins)]]
        np.testing.assert_allclose(bars, [entry.count / 200 for entry in bins])
        diagonal, after = upper.lines
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
        scaled = [entry for entry in found[0].scaled.bins if entry.count]
        np.testing.assert_allclose(after.get_xdata(), [entry.confidence for entry in scaled])
        np.testing.assert_allclose(after.get_ydata(), [entry.accuracy for entry in scaled])


@pytest.mark.parametrize("number", [1, 4])
def test_any_number_of_contenders(number):
    names = [f"contender {k}" for k in range(number)]
    unscaled = structs.replace(calibration(0), temperature=None, scaled=None)
    figure = reliability.diagrams({name: [unscaled] for name in names}, dict.fromkeys(names, "red"))
    figure.draw_without_rendering()
    assert [part.axes[0].get_title(loc="left") for part in figure.subfigs if part.axes] == names


def robustness(clean, last, altered=()):
    """Accuracies that fall evenly from `clean` to `last`; under noise, to 0."""
    ends = {name: 0.0 if name == "noise" else last for name in CORRUPTIONS}
    measured = {
        f"robustness-{name}": CorruptedAccuracies(
            n=20, accuracies=np.linspace(clean, end, 6)[1:].tolist()
        )
        for name, end in ends.items()
    }
    measured |= {
        f"robustness-{name}": CorruptedAccuracies(n=7, accuracies=[0.25]) for name in altered
    }
    return summary(clean, measured)


def of_trials(results, *found):
    """`results` with the robustness of each trial, in their order."""
    values = iter(found)
    return with_trials(results, robustness=lambda _: next(values))


@pytest.fixture
def corrupted(make_prepared, make_results):
    """One seed each; the CNN is better on clean images and worse on corrupted ones, but under
    noise.
    """
    return of_trials(
        make_results(make_prepared(), baseline()), robustness(0.8, 0.6), robustness(0.9, 0.3)
    )


def test_curves_start_at_the_clean_accuracy(corrupted):
    figure = reliability.robustness(corrupted)
    figure.draw_without_rendering()
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == [*CORRUPTIONS, "mean of all"]
    snn, cnn, chance = panels["noise"].lines
    assert snn.get_color() == style.SPIKING_COLOURS[0]
    np.testing.assert_allclose(snn.get_ydata(), [0.8, 0.64, 0.48, 0.32, 0.16, 0])
    np.testing.assert_allclose(cnn.get_ydata()[:2], [0.9, 0.72])
    # Of 20 test images, 7 are of the most frequent class.
    assert list(chance.get_ydata()) == [0.35, 0.35]
    np.testing.assert_allclose(panels["mean of all"].lines[0].get_ydata()[-1], 0.6 * 6 / 7)


def test_seeds_make_a_band(make_prepared, make_results):
    measured = [robustness(0.8, last) for last in (0.6, 0.3, 0.4, 0.5)]
    results = of_trials(make_results(make_prepared(), baseline(seeds=2)), *measured)
    axes = reliability.robustness(results).axes[1]
    band = axes.collections[0].get_paths()[0].vertices
    at_five = band[band[:, 0] == 5][:, 1]
    deviation = np.std([0.6, 0.4], ddof=1)
    assert (at_five.min(), at_five.max()) == (
        pytest.approx(0.5 - deviation),
        pytest.approx(0.5 + deviation),
    )


def test_the_strip_shows_what_the_measure_drew(make_prepared):
    prepared = make_prepared(shape=(3, 12, 10))
    image = np.asarray(prepared.images[4])
    figure = reliability.corruptions(image, 4)
    figure.draw_without_rendering()
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(pictures) == 7 * 6
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:6] == ["clean", *(f"severity {severity}" for severity in range(1, 6))]
    assert set(titles[6:]) == {""}
    assert [axes.get_ylabel() for axes in figure.axes[::6]] == list(CORRUPTIONS)
    expected = corrupt("translation", torch.from_numpy(image.copy())[None], 5, np.array([4]))[0]
    row = list(CORRUPTIONS).index("translation")
    np.testing.assert_array_equal(pictures[6 * row + 5], np.moveaxis(expected.numpy(), 0, -1))
    np.testing.assert_array_equal(pictures[6 * row], np.moveaxis(image, 0, -1))


SPLIT = Split(np.arange(30), np.arange(30, 40), np.arange(40, 60), "stratified")


@pytest.fixture
def planted(make_prepared):
    """A set with an image of class 1 that stands once more in test, as class 2."""
    prepared = make_prepared(classes=["a<b", "two", "three"])
    prepared.images[50] = prepared.images[1]
    return prepared


def test_the_page_says_what_was_found_and_shows_the_pair(planted, tmp_path):
    found = examine(baseline(dataset="digits"), planted, SPLIT)
    page = audit_page(found, planted, tmp_path / "audit").read_text()
    assert "What would invalidate a result" in page
    assert escape(problems(found)[0]) in page
    assert "equal images, different labels" in page
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert page.count("data:image/png") == 1
    assert page.count('class="chart"') == 1
    written = (tmp_path / "audit" / "audit.json").read_text()
    assert written == json.dumps(document(found), indent=2) + "\n"


def test_a_clean_set_is_told_to_be_so(make_prepared, tmp_path):
    prepared = make_prepared()
    page = audit_page(
        examine(baseline(dataset="digits"), prepared, SPLIT), prepared, tmp_path
    ).read_text()
    assert "Nothing was found that would invalidate a result." in page
    assert "Pixels cannot show every leak" in page
    assert "What would invalidate a result" not in page


def test_pictures_of_a_pair_lie_side_by_side(planted):
    found = examine(baseline(dataset="digits"), planted, SPLIT)
    figure = reliability.pairs(found.details.pairs[:1], planted)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["test\nthree", "training\ntwo"]
    assert [axes.get_xlabel() for axes in shown] == ["image 50", "image 1"]
    for axes in shown:
        assert (axes.images[0].get_array() == planted.images[1, 0]).all()


def test_a_moved_copy_says_how_it_was_moved(planted):
    (pair,) = examine(baseline(dataset="digits"), planted, SPLIT).details.pairs[:1]
    move = Move(mirrored=True, degrees=8.0, scale=1.0, right=0.0, down=0.0)
    figure = reliability.pairs(
        [structs.replace(pair, kind="moved on two sides", move=move)], planted
    )
    shown = [axes.get_xlabel() for axes in figure.axes if axes.get_visible()]
    assert shown == ["image 50", "image 1\nmirrored, turned by 8°"]


def test_distances_are_drawn_from_nearest_to_farthest(planted):
    found = examine(baseline(dataset="digits"), planted, SPLIT)
    training, test = reliability.distances(found).axes[0].lines
    assert test.get_xdata().tolist() == sorted(found.details.test_distances)
    assert tuple(training.get_xdata()) == found.details.within_quantiles


def test_accuracy_by_distance_is_a_mean_over_seeds(make_prepared):
    accuracies = iter(([1.0, 0.5], None, [0.8, 0.1], None))

    def in_bins(trial):
        if (values := next(accuracies)) is None:
            return None
        bins = [
            DistanceBin(low=k, high=k + 1, n=5, accuracy=value) for k, value in enumerate(values)
        ]
        return structs.replace(trial.test, by_distance=bins)

    made = with_trials(make_results(make_prepared(), baseline(seeds=2)), test=in_bins)
    (line,) = reliability.accuracy_by_distance(made.trials).axes[0].lines
    assert line.get_ydata() == pytest.approx([0.9, 0.3])


def test_marks_at_the_ends_are_whole_and_equal_lines_are_both_seen(make_prepared, make_results):
    bins = [DistanceBin(low=k / 10, high=(k + 1) / 10, n=10, accuracy=1.0) for k in range(5)]
    made = make_results(make_prepared(), baseline())
    trials = [
        structs.replace(each, test=structs.replace(each.test, by_distance=bins))
        for each in made.trials
    ]
    axes = reliability.accuracy_by_distance(trials).axes[0]
    found = reliability.diagrams({"a": [calibration(0)]}, {"a": "red"}).subfigs[0].axes[0].lines[1]
    assert not any(line.get_clip_on() for line in (*axes.lines, found))
    widths = [(line.get_linewidth(), line.get_markersize()) for line in axes.lines]
    assert len(widths) > 1
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == len(widths)


def test_the_report_has_the_section_where_the_run_was_audited(planted, make_run, unpainted):
    run = make_run(planted)
    report(run)
    assert not (run.out / "figures" / "audit-pairs.png").exists()
    audit = examine(run.experiment, planted, SPLIT)
    checked = replace(
        run, results=with_dataset(run.results, audit=structs.replace(audit, details=Details()))
    )
    assert escape(problems(audit)[0]) in report(checked).read_text()
    assert (run.out / "figures" / "audit-pairs.png").is_file()


def test_without_the_data_the_section_goes_without_pictures(
    planted, make_run, monkeypatch, unpainted
):
    def gone(*_args, **_settings):
        raise InputError("no data")

    run = make_run(planted)
    audit = examine(run.experiment, planted, SPLIT)
    monkeypatch.setattr("spikeduel.data.load", gone)
    checked = replace(
        run, results=with_dataset(run.results, audit=structs.replace(audit, details=Details()))
    )
    assert escape(problems(audit)[0]) in report(checked).read_text()
    assert not (run.out / "figures" / "audit-pairs.png").exists()


def test_that_the_audit_is_of_the_first_fold_is_said(planted, make_run, unpainted):
    run = make_run(planted)
    folds = [Counts(train=30, val=10, test=20)] * 3
    audit = examine(run.experiment, planted, SPLIT)
    in_folds = with_dataset(run.results, folds=folds, audit=audit)
    assert first_fold(in_folds.dataset) in report(replace(run, results=in_folds)).read_text()


def test_bins_tell_their_confidence_and_accuracy():
    found = calibration(0)
    rows = told(reliability.diagrams({"dense-snn": [found]}, {"dense-snn": "red"}))
    raw = [row for row in rows if row["answers"] == "raw"]
    assert len(raw) == 2 * len(found.bins)
    for row, each in zip(raw, found.bins, strict=False):
        assert row["number"] == each.count
        assert row["accuracy, %"] == (
            pytest.approx(100 * each.accuracy, rel=1e-5) if each.count else None
        )
    scaled = [row["number"] for row in rows if row["answers"] == "after temperature"]
    assert scaled == [each.count for each in found.scaled.bins if each.count]
