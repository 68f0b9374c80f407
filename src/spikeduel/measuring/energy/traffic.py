"""What moves between memory and arithmetic, by one stated dataflow.

**Real inputs**, a pass at a time: every weight is read once, every input read once and every output written once;
partial sums stay in the array (weight-stationary, with as much reuse as there can be). Biases are weights.

**Spikes**, an event at a time: an event's address is written once by who fires and read once by who receives it; it
then reads one weight for each of its synapses, and reads and writes the sum of each neuron it reaches.

**Neurons**, a step at a time: the state of each is read and written.
"""

from typing import Any


def traffic(layer: dict[str, Any], counting: str) -> dict[str, float]:
    """Words per image that one of `operations`' `layers` moves: `weights`, `activations`, `addresses`, `membranes`.

    `counting` is "as_written" or "cached".
    """
    passes = layer["passes"][counting]
    on_numbers = passes if layer["macs"]["dense"][counting] else 0.0
    acs, events = layer["acs"]["total"], layer["events"]["total"]
    spikes = layer["spikes"]["total"] if layer["spikes"] else 0.0
    return {
        "weights": layer["weights"] * on_numbers + layer["biases"] * passes + acs,
        "activations": (layer["inputs"] + layer["outputs"]) * on_numbers,
        "addresses": events + spikes,
        "membranes": 2 * acs + layer["membrane_reads"] + layer["membrane_writes"],
    }
