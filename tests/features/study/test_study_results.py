"""study.json: variants with their scores and costs, what duels found, and what a careful reader
objects.
"""

from dataclasses import replace

import pytest
from msgspec import structs

import factories
from factories import example, scored, with_dataset
from features.study.made_studies import OTHER, SPIKING, make_duel
from made_audits import audit_with
from spikeduel.features.study import study_sentences as words
from spikeduel.features.study.study_results import StudyResults, conclude
from spikeduel.results.cost_results import Range
from spikeduel.results.findings import finding, with_id
from spikeduel.results.significance import Conclusion
from spikeduel.statistics import Outcome
from spikeduel.system import typed

LEAD = {SPIKING: [0.80, 0.81], OTHER: [0.90, 0.91]}


def objection(study, id):
    """Return the values of the only finding with this id."""
    (caveat,) = with_id(study.caveats, id)
    return caveat.values


def ids(study):
    return {caveat.id for caveat in study.caveats}


def test_variants_and_scores_by_hand(tmp_path):
    duels = [
        make_duel("x", {SPIKING: [0.80, 0.82], OTHER: [0.90, 0.92]}),
        make_duel("y", {SPIKING: [0.70, 0.70], OTHER: [0.60, 0.62]}),
        make_duel("z", {SPIKING: [0.50, 0.50], OTHER: [0.55, 0.55]}),
    ]
    study = conclude("hand", duels, 0.005)
    typed.write_json(tmp_path / "study.json", study)
    assert typed.read_json(tmp_path / "study.json", StudyResults) == study
    other, spiking = study.variants
    assert (other.name, other.spiking, other.datasets) == (OTHER, False, ["x", "y", "z"])
    assert other.best == 2
    assert spiking.accuracy == pytest.approx((0.81 + 0.7 + 0.5) / 3)
    assert spiking.behind == pytest.approx((0.10 + 0.05) / 3)
    score = study.scores[0]
    assert (score.variant, score.dataset, score.accuracies) == (SPIKING, "x", [0.80, 0.82])
    assert study.across.headline.differences == pytest.approx({"x": 0.10, "y": -0.09, "z": 0.05})


def test_the_conclusion_of_a_duel_stays_as_it_is():
    duels = [make_duel("x", LEAD), make_duel("y", {SPIKING: [0.9, 0.9], OTHER: [0.8, 0.8]})]
    study = conclude("one", duels, 0.005)
    first, second = study.duels
    assert (first.recommended, first.runner_up) == (OTHER, SPIKING)
    assert (first.lead, first.conclusion) == (pytest.approx(0.10), Conclusion.A_BETTER)
    assert second.recommended == SPIKING
    test = study.test(OTHER, SPIKING, "x")
    assert (test.a, test.conclusion) == (SPIKING, Conclusion.B_BETTER)
    assert study.test(OTHER, SPIKING, "elsewhere") is None


def test_variants_of_different_duels_are_compared_and_not_tested_on_a_data_set():
    duels = [
        make_duel(data, {SPIKING: [score], OTHER: [0.9]}, encoding=encoding)
        for data in "xy"
        for encoding, score in (("rate", 0.7), ("direct", 0.8))
    ]
    study = conclude("grid", duels, 0.005)
    assert study.trainings == 6
    rate, direct = f"{SPIKING} (rate)", f"{SPIKING} (direct)"
    assert [variant.name for variant in study.variants] == [OTHER, direct, rate]
    assert study.across.pair(rate, direct).difference == pytest.approx(0.1)
    assert study.test(rate, direct, "x") is None
    assert study.test(rate, OTHER, "x") is not None


def test_a_pair_is_tested_where_it_has_the_most_seeds():
    duels = [
        replace(
            make_duel("x", {SPIKING: [0.9, 0.7, 0.5][:seeds], OTHER: [0.6] * seeds}),
            settings={"seeds": f"{seeds}"},
        )
        for seeds in (1, 3)
    ]
    study = conclude("seeds", duels, 0.005)
    # Of three seeds: 0.7 − 0.6; of one it would be 0.9 − 0.6.
    assert {score.variant: score.mean for score in study.scores} == pytest.approx(
        {SPIKING: 0.7, OTHER: 0.6}
    )
    assert study.test(SPIKING, OTHER, "x").difference == pytest.approx(0.1)


