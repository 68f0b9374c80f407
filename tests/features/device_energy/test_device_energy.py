"""Energy per inference by device: the models, what they say of a run, and what is recommended."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from msgspec import structs
from torch import nn

import spikeduel as sd
from factories import example, latency, pair, results, trial
from made_operations import plain, spiking
from spikeduel.analysis import recommending
from spikeduel.analysis.recommending import with_recommendation
from spikeduel.evaluation.costing import counted_network
from spikeduel.experiment.recipes import baseline, strong
from spikeduel.experiment.targets import DEVICES
from spikeduel.features.device_energy import conclude, device_models, energies_on, section, tables
from spikeduel.features.device_energy.device_models import (
    ONCE,
    Device,
    Measured,
    devices,
    estimate,
    models,
    reason_against,
    terms,
)
from spikeduel.features.device_energy.targets import NEWEST, TARGETS
from spikeduel.results.cost_results import Range
from spikeduel.results.findings import with_id
from spikeduel.sentences.recommendation_sentences import headline, rows
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import plan
from spikeduel.training.contenders import describe_all, missing


def counted(contender, operations):
    return trial(contender, 0.5, operations=operations)


@pytest.fixture
def run():
    return results([counted("snn", spiking()), counted("cnn", plain())])


@pytest.mark.parametrize("name", sorted(devices()))
def test_a_device_has_measurements_their_source_and_a_model(name):
    device = devices()[name]
    assert device.measured
    assert device.where
    assert all(measured.microjoules > 0 for measured in device.measured)
    for model in models()[name].values():
        assert sum(model.picojoules.values()) > 0
        # An interval spans at most a factor of ten.
        assert model.factor**2 <= 10


def test_every_model_is_of_a_device():
    assert models().keys() <= devices().keys()
    assert set(NEWEST.values()) <= models().keys()


def test_the_newest_software_stands_for_a_board():
    assert NEWEST["nucleo-l4r5"] == "nucleo-l4r5-x-cube-ai-10.2"
    dates = {name: device.date for name, device in devices().items()}
    for board, name in NEWEST.items():
        of_board = [one for one, device in devices().items() if device.board == board]
        assert dates[name] == max(dates[one] for one in of_board)


def test_energy_is_the_sum_of_amounts_times_prices():
    model = models()["spinnaker-spinn3"]["spiking"]
    network = spiking()
    by_term = terms(model, [network])
    updates = sum(
        layer.integrations / max(layer.state_variables, 1)
        for layer in network.layers
        if layer.kind == "neurons"
    )
    price = model.picojoules["neuron_updates"]
    assert by_term["neuron_updates"] == pytest.approx(1e-12 * price * updates)
    assert by_term["T"] == pytest.approx(1e-12 * model.picojoules["T"] * network.num_steps)
    energy = estimate("spinnaker-spinn3", "spiking", [network])
    assert energy.joules == pytest.approx(sum(by_term.values()))
    assert energy.interval.high / energy.joules == pytest.approx(model.factor)
    assert energy.joules / energy.interval.low == pytest.approx(model.factor)


@pytest.mark.parametrize("board", ["loihi", "loihi-2", "spinnaker"])
def test_the_share_that_no_network_changes_is_known(board):
    network = spiking()
    energy = estimate(NEWEST[board], "spiking", [network])
    prices = models()[NEWEST[board]]["spiking"].picojoules
    fixed = 1e-12 * (prices.get(ONCE, 0.0) + prices.get("T", 0.0) * network.num_steps)
    assert energy.fixed_share == pytest.approx(fixed / energy.joules)
    assert 0 < energy.fixed_share <= 1


def test_an_estimate_far_from_what_was_measured_is_extrapolated(monkeypatch):
    assert estimate("nucleo-u385-x-cube-ai-10.2", "spiking", [spiking()]).extrapolated == "kind"
    name = "ndp9120-0.9v"
    joules = estimate(name, "other", [plain()]).joules
    for microjoules, expected in (
        ((1.9e6 * joules, 1e9), None),
        ((2.1e6 * joules, 1e9), "energy"),
        ((1e-9, 0.51e6 * joules), None),
        ((1e-9, 0.49e6 * joules), "energy"),
    ):
        measured = tuple(Measured(network=str(one), microjoules=one) for one in microjoules)
        made = {**devices(), name: structs.replace(devices()[name], measured=measured)}
        monkeypatch.setattr(device_models, "devices", lambda made=made: made)
        assert estimate(name, "other", [plain()]).extrapolated == expected


def test_a_star_marks_an_extrapolation(run):
    (table,) = tables(conclude(run, None)).values()
    columns, lines = table
    cells = {columns[0].cell(line): columns[1].cell(line) for line in lines}
    assert " * (" in cells[devices()[NEWEST["nucleo-u385"]].title]


def test_images_have_to_be_finite():
    images = torch.rand(2, 1, 4, 4)
    images[0, 0, 0, 0] = float("nan")
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(InputError, match="not finite"):
        sd.energy_of(network, images, device="nucleo-u385")


def test_steps_are_those_of_the_network_itself():
    twice = structs.replace(spiking(), num_steps=2 * spiking().num_steps)
    model = models()["spinnaker-spinn3"]["spiking"]
    assert terms(model, [twice])["T"] == pytest.approx(2 * terms(model, [spiking()])["T"])


@pytest.mark.parametrize(
    ("device", "kind", "reason"),
    [
        ("ndp9120-0.9v", "spiking", "runs no spiking networks"),
        (NEWEST["loihi"], "other", "runs spiking networks only"),
    ],
)
def test_a_device_runs_only_what_it_can(device, kind, reason):
    energy = estimate(device, kind, [spiking() if kind == "spiking" else plain()])
    assert energy.reason == reason
    assert energy.joules is None


@pytest.mark.parametrize(
    ("flash", "ram", "reason"),
    [
        (0.001, None, "its weights take"),
        (None, 0.001, "its activations take"),
        (1e6, 1e6, None),
    ],
)
def test_a_network_has_to_fit_into_memory(flash, ram, reason):
    name = NEWEST["nucleo-u385"]
    small: Device = structs.replace(devices()[name], flash_kilobytes=flash, ram_kilobytes=ram)
    found = reason_against(small, models()[name]["other"], "other", plain())
    assert found is None if reason is None else found.startswith(reason)


def test_a_chip_has_so_many_neurons():
    name = NEWEST["loihi"]
    small = structs.replace(devices()[name], max_neurons=1)
    reason = reason_against(small, models()[name]["spiking"], "spiking", spiking())
    assert reason.endswith("neurons, and the chip has 1")
    assert estimate(name, "spiking", [spiking()]).joules


def test_a_run_has_each_contender_on_each_board(run):
    conclusion = conclude(run, None)
    assert len(conclusion.rows) == 2 * len(NEWEST)
    (table,) = tables(conclusion).values()
    columns, lines = table
    assert [column.title for column in columns] == ["device", "snn", "cnn"]
    by_title = {columns[0].cell(line): [column.cell(line) for column in columns] for line in lines}
    assert by_title["Loihi"][2] == "runs spiking networks only"
    assert "J (" in by_title["Loihi"][1]


def test_a_run_without_counts_has_none():
    assert conclude(results([trial("cnn", 0.5)]), None) is None


def test_the_report_draws_every_estimate(run):
    conclusion = conclude(run, None)
    made = section(SimpleNamespace(results=run), conclusion)
    (chart,) = made.charts
    estimated = [row for row in conclusion.rows if row.energy.joules]
    assert len(chart.rows) == len(estimated)


def test_only_contenders_that_run_have_an_energy(run):
    assert energies_on("loihi", run).keys() == {"snn"}
    assert energies_on("ndp9120", run).keys() == {"cnn"}
    assert energies_on("nucleo-u385", run).keys() == {"snn", "cnn"}
    assert energies_on("speed", run) is None
    assert TARGETS.items() <= DEVICES.items()


ON_LOIHI = {"snn": Range(low=1e-6, high=2e-6)}


def timed(contender, accuracy):
    return trial(contender, accuracy, latency=latency(1.0, 1.0))


@pytest.fixture
def recommended(monkeypatch):
    def made(*trials, pairs, target="loihi", on_device=ON_LOIHI, **changes):
        monkeypatch.setattr(recommending, "_on_device", lambda results: on_device)
        experiment = replace(baseline(), target=target)
        return with_recommendation(results(trials, pairs, experiment=experiment, **changes))

    return made


def test_on_loihi_only_a_spiking_network_runs_however_accurate_the_other(recommended, golden):
    made = recommended(timed("snn", 0.8), timed("cnn", 0.9), pairs=[pair(-0.1, accuracy_a=0.8)])
    recommendation = made.recommendation
    assert (recommendation.recommended, recommendation.reason) == ("snn", "runs_alone")
    energies = recommendation.quantity("energy")
    assert (energies.values, energies.leader, energies.difference) == (ON_LOIHI, None, None)
    assert [row["energy"] for row in rows(made)] == ["1.00–2.00 µJ", "–", "", "not compared"]
    golden(headline(made))


@pytest.mark.parametrize(
    # The ratio of the middles is 3, then 2.1: the interval of the ratio is a factor of 2.7.
    ("other", "leader"),
    [((3e-6, 6e-6), "snn"), ((2e-6, 4.5e-6), "snn"), ((1.5e-6, 3e-6), None)],
    ids=["apart", "close", "overlapping"],
)
def test_of_two_the_interval_of_the_ratio_decides(other, leader, recommended, golden):
    made = recommended(
        *(timed(name, 0.9) for name in ("snn", "other", "cnn")),
        pairs=[pair(0.0), pair(0.0, b="other"), pair(0.0, a="other")],
        on_device={**ON_LOIHI, "other": Range(low=other[0], high=other[1])},
    )
    assert {made.recommendation.recommended, made.recommendation.runner_up} == {"snn", "other"}
    assert made.recommendation.quantity("energy").leader == leader
    golden(headline(made))


def test_nothing_is_recommended_for_loihi_where_no_spiking_network_learned(recommended, golden):
    unlearned = example("at_chance", contenders=["snn"])
    made = recommended(
        timed("snn", 0.1), timed("cnn", 0.9), pairs=[pair(-0.8)], caveats=[unlearned]
    )
    assert with_id(made.comparison.caveats, "at_chance")
    golden(headline(made))


@pytest.mark.parametrize(
    ("target", "contenders", "is_idle"),
    [
        ("loihi", ("vgg-relu", "vgg-lif"), False),
        ("loihi", ("vgg-relu", "conv-relu"), True),
        ("ndp9120", ("vgg-relu", "vgg-lif"), False),
        ("nucleo-u385", ("vgg-relu", "conv-relu"), False),
    ],
)
def test_a_target_needs_a_contender_that_runs_there(target, contenders, is_idle):
    changes = {"target": target, "contenders": contenders, "precision": "32"}
    experiment = replace(strong("digits", width=8, dropout=0.0, minutes=1.0), **changes)
    experiment, prepared, _ = plan.loaded(experiment, Progress())
    lacking = missing(experiment, describe_all(experiment, prepared), prepared)
    assert ("target" in lacking) is is_idle


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def test_the_energy_of_any_network():
    found = sd.energy_of(linear(), torch.rand(2, 1, 28, 28), device="nucleo-u385")
    prices = models()[NEWEST["nucleo-u385"]]["other"].picojoules
    assert found.joules == pytest.approx(7840e-12 * (prices["macs"] + prices["weights"]))
    assert found.device == NEWEST["nucleo-u385"]
    assert "Nucleo-U385" in str(found)
    older = sd.energy_of(linear(), torch.rand(2, 1, 28, 28), device="nucleo-l4r5-krai-8.0")
    assert older.joules > found.joules


def test_an_energy_far_outside_of_those_measured_says_so():
    images = torch.rand(2, 1, 28, 28)
    wide = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(21632, 10))
    tiny, usual = (sd.energy_of(net, images, device="nucleo-u385") for net in (linear(), wide))
    least = min(network.microjoules for network in devices()[tiny.device].measured)
    assert tiny.joules < 1e-6 * least / 2 < usual.joules
    assert str(tiny).endswith("extrapolated: the measured networks take 31.8 to 966 µJ")
    assert "extrapolated" not in str(usual)


def test_a_device_that_does_not_run_it_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"runs spiking networks only\. Devices for it: ndp9120"):
        sd.energy_of(linear(), torch.rand(2, 1, 28, 28), device="loihi")
    with pytest.raises(InputError, match="unknown device 'loihy': did you mean 'loihi'"):
        sd.energy_of(linear(), torch.rand(2, 1, 28, 28), device="loihy")
    large = nn.Sequential(nn.Flatten(), nn.Linear(784, 2000), nn.ReLU(), nn.Linear(2000, 10))
    with pytest.raises(InputError, match=r"flash has 1,000\. Devices for it: (?!.*u385)"):
        sd.energy_of(large, torch.rand(2, 1, 28, 28), device="nucleo-u385")


def test_a_depthwise_convolution_is_counted_as_one():
    def depthwise(**changes):
        convolution = nn.Conv2d(4, 4, 3, **changes)
        network = nn.Sequential(convolution, nn.Flatten(), nn.Linear(144, 2))
        first, last = counted_network(network, torch.rand(1, 4, 8, 8)).layers
        assert not last.depthwise
        return first.depthwise

    assert depthwise(groups=4)
    assert not depthwise()
    assert not depthwise(groups=2)
