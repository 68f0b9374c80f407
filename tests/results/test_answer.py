import pytest
from msgspec import structs

from made_costs import energy_of, latency
from made_findings import example
from made_trials import dataset, pair, results, trial
from spikeduel.results.answer import decide
from spikeduel.results.audit import Counts
from spikeduel.results.costs import AccountedPair, AccountingResult, EnergyAccountings, Range
from spikeduel.results.findings import finding
from spikeduel.results.significance import Conclusion
from spikeduel.results.words.answer import headline, rows

SNN_BETTER = {"conclusion": Conclusion.A_BETTER, "p_value": 0.001, "seeds": 6}


def timed(contender, accuracy, ms, **changes):
    return trial(contender, accuracy, latency=latency(ms, ms), **changes)


def duel(snn=0.9, cnn=0.89, snn_ms=2.0, cnn_ms=1.0, made=None, **changes):
    made = made or pair(snn - cnn, accuracy_a=snn)
    return results([timed("snn", snn, snn_ms), timed("cnn", cnn, cnn_ms)], [made], **changes)


@pytest.mark.parametrize(
    ("snn", "cnn", "made", "take", "why"),
    [
        (0.92, 0.88, {**SNN_BETTER}, "snn", "better"),
        (0.90, 0.895, {}, "cnn", "faster"),
        (0.903, 0.9, {**SNN_BETTER, "negligible": True}, "cnn", "faster"),
        (0.90, 0.9, {"conclusion": Conclusion.EQUIVALENT}, "cnn", "faster"),
        # Two points, and an interval without 0, of one training each: not shown of others, nor
        # level.
        (0.92, 0.9, {"conclusion": Conclusion.A_BETTER}, "snn", "higher"),
        # Two points, and an interval with 0 in it.
        (0.92, 0.9, {"half": 0.03}, "cnn", "faster"),
    ],
)
def test_the_faster_one_of_those_that_are_level_and_else_the_more_accurate(
    snn, cnn, made, take, why
):
    found = decide(duel(snn, cnn, made=pair(snn - cnn, accuracy_a=snn, **made)))
    assert (found.take, found.reason) == (take, why)
    assert found.rival == ("cnn" if take == "snn" else "snn")


def test_who_answers_as_fast_does_not_win_by_that():
    assert decide(duel(0.905, 0.9, snn_ms=1.05, cnn_ms=1.0)).take == "snn"


def test_an_untimed_one_is_not_called_slower():
    untimed = results([trial("snn", 0.9), timed("cnn", 0.899, 1.0)], [pair(0.001)])
    assert decide(untimed).take == "snn"
    assert decide(untimed).lead("answer").evidence == "not measured"


@pytest.mark.parametrize(
    ("objection", "why"),
    [
        (finding("leakage", shared=0.5, official=False), "leakage"),
        (example("cut_groups"), "leakage"),
        (example("at_chance", contenders=["snn", "cnn"]), "nothing_learned"),
    ],
)
def test_nobody_is_taken_for_scores_that_show_nothing(objection, why):
    found = decide(duel(caveats=[objection]))
    assert (found.take, found.reason) == (None, why)
    assert headline(duel(caveats=[objection])).startswith("Take neither")


def test_the_rival_is_the_best_of_the_other_kind():
    three = [timed("snn", 0.90, 3.0), timed("cnn", 0.93, 1.0), timed("other-cnn", 0.92, 2.0)]
    better = [
        pair(-0.03, conclusion=Conclusion.B_BETTER),
        pair(-0.02, b="other-cnn"),
        pair(0.01, a="cnn", b="other-cnn"),
    ]
    found = decide(results(three, better))
    assert (found.take, found.rival) == ("cnn", "snn")
    assert found.pair == better[0]


# ---- who leads


