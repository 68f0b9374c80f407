import itertools
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from msgspec import structs

from factories import dataset, energy_of, example, latency, pair, results, scored, trial
from made_operations import spiking
from spikeduel.analysis.recommending import choose, decide, with_recommendation
from spikeduel.auditing.audit_results import Counts
from spikeduel.experiment.recipes import baseline
from spikeduel.results.cost_results import AccountedPair, AccountingResult, EnergyAccountings, Range
from spikeduel.results.findings import finding
from spikeduel.results.run import Step
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import ByClass, Int8Result, VariantResult
from spikeduel.sentences.recommendation_sentences import energy, headline, rows, settling

SNN_BETTER = {"conclusion": Conclusion.A_BETTER, "p_value": 0.001, "seeds": 6}


def timed(contender, accuracy, ms, **changes):
    return trial(contender, accuracy, latency=latency(ms, ms), **changes)


def duel(snn=0.9, cnn=0.89, snn_ms=2.0, cnn_ms=1.0, made=None, **changes):
    made = made or pair(snn - cnn, accuracy_a=snn)
    return results([timed("snn", snn, snn_ms), timed("cnn", cnn, cnn_ms)], [made], **changes)


def chosen(recommendation):
    return recommendation.recommended, recommendation.reason


def asked_for(target, tolerance=None):
    return {"experiment": replace(baseline(), target=target, tolerance=tolerance)}


@pytest.mark.parametrize(
    ("snn", "cnn", "made", "take", "why"),
    [
        (0.92, 0.88, {**SNN_BETTER}, "snn", "better"),
        # The 90 % interval ends at 0.8 points: within the tolerance of one point.
        (0.904, 0.9, {"half": 0.005}, "cnn", "cheaper"),
        # It ends at 2.5 points, but the deficit is half a point.
        (0.905, 0.9, {"half": 0.025}, "cnn", "cheaper"),
        (0.905, 0.9, {"half": 0.04}, "snn", "higher"),
        (0.92, 0.9, {"half": 0.03}, "snn", "higher"),
        (0.93, 0.81, {"half": 0.3, "seeds": 2}, "snn", "higher"),
        (0.92, 0.9, {"conclusion": Conclusion.A_BETTER}, "snn", "higher"),
        # Shown, and so little that it does not matter.
        (0.903, 0.9, {**SNN_BETTER, "negligible": True, "half": 0.002}, "cnn", "cheaper"),
        (0.90, 0.9, {"conclusion": Conclusion.EQUIVALENT}, "cnn", "cheaper"),
        # Of exactly equal accuracies the faster one, however uncertain.
        (0.9, 0.9, {"half": 0.2}, "cnn", "cheaper"),
        # Three times the errors: the tolerance is 0.2 points, a quarter of the errors and 2 images.
        (0.996, 0.987, {"half": 0.002}, "snn", "higher"),
        (0.996, 0.9942, {"half": 0.002}, "cnn", "cheaper"),
        (0.996, 0.9938, {"half": 0.002}, "snn", "higher"),
        # Without any error, two images of 2,000 do not matter.
        (1.0, 0.999, {"half": 0.001}, "cnn", "cheaper"),
        (1.0, 0.9985, {"half": 0.001}, "snn", "higher"),
    ],
)
def test_the_faster_one_of_those_that_are_level_and_else_the_more_accurate(
    snn, cnn, made, take, why
):
    decision = duel(snn, cnn, made=pair(snn - cnn, accuracy_a=snn, **made)).recommendation
    assert chosen(decision) == (take, why)
    assert decision.runner_up == ("cnn" if take == "snn" else "snn")


def test_a_third_that_is_less_accurate_is_taken_or_changes_nothing():
    # cnn is as fast as snn within a tenth, and other faster than snn alone by more than that.
    two = [timed("snn", 0.904, 1.08), timed("cnn", 0.903, 1.0)]
    level = {"half": 0.004, "accuracy_a": 0.904}
    pairs = [pair(0.001, **level)]
    assert results(two, pairs).recommendation.recommended == "snn"
    pairs += [pair(0.002, b="other", **level), pair(0.001, a="cnn", b="other", **level)]
    assert results([*two, timed("other", 0.902, 1.0)], pairs).recommendation.recommended == "snn"
    assert results([*two, timed("other", 0.902, 0.95)], pairs).recommendation.recommended == "other"


