"""The sentences of a study: one test each, by its numbers."""

from dataclasses import replace

from msgspec import structs

from features.study.made_studies import OTHER, SPIKING, make_duel, make_study
from spikeduel.features.study import study_plan, study_sentences as words
from spikeduel.features.study.study_plan import DuelPlan, StudyPlan, TrialPlan
from spikeduel.features.study.study_results import conclude
from spikeduel.results.cost_results import Range
from spikeduel.statistics import Outcome

SIGNIFICANT = [0.01, 0.012, 0.02, 0.009, 0.03, 0.011]


LEADS = {
    "significant": SIGNIFICANT,
    "significant, within the margin": [0.1 * lead for lead in SIGNIFICANT],
    "five data sets": SIGNIFICANT[:5],
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
    golden(words.title(studies["significant"]), sentences)
    two = make_study([0.02, 0.01])
    shown = [words.headline(two), words.in_accuracy(two), *words.settling(two)]
    assert words.sentences(two) == shown


def test_a_headline_counts_families():
    duels = [
        replace(
            make_duel(f"set {n}", {SPIKING: [0.8], OTHER: [0.8 + lead]}), family=f"family {n % 3}"
        )
        for n, lead in enumerate(SIGNIFICANT)
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
    study = make_study(SIGNIFICANT)

    def sentence(costs):
        variants = [
            structs.replace(
                variant,
                costs={name: Range(low=of[n][0], high=of[n][1]) for name, of in costs.items()},
            )
            for n, variant in enumerate(study.variants)
        ]
        return words.in_cost(structs.replace(study, variants=variants))

    golden({name: sentence(of) for name, of in costs.items()})


def test_cells_of_a_study(golden):
    pair = make_study(SIGNIFICANT).across.headline
    pairs = {outcome: structs.replace(pair, conclusion=outcome) for outcome in Outcome}
    open_pair = structs.replace(pairs[Outcome.INCONCLUSIVE], ci95=None)
    assert words.settled_first([open_pair, pair]) == [pair, open_pair]
    ranges = [
        None,
        *(Range(low=low, high=high) for low, high in [(1, 1), (1.261, 2.94), (12, 300)]),
    ]
    finished = make_duel("x", {SPIKING: [0.8, 0.8], OTHER: [0.9, 0.9]}, num_steps="8")
    failed = make_duel("x", {SPIKING: [None], OTHER: [None]})
    duels = conclude("x", [finished, failed], 0.005).duels
    golden(
        {
            "conclusions": {name: words.conclusion(each) for name, each in pairs.items()},
            "intervals": [words.interval(pair), words.interval(open_pair)],
            "costs": [words.times(cost) for cost in ranges],
            "duels": [
                "; ".join([words.recommended(duel), words.lead(duel), words.settings(duel)])
                for duel in duels
            ],
        }
    )


# ---- before anything is trained


def plan(*duels, **changes):
    return StudyPlan(name="s", duels=list(duels), **{"at_once": 1, **changes})


def planned(label, *keys, stored=False, seconds=20.0, **more):
    trials = [
        TrialPlan(contender=key[0], title=key, key=key, stored=stored, seconds=seconds)
        for key in keys
    ]
    return DuelPlan(
        **{"label": label, "dataset": label, "test_images": 9, "trials": trials, **more}
    )


def test_a_plan_of_a_study(golden):
    shared = plan(planned("a", "x", "y"), planned("b", "x", "z", num_variants=3), at_once=2)
    stored = plan(planned("a", "x", stored=True, seconds=None), tuning_trials=8)
    unknown = plan(planned("a", "x", "y", seconds=None))
    assert list(shared.trials) == ["x", "y", "z"]
    plans = {"shared trials": shared, "nothing to train": stored, "unknown time": unknown}
    golden(
        {
            name: {
                "rows": [" | ".join(row.values()) for row in study_plan.rows(study)],
                "sentences": study_plan.sentences(study),
            }
            for name, study in plans.items()
        }
    )


def test_a_plan_says_how_many_data_sets_its_pairs_take():
    one, other = (
        [planned(f"{n}, {name}", *keys, dataset=str(n)) for n in range(6)]
        for name, keys in (("rate", ["x", "y"]), ("direct", ["z", "y"]))
    )
    more_seeds = [planned(f"{n}, 8 seeds", "x", "y", "x1", "y1", dataset=str(n)) for n in range(6)]
    related = [structs.replace(duel, family="family x") for duel in one[:2]] + one[2:]
    assert [plan(*duels).pairs for duels in (one, one + more_seeds, one + other)] == [1, 1, 3]
    for duels, needed in (
        (one, ""),
        (one + other, "at least 7 data sets"),
        ([planned("a", "x")], ""),
        (related, "at least 6 data sets"),
    ):
        text = " ".join(study_plan.sentences(plan(*duels)))
        assert ("at least" in text, needed in text) == (needed != "", True)
