from made_operations import both, layer, plain, spiking
from spikeduel.measuring.energy import traffic


def test_numbers_move_once_a_pass():
    (first, _) = plain()["layers"]
    assert traffic(first, "cached") == {"weights": 44, "activations": 14, "addresses": 0, "membranes": 0}
    first = spiking()["layers"][0]
    assert traffic(first, "as_written") == {"weights": 88, "activations": 28, "addresses": 0, "membranes": 0}
    assert traffic(first, "cached") == {"weights": 44, "activations": 14, "addresses": 0, "membranes": 0}


def test_events_move_a_weight_and_a_sum_there_and_back_for_each_synapse():
    _, neurons, second = spiking()["layers"]
    # 20 weights and, at both steps, 5 biases; 4 addresses read.
    assert traffic(second, "cached") == {"weights": 30, "activations": 0, "addresses": 4, "membranes": 40}
    # 4 addresses written, each membrane read and written at both steps.
    assert traffic(neurons, "cached") == {"weights": 0, "activations": 0, "addresses": 4, "membranes": 16}


def test_a_silent_layer_moves_no_weights():
    silent = layer("out", input="spikes", passes=both(2), inputs=4, outputs=5, weights=20, macs_a_pass=20)
    assert set(traffic(silent, "cached").values()) == {0}