@st.composite
def preferences(draw):
    """Two to five contenders' accuracies, the intervals of their differences, and costs."""
    accuracies = dict(
        enumerate(draw(st.lists(st.integers(880, 900), min_size=2, max_size=5, unique=True)))
    )
    accuracies = {f"net-{number}": thousandths / 1000 for number, thousandths in accuracies.items()}
    pairs, cheaper = {}, {}
    for one, other in itertools.combinations(accuracies, 2):
        half = draw(st.sampled_from([0.001, 0.01, 0.02, 0.04]))
        pairs[frozenset((one, other))] = pair(
            accuracies[one] - accuracies[other],
            **{"a": one, "b": other, "accuracy_a": accuracies[one], "half": half},
        )
        cheaper[frozenset((one, other))] = draw(st.sampled_from([one, other, None]))
    rule = draw(st.booleans()), draw(st.sampled_from([None, 0.5, 1.5]))

    def chosen(names):
        return choose(
            {name: accuracies[name] for name in names},
            lambda one, other: pairs[frozenset((one, other))],
            lambda one, other: cheaper[frozenset((one, other))],
            2000,
            *rule,
        )

    return accuracies, chosen


@given(preferences())
def test_only_a_more_accurate_third_in_a_circle_changes_the_choice_between_two(made):
    accuracies, chosen = made
    taken = chosen(accuracies)
    for other in accuracies:
        if other != taken and chosen([other, taken]) == other:
            assert any(
                accuracies[third] > max(accuracies[taken], accuracies[other])
                and chosen([third, taken]) == taken
                and chosen([third, other]) == third
                for third in accuracies
            )


def test_from_a_circle_the_one_that_is_level_with_the_most_accurate_is_taken():
    # Each is 0.9 points less accurate than the one before, and faster by half.
    circle = [timed("a", 0.9, 4.0), timed("b", 0.891, 2.0), timed("c", 0.882, 1.0)]
    pairs = [
        pair(lead, a=one, b=other, accuracy_a=accuracy, half=0.01)
        for one, other, accuracy, lead in (
            ("a", "b", 0.9, 0.009),
            ("b", "c", 0.891, 0.009),
            ("a", "c", 0.9, 0.018),
        )
    ]
    assert results(circle, pairs).recommendation.recommended == "b"
    assert [
        results([circle[first], circle[second]], [made]).recommendation.recommended
        for (first, second), made in zip(((0, 1), (1, 2), (0, 2)), pairs, strict=True)
    ] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("asked", "tolerance", "deficit", "take", "reason"),
    [
        # Snn is ahead by the deficit, twice as slow, and its weights are half as large.
        ("accuracy", None, 0.02, "snn", "higher"),
        ("accuracy", 5.0, 0.02, "cnn", "cheaper"),
        ("accuracy", 0.0, 0.001, "snn", "higher"),
        ("speed", None, 0.009, "cnn", "cheaper"),
        ("speed", None, 0.011, "snn", "higher"),
        ("speed", 2.0, 0.019, "cnn", "cheaper"),
        ("size", None, 0.02, "snn", "higher"),
        ("size", None, -0.009, "snn", "cheaper"),
        ("size", None, -0.02, "cnn", "higher"),
        ("size", 3.0, -0.02, "snn", "cheaper"),
    ],
)
def test_the_question_and_the_tolerance_are_the_readers(asked, tolerance, deficit, take, reason):
    trials = [
        timed(name, 0.9 + lead, ms, operations=structs.replace(spiking(), bytes=size))
        for name, lead, ms, size in (("snn", deficit, 2.0, 500), ("cnn", 0.0, 1.0, 1000))
    ]
    made = pair(deficit, accuracy_a=0.9 + deficit, half=0.015)
    decision = results(trials, [made], **asked_for(asked, tolerance)).recommendation
    assert chosen(decision) == (take, reason)


