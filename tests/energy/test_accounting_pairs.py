"""Published figures, from the files of accountings; and small networks by hand."""

import numpy as np
import pytest
from msgspec.structs import replace

import made_operations
from factories import example, results, trial, variant_result
from made_operations import both, layer, macs, over_time, plain, spiking
from spikeduel import energy
from spikeduel.energy import accounting
from spikeduel.energy.accounting import CountedPair, compare_by, compare_run, read
from spikeduel.energy.rescaling import scaled
from spikeduel.engine.counting.operations import AMOUNTS, STEPS
from spikeduel.results.cost_results import AXES, GROUPS
from spikeduel.system.errors import InputError


def threshold(result, axis):
    """Return the change of an accounting's result along an axis, if there is one."""
    return next((change for change in result.thresholds if change.axis == axis), None)


def amount(name, kind="spiking", steps=1.0, **amounts):
    """Return an accounting's values, one a corner, of a layer of these amounts alone."""
    known = {**{key: np.zeros((1, 1)) for key in AMOUNTS}, STEPS: np.array([[steps]])}
    known |= {key: np.array([[float(value)]]) for key, value in amounts.items()}
    return accounting.energy_of(read(name), kind, known)[0].tolist()


def dense(fan_in, fan_out, rate, num_steps, **more):
    """A layer that takes spikes, each input `rate` times a step, and its neurons, which fire as
    often.
    """
    acs = rate * fan_in * fan_out
    return [
        layer(
            "out",
            input="spikes",
            passes=both(num_steps),
            inputs=fan_in,
            outputs=fan_out,
            weights=fan_in * fan_out,
            macs_a_pass=fan_in * fan_out,
            acs=over_time(*[acs] * num_steps),
            events=over_time(*[rate * fan_in] * num_steps),
        ),
        layer(
            "lif",
            "neurons",
            neurons=fan_out,
            spikes=over_time(*[rate * fan_out] * num_steps),
            spikes_per_neuron_and_step=rate,
            state_variables=1,
            integrations=fan_out * num_steps,
            resets=rate * fan_out * num_steps,
            threshold_comparisons=fan_out * num_steps,
            membrane_reads=fan_out * num_steps,
            membrane_writes=fan_out * num_steps,
            **more,
        ),
    ]


def numbers(fan_in, fan_out, image=False):
    """The same synapses, on numbers."""
    return layer(
        "out",
        input="image" if image else "real",
        input_encoded=image,
        passes=both(1),
        inputs=fan_in,
        outputs=fan_out,
        weights=fan_in * fan_out,
        macs=macs(both(fan_in * fan_out)),
        macs_a_pass=fan_in * fan_out,
    )


def pair(spiking_layers, num_steps, other_layers):
    of = made_operations.operations
    return CountedPair([of(spiking_layers, num_steps)], [of(other_layers, 1)])


# ---- published figures


@pytest.mark.parametrize(
    ("macs_g", "acs_g", "millijoules"),
    [(1.82, 0, 8.372), (0.14, 0.10, 0.734), (2.75, 0.50, 13.10), (0.20, 1.69, 2.44)],
)
def test_the_benchmark_table_of_syops(macs_g, acs_g, millijoules):
    (joules,) = amount("syops", macs_per_step=macs_g * 1e9, acs=acs_g * 1e9)
    assert joules * 1e3 == pytest.approx(millijoules, rel=1e-3)


def test_frames_a_joule_of_bu_et_al():
    spiking_joules, _ = amount("analogue-chip", acs=20.86e9)
    assert 1 / spiking_joules == pytest.approx(622, rel=2e-3)
    # The ANN's 22 frames a joule are one FLOP for each of ResNet-34's 3.64 G multiply-accumulates.
    assert 1 / amount("analogue-chip", "other", macs=3.64e9)[0] == pytest.approx(22, rel=5e-3)


