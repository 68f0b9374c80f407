"""The sentences of a study: one test each, by its numbers."""

from dataclasses import replace

import pytest
from msgspec import structs

from features.study.made_studies import OTHER, SPIKING, make_duel, make_study
from spikeduel.features.study import study_plan, study_sentences as words
from spikeduel.features.study.study_plan import DuelPlan, StudyPlan, TrialPlan
from spikeduel.features.study.study_results import conclude
from spikeduel.results.cost_results import Range
from spikeduel.statistics import Outcome

SURE = [0.01, 0.012, 0.02, 0.009, 0.03, 0.011]


LEADS = {
    "shown": SURE,
    "shown, within the margin": [0.1 * lead for lead in SURE],
    "five data sets": SURE[:5],
    "in both directions": [0.03, -0.03, 0.02, -0.02, 0.002, 0.001],
    "balanced": [0.02, -0.02] * 10,
    "one exception": [*(0.005 + 0.0005 * n for n in range(11)), -0.3],
    "equivalent on most": [*(0.0001 * (n - 8) for n in range(17)), 0.02, 0.02, -0.02],
    "equivalent": [0.001, -0.001, 0.0005, -0.0007, 0.0012, -0.0002, 0.0003],
    "one data set": [0.02],
    "level": [0.0] * 3,
}


def test_what_was_concluded_of_a_study(golden):
    studies = {name: make_study(leads) for name, leads in LEADS.items()}
    studies["of one variant"] = conclude("one", [make_duel("x", {OTHER: [0.9]})], 0.005)
    studies["of nothing"] = conclude("none", [], 0.005)
    sentences = {
        name: [words.headline(study), words.in_accuracy(study), *words.settling(study)]
        for name, study in studies.items()
    }
    golden(words.title(studies["shown"]), sentences)


def test_a_headline_counts_families():
    duels = [
        replace(
            make_duel(f"set {n}", {SPIKING: [0.8], OTHER: [0.8 + lead]}), family=f"family {n % 3}"
        )
        for n, lead in enumerate(SURE)
    ]
    study = conclude("related", duels, 0.005)
    assert "6 data sets of 3 families" in words.headline(study)
    assert "points on a typical family, on 6 of 6." in words.in_accuracy(study)
    assert words.interval(study.across.headline) == "too few families"


def test_costs_of_the_two_of_the_headline(golden):
    costs = {
        "unknown": {},
        "apart": {"latency": [(1, 1), (2.5, 2.5)], "energy": [(3, 4), (1, 2)]},
        "alike": {"latency": [(1.05, 1.05), (1, 1)], "energy": [(1, 4), (1, 2)]},
    }
    study = make_study(SURE)

    def said(costs):
        variants = [
            structs.replace(
                variant,
                costs={name: Range(low=of[n][0], high=of[n][1]) for name, of in costs.items()},
            )
            for n, variant in enumerate(study.variants)
        ]
        return words.in_cost(structs.replace(study, variants=variants))

    golden({name: said(of) for name, of in costs.items()})


def test_cells_of_a_pair():
    pair = make_study(SURE).across.headline
    opened = structs.replace(pair, conclusion=Outcome.INCONCLUSIVE, ci95=None)
    assert [(words.conclusion(shown), words.interval(shown)) for shown in (pair, opened)] == [
        (f"{OTHER} better", "0.90 to 3.00"),
        ("open", "too few data sets"),
    ]
    others = (Outcome.BETTER_TYPICALLY, Outcome.EQUIVALENT, Outcome.BALANCED)
    concluded = [words.conclusion(structs.replace(pair, conclusion=outcome)) for outcome in others]
    assert concluded == [f"{OTHER} typically better", "equivalent", "neither on balance"]
    assert words.settled_first([opened, pair]) == [pair, opened]


@pytest.mark.parametrize(
    ("low", "high", "says"), [(1, 1, "1"), (1.261, 2.94, "1.3–2.9"), (12.4, 300.2, "12–300")]
)
def test_relative_costs(low, high, says):
    assert words.times(Range(low=low, high=high)) == says
    assert words.times(None) == "–"


@pytest.mark.parametrize(
    ("duel", "cells"),
    [
        (
            make_duel("x", {SPIKING: [0.8, 0.8], OTHER: [0.9, 0.9]}, num_steps="8"),
            (OTHER, f"+10.00 (8.00 to 12.00) to {SPIKING}", "T = 8"),
        ),
        (
            make_duel("x", {SPIKING: [None], OTHER: [None]}),
            ("no trial was finished", "–", "–"),
        ),
    ],
    ids=["finished", "failed"],
)
def test_a_duel_in_a_table(duel, cells):
    (shown,) = conclude("x", [duel], 0.005).duels
    assert (words.taken(shown), words.lead(shown), words.settings(shown)) == cells


def test_a_terminal_hears_all_of_it():
    said = words.sentences(make_study([0.02, 0.01]))
    assert len(said) == 3
    assert said[0].startswith("Over 2 data sets")


# ---- before anything is trained


def plan(*duels, **changes):
    return StudyPlan(name="s", duels=list(duels), **{"at_once": 1, **changes})


def planned(label, *keys, stored=False, seconds=20.0, dataset=None, num_variants=0):
    trials = [
        TrialPlan(contender=key[0], title=key, key=key, stored=stored, seconds=seconds)
        for key in keys
    ]
    return DuelPlan(
        label=label,
        dataset=dataset or label,
        test_images=1000,
        trials=trials,
        num_variants=num_variants,
    )


def test_a_plan_counts_shared_trials_once_in_the_whole_and_in_each_row(golden):
    study = plan(planned("a", "x", "y"), planned("b", "x", "z", num_variants=3), at_once=2)
    assert list(study.trials) == ["x", "y", "z"]
    assert [row["trials"] for row in study_plan.rows(study)] == ["2", "2"]
    golden(study_plan.sentences(study))


def test_a_plan_of_what_is_stored_takes_nothing_and_an_unknown_time_is_no_short_one():
    stored = plan(planned("a", "x", stored=True, seconds=None))
    assert stored.missing == []
    assert study_plan.rows(stored)[0]["training"] == "–"
    unknown = plan(planned("a", "x", "y", seconds=None))
    assert study_plan.rows(unknown)[0]["training"] == "?"
    assert "unknown" in " ".join(study_plan.sentences(unknown))


def test_a_plan_says_how_many_data_sets_its_pairs_take():
    one, other = (
        [planned(f"{n}, {name}", *keys, dataset=str(n)) for n in range(6)]
        for name, keys in (("rate", ["x", "y"]), ("direct", ["z", "y"]))
    )
    more_seeds = [planned(f"{n}, 8 seeds", "x", "y", "x1", "y1", dataset=str(n)) for n in range(6)]
    assert [plan(*duels).pairs for duels in (one, one + more_seeds, one + other)] == [1, 1, 3]
    assert "at least" not in " ".join(study_plan.sentences(plan(*one)))
    assert "at least 7 data sets" in " ".join(study_plan.sentences(plan(*one, *other)))
    assert "at least" not in " ".join(study_plan.sentences(plan(planned("a", "x"))))
    related = [structs.replace(duel, family="family x") for duel in one[:2]] + one[2:]
    assert "at least 6 data sets" in " ".join(study_plan.sentences(plan(*related)))