def test_where_energies_overlap_by_some_accountings_the_more_accurate_one_is_taken(golden):
    trials = [
        timed(name, accuracy, 1.0, energy=energy_of(amount))
        for name, accuracy, amount in (
            ("vgg-lif", 0.9, (35.8e-6, 355e-6)),
            ("vgg-cnn", 0.905, (40.5e-6, 165e-6)),
        )
    ]
    made_pair = pair(-0.005, a="vgg-lif", b="vgg-cnn", accuracy_a=0.9)
    relu_in_part = [
        AccountingResult(
            accounting=name, group="memory", ratio=Range(low=0.5, high=2.0), cheaper=cheaper
        )
        for name, cheaper in (("one", "other"), ("two", None))
    ]
    accounted = AccountedPair(
        spiking="vgg-lif", other="vgg-cnn", num_steps=4, rate=0.1, by_accounting=relu_in_part
    )
    made = with_recommendation(
        structs.replace(
            results(trials, [made_pair], experiment=replace(baseline(), target="energy")),
            energy_accountings=EnergyAccountings(definitions=[], pairs=[accounted]),
        )
    )
    assert chosen(made.recommendation) == ("vgg-cnn", "higher")
    assert [row["energy"] for row in rows(made)] == ["35.8–355 µJ", "40.5–165 µJ", "", "disputed"]
    golden(headline(made), energy(made))


def test_where_only_the_kind_is_decided_others_of_the_kind_are_named(golden):
    few = finding("more_images", detectable=0.11, assumed=True)
    three = [timed("snn", 0.7, 3.0), timed("cnn", 0.9, 1.0), timed("other-cnn", 0.89, 1.0)]
    pairs = [
        pair(-0.2, accuracy_a=0.7, **{**SNN_BETTER, "conclusion": Conclusion.B_BETTER}),
        pair(-0.19, b="other-cnn", accuracy_a=0.7, half=0.05),
        pair(0.01, a="cnn", b="other-cnn", half=0.1),
    ]
    made = results(three, pairs, caveats=[few])
    assert (decide(made).recommended, decide(made).level) == ("cnn", ["other-cnn"])
    golden(headline(made))
    open_pairs = [structs.replace(pairs[0], ci95=(-0.41, 0.01)), *pairs[1:]]
    assert results(three, open_pairs, caveats=[few]).recommendation.reason == "too_few_images"


def test_an_untimed_one_is_not_called_slower():
    untimed = results([trial("snn", 0.9), timed("cnn", 0.899, 1.0)], [pair(0.001)])
    assert decide(untimed).recommended == "snn"
    assert decide(untimed).quantity("latency").evidence == "not measured"


@pytest.mark.parametrize(
    ("objection", "why"),
    [
        (finding("leakage", shared=0.5, official=False), "leakage"),
        (example("cut_groups"), "leakage"),
        (example("at_chance", contenders=["snn", "cnn"]), "nothing_learned"),
    ],
)
def test_there_is_no_recommendation_for_invalid_scores(objection, why):
    decision = duel(caveats=[objection]).recommendation
    assert chosen(decision) == (None, why)
    assert headline(duel(caveats=[objection])).startswith("No recommendation: ")


def test_too_few_images_give_no_recommendation_against_chance():
    caveats = [
        example("at_chance", contenders=["snn"]),
        finding("more_images", detectable=0.5, assumed=True),
    ]
    made = duel(0.3, 0.4, made=pair(-0.1, half=0.3, n=32, accuracy_a=0.3), caveats=caveats)
    assert chosen(decide(made)) == (None, "too_few_images")
    alone = duel(0.3, 0.4, made=pair(-0.1, half=0.3, accuracy_a=0.3), caveats=caveats[:1])
    assert chosen(decide(alone)) == ("cnn", "alone")


SNN_AT_CHANCE = example("at_chance", contenders=["snn"], remedy="--epochs 40")


