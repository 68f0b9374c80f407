import jinja2
import numpy as np
import pytest
import torch
from msgspec.structs import replace

from made_costs import control, fully_timed, latency, with_trial
from spikeduel.measuring import energy
from spikeduel.measuring.costing import cost_entry, operations, with_energy
from spikeduel.reporting import costs
from spikeduel.results.words.costs import cost_rows, words
from spikeduel.settings.recipes import baseline


@pytest.fixture
def results(make_prepared, make_results, make_model):
    """8×8 pixels; 16 hidden neurons over 6 steps with direct encoding, and the CNN; counted, the CNN timed."""
    prepared = make_prepared()
    made = make_results(prepared, baseline(encoding="direct", num_steps=6))
    images, labels = torch.from_numpy(prepared.images[:12]), torch.from_numpy(prepared.labels[:12])
    for index, trial in enumerate(made.trials):
        model = make_model(trial.contender, prepared, "direct")
        made = with_trial(made, index, **cost_entry(operations(model, [(images, labels, np.arange(12))])))
    return with_trial(made, 1, latency=fully_timed())


def acs_of(results):
    return results.trials[0].operations.totals.acs.total


def test_the_table_by_hand(results):
    snn, cnn = cost_rows(results)
    # The first layer has 64 · 16 weights, once or at each of 6 steps.
    assert (snn["MACs"], snn["per step"]) == ("1.02 k", "6.14 k")
    assert acs_of(results) > 0
    assert snn["energy"] == f"{(1024 * 4.6 + acs_of(results) * 0.9) / 1000:.2f} nJ"
    assert (snn["one image"], cnn["one image"], cnn["images/s"]) == ("", "0.50 ms", "4,000")


def test_without_counts_and_times_there_is_no_section(results, with_trials, tmp_path):
    assert costs.section(with_trials(results, operations=None, energy=None, latency=None), tmp_path) is None


def test_the_section_has_its_rows_figures_and_reasons(results, tmp_path):
    odd = replace(
        results.trials[1], contender="odd", operations=None, energy=None, latency=None, not_counted="Odd is not known."
    )
    found = costs.section(replace(results, trials=[*results.trials, odd]), tmp_path)
    assert [shown.path.name for shown in found.figures] == ["pareto.png", "break-even-dense-snn.png"]
    assert found.left_out == ["odd: Odd is not known."]
    assert found.rows["images a second, 32 at a time"] == ["", "4,000", ""]
    assert found.rows["time of one image, median (95 % within)"] == ["", "0.50 ms (0.75)", ""]
    assert found.rows["peak memory of that process"] == ["", "0.30 GB", ""]
    assert "energy of one image, measured" not in found.rows
    assert {row.title for row in found.energies} >= {energy.read("45nm-fp32").title}
    layers = {row["name"]: row for row in found.layers["dense-snn"]}
    assert layers["linear1"]["per step"] == "6.14 k"


def test_the_energies_say_where_the_countings_differ(results):
    snn, cnn = costs.energies(results)[0].cells
    assert snn.per_step not in ("", snn.hoisted)
    assert cnn.per_step == ""
    assert cnn.effective not in ("", cnn.hoisted)


def test_another_table_leads_where_it_is_asked_for(results, tmp_path):
    table = energy.read("45nm-int8")
    found = costs.section(with_energy(results, [table]), tmp_path, table)
    assert found.table == table.title
    assert f"({table.title}): " in found.words
    picojoules = 1024 * 0.3 + acs_of(results) * 0.1
    assert found.rows["energy, arithmetic alone (estimate)"][0] in (
        f"{picojoules:.0f} pJ", f"{picojoules / 1000:.2f} nJ",
    )  # fmt: skip


def test_twins_stand_beside_what_they_take(results, tmp_path):
    assert costs.twins(results) == {}
    snn, cnn = results.trials
    controls = {
        "quantised_twin": control("quantised twin", 0.75, bits=3, operations=cnn.operations, energy=cnn.energy),
        "shuffled": control("shuffled in time", 0.5, spikes=True),
    }
    results = with_trial(results, 0, controls=controls)
    itself, quantised = costs.twins(results)["dense-snn"]
    by_name = {row["model"]: row for row in cost_rows(results)}
    assert (itself["name"], itself["accuracy"]) == ("itself", f"{100 * snn.test.accuracy:.2f}")
    assert {key: itself[key] for key in ("energy", "with memory")} == {
        key: by_name["dense-snn"][key] for key in ("energy", "with memory")
    }
    assert quantised["name"] == "quantised twin (3 bits)"
    assert (quantised["accuracy"], quantised["MACs"]) == ("75.00", by_name["small-cnn"]["MACs"])
    assert costs.section(results, tmp_path).twins == costs.twins(results)


def test_times_of_few_repetitions_have_no_95th_percentile(results):
    rows = costs.rows(with_trial(results, 1, latency=latency(0.5)))
    assert rows["time of one image, median (95 % within)"] == ["", "0.50 ms"]
    assert "start of a process until its first answer" not in rows


def test_the_page_shows_it_all(results, tmp_path):
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeduel", "reporting"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"data_uri": str, "width": lambda path: 100}
    page = environment.get_template("costs_section.html.j2").render(costs=costs.section(results, tmp_path))
    for text in (words(results), "linear1", "6.14 k", "4,000", "zeros skipped"):
        assert text in page
