import numpy as np
import pytest
import torch

from spikeduel.measuring import energy
from spikeduel.measuring.operations import operations
from spikeduel.measuring.trial_costs import with_energy
from spikeduel.reporting import cost_numbers, costs
from spikeduel.settings.recipes import baseline

LATENCY = {
    "machine": {},
    "one_image": {"median_ms": 0.5, "p95_ms": 0.75, "min_ms": 0.4, "n": 9},
    "throughput": {"32": {"images_per_second": 4000.4}, "256": {"images_per_second": 3000.0}},
    "start_up": {"total_seconds": 1.25},
    "peak_memory_bytes": {"first_answer": 300e6},
    "joules_per_image": None,
    "joules_source": None,
    "stream_ms": None,
}


@pytest.fixture
def results(make_prepared, make_results, make_model):
    """8×8 pixels; 16 hidden neurons over 6 steps with direct encoding, and the CNN; counted, the CNN timed."""
    prepared = make_prepared()
    made = make_results(prepared, baseline(encoding="direct", num_steps=6))
    images, labels = torch.from_numpy(prepared.images[:12]), torch.from_numpy(prepared.labels[:12])
    for trial in made["trials"]:
        model = make_model(trial["contender"], prepared, "direct")
        trial["operations"] = operations(model, [(images, labels, np.arange(12))])
        trial["energy"] = energy.energies(trial["operations"])
    made["trials"][1]["latency"] = LATENCY
    return made


def test_the_table_by_hand(results):
    snn, cnn = costs.contenders(results)
    # The first layer has 64 · 16 weights, once or at each of 6 steps.
    assert (snn["MACs"], snn["as written"]) == ("1.02 k", "6.14 k")
    assert snn["ACs"] == cost_numbers.amount(results["trials"][0]["operations"]["totals"]["acs"]["total"]) != "0"
    spikes = results["trials"][0]["operations"]["totals"]["spikes_per_neuron_and_step"]
    assert snn["spikes"] == f"{100 * spikes:.1f} %"
    acs = results["trials"][0]["operations"]["totals"]["acs"]["total"]
    assert snn["energy"] == f"{(1024 * 4.6 + acs * 0.9) / 1000:.2f} nJ"
    assert (snn["one image"], cnn["one image"], cnn["images/s"]) == ("", "0.50 ms", "4,000")
    assert (cnn["ACs"], cnn["spikes"]) == ("0", "")


def test_seeds_are_averaged(results, make_prepared):
    results["trials"].append({**results["trials"][0], "seed": 1, "operations": None, "energy": None})
    assert costs.contenders(results)[0]["MACs"] == "1.02 k"
    more = {**results["trials"][0]["operations"]["totals"]["macs"]["dense"], "cached": 3072}
    counted = results["trials"][0]["operations"]
    totals = {**counted["totals"], "macs": {**counted["totals"]["macs"], "dense": more}}
    results["trials"][-1]["operations"] = {**counted, "totals": totals}
    assert costs.contenders(results)[0]["MACs"] == "2.05 k"


def test_the_words_say_when_the_counting_turns_the_order(results):
    said = costs.words(results)
    assert said.startswith("Estimated energy of one answer, of arithmetic alone (45 nm, 32-bit floats): dense-snn ")
    snn, cnn = (costs.energies(results)[0]["cells"][k] for k in (0, 1))
    assert snn["as_written"] != snn["cached"]
    assert cnn["as_written"] == ""
    assert "Written as a loop that computes the first layer anew at each step: dense-snn " in said
    assert "decides" not in said.split("Written as a loop")[0]
    dearer = [t for t in results["trials"] if t["family"] == "cnn"]
    synapses = dearer[0]["energy"]["tables"]["45nm-fp32"]["compute"]["synapses"]
    synapses["cached"]["dense"] = synapses["as_written"]["dense"] = 2e-8
    anew = costs.words(results).split("Written as a loop")[1].split(". With")[0]
    assert anew.endswith("another order: what is counted decides")


