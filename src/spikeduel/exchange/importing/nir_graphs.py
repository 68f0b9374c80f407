"""NIR graphs (Pedersen et al. 2024, "Neuromorphic intermediate representation"): chains of layers without memory but
for their neurons'.

NIR's neurons live in continuous time. A step lasts `dt`: beta = 1 − dt/tau, and the current is weighed by r·dt/tau,
which the threshold takes up: v/(r·dt/tau) is the membrane of a `LIF` that resets to zero. That NIR resets at once and
spikeduel one step later is the same there, since the reset comes before the next current is added.
"""

import io
import warnings
from typing import Any

import numpy as np

from spikeduel.exchange.importing.imported import About, ImportedNetwork
from spikeduel.system.errors import InputError, MissingExtra, visible

STEP_SECONDS = 1e-4
"""What a step lasts where nothing says otherwise: snnTorch's convention."""
MOST_BYTES = 1 << 28
MOST_UNPACKED_BYTES = 1 << 30
MOST_NODES = 1000
METADATA = "spikeduel"


def read(content: bytes, dt: float | None = None) -> ImportedNetwork:
    """The network in a NIR file, at `dt` seconds a step (None: what the file says of it, else 1e-4).

    Raises `InputError` for a damaged file, and for what is no chain of layers that `architectures.sequential` has.
    """
    try:
        import h5py
        import nir
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "export") from None
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _require_harmless(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = nir.read(io.BytesIO(content), type_check=False)
    except InputError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in HDF5 and nir
        raise InputError(f"not a NIR graph, or a damaged one ({type(error).__name__}: {_line(error)}).") from None
    if not isinstance(graph, nir.NIRGraph):
        raise InputError(f"it holds a single {type(graph).__name__}, not a graph.")
    try:
        about = About.from_json(graph.metadata.get(METADATA))
        return _network(graph, dt or about.dt or STEP_SECONDS, about)
    except InputError:
        raise
    except Exception as error:  # its nodes may hold anything
        raise InputError(f"not a valid NIR graph ({type(error).__name__}: {_line(error)}).") from None


def _require_harmless(file: Any) -> None:
    """HDF5 can point to other files on this machine, in circles, and unpack to any size."""
    import h5py

    total, entries, waiting = 0, 0, [(file, 0)]
    while waiting:
        group, depth = waiting.pop()
        for name in group:
            entries += 1
            if entries > 50 * MOST_NODES or depth > 10:
                raise InputError("it holds too many entries, or nests them too deeply.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"its entry {visible(name)[:80]} is a link: what points elsewhere is not opened.")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append((entry, depth + 1))
                continue
            if entry.external or entry.is_virtual:
                raise InputError(f"its entry {visible(name)[:80]} lies in another file: such files are not opened.")
            total += entry.size * entry.dtype.itemsize if entry.shape is not None else 0
            if total > MOST_UNPACKED_BYTES:
                raise InputError(f"it unpacks to more than {MOST_UNPACKED_BYTES / 1e6:,.0f} MB, which cannot be right.")


def _network(graph: Any, dt: float, about: About) -> ImportedNetwork:
    if not 0 < dt < 1e6:
        raise InputError("a step must last more than 0 seconds.")
    layers: list[dict[str, Any]] = []
    weights: dict[int, dict[str, np.ndarray]] = {}
    names = _chain(graph)
    num_classes = 0
    for name in names[1:-1]:
        try:
            layer, arrays = _layer(graph.nodes[name], dt)
        except InputError as error:
            raise InputError(f"node {visible(name)[:80]}: {error}") from None
        for array in arrays.values():
            if not np.isfinite(array).all():
                raise InputError(f"node {visible(name)[:80]}: its values are not all numbers (NaN or infinite).")
        if arrays:
            weights[len(layers)] = arrays
        num_classes = layer.get("num_outputs", num_classes)
        layers.append(layer)
    if not layers or num_classes < 2:
        raise InputError("it must have a layer with at least two outputs, one for each class.")
    given = next(iter((graph.nodes[names[0]].input_type or {}).values()), None)
    shape = None if given is None else tuple(int(side) for side in np.ravel(given))
    if layers[0]["type"] == "linear":
        layers.insert(0, {"type": "flatten"})
        weights = {index + 1: arrays for index, arrays in weights.items()}
    return ImportedNetwork(layers, weights, shape, num_classes, about)


def _chain(graph: Any) -> list[str]:
    """The nodes' names from input to output. Raises `InputError` where the graph branches, joins or goes in circles."""
    import nir

    after: dict[str, list[str]] = {}
    for source, target in set(map(tuple, graph.edges)):
        after.setdefault(source, []).append(target)
    starts = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(starts) != 1 or len(graph.nodes) > MOST_NODES:
        raise InputError(
            f"it has {len(starts)} inputs and {len(graph.nodes):,} nodes: a chain has one input, and at most "
            f"{MOST_NODES:,} nodes."
        )
    names = starts
    while names[-1] in after:
        following = after[names[-1]]
        if len(following) > 1 or following[0] in names or following[0] not in graph.nodes:
            raise InputError(
                f"after node {visible(names[-1])[:80]} it branches or goes back, as a recurrent network does: only "
                "layers one after the other can be imported."
            )
        names.append(following[0])
    if not isinstance(graph.nodes[names[-1]], nir.Output) or len(names) != len(graph.nodes):
        raise InputError("its nodes are not one chain from input to output: only that can be imported.")
    return names


def _layer(node: Any, dt: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    import nir

    if isinstance(node, nir.Linear | nir.Affine):
        weight = _floats(node.weight)
        if weight.ndim != 2:
            raise InputError(f"its weight has {weight.ndim} dimensions, not 2.")
        bias = {"bias": _floats(node.bias)} if isinstance(node, nir.Affine) else {}
        sizes = {"num_inputs": weight.shape[1], "num_outputs": weight.shape[0]}
        return {"type": "linear", **sizes, "bias": bool(bias)}, {"weight": weight, **bias}
    if isinstance(node, nir.Conv2d):
        weight, groups = _floats(node.weight), int(node.groups)
        if weight.ndim != 4:
            raise InputError(f"its weight has {weight.ndim} dimensions, not 4.")
        padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
        layer = {
            "type": "conv2d",
            "num_inputs": weight.shape[1] * groups,
            "num_outputs": weight.shape[0],
            "kernel": list(weight.shape[2:]),
            "stride": _pair(node.stride),
            "padding": padding if isinstance(padding, str) else _pair(padding),
            "dilation": _pair(node.dilation),
            "groups": groups,
        }
        return layer, {"weight": weight, "bias": _floats(node.bias)}
    if isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        kind = "avgpool2d" if isinstance(node, nir.AvgPool2d) else "sumpool2d"
        sides = {"kernel": node.kernel_size, "stride": node.stride, "padding": node.padding}
        return {"type": kind, **{name: _pair(value) for name, value in sides.items()}}, {}
    if isinstance(node, nir.Flatten):
        # Tools differ in whether they count the batch; flat is flat.
        if int(node.start_dim) not in (0, 1) or int(node.end_dim) not in (-1, 2, 3):
            raise InputError("it flattens some dimensions only.")
        return {"type": "flatten"}, {}
    if isinstance(node, nir.LIF):
        return _lif(node, 1 - dt / _floats64(node.tau), _floats64(node.r) * dt / _floats64(node.tau), node.v_leak)
    if isinstance(node, nir.IF):
        # As tools write it, a step of an IF adds r times its current, whatever a step lasts.
        return _lif(node, np.ones_like(_floats64(node.r)), _floats64(node.r), np.zeros(1))
    raise InputError(
        f"{type(node).__name__} is not among what can be imported: Linear, Affine, Conv2d, AvgPool2d, SumPool2d, "
        "Flatten, LIF and IF."
    )


def _lif(node: Any, beta: np.ndarray, gain: np.ndarray, v_leak: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if np.any(np.asarray(v_leak) != 0) or np.any(np.asarray(node.v_reset) != 0):
        raise InputError("its neurons leak or reset to a value other than 0; spikeduel's leak and reset to 0.")
    if not np.all((beta >= 0) & (beta <= 1)):
        raise InputError("its time constants are shorter than a step: give a smaller --dt.")
    if not np.all(gain > 0):
        raise InputError("its resistance r must be above 0.")
    threshold = _floats64(node.v_threshold) / gain
    if not np.all(threshold > 0):
        raise InputError("its thresholds must be above 0.")
    layer: dict[str, Any] = {"type": "lif", "reset_mechanism": "zero"}
    beta, threshold = beta.astype(np.float32), threshold.astype(np.float32)
    if np.unique(beta).size == np.unique(threshold).size == 1:
        return {**layer, "beta": float(beta.flat[0]), "threshold": float(threshold.flat[0])}, {}
    shape = list(np.broadcast_shapes(beta.shape, threshold.shape))
    arrays = {"beta": np.broadcast_to(beta, shape), "thresholds": np.broadcast_to(threshold, shape)}
    return {**layer, "shape": shape}, {name: np.array(array) for name, array in arrays.items()}


def _floats(value: Any) -> np.ndarray:
    return np.array(value, np.float32)


def _floats64(value: Any) -> np.ndarray:
    return np.atleast_1d(np.array(value, np.float64))


def _pair(value: Any) -> list[int]:
    sides = [int(side) for side in np.ravel(value)]
    if len(sides) not in (1, 2) or not all(0 <= side <= 10_000 for side in sides):
        raise InputError(f"its sizes {sides[:4]} must be one or two numbers from 0 to 10,000.")
    return sides * 2 if len(sides) == 1 else sides


def _line(error: Exception) -> str:
    return visible(str(error).splitlines()[0][:200]) if str(error) else "no reason given"
