"""A network on a simulated chip: its spikes beside ours, and the simulated energy, part by part,
beside the accounting of the same prices.

    python -m venv VENV && VENV/bin/pip install sanafe
    python -m benchmarks.energy.simulated_chip MODEL.safetensors … --sanafe VENV/bin/python [--images 100]

SANA-FE (Boyle et al. 2025, doi:10.1109/TCAD.2025.3537971; GPL-3) simulates Intel's Loihi. It is a
program of its own, in a process and an environment of its own (`simulated_chip_sanafe.py`); no chip
is measured. MODEL spikes, with reset and pooling of the recipe chip. Direct encoding gives the
first layer numbers, which Loihi does not have: this layer's currents are computed here, and are its
neurons' bias on the chip at each step. Spikes of other encodings enter the chip as spikes.

Each network runs twice: with its own weights, in units so small that no rounding of the chip
matters, and as the chip holds numbers: weights in 8 bits, one scale a layer, all else in units of
the membrane, 1/64 of a weight's. The result goes to benchmarks/results/simulated-chip.json.
"""

import copy
import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from benchmarks import shared
from spikeduel.energy import accounting
from spikeduel.engine import ConstantInput, as_sequence
from spikeduel.engine.counting.operations import MEANINGS, STEPS, Operations
from spikeduel.engine.networks import models
from spikeduel.engine.networks.models import Model, neurons_watched
from spikeduel.engine.networks.plain import ChannelsLastFlatten
from spikeduel.engine.neurons import ALIF, LIF, Neuron
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import MeanReadout
from spikeduel.evaluation.predictions_of_model import Counting
from spikeduel.exporters.exporting import as_written, folded
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.system.typed import plain, write_json
from spikeduel.training import model_data

RESULT = "simulated-chip.json"
LINEAR = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.Flatten, ChannelsLastFlatten, nn.ZeroPad2d)
TRANSPARENT = (nn.Identity, nn.Dropout, nn.Sequential)
RESETS = {"zero": "hard", "subtract": "soft", "none": "none"}
RESOLUTION = 64
"""Membrane units of a unit of weight: after the leak SANA-FE drops what is smaller
(src/models.cpp, `loihi_quantize`).
"""
MAX_MEMBRANE = 2**25
"""A membrane times `RESOLUTION` must fit an int32."""
WEIGHT_BITS = 8
"""Bits of a weight (src/models.hpp, `default_weight_bits`), which SANA-FE does not enforce."""
AT_ONCE = 256
"""Unit inputs that are sent through a layer at once to read its synapses."""
PRICES = {
    "synapses": ("conv_synapse", "dense_synapse"),
    "neurons accessed": ("access",),
    "neurons updated": ("change",),
    "spikes fired": ("fire",),
    "messages": ("message",),
    "hops between cores": ("way",),
}
"""The parts of the energy, each with its prices in energy/accountings/loihi-gpu.toml."""


class Layer(NamedTuple):
    """A layer on the chip: synapses `[neurons, inputs]` and neurons.

    `weight` is None for a layer whose currents are computed elsewhere, `threshold` infinite for the
    output, which integrates.
    """

    name: str
    weight: csr_array | None
    bias: np.ndarray
    beta: float
    threshold: float
    reset: str
    is_convolution: bool


class Network(NamedTuple):
    """Layers on the chip, and what enters them for N images: currents of the first layer, the same
    at each step, `[N, neurons]`; or spikes `[T, N, inputs]`, where the first layer has weights.
    """

    layers: list[Layer]
    inputs: np.ndarray


class Rules(NamedTuple):
    """Rules of the chip's neurons that can differ from ours: a reset comes before the leak, not
    after it, and the membrane is cut to units of 1/`RESOLUTION` after the leak.
    """

    reset_before_leak: bool = False
    cut: bool = False


RULES_HERE = Rules()
RULES = {
    "arithmetic in float32 here, in float64 on the simulated chip": RULES_HERE,
    "reset before the leak": Rules(reset_before_leak=True),
    "membrane cut to 1/64 of a weight's unit after the leak": Rules(cut=True),
    "reset before the leak, and membrane cut to 1/64 of a weight's unit": Rules(True, True),
}
"""What explains spikes that differ: the first rules with which our neurons give the chip's."""