def loihi(**amounts):
    """Return joules by KerasSpiking and by SANA-FE, without numbers that enter the chip."""
    corners = amount("loihi-gpu", **amounts)
    return corners[0], corners[len(corners) // 2]


def test_a_network_on_loihi_takes_as_much_as_sana_fe_simulates():
    """SANA-FE 2.2.9 with its loihi.yaml: 10 inputs, 4 neurons and 5, on tiles 0, 31 and 0, 6 steps:
    synapses 6.958, neurons 6.7032, network 6.3624 nJ.
    """
    layers = [
        {"acs": 24 * 4, "events": 24, "outputs": 4},
        {"neuron_updates": 4 * 6, "spikes": 20},
        {"acs": 20 * 5, "events": 20, "outputs": 5},
        {"neuron_updates": 5 * 6, "spikes": 20},
    ]
    by_layer = np.array([loihi(**amounts) for amounts in layers])
    assert 1e9 * by_layer.sum(0) == pytest.approx([27.1e-3 * 196 + 81e-3 * 54, 20.0236])


def test_on_loihi_a_spike_of_a_convolution_goes_to_every_core_that_it_has_synapses_on():
    # 3,000 outputs lie on three cores; with two synapses, only two of them are reached.
    many = loihi(convolution=1, acs=900, events=100, outputs=3000)[1]
    few = loihi(convolution=1, acs=200, events=100, outputs=3000)[1]
    assert 1e12 * many == pytest.approx(24.0 * 900 + 144.6 * 300)
    assert 1e12 * few == pytest.approx(24.0 * 200 + 144.6 * 200)


@pytest.mark.parametrize(
    ("steps", "per_cent"), [(5, 7.50), (6, 6.25), (7, 5.36), (8, 6.25), (9, 5.56), (10, 5.00)]
)
def test_the_crossovers_of_spyx(steps, per_cent):
    # Its network: 256 inputs, 128 spiking neurons, 10 that only sum; no layer of numbers, whose
    # price is ours.
    first = dense(256, 128, 0.1, steps)
    last = [*dense(128, 10, 0.1, steps)]
    last[1] = replace(last[1], spikes=None, threshold_comparisons=0, resets=0)
    result = compare_by(
        pair([*first, *last], steps, [numbers(256, 128, image=True), numbers(128, 10)]),
        read("yan-dram"),
    )
    assert 100 * threshold(result, "rate").value == pytest.approx(per_cent, abs=0.006)


def test_the_break_even_of_yan_et_al_lies_within_its_bounds():
    """5.7 % at T = 5 (abstract of v4); fan-in 4096 and 4-bit weights. What could not be read makes
    it a range.
    """
    ratios = {
        rate: compare_by(pair(dense(4096, 64, rate, 5), 5, [numbers(4096, 64)]), read("yan"))
        for rate in (0.04, 0.057, 0.07)
    }
    assert [result.cheaper for result in ratios.values()] == ["spiking", None, "other"]
    assert ratios[0.057].ratio.low == pytest.approx(1, abs=0.05)
    assert ratios[0.057].ratio.high == pytest.approx(1, abs=0.1)


def even(name, layers, num_steps, others):
    """The least and most rate at which both networks need the same."""
    return accounting.break_even_rates(pair(layers, num_steps, others), read(name))


def test_rates_at_which_both_networks_need_the_same():
    """Between them, an accounting with ranges is open: below the least, the spiking one is cheaper
    by all of it, above the most the other.
    """
    others = [numbers(100, 10)]
    assert even("dampfhoffer", dense(100, 10, 0.3, 4), 4, others) == (
        pytest.approx(0.15 / 4, abs=0.001),
        pytest.approx(1.38 / 4, abs=0.001),
    )
    low, high = even("yan", dense(4096, 64, 0.2, 5), 5, [numbers(4096, 64)])
    assert low <= 0.057 * 1.1
    assert high >= 0.057
    for rate in (low * 0.99, high * 1.01):
        found = compare_by(
            pair(dense(4096, 64, rate, 5), 5, [numbers(4096, 64)]), read("yan")
        ).cheaper
        assert found == ("spiking" if rate < low else "other")


def test_no_rate_is_even_if_one_network_is_cheaper_at_any():
    layers = dense(100, 10, 0.3, 1)
    assert even("operations", layers, 1, [numbers(100, 100)])[0] == 1
    assert even("memory", layers, 1, [numbers(1, 1)]) == (0, 0)


def test_yan_et_al_count_the_bits_of_a_quantised_network():
    """Without few bits, a network has those of a count of spikes: 3 of T = 4."""
    activations = {"steps": 4, "kind": "other", "macs": 1}
    few = {"quantised": 1, "activation_bits": 8, "trained_bits": 4}
    least, most = amount("yan", **activations)
    assert (least, most) == (
        pytest.approx((3 * 0.25 + 0.05448) * 1e-12),
        pytest.approx((3 * 0.30448) * 1e-12),
    )
    least, most = amount("yan", **activations, **few)
    assert (least, most) == (
        pytest.approx((8 * 0.25 + 0.05448) * 1e-12),
        pytest.approx((8 * 0.30448) * 1e-12),
    )
    (as_trained,) = amount("yan-dram", **activations)
    assert as_trained == pytest.approx((3.7 * 9 / 1024 + 0.9 * 3 / 32 + 3 * 20) * 1e-12)
    (of_few,) = amount("yan-dram", **activations, **few)
    assert of_few == pytest.approx((3.7 * 64 / 1024 + 0.9 * 8 / 32 + 4 * 20) * 1e-12)


@pytest.mark.parametrize(
    ("steps", "bits", "cheaper"), [(4, 5, "spiking"), (5, 4, "other"), (16, 16, None)]
)
def test_a_step_costs_what_a_bit_does_in_the_bit_budget(steps, bits, cheaper):
    few = replace(numbers(100, 10), input_bits=bits)
    assert (
        compare_by(pair(dense(100, 10, 0.3, steps), steps, [few]), read("bit-budget")).cheaper
        == cheaper
    )


# ---- every accounting by hand, on a network of 10 → 4 → 5 (see made_operations), against the same without time


NETWORKS = CountedPair([spiking()], [plain()])


def ram(elements):
    return 13.2 + 1.09e-5 * elements * 32


BY_HAND = {
    "syops": ([80 * 4.6 + 20 * 0.9], [60 * 4.6]),
    "first-layer-once": ([40 * 4.6 + 20 * 0.9], [60 * 4.6]),
    "fp16": ([80 * 1.5 + 20 * 0.4], [60 * 1.5]),
    "int8": ([80 * 0.23 + 20 * 0.03], [60 * 0.23]),
    "memory": (
        [80 * 4.6 + 20 * 0.9 + 24.96 * 4 * (80 + 20 + 18 + 16)],
        [60 * 4.6 + 24.96 * 4 * (60 + 9)],
    ),
    "lemaire": (
        [
            3.2 * (20 + 8)
            + 0.1 * (2 * 20 + 8 + 4)
            + 20 * ram(40)
            + 20 * ram(20)
            + 2 * 20 * ram(4)
            + 2 * 20 * ram(5)
            + 2 * 8 * ram(4)
            + 8 * ram(4)
            + 10 * ram(5)
            + (4 + 4) * ram(1000)
        ],
        [
            3.2 * 60
            + 0.1 * 9
            + 0.1 * 60
            + 10 * ram(10)
            + 4 * ram(4)
            + 40 * ram(40)
            + 20 * ram(20)
            + 4 * ram(4)
            + 5 * ram(5)
            + 4 * ram(4)
            + 5 * ram(5)
        ],
    ),
    "dampfhoffer": ([20 + 0.15 * 40, 20 + 1.38 * 40], [0.15 * 60, 1.38 * 60]),
    "yan": (
        [3.05448 * 20 + 0.05448 * (8 + 4) + 40 * (8 * 0.25 + 0.05448 * wide) for wide in (1, 8)],
        [
            40 * (8 * 0.25 + 0.05448 * image) + 20 * (2 * 0.25 + 0.05448 * wide)
            for image, wide in ((1, 1), (8, 2))
        ],
    ),
    "yan-dram": (
        [
            20 * (0.05448 + 160)
            + 0.05448 * (8 + 4)
            + 8 * 0.25 * 16
            + 40 * (3.7 / 16 + 0.9 / 4 + 160)
        ],
        [60 * (3.7 * 4 / 1024 + 0.9 / 16 + 40) + 2 * 0.05448 * 9 + 2 * 0.25 * (9 + 10)],
    ),
    "bit-budget": ([32 * (80 * 8 + 40)], [32 * (40 * 8 + 20 * 32)]),
    "bit-budget-spikes": ([32 * (20 + 8 * 40)], [32 * (20 * 8 + 10 * 32)]),
    "operations": ([40 + 20], [20 + 10]),
    "analogue-chip": ([0.077 * 20 + 0.077 * 80, 0.077 * 20 + 12.5 * 80], [12.5 * 60]),
    "digital-chips": ([5.3 * 20, 12.7 * 60], [4.6 * 60]),
    "loihi-gpu": (
        [
            27.1 * 20 + 81 * 8,
            35.5 * 60 + (51.2 + 21.6) * 8 + 69.3 * 4 + (111 + 7 * 3.0 + 3 * 4.2) * 4,
        ],
        [300 * 69, 8600 * 69],
    ),
    "spinnaker-gpu": ([450 * 20 + 2190 * 8, 13300 * 60 + 26000 * 8], [300 * 69, 8600 * 69]),
}


@pytest.mark.parametrize("name", accounting.NAMES)
def test_by_hand(name):
    result = compare_by(NETWORKS, read(name))
    scale = 1e-12 if read(name).unit == "pJ" else 1
    for bounds, expected in zip((result.spiking, result.other), BY_HAND[name], strict=True):
        assert bounds.low == pytest.approx(scale * min(expected))
        assert bounds.high == pytest.approx(scale * max(expected))
    low, high = result.ratio.low, result.ratio.high
    assert result.cheaper == ("spiking" if high < 1 else "other" if low > 1 else None)


# ---- amounts


@pytest.mark.parametrize(("rate", "steps"), [(0.25, 2), (3.0, 2), (1.0, 1), (1.0, 9)])
def test_amounts_are_linear_in_the_rate_and_in_the_steps(rate, steps):
    counted = spiking()
    expected = scaled(counted, rate, steps)
    axis, value = ("rate", rate * NETWORKS.rate) if steps == 2 else ("steps", steps)
    moved = NETWORKS.amounts_at(axis, np.array([[value]]))
    for name, values in CountedPair([expected], [plain()]).spiking.items():
        assert moved[name][0] == pytest.approx(values), name


def test_the_mean_over_trials_leaves_out_networks_of_another_shape():
    twice = scaled(spiking(), 2.0, 2)
    assert CountedPair([spiking(), twice], [plain()]).spiking["acs"].tolist() == [0, 0, 30]
    assert CountedPair([spiking(), plain()], [plain()]).spiking["acs"].tolist() == [0, 0, 20]


# ---- thresholds


THRESHOLDS = [
    (name, threshold)
    for name in accounting.NAMES
    for threshold in compare_by(NETWORKS, read(name)).thresholds
]


def test_results_change_along_every_axis():
    assert {threshold.axis for _, threshold in THRESHOLDS} == {"rate", "steps", "bits"}
    # Memory counts for little in a network of so few weights; with more of it:
    large = pair(dense(4096, 64, 0.3, 5), 5, [numbers(4096, 64)])
    assert threshold(compare_by(large, read("memory")), "memory").becomes == "spiking"
    assert {*AXES} == {"rate", "steps", "bits", "memory"}
    assert len(THRESHOLDS) > len(accounting.NAMES)


@pytest.mark.parametrize(
    ("name", "threshold"),
    THRESHOLDS,
    ids=[f"{name}-{threshold.axis}" for name, threshold in THRESHOLDS],
)
def test_the_result_changes_at_a_threshold_and_not_before(name, threshold):
    now = compare_by(NETWORKS, read(name)).cheaper
    step = 1 if threshold.axis in ("steps", "bits") else 1e-4 * threshold.value
    before = threshold.value - step if threshold.value > threshold.now else threshold.value + step

    def cheaper(value):
        spiking, other = NETWORKS.energies(read(name), threshold.axis, [value])
        is_less, is_more = (spiking < other).all(), (spiking > other).all()
        return "spiking" if is_less else "other" if is_more else None

    assert threshold.becomes != now
    assert (cheaper(threshold.value), cheaper(before)) == (threshold.becomes, now)


def test_a_threshold_by_hand():
    # 40 MACs and 40 r ACs against 60 MACs: level where 0.9 · 40 r = 20 · 4.6, which is above one
    # spike a step.
    assert threshold(compare_by(NETWORKS, read("first-layer-once")), "rate") is None
    cheap = pair(dense(10, 4, 0.5, 2), 2, [numbers(10, 4)])
    result = compare_by(cheap, read("operations"))
    # Two steps of 40 r additions against 40 operations: level at a half.
    assert (result.cheaper, result.ratio.low) == (None, 1.0)
    # 0.9 · 20 T against 4.6 · 40: from the 11th step on.
    assert threshold(compare_by(cheap, read("syops")), "steps").value == 11


# ---- a run


def counted(name, operations, **more):
    return trial(name, 0.5, operations=operations, **more)


def test_a_run_sets_every_spiking_contender_against_all_others_and_its_variants():
    variants = {
        "relu_twin": variant_result("ReLU twin", 0.9, operations=plain()),
        "one_step": variant_result("one time step", 0.9, spikes=True, operations=spiking()),
        "shuffled": variant_result("shuffled in time", 0.9),
    }
    trials = [
        counted("snn-a", spiking(), variants=variants),
        counted("snn-b", spiking()),
        counted("cnn", plain()),
    ]
    accountings = compare_run(results(trials))
    assert [
        (accounted.spiking, accounted.other, accounted.variant) for accounted in accountings.pairs
    ] == [
        ("snn-a", "cnn", None),
        ("snn-a", "ReLU twin", "relu_twin"),
        ("snn-b", "cnn", None),
    ]
    accounted = accountings.pairs[0]
    assert (accounted.num_steps, accounted.rate) == (2, 0.5)
    assert all(result.ratio for result in accounted.by_accounting)
    groups = ["memory", "arithmetic", "chip", "operations"]
    assert [group for group in accounted.by_group if group != "device"] == groups
    groups = [entry.group for entry in accountings.definitions]
    assert groups == sorted(groups, key=GROUPS.index)
    assert accountings.definitions == accounting.all_accountings()


def test_a_contender_at_chance_has_no_ratio():
    spikes = [counted(name, spiking()) for name in ("snn-a", "snn-b")]
    made = results([*spikes, counted("cnn", plain())])

    def pairs(contenders):
        caveats = [example("at_chance", contenders=contenders)]
        accounted = compare_run(replace(made, comparison=replace(made.comparison, caveats=caveats)))
        return accounted and [(one.spiking, one.other) for one in accounted.pairs]

    assert pairs(["snn-a"]) == [("snn-b", "cnn")]
    assert pairs(["cnn"]) is None


def test_an_accounting_of_the_users_own_comes_first(tmp_path):
    path = write(tmp_path / "mine.toml")
    accountings = compare_run(
        results([counted("snn", spiking()), counted("cnn", plain())]), [read(path)]
    )
    first, *others = accountings.pairs[0].by_accounting
    assert (first.accounting, first.spiking.low, first.other.low, first.cheaper) == (
        "mine",
        4,
        14,
        "spiking",
    )
    assert others


def write(path, formula="spikes", other="inputs"):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        'label = "mine"\ngroup = "chip"\ntitle = "t"\nsource = "s"\nwhere = "w"\nread = "source"\nunit = "operations"\n'
        f'leaves_out = "l"\nspiking = "{formula}"\nother = "{other}"\n'
    )
    return path


