import dataclasses
import html
import re

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from made_costs import control, fully_timed, latency, with_trial
from spikeduel.measuring import energy
from spikeduel.measuring.costing import cost_entry, operations, with_accountings, with_energy
from spikeduel.reporting import report, report_again
from spikeduel.results.costs import Joules, Range
from spikeduel.results.words import costs, energy_accountings
from spikeduel.settings.recipes import baseline
from spikeduel.system import typed
from spikeduel.system.typed import Frozen


@pytest.fixture
def results(make_prepared, make_results, make_model):
    """8×8 pixels; 16 hidden neurons over 6 steps with direct encoding, and the CNN; counted, the
    CNN timed.
    """
    prepared = make_prepared()
    made = make_results(prepared, baseline(encoding="direct", num_steps=6))
    images, labels = torch.from_numpy(prepared.images[:12]), torch.from_numpy(prepared.labels[:12])
    for index, trial in enumerate(made.trials):
        model = make_model(trial.contender, prepared, "direct")
        made = with_trial(
            made, index, **cost_entry(operations(model, [(images, labels, np.arange(12))]))
        )
    return with_trial(made, 1, latency=fully_timed())


def acs_of(results):
    return results.trials[0].operations.totals.acs.total


def test_the_table_by_hand(results):
    snn, cnn = costs.cost_rows(results)
    # The first layer has 64 · 16 weights, once or at each of 6 steps.
    assert (snn["MACs"], snn["per step"]) == ("1.02 k", "6.14 k")
    assert acs_of(results) > 0
    # Zeros skipped: pixels that are not black, and spikes that came; or nothing: 6 steps of 16 · 3
    # synapses.
    first, behind = (results.trials[0].operations.layers[k] for k in (0, 2))
    low = first.macs.effective.hoisted * 4.6 + acs_of(results) * 0.9
    assert snn["energy"] == costs.range_in_words(
        Range(low=1e-12 * low, high=1e-12 * (1024 * 4.6 + 6 * behind.macs_a_pass * 0.9))
    )
    assert (snn["one image"], cnn["one image"], cnn["images/s"]) == ("", "0.50 ms", "4,000")


def test_without_counts_and_times_there_are_no_rows(results, with_trials):
    assert costs.page_rows(with_trials(results, operations=None, energy=None, latency=None)) == {}


def test_the_rows_of_the_page(results):
    odd = replace(results.trials[1], contender="odd", operations=None, energy=None, latency=None)
    rows = costs.page_rows(replace(results, trials=[*results.trials, odd]))
    assert rows["MACs, per step"][0] == "6.14 k"
    assert rows["images a second, 32 at a time"] == ["", "4,000", ""]
    assert rows["time of one image, median (95 % within)"] == ["", "0.50 ms (0.75)", ""]
    assert rows["peak memory of that process"] == ["", "0.30 GB", ""]
    assert "energy of one image, measured" not in rows


def test_the_energies_say_where_the_countings_differ(results):
    title, memory, ((hoisted, per_step, usual), (_, same, alone)) = costs.energies(results)[0]
    assert (title, memory) == (energy.read("45nm-fp32").title, "arithmetic alone")
    assert per_step not in ("", hoisted)
    assert same == ""
    # As most count: every multiplication, and of spikes those that came.
    assert usual == costs.energy_in_words(1e-12 * (1024 * 4.6 + acs_of(results) * 0.9))
    assert alone


def test_another_table_leads_where_it_is_asked_for(results):
    table = energy.read("45nm-int8")
    found = with_energy(results, [table])
    assert costs.table_title(found) == table.title
    assert f"({table.title}): " in costs.words(found)
    effective = results.trials[0].operations.totals.macs.effective.hoisted
    joules = costs.energy_in_words(1e-12 * (effective * 0.3 + acs_of(results) * 0.1))
    shown = costs.page_rows(found)["energy, arithmetic alone, zeros skipped by all (estimate)"][0]
    assert shown.removesuffix(" (least)") == joules


def test_twins_stand_beside_what_they_take(results):
    assert costs.twins(results) == {}
    snn, cnn = results.trials
    controls = {
        "quantised_twin": control(
            "quantised twin", 0.75, bits=3, operations=cnn.operations, energy=cnn.energy
        ),
        "shuffled": control("shuffled in time", 0.5, spikes=True),
    }
    results = with_trial(results, 0, controls=controls)
    (itself, own), (quantised, twins) = costs.twins(results)["dense-snn"]
    by_name = {row["model"]: row for row in costs.cost_rows(results)}
    assert (itself, quantised) == ("itself", "quantised twin (3 bits)")
    assert costs.mean_text(own, "accuracy") == f"{100 * snn.test.accuracy:.2f}"
    for name in ("energy", "with memory"):
        assert costs.mean_text(own, name) == by_name["dense-snn"][name]
    assert costs.mean_text(twins, "accuracy") == "75.00"
    assert costs.mean_text(twins, "MACs") == by_name["small-cnn"]["MACs"]


def test_times_of_few_repetitions_have_no_95th_percentile(results):
    rows = costs.page_rows(with_trial(results, 1, latency=latency(0.5)))
    assert rows["time of one image, median (95 % within)"] == ["", "0.50 ms"]
    assert "start of a process until its first answer" not in rows


def test_a_run_of_an_earlier_version_is_estimated_anew(results, make_run, unpainted):
    run = make_run(encoding="direct")
    lacking = replace(
        results,
        trials=[replace(each, energy=without_ranges(each.energy)) for each in results.trials],
    )
    assert costs.words(lacking) is None
    typed.write_json(run.out / "results.json", dataclasses.replace(run, results=lacking).document())
    assert costs.words(results) in report_again(run.out).read_text()


def without_ranges(value):
    """Energies as they were before they were ranges."""
    if isinstance(value, Joules):
        return replace(value, range=None)
    if isinstance(value, dict):
        return {name: without_ranges(each) for name, each in value.items()}
    if isinstance(value, Frozen):
        return replace(
            value,
            **{name: without_ranges(getattr(value, name)) for name in value.__struct_fields__},
        )
    return value


def test_the_page_shows_it_all(results, make_run, unpainted):
    odd = replace(
        results.trials[1],
        contender="odd",
        operations=None,
        energy=None,
        latency=None,
        not_counted="Odd is not known.",
    )
    run = make_run(encoding="direct")
    counted = replace(results, trials=[*results.trials, odd])
    page = report(dataclasses.replace(run, results=counted)).read_text()
    for text in (
        costs.words(results),
        "linear1",
        "6.14 k",
        "4,000",
        "as most count",
        "odd: Odd is not known.",
    ):
        assert text in page
    drawn = set(re.findall(r'data-name="([^"]+)"', page))
    assert {"pareto", "break-even-dense-snn"} <= drawn
    assert not any(name.startswith("accountings") for name in drawn)
    assert not {"break-even-small-cnn", "anytime", "conversion"} & drawn


def test_the_page_shows_the_court_its_formulas_and_sources(results, make_run, unpainted):
    run, judged = make_run(encoding="direct"), with_accountings(results)
    page = html.unescape(report(dataclasses.replace(run, results=judged)).read_text())
    assert energy_accountings.summary(judged.energy_accountings.pairs[0]) in page
    for law in judged.energy_accountings.definitions:
        for text in (
            law.title,
            law.source,
            law.spiking,
            law.leaves_out,
            *dict(energy_accountings.constants(law)),
        ):
            assert text in page
    assert 'data-name="accountings-dense-snn-small-cnn"' in page