def test_a_network_at_chance_is_named_leads_in_nothing_and_is_trained_longer_first():
    made = duel(0.07, 0.9, 1.0, 4.0, made=pair(-0.83, accuracy_a=0.07), caveats=[SNN_AT_CHANCE])
    decision = decide(made)
    assert (decision.recommended, decision.reason, decision.runner_up) == ("cnn", "alone", None)
    assert [compared.leader for compared in decision.quantities] == [None] * len(
        decision.quantities
    )
    assert (
        decision.quantity("accuracy").evidence
        == decision.quantity("latency").evidence
        == "not learned"
    )
    assert decision.quantity("latency").values.keys() == {"snn", "cnn"}
    assert "*" not in str(rows(with_recommendation(made)))
    assert decision.steps[0].options == ["--epochs", "40"]


def test_a_contender_at_chance_without_an_accuracy_is_not_named():
    gone = example("at_chance", contenders=["gone"])
    assert "gone" not in headline(duel(0.5, 0.9, made=pair(-0.4), caveats=[gone]))


def test_others_are_compared_without_a_network_at_chance(golden):
    three = [timed("snn", 0.12, 1.0), timed("snn-2", 0.9, 3.0), timed("cnn", 0.8, 3.0)]
    pairs = [
        pair(-0.78, b="snn-2", accuracy_a=0.12),
        pair(-0.68, accuracy_a=0.12),
        pair(0.1, a="snn-2", **SNN_BETTER),
    ]
    made = results(three, pairs, caveats=[SNN_AT_CHANCE])
    decision = made.recommendation
    assert (decision.recommended, decision.reason, decision.runner_up) == ("snn-2", "better", "cnn")
    assert "snn" not in {compared.leader for compared in decision.quantities} | {
        compared.other for compared in decision.quantities
    }
    # 12 % may be more than chance; it is not significant.
    golden(headline(made))


def test_if_no_network_learned_the_headline_names_all_with_the_measure(golden):
    unbalanced = [
        structs.replace(trial(name, 0.5), test=scored(0.95, (950, 50), [[950, 0], [50, 0]]))
        for name in ("snn", "cnn")
    ]
    nobody = example("at_chance", contenders=["snn", "cnn"])
    golden(headline(results(unbalanced, [pair(0.0)], caveats=[nobody])))


def test_what_settles_a_leak_and_what_settles_it_for_networks_that_know_their_training_images(
    golden,
):
    copies = finding("test_in_training", count=55, share=0.917, remedy="remove the copies")
    fitted = example("at_chance", contenders=["snn", "cnn"], longer=False, remedy="add images")
    leaking = duel(caveats=[copies, finding("one_seed")])
    cases = {"a leak": leaking, "no longer training": duel(0.1, 0.1, caveats=[fitted])}
    golden({name: list(map(" | ".join, settling(made))) for name, made in cases.items()})


def test_the_runner_up_is_the_best_of_the_other_kind():
    three = [timed("snn", 0.90, 3.0), timed("cnn", 0.93, 1.0), timed("other-cnn", 0.92, 2.0)]
    better = [
        pair(-0.03, conclusion=Conclusion.B_BETTER),
        pair(-0.02, b="other-cnn"),
        pair(0.01, a="cnn", b="other-cnn"),
    ]
    decision = results(three, better).recommendation
    assert (decision.recommended, decision.runner_up) == ("cnn", "snn")
    assert decision.pair == better[0]


# ---- who leads


@pytest.mark.parametrize(
    ("caveats", "evidence", "take", "why"),
    [
        ([], "significant", "cnn", "cheaper"),
        ([finding("busy_machine", load=4.0, cores=2)], "not significant", "snn", "higher"),
    ],
    ids=["idle", "busy"],
)
def test_times_on_a_busy_machine_show_nothing(caveats, evidence, take, why):
    decision = duel(0.901, 0.9, 4.0, 1.0, caveats=caveats).recommendation
    assert decision.quantity("latency").evidence == evidence
    assert chosen(decision) == (take, why)