def test_an_accounting_given_twice_counts_once_and_one_name_for_two_is_refused(tmp_path):
    mine, other = (
        write(tmp_path / "a" / "mine.toml"),
        write(tmp_path / "b" / "mine.toml", "2 * spikes"),
    )
    twice = accounting.all_accountings([read(mine), read(mine), read("syops")])
    assert [accounting.name for accounting in twice[:3]] == ["mine", "syops", "dampfhoffer"]
    assert len(twice) == 1 + len(accounting.all_accountings())
    with pytest.raises(InputError, match="two accountings are called mine"):
        accounting.all_accountings([read(mine), read(other)])


@pytest.mark.parametrize(
    ("formula", "other", "network"),
    [
        ("spikes / (T - T)", "inputs", "spiking"),
        ("spikes", "1 / 0", "other"),
        ("log2(T - T)", "inputs", "spiking"),
        ("1e300 * 1e300 * T", "inputs", "spiking"),
        ("spikes", "-inputs", "other"),
    ],
)
def test_a_formula_without_an_amount_names_its_network(formula, other, network, tmp_path):
    result = compare_by(NETWORKS, read(write(tmp_path / "mine.toml", formula, other)))
    assert result.ratio is None
    assert result.reason == f"its formula gives no amount of at least 0 for the {network} network"


