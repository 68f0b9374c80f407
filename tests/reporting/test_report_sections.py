import re
from types import SimpleNamespace

import pytest
from msgspec import structs

from factories import run_results, with_dataset, with_pair, with_tests
from spikeduel.auditing.audit_results import Counts
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import rendering
from spikeduel.results.run import GroupSizes
from spikeduel.results.trials import EncodingDeviation
from spikeduel.sentences import columns

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


def test_the_note_says_what_was_tested_and_what_it_covers(results, golden):
    alone = with_pair(results, seeds=1)
    folds = [Counts(train=1, val=1, test=10)] * 2
    pairs = results.comparison.pairs * 2
    cases = {
        "two seeds": results,
        "one seed": alone,
        "one seed in folds": with_dataset(alone, folds=folds),
        "two pairs": structs.replace(
            results, comparison=structs.replace(results.comparison, pairs=pairs)
        ),
        "random encoding": with_tests(
            results,
            encoding_deviation=EncodingDeviation(accuracies=[0.5, 0.6], standard_deviation=0.0123),
        ),
        "without ties": with_tests(results, tie_share=None),
    }
    notes = {name: section("results", made) for name, made in cases.items()}
    golden({name: note[note.index("20 test images. ±") :] for name, note in notes.items()})


FOLDED = {
    "folds": [Counts(train=15, val=5, test=20)] * 2,
    "counts": Counts(train=15, val=5, test=40),
    "groups": 7,
    "group_sizes": GroupSizes(largest=9, median=2.5),
    "groups_tested": 3,
}


def test_the_rules_name_data_encoding_seeds_folds_and_groups(results, golden):
    cases = {"usual": {}, "colour": {"image_shape": (3, 9, 8)}, "folds": FOLDED}
    rules = {
        name: section("method", with_dataset(results, **about)) for name, about in cases.items()
    }
    golden({name: text.partition(" All rules ")[2] for name, text in rules.items()})