@pytest.mark.parametrize(("snn_ms", "take"), [(2.0, "cnn"), (0.5, "snn")])
def test_of_equal_accuracies_the_lower_cost_decides_even_on_a_busy_machine(snn_ms, take):
    busy = [finding("busy_machine", load=4.0, cores=2)]
    found = duel(0.9, 0.9, snn_ms, caveats=busy).recommendation
    assert found.recommended == take
    assert found.quantity("latency").evidence == "not significant"


def test_an_equally_fast_network_has_no_advantage():
    assert duel(0.905, 0.9, snn_ms=1.05, cnn_ms=1.0).recommendation.recommended == "snn"


def test_by_less_than_a_tenth_nobody_leads():
    trials = [
        timed(name, 0.9, ms, seconds=[seconds])
        for name, ms, seconds in (("snn", 18.2, 15.0), ("cnn", 18.9, 16.0))
    ]
    made = results(trials, [pair(0.0)])
    for quantity in ("training", "latency"):
        compared = decide(made).quantity(quantity)
        assert (compared.leader, compared.difference, compared.evidence) == (None, None, "the same")
    assert [row["training"] for row in rows(made)] == ["15 s", "16 s", "", "the same"]


def test_nobody_leads_in_accuracies_that_are_equal():
    equal = duel(0.9, 0.9, made=pair(0.0, conclusion=Conclusion.EQUIVALENT))
    compared = decide(equal).quantity("accuracy")
    assert (compared.leader, compared.evidence) == (None, "equivalent")


def test_the_faster_training_has_to_be_so_with_every_seed():
    def trained(snn, cnn, **changes):
        trials = [trial("snn", 0.9, seed=seed, seconds=[snn], **changes) for seed in (0, 1)]
        trials += [trial("cnn", 0.9, seed=seed, seconds=[cnn[seed]]) for seed in (0, 1)]
        return results(trials, [pair(0.0, seeds=2)]).recommendation.quantity("training")

    compared = trained(10.0, [5.0, 7.0])
    assert compared.values == {"snn": Range(low=10.0, high=10.0), "cnn": Range(low=6.0, high=6.0)}
    assert compared.evidence == "significant"
    # The slower training of the one takes as long as the faster one of the other.
    assert trained(10.0, [2.0, 11.0]).evidence == "not significant"


@pytest.mark.parametrize(
    ("cheaper", "joules", "leader", "evidence"),
    [
        ({"memory": ["snn", "snn"], "chip": ["snn"]}, (1e-6, 3e-6), "snn", "all agree"),
        # However many accountings of arithmetic say the contrary.
        ({"memory": ["cnn"], "arithmetic": ["snn"] * 9}, (3e-6, 1e-6), "cnn", "with memory"),
        ({"memory": ["snn", None], "chip": ["snn", "cnn"]}, (1e-6, 3e-6), None, "disputed"),
        ({"memory": ["snn", "cnn", None], "chip": ["snn"]}, (1e-6, 3e-6), None, "disputed"),
        ({"memory": [None]}, (1e-6, 3e-6), None, "overlap"),
        ({"chip": ["snn"]}, (1e-6, 3e-6), None, "disputed"),
        # No star stands at the number that is higher.
        ({"memory": ["snn"]}, (3e-6, 1e-6), None, "disputed"),
        # Ranges of all accountings together may overlap where each of them tells the two apart.
        ({"memory": ["snn"]}, (1.5e-6, 2e-6), "snn", "all agree"),
    ],
    ids=str,
)
def test_energy_is_judged_by_the_accountings_with_memory(cheaper, joules, leader, evidence):
    kinds = {"snn": "spiking", "cnn": "other", None: None}
    by_accounting = [
        AccountingResult(
            accounting=f"{group}{number}",
            group=group,
            ratio=Range(low=0.5, high=2.0),
            cheaper=kinds[name],
        )
        for group, names in reversed(cheaper.items())
        for number, name in enumerate(names)
    ]
    accounted = AccountedPair(
        spiking="snn", other="cnn", num_steps=4, rate=0.1, by_accounting=by_accounting
    )
    trials = [
        trial(name, 0.9, energy=energy_of(amount))
        for name, amount in zip(("snn", "cnn"), joules, strict=True)
    ]
    energy = decide(
        structs.replace(
            results(trials, [pair(0.0)]),
            energy_accountings=EnergyAccountings(definitions=[], pairs=[accounted]),
        )
    ).quantity("energy")
    # In the order of groups, however accountings are listed.
    assert list(energy.by_group.items()) == list(cheaper.items())
    assert (energy.leader, energy.evidence) == (leader, evidence)