def timed(duel, spiking_ms, other_ms):
    """The duel, with inference times of its networks in milliseconds."""
    trials = [
        structs.replace(trial, latency=factories.latency(spiking_ms if trial.spiking else other_ms))
        for trial in duel.results.trials
    ]
    return replace(duel, results=factories.replaced(duel.results, trials=trials))


def test_costs_are_times_the_cheapest_of_the_same_data_set():
    duels = [timed(make_duel(data, LEAD), 10, 10 / faster) for data, faster in (("x", 2), ("y", 8))]
    other, spiking = conclude("costs", duels, 0.005).variants
    assert other.costs["latency"] == Range(low=1, high=1)
    assert spiking.costs["latency"].low == pytest.approx(4)
    assert "energy" not in spiking.costs


def test_times_of_a_busy_machine_are_no_cost_and_others_are_not_compared_without_them():
    busy = [finding("busy_machine", load=4.0, cores=2)]
    duels = [
        timed(make_duel("x", LEAD, caveats=caveats, encoding=encoding), 10, 10)
        for encoding, caveats in (("rate", []), ("latency", busy))
    ]
    idle, both = (conclude("costs", part, 0.005) for part in (duels[:1], duels))
    assert ["latency" in variant.costs for variant in idle.variants] == [True, True]
    assert ["latency" in variant.costs for variant in both.variants] == [False] * 3
    assert objection(both, "busy_datasets") == {"datasets": ["x"]}
    assert "busy_datasets" not in ids(idle)


def test_data_sets_of_a_family_count_once():
    duels = [
        replace(make_duel(f"set {n}", LEAD), family="family x" if n < 3 else None) for n in range(7)
    ]
    study = conclude("related", duels, 0.005)
    assert study.families == {f"set {n}": "family x" for n in range(3)}
    pair = study.across.headline
    assert (pair.families, len(pair.differences), pair.conclusion) == (5, 7, Outcome.INCONCLUSIVE)
    apart = conclude("apart", [replace(duel, family=None) for duel in duels], 0.005)
    assert apart.across.headline.conclusion is Outcome.BETTER


def test_leaking_data_sets_are_named_with_what_is_left_without_them():
    leads = [0.01, 0.012, 0.02, 0.009, 0.03, 0.011]
    leak = [finding("leakage", shared=0.4, official=False)]
    duels = [
        make_duel(f"set {n}", {SPIKING: [0.8], OTHER: [0.8 + lead]}, caveats=leak if n < 1 else ())
        for n, lead in enumerate(leads)
    ]
    study = conclude("leaks", duels, 0.005)
    assert study.across.headline.conclusion is Outcome.BETTER
    values = objection(study, "leaking_datasets")
    assert values == {"datasets": ["set 0"], "without": "inconclusive"}
    assert objection(conclude("all", duels[:1], 0.005), "leaking_datasets")["without"] == "nothing"


def test_failed_single_and_idle_trainings_are_named():
    duels = [
        make_duel("x", {SPIKING: [0.8, None], OTHER: [0.9, 0.91]}),
        make_duel("y", LEAD, caveats=[example("at_chance", contenders=[SPIKING])]),
    ]
    study = conclude("troubles", duels, 0.005)
    assert objection(study, "failed_trainings")["trials"] == {"x": [f"{SPIKING}, seed 1"]}
    assert objection(study, "single_trainings")["datasets"] == ["x"]
    assert objection(study, "datasets_at_chance")["contenders"] == {SPIKING: ["y"]}
    assert study.duels[0].failed == [f"{SPIKING}, seed 1"]


