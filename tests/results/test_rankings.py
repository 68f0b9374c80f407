"""Who takes least by which counting; µJ and mJ as in the tests of the words."""

import pytest
from msgspec.structs import replace

from made_costs import control, energy_of, results_of, trial, with_trial
from made_operations import plain, spiking
from spikeduel.results import rankings
from spikeduel.results.costs import Range


@pytest.fixture
def results():
    """Zeros skipped to nothing skipped: 4 to 10 µJ (30 to 40 per step) against 5 to 8; 1 to 3 mJ
    against 2 to 4.
    """
    return results_of(
        trial(
            "dense-snn",
            operations=spiking(),
            energy=energy_of((4e-6, 10e-6), (30e-6, 40e-6), (1e-3, 3e-3)),
        ),
        trial("small-cnn", operations=plain(), energy=energy_of((5e-6, 8e-6), None, (2e-3, 4e-3))),
    )


def found(results):
    return {ranking.counting: ranking for ranking in rankings.rankings(results)}


def test_like_is_compared_with_like(results):
    ranked = found(results)
    assert {name: ranking.least for name, ranking in ranked.items()} == {
        "skipped": "dense-snn",
        "computed": "small-cnn",
        "per_step_skipped": "small-cnn",
        "per_step_computed": "small-cnn",
        "with_memory": None,
    }
    assert ranked["skipped"].joules["dense-snn"] == Range(low=4e-6, high=4e-6)
    assert ranked["computed"].joules["dense-snn"] == Range(low=10e-6, high=10e-6)
    assert list(ranked["computed"].joules) == ["small-cnn", "dense-snn"]
    assert ranked["with_memory"].joules["small-cnn"] == Range(low=2e-3, high=4e-3)


def test_ranges_that_do_not_overlap_have_a_least(results):
    dear = with_trial(results, 1, energy=energy_of((5e-6, 8e-6), None, (3.1e-3, 4e-3)))
    assert found(dear)["with_memory"].least == "dense-snn"


def test_a_counting_that_gives_the_same_is_left_out(results):
    same = with_trial(results, 0, energy=energy_of((4e-6, 10e-6), None, (1e-3, 3e-3)))
    assert list(found(same)) == ["skipped", "computed", "with_memory"]


def test_a_contender_with_a_trial_that_is_not_known_is_left_out(results):
    again = with_trial(results_of(*results.trials, results.trials[1]), 2, seed=1, energy=None)
    assert list(found(again)["skipped"].joules) == ["dense-snn"]
    assert found(again)["skipped"].least is None


def test_energies_of_an_earlier_version_are_not_known(results):
    energy = results.trials[0].energy
    table = energy.leading
    ways = table.compute
    earlier = replace(ways, hoisted=replace(ways.hoisted, range=None))
    old = replace(
        energy,
        tables={"45nm-fp32": replace(table, compute=earlier)},
    )
    assert rankings.joules_of(replace(results.trials[0], energy=old)) is None


def test_a_mean_needs_all():
    assert rankings.mean([1.0, 3.0]) == 2
    assert rankings.mean([1.0, None]) is rankings.mean([]) is None
    ends = [Range(low=1, high=2), Range(low=3, high=8)]
    assert rankings.mean_range(ends) == Range(low=2, high=5)
    assert rankings.mean_range([*ends, None]) is rankings.mean_range([]) is None


def test_which_joules_are_meant(results):
    first = results.trials[0]
    assert (
        rankings.joules_of(first, "45nm-fp32")
        == rankings.joules_of(first)
        == Range(low=4e-6, high=10e-6)
    )
    assert rankings.joules_of(first, "45nm-int8") is None
    assert rankings.per_step(first) == Range(low=30e-6, high=40e-6)
    assert rankings.with_memory(first) == Range(low=1e-3, high=3e-3)
    assert rankings.joules_of(control("shuffled", 0.5)) is None


def test_a_control_that_a_trial_lacks_has_no_results(results):
    twin = control("quantised twin", 0.75, bits=3)
    has = with_trial(results, 0, controls={"quantised_twin": twin}).trials
    assert rankings.control_results(has[:1], "quantised_twin") == [twin]
    assert rankings.control_results(has, "quantised_twin") == []


def test_the_trained_twin_is_that_of_the_run_or_else_its_control(results):
    assert rankings.trained_twin(results, "dense-snn") is None
    controlled = with_trial(
        results, 0, controls={"relu_twin": control("ReLU twin", 0.5, operations=spiking())}
    )
    assert rankings.trained_twin(controlled, "dense-snn") == spiking()
    weights = {"linear": [4, 10]}
    twins = with_trial(with_trial(controlled, 0, weight_shapes=weights), 1, weight_shapes=weights)
    assert rankings.trained_twin(twins, "dense-snn") == plain()