def test_one_training_each_shows_nothing_of_others():
    one = pair(0.04, accuracy_a=0.92, conclusion=Conclusion.A_BETTER)
    compared = duel(0.92, 0.88, made=one).recommendation.quantity("accuracy")
    assert compared.evidence == "these models"


# ---- what would settle it


@pytest.mark.parametrize(
    ("caveats", "expected"),
    [
        ([finding("one_seed")], [(["--seeds", "6"], 10.0)]),
        # Folds for a small test set come once; more images have no command.
        ([example("few_test_images"), example("few_groups")], [(["--folds", "5"], 10.0)]),
        ([example("more_images", detectable=0.02)], [([], None)]),
        # Who learned nothing is trained longer, before anything else.
        (
            [example("at_chance", remedy="--minutes 6"), finding("one_seed")],
            [(["--minutes", "6"], 6.0), (["--seeds", "6"], 10.0)],
        ),
        # An epoch of the two takes 1 and 0.5 minutes.
        ([example("at_chance", remedy="--epochs 16")], [(["--epochs", "16"], 24.0)]),
        ([example("more_images", remedy="rename val to test")], [([], None)]),
    ],
)
def test_the_steps_and_their_minutes(caveats, expected):
    trials = [trial("snn", 0.9, seconds=[60.0]), trial("cnn", 0.9, seconds=[30.0, 30.0])]
    steps = results(trials, [pair(0.0)], caveats=caveats).recommendation.steps
    assert [(step.options, step.minutes) for step in steps] == expected


def test_the_caveat_that_is_the_reason_is_settled_first():
    trials = [trial("snn", 0.9, seconds=[60.0]), trial("cnn", 0.8, seconds=[30.0, 30.0])]
    longer = example("longer_training", remedy="--epochs 2")
    caveats = [finding("one_seed"), example("few_groups"), longer, example("untuned")]
    decision = results(trials, [pair(0.1)], caveats=caveats).recommendation
    assert decision.reason == "longer_training"
    assert decision.steps[0] == Step(options=["--epochs", "2"], minutes=3.0, resolves=longer)
    assert [step.options[0] for step in decision.steps[1:]] == ["--seeds", "--folds"]
    # Where the other is to be taken, steps come in the order of caveats.
    trials[1] = trial("cnn", 0.95, seconds=[30.0, 30.0])
    decision = results(trials, [pair(-0.05)], caveats=caveats).recommendation
    assert decision.recommended == "cnn"
    assert [step.options[0] for step in decision.steps] == ["--seeds", "--folds", "--epochs"]


# ---- in words


