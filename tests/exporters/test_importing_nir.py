import contextlib
import io
import itertools
import json
import warnings
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from damage import FUZZED
from spikeduel.engine.networks.models import load_model, save_model
from spikeduel.engine.networks.plain import CubaLIF
from spikeduel.exporters.nir import METADATA, import_model
from spikeduel.system.errors import InputError

RANDOM = np.random.default_rng(0)


def lif(shape=(5,), **changes):
    full = {"tau": 1e-3, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.3, "v_reset": 0.0, **changes}
    return nir.LIF(
        **{name: np.broadcast_to(np.float32(value), shape).copy() for name, value in full.items()}
    )


def cuba(shape=(5,), **changes):
    """Return a node as snnTorch writes its `Synaptic`: r is tau_mem / dt, and w_in tau_syn / dt."""
    full = {"tau_mem": 1e-3, "tau_syn": 5e-4, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.5}
    full |= {"v_reset": 0.0, "w_in": 5.0, **changes}
    return nir.CubaLIF(
        **{name: np.broadcast_to(np.float32(value), shape).copy() for name, value in full.items()}
    )


def affine(num_outputs, num_inputs):
    return nir.Affine(
        weight=RANDOM.normal(size=(num_outputs, num_inputs)).astype(np.float32),
        bias=RANDOM.normal(size=num_outputs).astype(np.float32),
    )


def chain(*nodes, given=(16,), out=(3,), **more):
    named = {"input": nir.Input(np.array(given)), **{f"n{i}": node for i, node in enumerate(nodes)}}
    named["output"] = nir.Output(np.array(out))
    names = list(named)
    return nir.NIRGraph(named, list(itertools.pairwise(names)), type_check=False, **more)


def written(graph, path):
    nir.write(path, graph)
    return path


def dense(**changes):
    return chain(affine(5, 16), lif(**changes), affine(3, 5))


@torch.no_grad()
def scores_of_snntorch(path, x, num_steps):
    """The mean output of snnTorch's import for `x` `[B, N]` at every step, from a fresh state."""
    from snntorch.import_nir import import_from_nir

    with warnings.catch_warnings(action="ignore"):
        network = import_from_nir(nir.read(path))
    outputs, state = [], None
    for _ in range(num_steps):
        output, state = network(torch.tensor(x, dtype=torch.float32), state)
        outputs.append(output)
    return torch.stack(outputs).mean(0)


@pytest.mark.parametrize(
    ("neurons", "w_in"), [(lif(), None), (cuba(), 5.0), (cuba(w_in=15.0), 15.0)]
)
def test_a_dense_network_computes_what_snntorch_and_nirs_equations_say(neurons, w_in, tmp_path):
    path = written(chain(affine(5, 16), neurons, affine(3, 5)), tmp_path / "a.nir")
    model = import_model(path, num_steps=9)
    save_model(tmp_path / "a.safetensors", model)
    images = RANDOM.integers(0, 256, (20, 1, 4, 4), np.uint8)
    trace = load_model(tmp_path / "a.safetensors").trace(images)
    (spk,), (mem,) = trace.spk.values(), trace.mem.values()
    graph = nir.read(path)
    x = images.reshape(20, 16) / 255
    current = x @ graph.nodes["n0"].weight.T + graph.nodes["n0"].bias
    threshold, r = float(neurons.v_threshold[0]), float(neurons.r[0])
    synapse, v, scores = np.zeros((20, 5)), np.zeros((20, 5)), 0
    for t in range(9):
        # Euler's step of tau_syn·I' = −I + w_in·x with dt/tau_syn = 0.2, then of tau·v' = −v + r·I
        # with dt/tau = 0.1; at once to 0 where v is above the threshold.
        synapse = current if w_in is None else synapse + 0.2 * (-synapse + w_in * current)
        v = v + 0.1 * (-v + r * synapse)
        if w_in is None:
            np.testing.assert_allclose(mem[t], v / (0.1 * r), atol=1e-4)
        fires = v > threshold
        assert np.array_equal(spk[t].numpy() > 0, fires)
        v = np.where(fires, 0, v)
        scores = scores + (fires @ graph.nodes["n2"].weight.T + graph.nodes["n2"].bias) / 9
    assert 0.05 < spk.mean() < 0.95
    np.testing.assert_allclose(model.predict(images)[1], torch.tensor(scores).softmax(1), atol=1e-5)
    np.testing.assert_allclose(scores_of_snntorch(path, x, 9), scores, atol=1e-4)


