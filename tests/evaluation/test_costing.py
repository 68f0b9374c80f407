import copy

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

import spikeduel as sd
from factories import results, trial, variant_result
from made_models import Tutorial, louder, make, make_recorded
from made_operations import Odd, plain, spiking
from spikeduel import energy
from spikeduel.analysis.conclusions import with_energy
from spikeduel.engine.counting.operations import Ways
from spikeduel.engine.networks.architectures import DenseSNN
from spikeduel.engine.neurons import LIF
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.costing import cost_entry, operations
from spikeduel.results.cost_results import Counted
from spikeduel.system.errors import InputError

snntorch = pytest.importorskip("snntorch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
layer = pytest.importorskip("spikingjelly.activation_based.layer")
functional = pytest.importorskip("spikingjelly.activation_based.functional")

IMAGES = torch.randint(
    0, 256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
STEPS = 4


@pytest.fixture
def tutorial():
    torch.manual_seed(0)
    return louder(Tutorial(64, 20, num_steps=STEPS), 3)


def numbers(cost):
    synapses = [layer for layer in cost.layers if layer.kind == "synapses"]
    return [(layer.input, layer.macs, layer.acs, layer.passes) for layer in synapses]


def test_one_network_written_in_every_way_costs_the_same(tutorial):
    expected = sd.cost(tutorial, IMAGES)
    totals = expected.operations.totals
    assert totals.acs.total > 0
    assert totals.macs.dense == Ways(per_step=STEPS * 64 * 20, hoisted=64 * 20)
    leaky = lambda **more: snntorch.Leaky(beta=0.95, init_hidden=True, **more)  # noqa: E731
    stepwise = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 20), leaky(), nn.Linear(20, 3), leaky(output=True)
    )
    for module in (stepwise, DenseSNN((64,), 3, lambda: LIF(0.95), 20)):
        linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        for layer, known in zip(linear, (tutorial.fc1, tutorial.fc2), strict=True):
            layer.load_state_dict(known.state_dict())
        cost = sd.cost(module, IMAGES, num_steps=STEPS)
        assert numbers(cost) == numbers(expected)
        assert cost.operations.totals.spikes == totals.spikes
        assert cost.energy() == expected.energy()


def test_spikingjelly_at_once_and_step_by_step():
    torch.manual_seed(0)
    module = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.AvgPool2d(2),
        layer.Conv2d(4, 4, 3, padding=1, bias=False),
        neuron.LIFNode(),
        layer.Flatten(),
        layer.Linear(64, 3),
        neuron.IFNode(),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    costs = []
    for mode in ("m", "s"):
        functional.set_step_mode(module, mode)
        costs.append(sd.cost(module, IMAGES, num_steps=STEPS))
    at_once, stepwise = costs
    assert numbers(at_once) == numbers(stepwise)
    assert at_once.operations.totals == stepwise.operations.totals
    second = next(layer for layer in at_once.layers if layer.name == "4")
    # Average-pooled spikes are events, not numbers.
    assert second.input == "spikes"
    assert second.acs.total > 0


def test_images_in_any_form(tutorial):
    expected = numbers(sd.cost(tutorial, IMAGES))
    for images in (
        IMAGES.numpy(),
        IMAGES[:, 0],
        IMAGES / 255,
        (IMAGES / 255).flatten(1),
        np.asarray(IMAGES / 255.0),
    ):
        assert numbers(sd.cost(tutorial, images)) == expected
    in_parts = sd.cost(tutorial, IMAGES, batch_size=4)
    assert in_parts.operations.images == 6
    assert in_parts.operations.totals.acs.total == pytest.approx(expected[1][2].total)


def test_the_network_is_left_as_it_was(tutorial):
    tutorial.train()
    before = copy.deepcopy(tutorial.state_dict())
    sd.cost(tutorial, IMAGES)
    assert tutorial.training
    assert all(
        torch.equal(value, before[name])
        for name, value in tutorial.state_dict().items()
        if value.numel()
    )
    assert not tutorial.fc1._forward_hooks