def test_headlines(golden):
    """The recommendation, what is shown for and against it, and what is uncertain."""
    busy = {"made": pair(0.0), "caveats": [finding("busy_machine", load=4.0, cores=2)]}
    few = {
        "made": pair(0.02, half=0.1, n=24),
        "caveats": [finding("more_images", detectable=0.11, assumed=True)],
    }
    failed = [timed("snn", 0.92, 1.0, seed=seed) for seed in range(5)]
    failed += [trial("snn", seed=seed) for seed in (5, 6, 7)]
    failed += [timed("cnn", 0.88, 1.0, seed=seed) for seed in range(8)]
    energies = [
        timed(name, 0.9, 1.0, energy=energy_of(joules))
        for name, joules in (("snn", 1e-6), ("cnn", 3e-6))
    ]
    at_chance = {"made": pair(-0.83, accuracy_a=0.07), "caveats": [SNN_AT_CHANCE]}
    of_pairs = {
        "one seed": {"conclusion": Conclusion.A_BETTER},
        "few seeds": {"reservation": Reservation.TOO_FEW_SEEDS, "seeds": 2},
        "equivalent": {"conclusion": Conclusion.EQUIVALENT, "seeds": 6},
        "balanced accuracy": {"measure": "balanced_accuracy"},
        "significant": SNN_BETTER,
    }
    made = {
        name: duel(0.92, 0.88, 4.0, made=pair(0.04, accuracy_a=0.92, **of))
        for name, of in of_pairs.items()
    }
    made |= {
        "faster, less accurate": duel(0.9, 0.895),
        "busy machine": duel(0.9, 0.9, 3.5, **busy),
        "busy machine, as fast": duel(0.9, 0.9, 1.05, **busy),
        "failed trainings": results(failed, [pair(0.04, accuracy_a=0.92, **SNN_BETTER)]),
        "energy": results(energies, [pair(0.0)], **asked_for("energy")),
        "at chance": duel(0.07, 0.9, 1.0, 4.0, **at_chance),
        "few images": duel(0.92, 0.9, **few),
        "few images, energy": duel(0.92, 0.9, **few, **asked_for("energy")),
        "few images, tolerance": duel(0.92, 0.9, **few, **asked_for("accuracy", 0.5)),
        "few images, both": duel(0.92, 0.9, **few, **asked_for("size", 3.0)),
    }
    golden({name: headline(of) for name, of in made.items()})


def test_few_images_decide_where_the_interval_is_within_the_readers_tolerance():
    few = finding("more_images", detectable=0.11, assumed=True)

    def asked(tolerance):
        made = pair(0.05, accuracy_a=0.9, half=0.06)  # 0.2 to 9.8 points by the 90 % interval
        wide = structs.replace(made, ci95=(-0.01, 0.11))
        return duel(
            0.9, 0.85, made=wide, caveats=[few], **asked_for("accuracy", tolerance)
        ).recommendation

    assert chosen(asked(10.0)) == ("cnn", "cheaper")
    assert chosen(asked(9.0)) == (None, "too_few_images")
    assert asked(None).recommended is None


def test_the_pair_that_few_images_do_not_tell_apart_is_that_of_the_lead():
    few = finding("more_images", detectable=0.11, assumed=True)
    three = [timed("lif", 0.85, 3.0), timed("a-cnn", 0.9, 1.0), timed("b-cnn", 0.875, 1.0)]
    pairs = [
        pair(0.025, a="a-cnn", b="b-cnn", half=0.2),
        pair(-0.05, a="lif", b="a-cnn", accuracy_a=0.85, half=0.2),
        pair(-0.025, a="lif", b="b-cnn", accuracy_a=0.85, half=0.2),
    ]
    made = results(three, pairs, caveats=[few])
    compared = made.recommendation.quantity("accuracy")
    assert (
        {made.recommendation.pair.a, made.recommendation.pair.b}
        == {compared.leader, compared.other}
        == {"a-cnn", "lif"}
    )
    assert abs(made.recommendation.pair.difference) == pytest.approx(compared.difference)
    assert headline(made).endswith("to tell a-cnn from lif, 5.00 points apart.")


def test_with_several_it_says_over_whom():
    three = [timed("snn", 0.9, 3.0), timed("cnn", 0.91, 1.0), timed("other-cnn", 0.92, 2.0)]
    decision = rows(results(three, [pair(-0.02, b="other-cnn")]))
    assert [row[""] for row in decision[3:]] == ["difference", "from", "significant"]
    assert (decision[4]["accuracy, %"], decision[4]["inference"]) == ("snn", "snn")


def test_the_table_has_a_star_at_who_leads():
    table = rows(duel(0.92, 0.88, made=pair(0.04, accuracy_a=0.92, **SNN_BETTER)))
    assert [row[""] for row in table] == ["snn", "cnn", "difference", "significant"]
    assert [row["accuracy, %"] for row in table] == ["92.00 *", "88.00", "4.00 points", "yes"]
    assert [row["inference"] for row in table] == ["2 ms", "1 ms *", "2.0 ×", "yes"]