def test_neurons_that_differ_keep_their_own_values(tmp_path):
    def layer_of(model):
        (layer,) = [
            layer for layer in model.module.modules() if "EachItsOwn" in type(layer).__name__
        ]
        return layer

    tau = np.array([2e-4, 5e-4, 1e-3, 2e-3, 1e-2], np.float32)
    levels = 0.1 * np.arange(1, 6)
    path = written(dense(tau=tau, v_threshold=levels), tmp_path / "a.nir")
    model = import_model(path)
    layer = layer_of(model)
    np.testing.assert_allclose(layer.beta, [0.5, 0.8, 0.9, 0.95, 0.99], rtol=1e-6)
    np.testing.assert_allclose(layer.thresholds, levels / (2 * 1e-4 / tau), rtol=1e-6)
    save_model(tmp_path / "a.safetensors", model)
    images = RANDOM.integers(0, 256, (20, 1, 4, 4), np.uint8)
    again = load_model(tmp_path / "a.safetensors").predict(images)
    assert np.array_equal(model.predict(images)[1], again[1])
    # The seconds of a step are the importer's choice where the file says nothing.
    slower = layer_of(import_model(path, dt=5e-5))
    np.testing.assert_allclose(slower.beta, [0.75, 0.9, 0.95, 0.975, 0.995], rtol=1e-6)


def test_a_synaptic_neuron_carries_its_state_from_step_to_step():
    neuron = CubaLIF(alpha=0.8, beta=0.9, threshold=0.7)
    current = torch.rand(6, 3, 5, generator=torch.Generator().manual_seed(0))
    spk, mem, last = neuron.over_time(current, None, with_mem=True)
    state = neuron.initial_state(current[0])
    for now, expected in zip(current, spk, strict=True):
        one, state = neuron.step(now, state)
        assert torch.equal(one, expected)
    assert 0 < spk.mean() < 1
    for name in ("mem", "syn"):
        torch.testing.assert_close(state[name], last[name])
    torch.testing.assert_close(mem[-1], last["mem"])


def test_convolutions_pooling_and_an_if_that_counts(tmp_path):
    kernel = np.ones((2, 1, 3, 3), np.float32)
    two, no = np.array([2, 2]), np.array([0, 0])
    unit = {"r": np.ones((2, 6, 6), np.float32), "v_threshold": np.full((2, 6, 6), 2.5, np.float32)}
    nodes = (
        nir.Conv2d((6, 6), kernel, 1, 1, 1, 1, np.zeros(2, np.float32)),
        nir.IF(**unit),
        nir.SumPool2d(two, two, no),
        nir.AvgPool2d(np.array([3, 3]), two, no),
        nir.Flatten({"input": np.array([2, 1, 1])}, 0, -1),
        affine(3, 2),
    )
    model = import_model(written(chain(*nodes, given=(1, 6, 6)), tmp_path / "a.nir"), num_steps=4)
    assert model.card.image_shape == (1, 6, 6)
    white = np.full((1, 1, 6, 6), 255, np.uint8)
    (spk,) = model.trace(white).spk.values()
    # Nine pixels in the middle, six at a side, four in a corner: all pass 2.5 at once, and start
    # again from 0.
    assert (spk == 1).all()
    pooled = torch.full((1, 2), 4.0)  # four spikes summed, the mean of nine such sums
    expected = model.module.chain[-1](pooled).softmax(1)
    np.testing.assert_allclose(model.predict(white)[1], expected.detach(), atol=1e-6)


HINT = ".* Run the graph in the program that wrote it"


def wired(change, edge):
    graph = dense()
    getattr(graph.edges, change)(edge)
    return graph


def recurrent(neurons):
    """A layer of neurons whose spikes come back through weights, as snnTorch writes it."""
    graph = chain(affine(5, 16), neurons, affine(3, 5))
    graph.nodes["w_rec"] = affine(5, 5)
    graph.edges += [("n1", "w_rec"), ("w_rec", "n1")]
    return graph