def test_energies_and_the_court_are_printed_as_text(tutorial):
    cost = sd.cost(tutorial, IMAGES)
    title, *memories = str(cost.energy("45nm-int8")).splitlines()
    assert cost.energy("45nm-int8").title in title
    assert str(cost).splitlines()[-3:] == str(cost.energy()).splitlines()[-3:]
    assert len(memories) == 3
    assert str(cost.accountings()).startswith(
        "Energy of this network and its ReLU twin by published accountings: with "
    )


def test_a_trained_model_is_counted_by_its_own_encoding():
    model = make(encoding="rate")
    images = torch.full((3, 1, 10, 10), 255, dtype=torch.uint8)
    first = sd.cost(model, images).layers[0]
    assert first.input == "spikes"
    assert first.events.by_step == [100] * 6
    with pytest.raises(InputError, match=r"uint8 \[N, 1, 10, 10\]"):
        sd.cost(model, IMAGES)


def test_what_a_module_costs_can_be_said():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Odd(), nn.Linear(4, 3))
    with pytest.raises(InputError, match=r"'2' \(Odd\) uses aten"):
        sd.cost(module, IMAGES)
    declared = {Odd: lambda part, inputs, output: {"macs": 8 * len(output)}}
    operations = sd.cost(module, IMAGES, declared=declared).operations
    assert operations.num_steps == 1
    assert operations.totals.macs.dense.hoisted == 64 * 4 + 8 + 12


@pytest.mark.parametrize(
    ("images", "num_steps", "problem"),
    [
        (torch.zeros(3, dtype=torch.long), None, r"not int64 \[3\]"),
        (torch.zeros(0, 1, 8, 8), None, r"not float32 \[0, 1, 8, 8\]"),
        ("a picture", None, "give a tensor or an array"),
        (IMAGES, 0, "num_steps must be at least 1"),
        (IMAGES, 7, "makes 4 steps itself"),
    ],
)
def test_what_cannot_be_counted(images, num_steps, problem, tutorial):
    with pytest.raises(InputError, match=problem):
        sd.cost(tutorial, images, num_steps)


def test_what_was_not_counted_has_a_reason():
    entry = cost_entry(Counted(operations=spiking()))
    assert entry == {"operations": spiking(), "not_counted": None}
    assert cost_entry(None) == {"operations": None, "not_counted": None}
    unknown = Counted(operations=None, reason="it is odd.")
    assert cost_entry(unknown) == {"operations": None, "not_counted": "it is odd."}


def test_energies_of_trials_and_variants_by_other_tables():
    variants = {
        "relu_twin": variant_result("", 0.5, **cost_entry(Counted(operations=plain()))),
        "shuffled": variant_result("", 0.5),
    }
    before = results(
        [trial("snn", 0.9, variants=variants, **cost_entry(Counted(operations=spiking())))]
    )
    int8 = energy.read("45nm-int8")
    (after,) = with_energy(
        before, energy.Prices(tables=(structs.replace(int8, name="mine"), int8))
    ).trials
    others = [name for name in energy.NAMES if name != "45nm-int8"]
    assert list(after.energy.tables) == ["mine", "45nm-int8", *others]
    # 60 multiplications with additions.
    twin = after.variants["relu_twin"].energy.tables["45nm-int8"].of()
    assert twin.dense == pytest.approx(1e-12 * 60 * 0.3)
    assert after.variants["shuffled"].energy is None
    # Nothing else changes.
    assert structs.replace(after, energy=None, variants={}) == structs.replace(
        before.trials[0], energy=None, variants={}
    )


