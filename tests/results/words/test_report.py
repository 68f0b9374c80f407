import re
from types import SimpleNamespace

import pytest
from msgspec import structs

from factories import run_results, with_dataset, with_pair, with_tests, with_trials
from spikeduel.reporting import rendering
from spikeduel.results import columns
from spikeduel.results.audit import Counts
from spikeduel.results.run import GroupSizes
from spikeduel.results.trials import Anytime, EarlyExit, EncodingSpread, ExitChoice, Leaving
from spikeduel.settings.recipes import baseline

DATA = SimpleNamespace(
    name="made-up", fingerprint="f" * 64, classes=("class 0", "class 1", "class 2")
)


@pytest.fixture
def results():
    """Two contenders with two seeds each."""
    return run_results(DATA, baseline(seeds=2))


def section(name, results):
    """The words of a section of the page."""
    contenders = [{"name": name, "tested": results.of(name)} for name in results.contenders]
    page = {"results": results, "contenders": contenders, "drawn": {}, "verdict": ""}
    html = rendering._environment().get_template(f"{name}_section.html.j2").render(page)
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def test_what_a_mean_is_over(results):
    tested = results.of("dense-snn")
    in_folds = [structs.replace(trial, fold=fold) for trial in tested for fold in (0, 1)]
    assert columns.trained_on(tested) == "2 seeds"
    assert columns.trained_on(in_folds) == "2 seeds and 2 folds"
    assert columns.trained_on(in_folds[:2]) == "2 folds"
    # Of each seed, both folds' images; one fold of the second seed failed.
    assert columns.num_tested(in_folds) == "40"
    assert columns.num_tested(in_folds[:3]) == "20 to 40"


def test_the_note_says_what_was_tested_and_what_it_covers(results):
    note = section("results", results)
    assert "Test: made up. Interval and p-value allow for other seeds" in note
    assert "inside ±0.5 points" in note
    alone = with_pair(results, seeds=1)
    assert "these two trained models" in section("results", alone)
    folds = [Counts(train=1, val=1, test=10)] * 2
    assert "these trainings, one per fold" in section("results", with_dataset(alone, folds=folds))
    pairs = results.comparison.pairs * 2
    two = structs.replace(results, comparison=structs.replace(results.comparison, pairs=pairs))
    assert "intervals are adjusted for 2 comparisons (Holm)" in section("results", two)


FOLDED = {
    "folds": [Counts(train=15, val=5, test=20)] * 2,
    "counts": Counts(train=15, val=5, test=40),
    "groups": 7,
    "group_sizes": GroupSizes(largest=9, median=2.5),
    "groups_tested": 3,
}


@pytest.mark.parametrize(
    ("about", "texts"),
    [
        (
            {},
            [
                "images 30 training, 10 validation, 20 test",
                "spiking input rate encoding, 25 steps",
                "Adam, learning rate 8.5e-05",
                "seeds each contender was trained 2 times; numbers are mean ± sd",
            ],
        ),
        ({"image_shape": (3, 9, 8)}, ["made-up: 3 classes, 8×9 pixels, colour"]),
        (
            FOLDED,
            [
                "images 15 training, 5 validation, 2 folds, which test each of 40 once",
                "(7 groups, median size 2.5, largest 9, 3 groups tested)",
                "in each fold",
            ],
        ),
    ],
    ids=["usual", "colour", "folds"],
)
def test_the_rules_name_data_encoding_seeds_folds_and_groups(results, about, texts):
    rules = section("method", with_dataset(results, **about))
    assert [text for text in texts if text not in rules] == []


def leaving(threshold, n=6000):
    at = Leaving(threshold=threshold, mean_steps=1.7, accuracy=0.8, exit_steps=[3, 7])
    choice = ExitChoice(n=n, mean_steps=1.7, accuracy=0.8, most_lost=0.001, fewest=1497)
    return EarlyExit(
        **structs.asdict(at), tolerance=0.002, validation=choice, curve=[at, at], confidence=0.95
    )


def of(results, *exits):
    """`results` whose spiking trials leave early so."""
    of_trials = iter(exits)
    return with_trials(
        results,
        num_steps=lambda trial: 2 if trial.spiking else None,
        anytime=lambda trial: (
            Anytime(num_steps=2, n=10, accuracies=[0.195, 0.2], early_exit=next(of_trials))
            if trial.spiking
            else None
        ),
    )


@pytest.mark.parametrize(
    ("exits", "text"),
    [
        (
            (leaving(0.9), leaving(0.8)),
            "dense-snn: images leave after 1.7 of 2 steps on average. That costs at most 0.2 points "
            "of accuracy, as 6,000 validation images show with 95 % confidence.",
        ),
        (
            (leaving(0.9), leaving(None)),
            "on average (1 of 2 trainings have no early exit). That",
        ),
        (
            (leaving(None), leaving(None)),
            "dense-snn: no early exit: no threshold was shown to cost at most 0.2 points of accuracy.",
        ),
        (
            (leaving(None, n=200), leaving(None, n=200)),
            "dense-snn: no early exit: 200 validation images are too few to show that it costs at "
            "most 0.2 points of accuracy; at least 1,497 are needed.",
        ),
    ],
)
def test_what_early_exit_promises(results, exits, text):
    macros = rendering._environment().get_template("macros.html.j2")
    tested = of(results, *exits).of("dense-snn")
    made = macros.make_module({"contenders": [{"name": "dense-snn", "tested": tested}]})
    assert text in " ".join(made.early_exits().split())


def test_ties_and_random_encodings_are_told_where_there_are_some(results):
    assert "dense-snn: 5.0 % of the answers were ties" in section("results", results)
    assert "small-cnn: " not in section("results", results)
    assert "ties" not in section("results", with_tests(results, tie_share=None))
    spread = EncodingSpread(accuracies=[0.5, 0.6], standard_deviation=0.0123)
    assert "by 1.23 points" in section("results", with_tests(results, encoding_spread=spread))