def nested():
    inner = chain(lif(), given=(5,), out=(5,))
    return chain(affine(5, 16), inner, affine(3, 5))


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        (lambda: dense(v_reset=0.1), "n1: its neurons leak or reset"),
        (lambda: dense(v_leak=0.1), "n1: its neurons leak or reset"),
        (lambda: dense(tau=5e-5), "shorter than a step.*--dt"),
        (lambda: dense(r=-1.0), "r must be above 0"),
        (lambda: dense(v_threshold=0.0), "thresholds must be above 0"),
        (lambda: dense(tau=np.nan), "shorter than a step"),
        (lambda: chain(affine(5, 16), cuba(tau_syn=5e-5), affine(3, 5)), "shorter than a step"),
        (lambda: chain(affine(5, 16), cuba(w_in=0.0), affine(3, 5)), "so must its weight w_in"),
        (
            lambda: chain(
                affine(5, 16), cuba(tau_syn=[1e-3, 2e-3, 3e-3, 4e-3, 5e-3]), affine(3, 5)
            ),
            "n1: its neurons differ, and a CubaLIF .* Run the graph",
        ),
        (
            lambda: chain(affine(5, 16), nir.Scale(np.ones(5)), affine(3, 5)),
            "n1: Scale is not among",
        ),
        (lambda: chain(affine(5, 16), lif(), affine(3, 4)), "does not fit what it is given"),
        (
            lambda: chain(affine(5, 16), lif((4,), tau=[2e-4, 3e-4, 4e-4, 5e-4]), affine(3, 5)),
            "does not fit",
        ),
        (lambda: chain(affine(1, 16), out=(1,)), "at least two outputs"),
        (lambda: wired("append", ("n1", "n0")), f"node n0: its output comes back to it{HINT}"),
        (lambda: wired("append", ("n1", "n1")), f"node n1: its output comes back to it{HINT}"),
        (lambda: wired("append", ("n0", "output")), f"n0: its output goes to n1 and output{HINT}"),
        (lambda: wired("remove", ("n1", "n2")), f"node n2: not on the way from the input{HINT}"),
        (lambda: wired("remove", ("n2", "output")), f"node output: not on the way{HINT}"),
        (lambda: recurrent(lif()), f"n1: its output comes back to it, and recurrent{HINT}"),
        (lambda: recurrent(cuba()), f"n1: its output comes back to it, and recurrent{HINT}"),
        (nested, f"node n1: NIRGraph is not among{HINT}"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_its_reason(graph, problem, tmp_path):
    with pytest.raises(InputError, match=problem) as error:
        import_model(written(graph(), tmp_path / "a.nir"))
    assert "\n" not in str(error.value)


def noted(about, path):
    return written(
        chain(affine(5, 16), lif(), affine(3, 5), metadata={"spikeduel": json.dumps(about)}), path
    )


def test_what_a_file_says_of_itself_cannot_name_code_to_run(tmp_path):
    about = {"encoding": "os:system", "num_steps": 9, "classes": ["x", "y", "z"]}
    card = import_model(noted(about, tmp_path / "a.nir")).card
    assert (card.encoding, card.num_steps, card.classes) == ("direct", 9, ("x", "y", "z"))


@pytest.mark.parametrize(
    ("about", "named"),
    [({"dt": dt}, "dt") for dt in ("0.1", -1, 1e9)] + [({"num_steps": 10**9}, "num_steps")],
)
def test_a_note_that_makes_no_sense_is_refused_and_not_guessed(about, named, tmp_path):
    with pytest.raises(InputError, match=f"its note by spikeduel: {named}"):
        import_model(noted(about, tmp_path / "a.nir"))


BOMB = {"shape": (1 << 40,), "dtype": "u1", "chunks": (1 << 16,), "compression": "gzip"}
PLANTED = {
    "secret is a link": lambda node: node.update(secret=h5py.ExternalLink("s.h5", "s")),
    "raw lies in another file": lambda node: node.create_dataset(
        "raw", (10,), "u1", external=[(str(Path("raw").absolute()), 0, 10)]
    ),
    "unpacks to more than": lambda node: node.create_dataset("zeros", **BOMB),
    r"a\.nir: ": lambda node: node.update(circle=node),
}


@pytest.mark.parametrize("problem", PLANTED)
def test_files_that_point_elsewhere_or_unpack_to_anything_are_refused(problem, tmp_path):
    path = written(dense(), tmp_path / "a.nir")
    with h5py.File(tmp_path / "s.h5", "w") as secret:
        secret["s"] = np.ones(3)
    (tmp_path / "raw").write_bytes(bytes(100))
    with h5py.File(path, "a") as file:
        PLANTED[problem](file["node"])
    with pytest.raises(InputError, match=problem):
        import_model(path)


_FILE = io.BytesIO()
nir.write(_FILE, dense())
GOOD = _FILE.getvalue()


# The same damage each time: what HDF5's own C code does to a file that nobody has tried could end
# the process.
@FUZZED
@given(
    changes=st.lists(
        st.tuples(st.integers(8, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=12
    ),
    cut=st.booleans(),
)
def test_a_damaged_file_is_a_clear_error_or_still_a_network(changes, cut, tmp_path):
    content = bytearray(GOOD)
    for place, value in changes:
        content[place] = value
    (tmp_path / "a.nir").write_bytes(content[: changes[0][0]] if cut else content)
    with contextlib.suppress(InputError):
        assert len(import_model(tmp_path / "a.nir").card.classes) > 1


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x08\x07\x12\x07pytorch", METADATA.encode()]
)
def test_other_files_are_named(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match="a: not a NIR graph"):
        import_model(tmp_path / "a")
    with pytest.raises(InputError, match="no such file"):
        import_model(tmp_path / "missing.nir")
