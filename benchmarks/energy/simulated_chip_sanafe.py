"""Run a network on SANA-FE's model of Loihi: the program that `simulated_chip.py` starts.

    VENV/bin/python -m benchmarks.energy.simulated_chip_sanafe FOLDER

It imports SANA-FE and the standard library alone, so that its environment needs nothing else.
FOLDER has `network.json` and arrays (`simulated_chip.write` says which); `answer.json` and
`spikes.bin` are added. A spike reaches the next layer one step later, so that layer l answers an
image in steps l to l + T − 1 of the chip. It has its bias in these steps alone, and cannot spike
after them.
"""

import contextlib
import json
import os
import sys
from array import array
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sanafe

CORE = 1024
"""Neurons of a core (`max_neurons_supported` in arch/loihi.yaml)."""
NEVER = 1e30
"""A threshold that no membrane reaches."""
COUNTS = ("spikes", "packets_sent", "neurons_updated", "neurons_fired")
PARTS = ("synapse", "dendrite", "soma", "network", "total")


def main() -> None:
    folder = Path(sys.argv[1])
    network = json.loads((folder / "network.json").read_text())
    # SANA-FE prints a line for each step.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        answer = simulated(folder, network)
    (folder / "answer.json").write_text(json.dumps(answer))


def numbers(path: Path, kind: str) -> array:
    content = array(kind)
    content.frombytes(path.read_bytes())
    return content


def simulated(folder: Path, network: dict[str, Any]) -> dict[str, Any]:
    """Return sums over all images of energies in J, counts and seconds, and the last layer's
    membranes `[N, K]`.
    """
    layers, num_steps = network["layers"], network["num_steps"]
    chip, num_cores = loaded(folder, network)
    groups = [chip.mapped_neuron_groups[layer["name"]] for layer in layers]
    biases = [numbers(folder / f"bias{place}.bin", "d") for place in range(len(layers))]
    inputs = numbers(folder / "inputs.bin", "d")
    places = {layer["name"]: place for place, layer in enumerate(layers)}
    late = 1 if network["spiking_input"] else 0
    width, spikes = len(inputs) // network["num_images"], array("i")
    total = dict.fromkeys((*PARTS, *COUNTS, "sim_time", "steps"), 0.0)
    membranes = []
    for image in range(network["num_images"]):
        now = inputs[image * width : (image + 1) * width]
        chip.reset()
        for layer, group in zip(layers, groups, strict=True):
            attributes = {"threshold": layer["threshold"] or NEVER, "bias": 0.0}
            for neuron in group:
                neuron.set_attributes(model_attributes=attributes)
        if late:
            # Input neurons are no part of the chip: they cost nothing.
            total["neurons_fired"] -= sum(now)
            total["neurons_updated"] -= sum(now)
            for place, neuron in enumerate(chip.mapped_neuron_groups["input"]):
                train = [bool(value) for value in now[place :: network["num_inputs"]]]
                neuron.set_attributes(model_attributes={"spikes": train})
        last = num_steps + late + len(layers) - 1
        for step in range(last):
            for place, group in enumerate(groups):
                begin = place + late
                if step == begin:
                    is_first = place == 0 and not late
                    for neuron, bias in zip(group, now if is_first else biases[place], strict=True):
                        neuron.set_attributes(model_attributes={"bias": bias})
                if step == begin + num_steps:
                    for neuron in group:
                        neuron.set_attributes(model_attributes={"bias": 0.0, "threshold": NEVER})
            result = chip.sim(1, spike_trace=True, potential_trace=step == last - 1 or None)
            for part in PARTS:
                total[part] += result["energy"][part]
            for name in (*COUNTS, "sim_time"):
                total[name] += result[name]
            total["steps"] += 1
            for fired in result["spike_trace"][0]:
                place = places[fired.group_name]
                spikes.extend((image, place, step - place - late, fired.neuron_offset))
        membranes.append(list(result["potential_trace"][0]))
    (folder / "spikes.bin").write_bytes(spikes.tobytes())
    return {
        "sanafe": version("sanafe"),
        "total": total,
        "membranes": membranes,
        "neurons": sum(layer["size"] for layer in layers),
        "cores": num_cores,
    }


def loaded(folder: Path, network: dict[str, Any]) -> tuple[Any, int]:
    """Return the chip with the network, a layer on cores of its own, and the number of cores."""
    arch, net = sanafe.load_loihi(), sanafe.Network()
    cores = [core for tile in arch.tiles for core in tile.cores]
    used = 0
    before = None
    if network["spiking_input"]:
        before = net.create_neuron_group("input", network["num_inputs"])
        for place, neuron in enumerate(before):
            # Each input neuron has a unit of its own.
            neuron.set_attributes(soma_hw_name=f"loihi_inputs[{place % CORE}]")
            neuron.map_to_core(cores[place // CORE])
        used = -(-network["num_inputs"] // CORE)
    for place, layer in enumerate(network["layers"]):
        is_last = place == len(network["layers"]) - 1
        group = net.create_neuron_group(
            layer["name"],
            layer["size"],
            {
                "threshold": layer["threshold"] or NEVER,
                "reset_mode": layer["reset"],
                "leak_decay": layer["beta"],
            },
            default_synapse_hw_name=layer["synapse"],
            default_dendrite_hw_name="loihi_dendrites",
            log_spikes=layer["threshold"] is not None,
            log_potential=is_last,
            soma_hw_name="loihi_lif",
        )
        for number, neuron in enumerate(group):
            neuron.map_to_core(cores[used + number // CORE])
        used += -(-layer["size"] // CORE)
        if before is not None:
            sources = numbers(folder / f"source{place}.bin", "i")
            targets = numbers(folder / f"target{place}.bin", "i")
            weights = numbers(folder / f"weight{place}.bin", "d")
            pairs = list(zip(sources, targets, strict=True))
            before.connect_neurons_sparse(group, {"weight": list(weights)}, pairs)
        before = group
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    return chip, used


if __name__ == "__main__":
    main()
