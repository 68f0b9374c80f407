import numpy as np
import pytest
import torch
from msgspec import structs

from factories import results, trial, variant_result
from made_models import make, make_recorded
from made_operations import Odd, plain, spiking
from spikeduel import energy
from spikeduel.analysis.conclusions import with_energy
from spikeduel.engine.counting.operations import Ways
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.costing import cost_entry, operations
from spikeduel.results.cost_results import Counted


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
        num_parameters = layer.weights + layer.biases
        assert (by_steps, once) == (passes * num_parameters, num_parameters)
    layer, counts = first_layer("vgg-sum")
    assert layer.macs.dense.hoisted == 2 * places
    summed = counts.view(2, 3, 2, 6, 6).sum(1)
    assert layer.macs.effective.hoisted == float(((summed > 0) * reach()).sum()) / 2
