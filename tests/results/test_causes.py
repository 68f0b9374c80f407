import itertools

import pytest
from msgspec import structs

import made_costs
from made_controls import BETTER, EQUAL, UNKNOWN, WORSE, controlled, row
from made_trials import trial
from spikeduel.results.causes import Claim, claims, without_unlearned
from spikeduel.results.controlled import ControlledContender
from spikeduel.results.significance import Reservation

EVERY = (BETTER, WORSE, EQUAL, UNKNOWN, None)
CONTROLS = ("relu_twin", "quantised_twin", "one_step", "shuffled", "nearest_neighbour")
OTHER_THAN = {each: {*EVERY} - {each} for each in EVERY}
# What each claim says of the controls: with any other conclusion there, the page would contradict
# itself.
SAYS = {
    Claim.SPIKING_GAINS: {
        "relu_twin": {BETTER, None},
        "quantised_twin": {BETTER, None},
        "one_step": {BETTER, None},
    },
    Claim.BETTER_THAN_TWINS: {
        "relu_twin": {BETTER, None},
        "quantised_twin": {BETTER, None},
        "one_step": {WORSE, EQUAL, UNKNOWN},
    },
    Claim.SPIKING_COSTS: {"relu_twin": {WORSE, None}, "quantised_twin": {WORSE, None}},
    Claim.BETWEEN_TWINS: {"relu_twin": {BETTER, WORSE}, "quantised_twin": {BETTER, WORSE}},
    Claim.WORSE_THAN_A_TWIN: {
        "relu_twin": OTHER_THAN[BETTER],
        "quantised_twin": OTHER_THAN[BETTER],
    },
    Claim.AS_GOOD_AS_TWINS: {"relu_twin": {EQUAL, None}, "quantised_twin": {EQUAL, None}},
    Claim.NOT_SHOWN: {"relu_twin": OTHER_THAN[WORSE], "quantised_twin": OTHER_THAN[WORSE]},
    Claim.STEPS_GAIN: {"one_step": {BETTER}},
    Claim.STEPS_COST: {"one_step": {WORSE}},
    Claim.STEPS_ADD_NOTHING: {"one_step": {EQUAL}},
    Claim.STEPS_NOT_SHOWN: {"one_step": {UNKNOWN}},
    Claim.ORDER_MATTERS: {"shuffled": {BETTER}},
    Claim.ORDER_HARMS: {"shuffled": {WORSE}},
    Claim.ORDER_DOES_NOT_MATTER: {"shuffled": {EQUAL}},
}
TWINS, STEPS, ORDER = list(SAYS)[:7], list(SAYS)[7:11], list(SAYS)[11:]
ALL = [
    dict(zip(CONTROLS, found, strict=True))
    for found in itertools.product(EVERY, repeat=len(CONTROLS))
]


@pytest.mark.parametrize("num_steps", [1, 4])
def test_no_claim_contradicts_a_control_of_the_same_page(num_steps):
    made = set()
    for found in ALL:
        shown = claims(controlled(num_steps, **found))
        made |= set(shown)
        for claim in shown:
            for control, allowed in SAYS[claim].items():
                assert found[control] in allowed or (num_steps == 1 and control == "one_step"), (
                    claim,
                    found,
                )
        for alternatives in (TWINS, STEPS, ORDER):
            assert sum(claim in alternatives for claim in shown) <= 1
        # Whatever a twin or a single step showed, something is said of it.
        twins = {found["relu_twin"], found["quantised_twin"]} - {None}
        assert any(claim in TWINS for claim in shown) == bool(twins)
        assert any(claim in STEPS for claim in shown) == (
            num_steps > 1 and found["one_step"] is not None
        )
    never = {*STEPS, *ORDER, Claim.BETTER_THAN_TWINS} if num_steps == 1 else set()
    assert made == set(SAYS) - never


def test_too_few_seeds_show_no_cause_whatever_they_find():
    for found, seeds in itertools.product(ALL, (1, 2, 3)):
        measured = any(found.values())
        assert claims(controlled(4, seeds=seeds, **found)) == (
            [Claim.FEW_SEEDS] if measured else []
        )


def test_a_control_counts_where_it_has_seeds_enough():
    # Four seeds are enough against other trainings, and not against the same ones.
    rows = [row("relu_twin", BETTER, seeds=4), row("shuffled", BETTER, seeds=4, paired=True)]
    found = ControlledContender(contender="conv-lif", num_steps=4, seeds=4, accuracy=0.9, rows=rows)
    assert claims(found) == [Claim.SPIKING_GAINS]
    alone = ControlledContender(
        contender="conv-lif", num_steps=4, seeds=4, accuracy=0.9, rows=rows[1:]
    )
    assert claims(alone) == [Claim.FEW_SEEDS]


def test_a_control_that_learned_nothing_shows_no_cause():
    found = controlled(4, relu_twin=BETTER, quantised_twin=BETTER, one_step=BETTER)
    assert claims(found) == [Claim.SPIKING_GAINS, Claim.STEPS_GAIN]

    def trials(**accuracies):
        every = {"relu_twin": 0.8, "quantised_twin": 0.8, "one_step": 0.8} | accuracies
        made = {
            name: made_costs.control(name, accuracy, key="k") for name, accuracy in every.items()
        }
        return [
            trial("conv-lif", 0.9, controls=made),
            trial("other", 0.9, controls={"one_step": made["relu_twin"]}),
        ]

    assert without_unlearned(found, trials()) == found
    failed = without_unlearned(found, trials(one_step=0.1))
    assert [row.found.reservation for row in failed.rows] == [
        None,
        None,
        Reservation.CONTROL_AT_CHANCE,
    ]
    # What was measured stays.
    assert failed.rows[2].found.difference == found.rows[2].found.difference
    assert claims(failed) == [Claim.BETTER_THAN_TWINS, Claim.STEPS_NOT_SHOWN]
    assert claims(without_unlearned(found, trials(relu_twin=0.1))) == [
        Claim.NOT_SHOWN,
        Claim.STEPS_GAIN,
    ]


def test_the_case_that_was_told_wrongly():
    # Better than its twins, as good with a single step: it is not the four steps that gain.
    assert claims(controlled(4, relu_twin=BETTER, quantised_twin=BETTER, one_step=EQUAL)) == [
        Claim.BETTER_THAN_TWINS,
        Claim.STEPS_ADD_NOTHING,
    ]


def test_of_recordings_nothing_is_claimed_of_spikes_and_nothing_to_learn_is_no_failed_training():
    found = structs.replace(row("collapsed", BETTER, 0.8), of_recordings=True)
    contender = ControlledContender(
        contender="vgg-lif", num_steps=None, seeds=6, accuracy=0.9, rows=[found]
    )
    control = made_costs.control("collapsed", 0.1, key="k", of_recordings=True)
    assert claims(contender) == []
    assert (
        without_unlearned(contender, [trial("vgg-lif", 0.9, controls={"collapsed": control})])
        == contender
    )
