import dataclasses
import html
import re

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from factories import fully_timed, latency, run_results, with_trial
from spikeduel import energy
from spikeduel.analysis.conclusions import with_energy
from spikeduel.evaluation.costing import cost_entry, operations
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import report
from spikeduel.results.cost_results import Range
from spikeduel.sentences import cost_sentences as costs


@pytest.fixture
def results(make_prepared, make_model):
    """8×8 pixels; 16 hidden neurons over 6 steps with direct encoding, and the CNN; counted, the
    CNN timed.
    """
    prepared = make_prepared()
    made = run_results(prepared, baseline(encoding="direct", num_steps=6))
    images, labels = torch.from_numpy(prepared.images[:12]), torch.from_numpy(prepared.labels[:12])
    for index, trial in enumerate(made.trials):
        model = make_model(trial.contender, prepared, "direct")
        made = with_trial(
            made, index, **cost_entry(operations(model, [(images, labels, np.arange(12))]))
        )
    counted = with_energy(with_trial(made, 1, latency=fully_timed()))
    return replace(counted, energy_accountings=None)


def acs_of(results):
    return results.trials[0].operations.totals.acs.total


def cells(results, name):
    return {row["cost"]: row[name] for row in costs.rows(results)}


def test_the_table_by_hand(results):
    snn, cnn = cells(results, "dense-snn"), cells(results, "small-cnn")
    # The first layer has 64 · 16 weights, once or at each of 6 steps.
    assert (snn["MACs"], snn["MACs per step"]) == ("1.02 k", "6.14 k")
    assert acs_of(results) > 0
    # Zeros skipped: pixels that are not black, and spikes that came; or nothing: 6 steps of 16 · 3
    # synapses.
    first, behind = (results.trials[0].operations.layers[k] for k in (0, 2))
    low = first.macs.effective.hoisted * 4.6 + acs_of(results) * 0.9
    assert snn["arithmetic alone"] == costs.range_in_words(
        Range(low=1e-12 * low, high=1e-12 * (1024 * 4.6 + 6 * behind.macs_a_pass * 0.9))
    )
    one_image = "one image (95 % within)"
    assert (snn[one_image], cnn[one_image], cnn["images/s"]) == ("", "0.50 ms (0.75)", "4,000")
    # Of few repetitions, there is no 95th percentile.
    few = cells(with_trial(results, 1, latency=latency(0.5)), "small-cnn")
    assert (few[one_image], "first inference of a process" in few) == ("0.50 ms", False)


def test_the_energies_as_most_count(results):
    title, memory, ((hoisted, usual), (_, alone)) = costs.energies(results)[0]
    assert (title, memory) == (energy.read("45nm-fp32").title, "arithmetic alone")
    assert hoisted == cells(results, "dense-snn")["arithmetic alone"]
    # Every multiplication, and of spikes those that came.
    assert usual == costs.energy_in_words(1e-12 * (1024 * 4.6 + acs_of(results) * 0.9))
    assert alone


def test_another_table_leads_where_it_is_asked_for(results):
    table = energy.read("45nm-int8")
    recounted = with_energy(results, energy.Prices(tables=(table,)))
    assert costs.leading(recounted).title == table.title
    effective = results.trials[0].operations.totals.macs.effective.hoisted
    joules = costs.energy_in_words(1e-12 * (effective * 0.3 + acs_of(results) * 0.1))
    assert cells(recounted, "dense-snn")["arithmetic alone"].startswith(joules.rpartition(" ")[0])


def test_the_page_shows_it_all(results, make_run, unpainted):
    odd = replace(
        results.trials[1],
        contender="odd",
        operations=None,
        energy=None,
        latency=None,
        not_counted="Odd is not known.",
    )
    run, counted = make_run(encoding="direct"), replace(results, trials=[*results.trials, odd])
    page = report(dataclasses.replace(run, results=counted)).read_text()
    for text in ("linear1", "6.14 k", "4,000", "as most count", "odd: Odd is not known."):
        assert text in page
    drawn = set(re.findall(r'data-name="([^"]+)"', page))
    assert "pareto" in drawn
    left_out = "accountings|conversion"
    assert [name for name in drawn if re.match(left_out, name)] == []


def test_the_page_shows_the_court_its_formulas_and_sources(results, make_run, unpainted):
    run, judged = make_run(encoding="direct"), with_energy(results)
    page = html.unescape(report(dataclasses.replace(run, results=judged)).read_text())
    assert costs.summary(judged.energy_accountings.pairs[0]) in page
    for law in judged.energy_accountings.definitions:
        texts = (law.title, law.source, law.spiking, law.leaves_out, *law.constants)
        assert [text for text in texts if text not in page] == []
    assert 'data-name="accountings-dense-snn-small-cnn"' in page