@pytest.mark.parametrize("name", ["bit-budget", "bit-budget-spikes"])
def test_weights_trained_in_few_bits_count_as_many(name):
    """A layer of 4 bits counts an eighth of one of 32; the others count as before."""
    counted, definition = made_operations.spiking(), read(name)
    whole = accounting.weighed([counted], definition, "spiking", counted.num_steps)
    parts = []
    for index, one in enumerate(counted.layers):
        few = [*counted.layers]
        few[index] = replace(one, weight_bits=4)
        operations = replace(counted, layers=few)
        lost = whole - accounting.weighed([operations], definition, "spiking", counted.num_steps)
        alone = replace(counted, layers=[one])
        share = accounting.weighed([alone], definition, "spiking", counted.num_steps)
        assert lost == pytest.approx(share * (1 - 4 / 32))
        parts.append(share)
    assert sum(parts) == pytest.approx(whole)


def test_memory_that_moves_fewer_bits_costs_less():
    counted, table = made_operations.spiking(), energy.read("45nm-int8")
    few = [replace(one, weight_bits=4) if one.weights else one for one in counted.layers]
    usual = energy.joules(counted.layers, table, "on_chip").dense
    assert energy.joules(few, table, "on_chip").dense < usual
    assert energy.joules(few, table).dense == energy.joules(counted.layers, table).dense