class Spikes(NamedTuple):
    """Spikes of the layers that spike, bool `[T, N, neurons]`, and the output's membranes `[N, K]`;
    `largest` is that of all membranes.
    """

    layers: list[np.ndarray]
    membranes: np.ndarray
    largest: float = 0.0


def main() -> None:
    parser = shared.parser(__doc__, images=100)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument(
        "--sanafe", type=Path, required=True, help="the Python of an environment with SANA-FE"
    )
    options = parser.parse_args()
    if not options.sanafe.exists():
        parser.error(
            f"{options.sanafe} is missing: python -m venv VENV && VENV/bin/pip install sanafe, "
            "then --sanafe VENV/bin/python"
        )
    for path in options.models:
        model = models.load_model(path)
        images, labels, dataset = model_data.test_images(model, None, options.images)
        row = compared(model, torch.from_numpy(images), labels, options.sanafe)
        name = " ".join([dataset, row["contender"], row["encoding"], row["reset"]])
        print(f"{name}: {json.dumps(row, indent=1)}", flush=True)
        document: dict[str, Any] = shared.read(RESULT, {"models": {}})
        document["models"][name] = row
        shared.write(RESULT, document)


@torch.inference_mode()
def compared(model: Model, images: Tensor, labels: np.ndarray, python: Path) -> dict[str, Any]:
    """Return spikes and energies of `model` here and on the simulated chip, for `images` uint8 `[N,
    C, H, W]`.
    """
    model = as_written(model)
    encoded = model.encode(images, RandomKeys.for_content(images))
    ours, scores, network = reference(model, encoded)
    num_steps, num_images = model.card.num_steps or 1, len(images)
    fine, factor = in_fine_units(network, num_steps)
    chip, answer = on_chip(fine, num_steps, python)
    coarse = in_8_bits(network)
    chip_8_bits, _ = on_chip(coarse, num_steps, python)
    coarse_here = here(coarse, num_steps)
    weights = [layer.weight for layer in network.layers if layer.weight is not None]
    return {
        "contender": model.card.contender,
        "dataset": model.card.dataset,
        "encoding": model.card.encoding,
        "reset": network.layers[0].reset,
        "num_steps": num_steps,
        "images": num_images,
        "sanafe": answer["sanafe"],
        "layers": len(network.layers),
        "neurons": answer["neurons"],
        "synapses": sum(weight.nnz for weight in weights),
        "cores": answer["cores"],
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "own_weights": {
            **agreement(ours, chip.layers, fine, num_steps),
            "same_label": same_label(chip, scores),
            "score_difference": float(np.abs(chip.membranes / factor / num_steps - scores).max()),
        },
        "8_bits": {
            **agreement(coarse_here.layers, chip_8_bits.layers, coarse, num_steps),
            "same_label": same_label(chip_8_bits, scores),
            "accuracy": float((chip_8_bits.membranes.argmax(1) == labels).mean()),
            "unlike_own_weights": num_differing(ours, chip_8_bits.layers),
        },
        "energy": energies(operations_of(model, encoded, num_images), answer, num_images),
    }


def same_label(spikes: Spikes, scores: np.ndarray) -> float:
    return float((spikes.membranes.argmax(1) == scores.argmax(1)).mean())


def reference(model: Model, encoded: Tensor | ConstantInput) -> tuple[list, np.ndarray, Network]:
    """Return the model's spikes by layer, its scores `[N, K]`, and its network on the chip."""
    with neurons_watched(model.module) as seen:
        scores = model.readout.scores(model.run(encoded)).numpy()
    spikes = [spk.flatten(2).numpy() > 0 for _, spk, _ in seen.values()]
    if isinstance(encoded, ConstantInput):
        current = as_sequence(next(iter(seen.values()))[0])[0]
        inputs = current.flatten(1).numpy().astype(np.float64)
    else:
        inputs = encoded.flatten(2).numpy().astype(np.float64)
        if not np.isin(inputs, (0, 1)).all():
            raise InputError(
                f"{model.card.contender}: its encoding {model.card.encoding} gives numbers at each "
                "step: train with direct, rate or latency encoding."
            )
    return spikes, scores, Network(layers_of(model, isinstance(encoded, ConstantInput)), inputs)