def test_without_counts_there_is_no_section(results, tmp_path):
    for trial in results["trials"]:
        trial["operations"] = trial["energy"] = trial["latency"] = None
    assert costs.section(results, tmp_path) is None
    assert costs.words(results) is None
    assert costs.table_rows(results) == []


def test_the_section_has_its_rows_figures_and_reasons(results, tmp_path):
    results["trials"].append({
        **results["trials"][1], "contender": "odd", "operations": None, "energy": None, "latency": None,
        "not_counted": "Odd does what is not known.",
    })  # fmt: skip
    found = costs.section(results, tmp_path)
    assert [shown.path.name for shown in found["figures"]] == ["pareto.png", "break-even-dense-snn.png"]
    assert found["left_out"] == ["odd: Odd does what is not known."]
    rows = {row["term"]: row["cells"] for row in found["rows"]}
    assert rows["images a second, 32 at a time"] == ["", "4,000", ""]
    assert rows["time of one image, median (95 % within)"] == ["", "0.50 ms (0.75)", ""]
    assert rows["peak memory of that process"] == ["", "0.30 GB", ""]
    assert "energy of one image, measured" not in rows
    assert {row["title"] for row in found["energies"]} >= {energy.read("45nm-fp32").title}
    layers = {row["name"]: row for row in found["layers"][0]["rows"]}
    assert layers["linear1"]["as written"] == "6.14 k"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7.25, "7.25"),
        (1024, "1.02 k"),
        (1.2e7, "12.0 M"),
        (240.87e6, "241 M"),
        (2e9, "2.00 G"),
        (999.7, "1.00 k"),
    ],
)
def test_amounts_have_three_digits(number, text):
    assert cost_numbers.amount(number) == text


def test_another_table_leads_where_it_is_asked_for(results, tmp_path):
    table = energy.read("45nm-int8")
    found = costs.section(with_energy(results, [table]), tmp_path, table)
    assert found["table"] == table.title
    assert f"of arithmetic alone ({table.title}): " in found["words"]
    acs = results["trials"][0]["operations"]["totals"]["acs"]["total"]
    rows = {row["term"]: row["cells"] for row in found["rows"]}
    assert rows["energy, arithmetic alone (estimate)"][0] in (
        f"{(1024 * 0.3 + acs * 0.1):.0f} pJ", f"{(1024 * 0.3 + acs * 0.1) / 1000:.2f} nJ",
    )  # fmt: skip


def test_twins_stand_beside_what_they_take(results, tmp_path):
    (snn, cnn) = results["trials"]
    assert costs.twins(results) == []
    twin = {"accuracy": 0.75, "operations": cnn["operations"], "energy": cnn["energy"], "bits": 3}
    snn["controls"] = {
        "quantised_twin": twin, "relu_twin": None, "shuffled": {"accuracy": 0.5}, "one_step": {"accuracy": 0.4},
        "reasons": {},
    }  # fmt: skip
    (found,) = costs.twins(results)
    assert [row["name"] for row in found["rows"]] == ["itself", "quantised twin (3 bits)"]
    itself, quantised = found["rows"]
    by_name = {row["model"]: row for row in costs.contenders(results)}
    assert itself["accuracy"] == f"{100 * snn['test']['accuracy']:.2f}"
    assert (itself["energy"], itself["with memory"]) == tuple(
        by_name["dense-snn"][k] for k in ("energy", "with memory")
    )
    assert (quantised["accuracy"], quantised["MACs"]) == ("75.00", by_name["small-cnn"]["MACs"])
    assert costs.section(results, tmp_path)["twins"] == [found]


def test_times_of_few_repetitions_have_no_95th_percentile(results, tmp_path):
    results["trials"][1]["latency"] = {
        **LATENCY, "one_image": {**LATENCY["one_image"], "p95_ms": None}, "throughput": None, "start_up": None,
        "peak_memory_bytes": {"first_answer": None},
    }  # fmt: skip
    rows = {row["term"]: row["cells"] for row in costs.section(results, tmp_path)["rows"]}
    assert rows["time of one image, median (95 % within)"] == ["", "0.50 ms"]
    assert "start of a process until its first answer" not in rows
