"""Counts of two small networks, made up so that sums can be done by hand."""

from spikeduel.measuring.energy import traffic


def both(as_written, cached=None):
    return {"as_written": as_written, "cached": as_written if cached is None else cached}


def over_time(*amounts):
    return {"total": sum(amounts), "per_step": list(amounts)}


def layer(name, kind="synapses", **given):
    """One of `operations`' layers, all zero but for what is given."""
    entry = {
        "name": name, "type": "Linear", "kind": kind, "input": "real", "input_bits": None, "input_encoded": False,
        "passes": both(0), "inputs": 0, "outputs": 0, "weights": 0, "biases": 0,
        "macs": {"dense": both(0), "effective": both(0)}, "macs_a_pass": 0, "acs": over_time(), "events": over_time(),
        "input_zeros": None, "bias_additions": both(0), "additions": both(0), "multiplications": both(0),
        "functions": both(0), "neurons": None, "spikes": None, "spikes_per_neuron_and_step": None,
        "state_variables": 0, "leaks": 0, "integrations": 0, "resets": 0, "threshold_comparisons": 0,
        "membrane_reads": 0, "membrane_writes": 0, "folded_into": None, "note": None,
    }  # fmt: skip
    found = {**entry, **given}
    return {**found, "traffic": {way: traffic(found, way) for way in ("as_written", "cached")}}


def spiking():
    """Two steps, direct encoding: 10 inputs, 4 hidden neurons (3 spikes, then 1), 5 outputs."""
    layers = [
        layer("in", input="image", input_encoded=True, passes=both(2, 1), inputs=10, outputs=4, weights=40, biases=4,
              macs={"dense": both(80, 40), "effective": both(40, 20)}, macs_a_pass=40, bias_additions=both(8, 4)),
        layer("lif", "neurons", neurons=4, spikes=over_time(3, 1), spikes_per_neuron_and_step=0.5, state_variables=1,
              leaks=8, integrations=8, resets=4, threshold_comparisons=8, membrane_reads=8, membrane_writes=8),
        layer("out", input="spikes", passes=both(2), inputs=4, outputs=5, weights=20, biases=5, macs_a_pass=20,
              acs=over_time(15, 5), events=over_time(3, 1), bias_additions=both(10)),
    ]  # fmt: skip
    return {"num_steps": 2, "images": 7, "layers": layers, "totals": {"spikes_per_neuron_and_step": 0.5}}


def plain():
    """A network without time, of the same shape."""
    layers = [
        layer("in", input="image", input_encoded=True, passes=both(1), inputs=10, outputs=4, weights=40, biases=4,
              macs={"dense": both(40), "effective": both(20)}, macs_a_pass=40, bias_additions=both(4)),
        layer("out", passes=both(1), inputs=4, outputs=5, weights=20, biases=5,
              macs={"dense": both(20), "effective": both(10)}, macs_a_pass=20, bias_additions=both(5)),
    ]  # fmt: skip
    return {"num_steps": 1, "images": 7, "layers": layers, "totals": {"spikes_per_neuron_and_step": None}}