def batch_of(size):
    images = torch.randint(
        0, 256, (size, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return images, torch.zeros(size, dtype=torch.long), np.arange(size)


def first_layer_of(model, size):
    counts = operations(model, [batch_of(size)]).operations
    assert counts.images == size
    return counts.layers[0]


def test_the_encoding_says_what_the_first_layer_takes():
    direct = first_layer_of(make(encoding="direct"), 5)
    assert (direct.input, direct.acs.total) == ("image", 0)
    assert direct.macs.dense == Ways(per_step=6 * 1200, hoisted=1200)
    for encoding in ("rate", "latency"):
        spikes = first_layer_of(make(encoding=encoding), 5)
        assert (spikes.input, spikes.macs.dense.per_step) == ("spikes", 0)
        assert spikes.acs.total == 12 * spikes.events.total > 0
    plain = first_layer_of(make("small-cnn"), 5)
    assert (plain.input, plain.passes) == ("image", Ways(per_step=1, hoisted=1))


def test_spikes_are_those_of_the_encoder():
    model = make(encoding="rate")
    images, _, indices = batch_of(5)
    drawn = model.encode(images, RandomKeys.for_evaluation(indices))
    events = first_layer_of(model, 5).events.by_step
    assert [5 * amount for amount in events] == pytest.approx(
        drawn.float().sum((1, 2, 3, 4)).tolist()
    )


def test_a_network_that_cannot_be_counted_says_why():
    model = make("small-cnn")
    model.module.classifier.append(Odd())
    counted = operations(model, [batch_of(3)])
    assert counted.operations is None
    assert "'classifier.3' (Odd) uses aten._fft_r2c" in counted.reason


def test_the_court_of_one_network_against_its_twin(tutorial, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'label = "mine"\ngroup = "arithmetic"\ntitle = "t"\nsource = "s"\nwhere = "w"\nread = "source"\nunit = "operations"\n'
        'leaves_out = "l"\nspiking = "acs"\nother = "macs"\n'
    )
    cost = sd.cost(tutorial, IMAGES)
    mine, *published = cost.accountings(tmp_path / "mine.toml").by_accounting
    assert mine.spiking.low == cost.operations.totals.acs.total
    # 64 · 20 + 20 · 3 weights, each used once.
    assert mine.other.low == 1340
    (syops,) = (result for result in published if result.accounting == "syops")
    assert syops.other.low == pytest.approx(1340 * 4.6e-12)


def first_layer(contender):
    model, counts = make_recorded(contender)
    counted = operations(
        model, [(counts, torch.zeros(2, dtype=torch.long), np.arange(2))]
    ).operations
    return next(layer for layer in counted.layers if layer.kind == "synapses"), counts


def reach():
    """Return the number of uses of each of 6×6 pixels by 8 filters of 3×3 with padding."""
    seen = torch.full((6,), 3.0)
    seen[[0, -1]] = 2
    return 8 * seen[:, None] * seen


def test_a_spiking_first_layer_adds_once_for_each_event():
    layer, counts = first_layer("vgg-lif")
    assert layer.acs.total == float((counts * reach()).sum()) / 2
    by_step = (counts * reach()).sum((2, 3)).view(2, 3, 2).sum((0, 2)) / 2
    assert layer.acs.by_step == by_step.tolist()
    assert layer.events.total == float(counts.sum()) / 2
    assert layer.input_zeros == pytest.approx(float((counts == 0).float().mean()))
    assert layer.macs.dense.hoisted == 0
    assert (layer.input, layer.input_bits, layer.passes.hoisted) == ("spikes", 8, 3)
    # Computed whole, counts are multiplied.
    whole = 3 * 2 * float(reach().sum())
    assert layer.done("hoisted", "steps") == (whole, 0.0)


def test_networks_that_do_not_spike_multiply_what_they_see():
    places = float(reach().sum())
    for contender, passes, channels in (("vgg-relu", 1, 6), ("vgg-gru", 3, 2)):
        layer, counts = first_layer(contender)
        assert layer.macs.dense.hoisted == 6 * places
        assert layer.macs.effective.hoisted == float(((counts > 0) * reach()).sum()) / 2
        assert (layer.acs.total, layer.passes.hoisted, layer.weights) == (
            0,
            passes,
            8 * channels * 9,
        )
        # Frame after frame, its weights are read for each, or once for all.
        by_steps, once = (layer.moved("hoisted", flow).weights for flow in ("steps", "image"))
        held = layer.weights + layer.biases
        assert (by_steps, once) == (passes * held, held)
    layer, counts = first_layer("vgg-sum")
    assert layer.macs.dense.hoisted == 2 * places
    summed = counts.view(2, 3, 2, 6, 6).sum(1)
    assert layer.macs.effective.hoisted == float(((summed > 0) * reach()).sum()) / 2