def layers_of(model: Model, first_is_given: bool) -> list[Layer]:
    """Return the layers of `model`, of which the first has no synapses if its currents are given.
    Raises `InputError` for layers that are no synapses, and for other neurons than LIF.
    """
    if not isinstance(model.readout, MeanReadout):
        raise InputError(
            f"{model.card.contender}: its last layer spikes; take a network whose output "
            "integrates, such as --contender dense-lif, conv-lif or vgg-lif."
        )
    module = folded(copy.deepcopy(model.module))
    x = torch.zeros(1, *model.card.input_shape)
    layers: list[Layer] = []
    before: list[nn.Module] = []
    for part in [*module.layers(), None]:  # type: ignore[operator]
        if part is not None and not isinstance(part, Neuron):
            before.append(part)
            continue
        neuron = None if part is None else leaky(part)
        synapses, before = nn.Sequential(*before), []
        require_linear(synapses)
        bias = synapses(x)
        is_given = first_is_given and not layers
        layers.append(
            Layer(
                name=f"layer{len(layers) + 1}",
                weight=None if is_given else weights_of(synapses, x, bias.numel()),
                bias=bias.flatten().numpy().astype(np.float64),
                beta=float(neuron.beta) if neuron else 1.0,
                threshold=neuron.threshold if neuron else math.inf,
                reset=neuron.reset_mechanism if neuron else "none",
                is_convolution=any(isinstance(inner, nn.Conv2d) for inner in synapses.modules()),
            )
        )
        x = torch.zeros_like(bias)
    return layers


def require_linear(synapses: nn.Sequential) -> None:
    for name, part in synapses.named_modules():
        if not isinstance(part, LINEAR + TRANSPARENT):
            raise InputError(
                f"{name}: {type(part).__name__} is no layer of synapses: train with --recipe chip."
            )


def leaky(neuron: Neuron) -> LIF:
    if not isinstance(neuron, LIF) or isinstance(neuron, ALIF):
        raise InputError(
            f"the chip has no neuron like {type(neuron).__name__}: train with --neuron lif."
        )
    return neuron


def weights_of(synapses: nn.Sequential, x: Tensor, num_outputs: int) -> csr_array:
    """Return the weights `[num_outputs, inputs]` of linear layers for an input like `x` `[1, …]`,
    read from their outputs for inputs of a single 1. Biases become 0.
    """
    for part in synapses.modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            part.bias.zero_()
    targets, sources, values = [], [], []
    for numbers in torch.arange(x.numel()).split(AT_ONCE):
        units = torch.zeros(len(numbers), x.numel())
        units[torch.arange(len(numbers)), numbers] = 1
        outputs = synapses(units.view(len(numbers), *x.shape[1:])).flatten(1)
        source, target = outputs.nonzero(as_tuple=True)
        sources.append(numbers[source])
        targets.append(target)
        values.append(outputs[source, target])
    places = (torch.cat(targets).numpy(), torch.cat(sources).numpy())
    weights = torch.cat(values).numpy().astype(np.float64)
    return csr_array((weights, places), shape=(num_outputs, x.numel()))


def here(network: Network, num_steps: int, rules: Rules = RULES_HERE) -> Spikes:
    """Run `network` here, in float64, with the neurons' `rules`."""
    spikes: list[np.ndarray] = []
    sent, largest = network.inputs, 0.0
    for layer in network.layers:
        if layer.weight is None:
            currents = np.broadcast_to(sent, (num_steps, *sent.shape))
        else:
            currents = np.stack([(layer.weight @ now.T).T + layer.bias for now in sent])
        mem, fired, steps = np.zeros_like(currents[0]), np.zeros(currents[0].shape, bool), []
        for current in currents:
            if layer.reset == "zero":
                mem = np.where(fired, 0, layer.beta * mem)
            elif layer.reset == "subtract":
                share = layer.beta if rules.reset_before_leak else 1
                mem = layer.beta * mem - np.where(fired, share * layer.threshold, 0)
            else:
                mem = layer.beta * mem
            if rules.cut:
                mem = np.trunc(mem * RESOLUTION) / RESOLUTION
            mem = mem + current
            fired = mem > layer.threshold
            largest = max(largest, float(np.abs(mem).max()))
            steps.append(fired)
        sent = np.stack(steps)
        spikes.append(sent)
    return Spikes(spikes[:-1], mem, largest)


def in_units(network: Network, factors: Sequence[float]) -> Network:
    """Return `network` with the membrane of each layer times its factor; its spikes are the same."""
    layers = [
        layer._replace(
            weight=None if layer.weight is None else layer.weight * factor,
            bias=layer.bias * factor,
            threshold=layer.threshold * factor,
        )
        for layer, factor in zip(network.layers, factors, strict=True)
    ]
    is_current = network.layers[0].weight is None
    return Network(layers, network.inputs * factors[0] if is_current else network.inputs)