def test_by_how_much_and_how_sure():
    found = decide(duel(0.92, 0.88, 4.0, 1.0, made=pair(0.04, accuracy_a=0.92, **SNN_BETTER)))
    accuracy, pace = found.lead("accuracy"), found.lead("answer")
    assert (accuracy.leader, accuracy.evidence, round(accuracy.by, 4)) == (
        "snn",
        "shown",
        0.04,
    )
    assert (pace.leader, pace.by, pace.evidence) == ("cnn", 4.0, "shown")
    assert found.lead("memory").evidence == "not measured"


def test_times_on_a_busy_machine_show_nothing():
    busy = finding("busy_machine", load=4.0, cores=2)
    assert decide(duel(snn_ms=4.0, caveats=[busy])).lead("answer").evidence == "not shown"
    idle, disturbed = (decide(duel(0.901, 0.9, 4.0, 1.0, caveats=of)) for of in ([], [busy]))
    assert (idle.take, idle.reason) == ("cnn", "faster")
    assert (disturbed.take, disturbed.reason) == ("snn", "higher")


def test_training_counts_that_of_the_twin_it_starts_from_and_each_seed_must_agree():
    def trained(*cnn_seconds):
        trials = [
            each
            for seed, seconds in enumerate(cnn_seconds)
            for each in (
                trial("snn", 0.9, seed=seed, seconds=[10.0], starts_from="cnn"),
                trial("cnn", 0.9, seed=seed, seconds=[seconds]),
            )
        ]
        return decide(results(trials, [pair(0.0, seeds=2)])).lead("training")

    assert trained(5.0, 7.0).values == {
        "snn": Range(low=16.0, high=16.0),
        "cnn": Range(low=6.0, high=6.0),
    }
    assert trained(5.0, 7.0).evidence == "shown"
    # The slower training of the one takes as long as the faster one of the other.
    slow = [trial("snn", 0.9, seconds=[10.0]), trial("cnn", 0.9, seconds=[2.0])]
    slow += [trial("snn", 0.9, seed=1, seconds=[10.0]), trial("cnn", 0.9, seed=1, seconds=[11.0])]
    assert decide(results(slow, [pair(0.0, seeds=2)])).lead("training").evidence == "not shown"


MOST = ["spiking", "spiking", "other"]


def result(number, cheaper):
    return AccountingResult(
        accounting=f"a{number}", ratio=Range(low=0.5, high=2.0), cheaper=cheaper
    )


@pytest.mark.parametrize(
    ("sides", "leader", "cheaper_in", "sure"),
    [
        (["spiking"] * 3, "snn", 3, "shown"),
        (["spiking", "spiking", "other"], "snn", 2, "not shown"),
        (["spiking", "other", None], None, 1, "not shown"),
    ],
)
def test_energy_is_judged_by_all_accountings(sides, leader, cheaper_in, sure):
    accounted = AccountedPair(
        spiking="snn",
        other="cnn",
        num_steps=4,
        rate=0.1,
        by_accounting=list(map(result, range(3), sides)),
    )
    trials = [trial("snn", 0.9, energy=energy_of(1e-6)), trial("cnn", 0.9, energy=energy_of(2e-6))]
    found = decide(
        structs.replace(
            results(trials, [pair(0.0)]),
            energy_accountings=EnergyAccountings(definitions=[], pairs=[accounted]),
        )
    )
    energy = found.lead("energy")
    assert (energy.leader, energy.cheaper_in, energy.judged, energy.evidence) == (
        leader,
        cheaper_in,
        3,
        sure,
    )


def test_no_star_stands_at_the_number_that_is_higher_at_both_ends():
    accounted = AccountedPair(
        spiking="snn",
        other="cnn",
        num_steps=4,
        rate=0.1,
        by_accounting=[result(n, s) for n, s in enumerate(MOST)],
    )
    trials = [trial("snn", 0.9, energy=energy_of(2e-6)), trial("cnn", 0.9, energy=energy_of(1e-6))]
    energy = decide(
        structs.replace(
            results(trials, [pair(0.0)]),
            energy_accountings=EnergyAccountings(definitions=[], pairs=[accounted]),
        )
    ).leads[3]
    assert (energy.leader, energy.cheaper_in) == (None, 2)


