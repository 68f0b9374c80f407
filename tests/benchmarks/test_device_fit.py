"""Energy models of devices follow from the logs, and keep what their page promises."""

from dataclasses import replace

import pytest

from benchmarks import shared

pytest.importorskip("spikeduel.features.device_energy")
from benchmarks.energy import device_fit, mlperf_tiny
from spikeduel.features.device_energy.device_models import devices, models

PUBLISHED = {"ic": 12.50, "kws": 2.66, "vww": 7.49, "ad": 0.264}
"""Millions of multiplications of MLPerf Tiny's networks."""


@pytest.fixture(scope="module")
def results():
    return shared.read(device_fit.RESULT)


@pytest.mark.parametrize("name", mlperf_tiny.NETWORKS)
def test_the_counter_finds_as_many_multiplications_as_published(name):
    counted = device_fit.multiplications(name) / 1e6
    digits = 3 if name == "ad" else 2
    assert round(counted, digits) == PUBLISHED[name]


def test_the_models_follow_from_the_logs():
    terms = device_fit.DENSE
    for start in device_fit.FAMILIES.values():
        logs = device_fit.logs_of([one for one in devices() if one.startswith(start)], terms)
        made = device_fit.modelled(logs, terms, device_fit.fitted_together)
        for name, model in made.items():
            stored = models()[name]["other"]
            assert stored.picojoules == pytest.approx(model.picojoules, rel=1e-3)
            assert stored.factor == pytest.approx(model.factor, rel=1e-2)
    for name, terms in device_fit.CHIPS.items():
        logs = device_fit.logs_of([name], terms)
        (model,) = device_fit.modelled(logs, terms, device_fit.fitted_alone).values()
        assert models()[name]["spiking"].picojoules == pytest.approx(model.picojoules, rel=1e-3)
    for name, model in device_fit.of_spiking_networks().items():
        assert models()[name]["spiking"].picojoules == pytest.approx(model.picojoules, rel=1e-3)


def test_networks_that_were_left_out_are_estimated_as_the_page_says(results):
    found = results["all"]
    assert found == device_fit.summary(results["left out"])
    assert found["median error"] <= 0.25
    assert found["inside the interval"] >= 0.75


def test_an_estimate_does_not_know_its_network():
    names = [name for name in devices() if name.startswith("nucleo-u385")]
    logs = device_fit.logs_of(names, device_fit.DENSE)
    estimated = device_fit.left_out(logs, device_fit.fitted_together)
    wrong = [
        log if log.network != "ic" else replace(log, picojoules=10 * log.picojoules) for log in logs
    ]
    without = device_fit.left_out(wrong, device_fit.fitted_together)
    (before,) = [value for log, value in estimated.items() if log.network == "ic"]
    (after,) = [value for log, value in without.items() if log.network == "ic"]
    assert after == pytest.approx(before)


def test_the_page_is_made_from_the_results():
    assert device_fit.PAGE.read_text(encoding="utf-8") == device_fit.page()