def in_fine_units(network: Network, num_steps: int) -> tuple[Network, float]:
    """Return `network` in the smallest units that the simulated membrane holds, and the factor."""
    largest = here(network, num_steps).largest
    factor = 2.0 ** math.floor(math.log2(MAX_MEMBRANE / 2 / largest))
    return in_units(network, [factor] * len(network.layers)), factor


def in_8_bits(network: Network) -> Network:
    """Return `network` with weights of `WEIGHT_BITS`, one scale a layer, and all else in units of
    the membrane. A first layer without weights has the scale of its currents.
    """
    most = 2 ** (WEIGHT_BITS - 1) - 1
    scaled = in_units(
        network,
        [
            most / np.abs(network.inputs if layer.weight is None else layer.weight.data).max()
            for layer in network.layers
        ],
    )
    layers = [
        layer._replace(
            weight=None if layer.weight is None else layer.weight.rint(),
            bias=in_membrane_units(layer.bias),
            threshold=float(in_membrane_units(np.array(layer.threshold))),
        )
        for layer in scaled.layers
    ]
    is_current = network.layers[0].weight is None
    return Network(layers, in_membrane_units(scaled.inputs) if is_current else scaled.inputs)


def in_membrane_units(values: np.ndarray) -> np.ndarray:
    return np.rint(values * RESOLUTION) / RESOLUTION


def on_chip(network: Network, num_steps: int, python: Path) -> tuple[Spikes, dict[str, Any]]:
    """Run `network` in SANA-FE; return its spikes and its answer (`simulated_chip_sanafe.py`).
    Raises `InputError` with the last line of an error.
    """
    num_images = network.inputs.shape[-2]
    with tempfile.TemporaryDirectory() as folder:
        write(network, num_steps, Path(folder))
        command = [str(python), str(Path(__file__).with_name("simulated_chip_sanafe.py")), folder]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            problem = (run.stderr or run.stdout).strip().splitlines()[-1:]
            raise InputError(f"{python}: SANA-FE failed ({' '.join(problem)}): pip install sanafe")
        answer = typed.read_json(Path(folder) / "answer.json", dict)
        events = np.fromfile(Path(folder) / "spikes.bin", np.int32).reshape(-1, 4)
    spikes = [np.zeros((num_steps, num_images, len(x.bias)), bool) for x in network.layers[:-1]]
    for place, layer in enumerate(spikes):
        image, _, step, neuron = events[events[:, 1] == place].T
        layer[step, image, neuron] = True
    return Spikes(spikes, np.array(answer["membranes"])), answer


def write(network: Network, num_steps: int, folder: Path) -> None:
    """Write `network.json` and arrays: `inputs.bin` float64 `[N, …]`; of the layer at place l
    `bias{l}.bin` float64, and, where it has synapses, `source{l}.bin` and `target{l}.bin` int32 and
    `weight{l}.bin` float64.
    """
    spiking_input = network.inputs.ndim == 3
    document = {
        "num_steps": num_steps,
        "num_images": network.inputs.shape[-2],
        "num_inputs": network.inputs.shape[-1],
        "spiking_input": spiking_input,
        "layers": [
            {
                "name": layer.name,
                "size": len(layer.bias),
                "beta": layer.beta,
                "threshold": layer.threshold if math.isfinite(layer.threshold) else None,
                "reset": RESETS[layer.reset],
                "synapse": f"loihi_{'conv' if layer.is_convolution else 'dense'}_synapse",
            }
            for layer in network.layers
        ],
    }
    write_json(folder / "network.json", document)
    by_image = network.inputs.swapaxes(0, 1) if spiking_input else network.inputs
    arrays = {"inputs": by_image.astype(np.float64)}
    for place, layer in enumerate(network.layers):
        arrays[f"bias{place}"] = layer.bias.astype(np.float64)
        if layer.weight is not None:
            synapses = layer.weight.tocoo()
            targets, sources = synapses.coords
            arrays[f"source{place}"] = sources.astype(np.int32)
            arrays[f"target{place}"] = targets.astype(np.int32)
            arrays[f"weight{place}"] = synapses.data.astype(np.float64)
    for name, values in arrays.items():
        np.ascontiguousarray(values).tofile(folder / f"{name}.bin")