def test_a_variant_that_is_missing_somewhere_is_left_out_of_what_needs_it():
    duels = [make_duel(data, LEAD) for data in "xyz"]
    duels += [make_duel("x", {SPIKING: [0.7, 0.7]}, encoding="direct")]
    duels = [replace(duel, settings=duel.settings or {"encoding": "rate"}) for duel in duels]
    study = conclude("gaps", duels, 0.005)
    direct = f"{SPIKING} (direct)"
    assert objection(study, "missing_scores") == {
        "variant": direct,
        "datasets": ["y", "z"],
    }
    assert [variant.name for variant in study.variants][-1] == direct


def test_all_numbers_of_a_data_set_are_of_the_seeds_that_every_variant_finished():
    """The spiking network failed in the last seed with rate encoding, where the other one is bad."""
    duels = [
        make_duel("x", {SPIKING: scores, OTHER: [0.9, 0.9, 0.3]}, encoding=encoding)
        for encoding, scores in (("rate", [0.8, 0.8, None]), ("direct", [0.7, 0.7, 0.2]))
    ]
    study = conclude("failed", duels, 0.005)
    rate, direct = f"{SPIKING} (rate)", f"{SPIKING} (direct)"
    scores = {score.variant: score.accuracies for score in study.scores}
    assert scores == {OTHER: [0.9, 0.9], rate: [0.8, 0.8], direct: [0.7, 0.7]}
    for variant, lead in ((rate, 0.1), (direct, 0.2)):
        assert study.across.pair(OTHER, variant).difference == pytest.approx(lead)
    assert study.test(OTHER, rate, "x").difference == pytest.approx(-0.1)
    # Its duel tested all three seeds.
    assert study.test(OTHER, direct, "x") is None


def test_a_study_of_recordings_alone_speaks_of_recordings():
    duels = [make_duel(data, LEAD) for data in "xy"]
    recorded = [
        replace(duel, results=with_dataset(duel.results, audit=audit_with(noun="recording")))
        for duel in duels
    ]
    assert conclude("mixed", [duels[0], recorded[1]], 0.005).noun == "image"
    assert conclude("recorded", recorded, 0.005).noun == "recording"


def test_data_sets_whose_accuracies_are_balanced_are_named():
    duels = [make_duel(data, LEAD) for data in "xy"]
    # Six times as many images of the first class.
    test = scored(0.8, (600, 100, 100))
    trials = [structs.replace(trial, test=test) for trial in duels[1].results.trials]
    duels[1] = replace(duels[1], results=factories.replaced(duels[1].results, trials=trials))
    mixed, alone = conclude("mixed", duels, 0.005), conclude("alone", duels[1:], 0.005)
    assert [(study.unbalanced, words.measured(study)) for study in (mixed, alone)] == [
        (["y"], "accuracy"),
        (["y"], "balanced accuracy"),
    ]


def test_a_study_without_a_score_concludes_nothing():
    study = conclude("nothing", [make_duel("x", {SPIKING: [None], OTHER: [None]})], 0.005)
    assert (study.variants, study.across.pairs, study.across.main) == ([], [], None)
    assert objection(study, "failed_trainings")["trials"].keys() == {"x"}
    assert conclude("empty", [], 0.005).duels == []


def test_a_lead_after_longer_training_is_not_shown():
    """Seven data sets show a lead of ten points; on one, the leader trained for twice as long."""

    def studied(epochs):
        duels = [make_duel(f"set {number}", LEAD) for number in range(7)]
        trials = [
            structs.replace(
                trial, stopped="limit", epochs=epochs if trial.contender == OTHER else 4
            )
            for trial in duels[2].results.trials
        ]
        duels[2] = replace(duels[2], results=structs.replace(duels[2].results, trials=trials))
        return conclude("made up", duels, 0.005)

    equal, longer = studied(4), studied(8)
    assert with_id(equal.caveats, "longer_trainings") == []
    assert "is more accurate than" in words.headline(equal)
    assert " leads by " in words.in_accuracy(equal)
    values = {"contender": OTHER, "other": SPIKING, "times": {"set 2": 2.0}}
    assert objection(longer, "longer_trainings") == values
    assert "it is open whether" in words.headline(longer)
    assert "ahead after longer training" in words.headline(longer)
    assert " is ahead by " in words.in_accuracy(longer)
