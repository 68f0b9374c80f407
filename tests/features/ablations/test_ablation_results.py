import itertools

import pytest
from msgspec import structs

from factories import dataset, trial, variant_result
from features.ablations.made_ablations import BETTER, EQUAL, UNKNOWN, WORSE, ablated, row
from spikeduel.analysis.run_findings import RunContext
from spikeduel.experiment.recipes import baseline
from spikeduel.features.ablations.ablation_results import (
    AblatedContender,
    ablation_at_chance,
    claims,
    without_unlearned,
)
from spikeduel.results.significance import Reservation


def shown_by(contender):
    """Return the ids of what the ablations show."""
    return [claim.id for claim in claims(contender)]


EVERY = (BETTER, WORSE, EQUAL, UNKNOWN, None)
ON_IMAGES = ("relu_twin", "quantised_twin", "one_step", "shuffled")
OTHER_THAN = {conclusion: {*EVERY} - {conclusion} for conclusion in EVERY}
# What each claim says of the ablations: with any other conclusion there, the page would contradict
# itself.
SAYS = {
    "spiking_gains": {
        "relu_twin": {BETTER, None},
        "quantised_twin": {BETTER, None},
        "one_step": {BETTER, None},
    },
    "better_than_twins": {
        "relu_twin": {BETTER, None},
        "quantised_twin": {BETTER, None},
        "one_step": {WORSE, EQUAL, UNKNOWN},
    },
    "spiking_costs": {"relu_twin": {WORSE, None}, "quantised_twin": {WORSE, None}},
    "between_twins": {"relu_twin": {BETTER, WORSE}, "quantised_twin": {BETTER, WORSE}},
    "worse_than_a_twin": {
        "relu_twin": OTHER_THAN[BETTER],
        "quantised_twin": OTHER_THAN[BETTER],
    },
    "as_good_as_twins": {"relu_twin": {EQUAL, None}, "quantised_twin": {EQUAL, None}},
    "not_shown_beside_twins": {"relu_twin": OTHER_THAN[WORSE], "quantised_twin": OTHER_THAN[WORSE]},
    "steps_gain": {"one_step": {BETTER}},
    "steps_cost": {"one_step": {WORSE}},
    "steps_add_nothing": {"one_step": {EQUAL}},
    "steps_not_shown": {"one_step": {UNKNOWN}},
    "order_matters": {"shuffled": {BETTER}},
    "order_harms": {"shuffled": {WORSE}},
    "order_does_not_matter": {"shuffled": {EQUAL}},
}
TWINS, STEPS, ORDER = list(SAYS)[:7], list(SAYS)[7:11], list(SAYS)[11:]
ALL = [
    dict(zip(ON_IMAGES, conclusions, strict=True))
    for conclusions in itertools.product(EVERY, repeat=len(ON_IMAGES))
]


@pytest.mark.parametrize("num_steps", [1, 4])
def test_no_claim_contradicts_an_ablation_of_the_same_page(num_steps):
    made = set()
    for conclusions in ALL:
        shown = shown_by(ablated(num_steps, **conclusions))
        made |= set(shown)
        for claim in shown:
            for name, allowed in SAYS[claim].items():
                assert conclusions[name] in allowed or (num_steps == 1 and name == "one_step"), (
                    claim,
                    conclusions,
                )
        for alternatives in (TWINS, STEPS, ORDER):
            assert sum(claim in alternatives for claim in shown) <= 1
        # Whatever a twin or a single step showed, something is said of it.
        twins = {conclusions["relu_twin"], conclusions["quantised_twin"]} - {None}
        assert any(claim in TWINS for claim in shown) == bool(twins)
        assert any(claim in STEPS for claim in shown) == (
            num_steps > 1 and conclusions["one_step"] is not None
        )
    never = {*STEPS, *ORDER, "better_than_twins"} if num_steps == 1 else set()
    assert made == set(SAYS) - never


def test_too_few_seeds_show_no_cause_whatever_they_find():
    for conclusions, seeds in itertools.product(ALL, (1, 2, 3)):
        measured = any(conclusions.values())
        assert shown_by(ablated(4, seeds=seeds, **conclusions)) == (
            ["few_seeds_for_causes"] if measured else []
        )


def test_an_ablation_counts_where_it_has_seeds_enough():
    # Four seeds are enough against other trainings, and not against the same ones.
    rows = [row("relu_twin", BETTER, seeds=4), row("shuffled", BETTER, seeds=4, paired=True)]
    contender = AblatedContender(
        contender="conv-lif", num_steps=4, seeds=4, accuracy=0.9, rows=rows
    )
    assert shown_by(contender) == ["spiking_gains"]
    alone = AblatedContender(
        contender="conv-lif", num_steps=4, seeds=4, accuracy=0.9, rows=rows[1:]
    )
    assert shown_by(alone) == ["few_seeds_for_causes"]


def test_an_ablation_that_learned_nothing_shows_no_cause():
    contender = ablated(4, relu_twin=BETTER, quantised_twin=BETTER, one_step=BETTER)
    assert shown_by(contender) == ["spiking_gains", "steps_gain"]

    def trials(**accuracies):
        every = {"relu_twin": 0.8, "quantised_twin": 0.8, "one_step": 0.8} | accuracies
        made = {name: variant_result(name, accuracy, key="k") for name, accuracy in every.items()}
        return [
            trial("conv-lif", 0.9, variants=made),
            trial("other", 0.9, variants={"one_step": made["relu_twin"]}),
        ]

    assert without_unlearned(contender, trials()) == contender
    failed = without_unlearned(contender, trials(one_step=0.1))
    assert [row.comparison.reservation for row in failed.rows] == [
        None,
        None,
        Reservation.ABLATION_AT_CHANCE,
    ]
    run = RunContext(baseline(), dataset(), trials(one_step=0.1)[:1])
    (named,) = ablation_at_chance(run)
    assert (named["contender"], bool(named["ablation"])) == ("conv-lif", True)
    # What was measured stays.
    assert failed.rows[2].comparison.difference == contender.rows[2].comparison.difference
    assert shown_by(failed) == ["better_than_twins", "steps_not_shown"]
    assert shown_by(without_unlearned(contender, trials(relu_twin=0.1))) == [
        "not_shown_beside_twins",
        "steps_gain",
    ]


def test_of_recordings_nothing_is_claimed_of_spikes_and_nothing_to_learn_is_no_failed_training():
    ablation_row = structs.replace(row("collapsed", BETTER, 0.8), of_recordings=True)
    contender = AblatedContender(
        contender="vgg-lif", num_steps=None, seeds=6, accuracy=0.9, rows=[ablation_row]
    )
    collapsed = variant_result("collapsed", 0.1, key="k", of_recordings=True)
    assert shown_by(contender) == []
    assert (
        without_unlearned(contender, [trial("vgg-lif", 0.9, variants={"collapsed": collapsed})])
        == contender
    )
