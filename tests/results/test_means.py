"""Means over trials."""

from factories import latency, variant_result, with_trial
from spikeduel.results import means
from spikeduel.results.cost_results import Range


def test_a_mean_needs_all():
    assert means.mean([1.0, 3.0]) == 2
    assert means.mean([1.0, None]) is means.mean([]) is None
    ends = [Range(low=1, high=2), Range(low=3, high=8)]
    assert means.mean_range(ends) == Range(low=2, high=5)
    assert means.mean_range([*ends, None]) is means.mean_range([]) is None


def test_which_joules_are_meant(results):
    first = results.trials[0]
    assert (
        means.joules_of(first, "45nm-fp32") == means.joules_of(first) == Range(low=4e-6, high=10e-6)
    )
    assert means.joules_of(first, "45nm-int8") is None
    assert means.joules_of(first, way="per_step") == Range(low=30e-6, high=40e-6)
    assert means.joules_of(first, memory="on_chip") == Range(low=1e-3, high=3e-3)
    assert means.joules_of(variant_result("shuffled", 0.5)) is None


def test_a_variant_that_a_trial_lacks_has_no_results(results):
    twin = variant_result("quantised twin", 0.75, bits=3)
    has = with_trial(results, 0, variants={"quantised_twin": twin}).trials
    assert means.variant_results(has[:1], "quantised_twin") == [twin]
    assert means.variant_results(has, "quantised_twin") == []


def test_a_network_that_was_not_timed_has_no_times(results):
    trials = with_trial(results, 1, latency=latency()).trials
    assert means.one_image_ms(trials) is None