def test_one_training_each_shows_nothing_of_others():
    one = pair(0.04, accuracy_a=0.92, conclusion=Conclusion.A_BETTER)
    assert decide(duel(0.92, 0.88, made=one)).lead("accuracy").evidence == "these models"


# ---- what would settle it


def test_the_steps_and_their_minutes():
    trials = [trial("snn", 0.9, seconds=[60.0]), trial("cnn", 0.9, seconds=[30.0, 30.0])]
    caveats = [finding("one_seed"), finding("untuned")]
    steps = decide(results(trials, [pair(0.0)], caveats=caveats)).steps
    assert [(step.options, step.minutes) for step in steps] == [
        (["--seeds", "6"], 10.0),
        (["--tune", "10"], 22.0),
    ]


def test_folds_for_a_small_test_set_come_once():
    found = decide(duel(caveats=[example("few_test_images"), example("few_groups")]))
    assert [step.options for step in found.steps] == [["--folds", "5"]]


def test_more_images_have_no_command():
    (step,) = decide(duel(caveats=[example("more_images", detectable=0.02)])).steps
    assert (step.options, step.minutes) == ([], None)


# ---- in words


def test_the_line_names_both_and_what_is_shown():
    made = duel(0.92, 0.88, 4.0, 1.0, made=pair(0.04, accuracy_a=0.92, **SNN_BETTER))
    assert headline(made) == (
        "Take snn (SNN): it is 4.00 points more accurate than cnn (CNN), but it is 4.0 times "
        "slower here (shown; 2,000 test images, 6 seeds)."
    )
    assert headline(duel()) == (
        "Take cnn (CNN): it is 2.0 times faster here and no difference in accuracy from snn (SNN) "
        "is shown (it is 1.00 points behind; 2,000 test images, 1 seed)."
    )


def test_too_few_images_give_no_answer_unless_something_is_shown():
    few = finding("more_images", detectable=0.11, assumed=True)
    level = duel(0.92, 0.9, made=pair(0.02, half=0.1, n=24), caveats=[few])
    assert (decide(level).take, decide(level).reason) == (None, "too_few_images")
    assert (
        headline(level)
        == "No answer yet: with 24 test images and 1 seed a lead of 2.00 points is not shown."
    )
    apart = duel(0.9, 0.6, made=pair(0.3, n=24, accuracy_a=0.9, **SNN_BETTER), caveats=[few])
    assert decide(apart).take == "snn"


def test_with_several_it_says_over_whom():
    three = [timed("snn", 0.9, 3.0), timed("cnn", 0.91, 1.0), timed("other-cnn", 0.92, 2.0)]
    found = rows(results(three, [pair(-0.02, b="other-cnn")]))
    assert [row[""] for row in found] == ["snn", "cnn", "other-cnn", "lead", "over", "how sure"]
    assert (found[4]["accuracy, %"], found[4]["answer"]) == ("snn", "snn")


def test_the_table_has_a_star_at_who_leads():
    table = rows(duel(0.92, 0.88, made=pair(0.04, accuracy_a=0.92, **SNN_BETTER)))
    assert [row[""] for row in table] == ["snn", "cnn", "lead", "how sure"]
    assert [row["accuracy, %"] for row in table] == ["92.00 *", "88.00", "4.00 points", "shown"]
    assert [row["answer"] for row in table] == ["2 ms", "1 ms *", "2.0 ×", "shown"]


def test_folds_and_failures_fit_the_form():
    about = dataset(folds=[Counts(train=1, val=1, test=1)] * 2)
    trials = [timed("snn", 0.8, 2.0, fold=0), timed("snn", 0.9, 2.0, fold=1), trial("cnn", fold=0)]
    table = rows(results(trials, about=about))
    assert table[0]["accuracy, %"] == "85.00 ± 7.07"
    assert table[1]["accuracy, %"] == "failed"