def test_a_contender_that_lacks_a_fold_has_no_accuracy():
    about = dataset(folds=[Counts(train=1, val=1, test=1)] * 2)
    trials = [timed("snn", 0.8, 2.0, fold=0), timed("snn", 0.9, 2.0, fold=1)]
    made = results([*trials, timed("cnn", 0.9, 1.0, fold=0), trial("cnn", fold=1)], about=about)
    assert chosen(made.recommendation) == ("snn", "alone")
    assert [row["accuracy, %"] for row in rows(made)[:2]] == ["85.00 ± 7.07", "failed"]


def test_a_network_that_takes_nothing_is_cheaper_without_a_number():
    trials = [
        timed(name, 0.9, 1.0, operations=structs.replace(spiking(), bytes=size))
        for name, size in (("snn", 0), ("cnn", 1000))
    ]
    text = headline(results(trials, [pair(0.0)], **asked_for("size")))
    assert "Its weights are infinitely many times smaller" in text


def in_int8(operations, accuracy):
    cost = Int8Result(flash=1000, ram=100, operations=operations)
    about = {"title": "in int8", "meaning": "", "paired": True}
    by_class = ByClass(images=[1], predictions=[1], right=[1])
    return {"int8": VariantResult(n=1, accuracy=accuracy, by_class=by_class, int8=cost, **about)}


@pytest.mark.parametrize(("ours", "take"), [(1e6, "snn"), (4e6, "cnn")])
def test_for_a_microcontroller_int8_operations_decide(ours, take):
    trials = [
        timed(name, 0.9, 1.0, variants=in_int8(number, 0.9))
        for name, number in (("snn", ours), ("cnn", 2e6))
    ]
    made = results(trials, [pair(0.0)], **asked_for("cortex-m"))
    assert (made.recommendation.recommended, made.recommendation.decided_by) == (take, "operations")
    assert "emulated Cortex-M4" in headline(made)
    assert "It needs 2.0 times fewer int8 operations" in headline(made)
    assert "int8 operations" in rows(made)[0]
    # Bytes on the device, in place of those of a computer.
    assert {compared.quantity for compared in made.recommendation.quantities} >= {"flash", "ram"}
    assert made.recommendation.quantity("flash").values["snn"].low == 1000
    assert made.recommendation.quantity("ram").values["cnn"].low == 100
    assert not {"memory", "size"} & {
        compared.quantity for compared in made.recommendation.quantities
    }
    elsewhere = results(trials, [pair(0.0)]).recommendation
    assert not {"flash", "ram"} & {compared.quantity for compared in elsewhere.quantities}


def test_a_network_that_does_not_run_on_the_device_is_not_taken():
    made = [
        timed("snn", 0.8, 1.0, variants=in_int8(1e6, 0.8)),
        timed("cnn", 0.9, 1.0),
    ]
    found = results(made, [pair(-0.1, accuracy_a=0.8)], **asked_for("cortex-m"))
    assert chosen(decide(found)) == ("snn", "runs_alone")
    assert "It is the only network here that runs in int8" in headline(found)


def test_nobody_is_taken_for_a_microcontroller_where_none_runs():
    found = results([timed("snn", 0.8, 1.0), timed("cnn", 0.9, 1.0)], **asked_for("cortex-m"))
    made = with_recommendation(found)
    assert chosen(made.recommendation) == (None, "none_runs")
    assert "runs in int8 on a Cortex-M" in headline(made)
    assert "int8 operations" not in rows(made)[0]


@pytest.mark.parametrize("asked", ["cpu", "gpu"])
@pytest.mark.parametrize("device", ["cpu", "cuda", None])
def test_times_of_another_device_decide_nothing(asked, device):
    made = duel(0.904, 0.9, made=pair(0.004, accuracy_a=0.904, half=0.001))
    made = structs.replace(made, environment={"device": device})
    made = structs.replace(made, experiment=replace(made.experiment, target=asked))
    made, is_there = with_recommendation(made), (asked == "gpu") == (device == "cuda")
    assert made.recommendation.recommended == ("cnn" if is_there else "snn")
    assert ("times do not count here" in headline(made)) != is_there