def agreement(
    ours: Sequence[np.ndarray], chip: Sequence[np.ndarray], network: Network, num_steps: int
) -> dict[str, Any]:
    """Return how far the chip's spikes are ours: images with equal spikes, spikes that differ, the
    first layer and step that do, and the rule of `RULES` that explains them all (None: no rule).
    """
    differ = [one != other for one, other in zip(ours, chip, strict=True)]
    images = np.any([layer.any(axis=(0, 2)) for layer in differ], axis=0)
    first = next(
        (
            {"layer": place + 1, "step": int(layer.any(axis=(1, 2)).argmax()) + 1}
            for place, layer in enumerate(differ)
            if layer.any()
        ),
        None,
    )
    agreeing = (
        name
        for name, rules in RULES.items()
        if not num_differing(here(network, num_steps, rules).layers, chip)
    )
    return {
        "images_equal": int((~images).sum()),
        "spikes": int(sum(layer.sum() for layer in ours)),
        "differing": num_differing(ours, chip),
        "first": first,
        "rule": first and next(agreeing, None),
    }


def num_differing(ours: Sequence[np.ndarray], chip: Sequence[np.ndarray]) -> int:
    return int(sum((one != other).sum() for one, other in zip(ours, chip, strict=True)))


def operations_of(model: Model, encoded: Tensor | ConstantInput, num_images: int) -> Operations:
    counting = Counting(model)
    counting.run(encoded, num_images)
    counted = counting.result()
    if counted.operations is None:
        raise InputError(str(counted.reason))
    return counted.operations


def energies(operations: Operations, answer: dict[str, Any], num_images: int) -> dict[str, Any]:
    """Return the energy of an image by part, in nJ: simulated, and by our accounting of the same
    prices; and that of other accountings.
    """
    definition = accounting.read("loihi-gpu")
    prices = {name: constant.ends[-1] for name, constant in definition.constants.items()}
    total = {name: value / num_images for name, value in answer["total"].items()}
    counts = {
        "synapses": total["spikes"],
        "neurons accessed": answer["neurons"] * total["steps"],
        "neurons updated": total["neurons_updated"],
        "spikes fired": total["neurons_fired"],
        "messages": total["packets_sent"],
    }
    soma = [prices[name] * 1e-3 for name in ("access", "change", "fire")]
    simulated = {
        "synapses": total["synapse"] * 1e9,
        **{part: counts[part] * price for part, price in zip(list(PRICES)[1:4], soma, strict=True)},
        "messages": counts["messages"] * prices["message"] * 1e-3,
    }
    simulated["hops between cores"] = total["network"] * 1e9 - simulated["messages"]
    if not math.isclose(sum(simulated.values()), total["total"] * 1e9, rel_tol=1e-6):
        raise InputError(f"the parts {simulated} are not the total {total['total'] * 1e9} nJ.")
    accounted = {part: accounted_nanojoules(operations, names) for part, names in PRICES.items()}
    pair = accounting.against_twin(operations)
    return {
        "simulated_nj": simulated,
        "simulated_total_nj": sum(simulated.values()),
        "simulated_counts": counts,
        "simulated_microseconds": total["sim_time"] * 1e6,
        "simulated_steps": total["steps"],
        "accounted_nj": accounted,
        "accounted_total_nj": sum(accounted.values()),
        "accountings": {
            result.accounting: plain(result.spiking)
            for result in pair.by_accounting
            if result.spiking and result.accounting != "operations"
        },
    }


def accounted_nanojoules(operations: Operations, names: Sequence[str]) -> float:
    """Return the nJ of an image by the accounting of SANA-FE's prices, with only the prices `names`
    above 0, and without numbers that enter the chip.
    """
    definition = accounting.read("loihi-gpu")
    prices = {name for of_part in PRICES.values() for name in of_part}
    constants = {
        name: 0.0 if name in prices - set(names) else constant.ends[-1]
        for name, constant in definition.constants.items()
    }
    amounts = accounting.CountedPair([operations], [operations]).spiking
    formula = accounting.parse(definition.spiking, frozenset({*MEANINGS, *constants}))
    values = {**amounts, STEPS: operations.num_steps, **constants, "simulated": 1, "number": 0}
    return float(np.sum(accounting.evaluate(formula, values))) * 1e-3


if __name__ == "__main__":
    main()
