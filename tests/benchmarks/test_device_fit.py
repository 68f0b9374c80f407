"""Energy models of devices follow from the logs, and keep what their page promises."""

import math
from dataclasses import replace

import pytest

from benchmarks import shared

pytest.importorskip("spikeduel.features.device_energy")
from benchmarks.energy import device_fit, device_logs, mlperf_tiny
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
    assert results["median error above idle"] == {
        name: device_fit.above_idle(name, results["left out"])
        for name in ("spinnaker-spinn3", "spinnaker-spinn5")
    }
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


def test_a_model_of_multiplications_alone_has_one_scale_for_each_board():
    names = [name for name in devices() if name.startswith("nucleo-u385")]
    logs = device_fit.logs_of(names, device_fit.DENSE[:1])
    (weights,) = device_fit.fitted_together(logs).values()
    scales = [log.picojoules / log.counted[0] for log in logs]
    assert weights == pytest.approx([math.prod(scales) ** (1 / len(scales))])


@pytest.fixture(scope="module")
def unseen():
    return shared.read(device_fit.LOGS)


def test_logs_are_new_unless_a_device_file_or_an_earlier_log_has_them(unseen):
    logs = [device_logs.Found(**log) for log in unseen["logs"]]
    fitted = [log for log in logs if log.system == "NUCLEO_U385RG_Q"]
    assert len(fitted) == 4
    assert device_logs.new(fitted) == []
    other = [log._replace(microjoules=1.01 * log.microjoules) for log in fitted]
    assert device_logs.new([*other, *other]) == sorted(other)


def test_a_system_like_a_known_board_is_estimated_by_its_own_scale():
    """A network's estimate is its energy, if the system's energies are the model's times a scale."""
    relative, _ = device_logs.relative_costs("nucleo-", without="ic")
    system = [device_logs.Found("1.0", "A", "B", network, 0.0) for network in mlperf_tiny.NETWORKS]
    system = [
        log._replace(microjoules=7.0 * float(relative @ device_logs.as_log(log).counted))
        for log in system
    ]
    (ic,) = [log for log in system if log.network == "ic"]
    estimated, factor = device_logs.by_own_scale(ic, system)
    assert estimated == pytest.approx(ic.microjoules)
    assert factor > 1
    assert device_logs.by_own_scale(ic, [ic]) is None


def test_the_stored_logs_give_the_stored_rows(unseen):
    logs = [device_logs.Found(**log) for log in unseen["logs"]]
    some = [log for log in logs if log.system in ("EK-RA6M4", "syntiant_9120_1v1_98mhz")]
    made = device_logs.tested(some)
    assert len(made) >= 5
    assert all(row in unseen["tested"] for row in made)
