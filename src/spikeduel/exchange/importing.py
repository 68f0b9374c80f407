"""Models from NIR graphs, and from the study's snnTorch state_dict.

NIR (Pedersen et al. 2024, "Neuromorphic intermediate representation") has chains of layers and
neurons in continuous time. A step lasts `dt`: beta = 1 − dt/tau, and the current is weighed by
r·dt/tau, which the threshold takes up: v/(r·dt/tau) is the membrane of a `LIF` that resets to zero.
NIR resets at once and spikeduel one step later, which is the same: the reset comes before the next
current is added.

snnTorch: `linear1`, `lif1`, `linear2`, `lif2`, by `torch.save(net.state_dict(), …)`.
"""

import io
import itertools
import math
import pickle
import warnings
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from spikeduel.networks.building import build
from spikeduel.networks.cards import ModelCard, Steps, Temperature
from spikeduel.networks.models import Model
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.spiking.encoders import ENCODERS, EVENTS
from spikeduel.system import files
from spikeduel.system.errors import InputError, MissingExtra, naming, visible
from spikeduel.system.typed import converted, parse_json

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
STEP_SECONDS = 1e-4
"""Seconds of a time step unless a file says otherwise: snnTorch's convention."""
MOST_BYTES, MOST_UNPACKED_BYTES = 1 << 28, 1 << 30
MOST_NODES = 1000
NODES = ("Linear", "Affine", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "LIF", "IF")
METADATA = "spikeduel"
RESET_MECHANISMS = ("subtract", "zero", "none")
"""Reset mechanisms by snnTorch's `reset_mechanism_val`."""
_PARTS = ("linear{}.weight", "linear{}.bias", "lif{}.beta", "lif{}.threshold")
_REQUIRED = [part.format(i) for i in (1, 2) for part in _PARTS]
_OPTIONAL = [
    f"lif{i}.{part}" for i in (1, 2) for part in ("graded_spikes_factor", "reset_mechanism_val")
]

_ABOUT: dict[str, Any] = {
    "dt": Annotated[float, Meta(gt=0, lt=1e6)],
    "classes": Annotated[tuple[str, ...], Meta(min_length=1)],
    "dataset": str,
    "preprocessing": dict[str, Any],
    "encoding": str,
    "num_steps": Steps,
    "temperature": Temperature,
}
"""Entries of spikeduel's note in a NIR file; `dt` is in seconds."""

Part = tuple[dict[str, Any], dict[str, np.ndarray]]
"""A layer for `plain.LAYERS`, and its weights by name."""
Imported = tuple[list[Part], tuple[int, ...] | None, dict[str, Any]]
"""Content of a file: layers, the shape of an image as far as it is known, entries of `_ABOUT`."""


class TrainedOn(NamedTuple):
    """The data set that an imported network was trained on."""

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing


def import_model(
    path: Path,
    data: Callable[[], TrainedOn] | None = None,
    encoding: str | None = None,
    num_steps: int | None = None,
    dt: float | None = None,
) -> Model:
    """Return the network in a NIR file, or the study's as snnTorch saves its state_dict.

    No code of the file is run. `data` tells of the data set that the network was trained on;
    without it, what spikeduel wrote into a NIR file counts, else classes are numbered and images
    grey and square. `encoding` (direct) and `num_steps` (25) are what the file says, if it does.
    `dt`: see `read_nir`. Raises `InputError`.
    """
    content = files.read_bytes(path, MOST_BYTES)
    with naming(path):
        if content.startswith(HDF5):
            imported = read_nir(content, dt)
        elif content.startswith(ZIP):
            imported = _read_state_dict(content)
        else:
            raise InputError(
                "neither a NIR graph (HDF5) nor a state_dict of torch.save; .safetensors need no "
                "import."
            )
    trained_on = None if data is None else data()
    with naming(path):
        return _model(imported, trained_on, path.stem, encoding, num_steps)


def _model(
    imported: Imported,
    trained_on: TrainedOn | None,
    name: str,
    encoding: str | None,
    num_steps: int | None,
) -> Model:
    parts, shape, about = imported
    num_classes = next(
        (layer["num_outputs"] for layer, _ in reversed(parts) if "num_outputs" in layer), 0
    )
    if num_classes < 2:
        raise InputError("it must have a layer with at least two outputs, one for each class.")
    if trained_on is not None:
        preprocessing, classes = trained_on.preprocessing, trained_on.classes
    else:
        stored = about.get("preprocessing")
        preprocessing = _assumed(shape) if stored is None else Preprocessing.from_dict(stored)
        classes = about.get("classes") or tuple(map(str, range(num_classes)))
    if len(classes) != num_classes:
        raise InputError(f"it has {num_classes} outputs, and there are {len(classes)} classes.")
    # A name in a file must not be enough to run code.
    stored_encoding = about["encoding"] if about.get("encoding") in ENCODERS else "direct"
    if binning := preprocessing.binning:
        about, stored_encoding, encoding, num_steps = (
            {**about, "num_steps": binning.num_frames},
            EVENTS,
            None,
            None,
        )
    card = ModelCard(
        contender="sequential",
        family="snn",
        image_shape=(preprocessing.channels, preprocessing.height, preprocessing.width),
        classes=classes,
        preprocessing=preprocessing,
        network={"layers": [layer for layer, _ in parts]},
        encoding=encoding or stored_encoding,
        num_steps=num_steps or about.get("num_steps", 25),
        dataset=trained_on.name if trained_on is not None else about.get("dataset") or name,
        temperature=about.get("temperature") if encoding is None and num_steps is None else None,
    )
    with torch.random.fork_rng():
        module = build(card)
    try:
        for layer, (_, arrays) in zip(module.get_submodule("chain").children(), parts, strict=True):
            layer.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    except RuntimeError as error:
        raise InputError(
            f"its weights do not fit its layers ({' '.join(str(error).split())[:200]})."
        ) from None
    return Model(module.eval(), card)


def _assumed(shape: tuple[int, ...] | None) -> Preprocessing:
    sides = tuple(side for side in shape or () if side > 0)
    if len(sides) == 1 and (side := math.isqrt(sides[0])) ** 2 == sides[0]:
        sides = (side, side)
    if len(sides) == 2:
        sides = (1, *sides)
    if len(sides) != 3 or sides[0] not in (1, 3):
        raise InputError(
            f"its input {list(sides)} leaves the size of images open: name its data set with "
            f"--dataset."
        )
    return Preprocessing(*sides)


def _read_state_dict(content: bytes) -> Imported:
    """Read a state_dict with `weights_only`, so that no code runs."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # torch's own message advises opening it all the same.
    except pickle.UnpicklingError:
        raise InputError(
            "it holds more than tensors, which could run code. Save net.state_dict()."
        ) from None
    except Exception as error:  # a damaged file can fail anywhere in torch
        raise InputError(f"not a state_dict, or a damaged one ({type(error).__name__}).") from None
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise InputError("it holds something other than a state_dict: save net.state_dict().")
    for name, value in state.items():
        if name not in _REQUIRED + _OPTIONAL:
            raise InputError(
                f"its entry {visible(str(name))[:80]} is not one of the study's. Other networks "
                f"come as a NIR graph."
            )
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"its {name} is not all numbers (NaN or infinite).")
    if missing := [name for name in _REQUIRED if name not in state]:
        raise InputError(f"it lacks {missing[0]}.")
    parts: list[Part] = [({"type": "flatten"}, {})]
    for i in (1, 2):
        weight, bias = (state[f"linear{i}.{name}"].float().numpy() for name in ("weight", "bias"))
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise InputError(
                f"the shapes of linear{i} do not fit: {list(weight.shape)}, {list(bias.shape)}."
            )
        linear = {"type": "linear", "num_inputs": weight.shape[1], "num_outputs": len(weight)}
        parts += [(linear, {"weight": weight, "bias": bias}), (_leaky(state, f"lif{i}"), {})]
    return parts, (state["linear1.weight"].shape[1],), {}


def _leaky(state: dict[str, Tensor], layer: str) -> dict[str, Any]:
    def number(name: str, default: float = 0.0) -> float:
        values = state.get(f"{layer}.{name}", torch.tensor(default)).double().unique()
        if len(values) != 1:
            raise InputError(
                f"{layer}.{name} differs from neuron to neuron; the study has one number for the "
                f"layer."
            )
        return float(values[0])

    reset, threshold, beta = (number(name) for name in ("reset_mechanism_val", "threshold", "beta"))
    if number("graded_spikes_factor", 1.0) != 1:
        raise InputError(
            f"{layer} gives graded spikes (graded_spikes_factor is not 1); spikeduel's are 0 or 1."
        )
    if reset not in range(len(RESET_MECHANISMS)):
        raise InputError(f"{layer}.reset_mechanism_val is {reset:g}: snnTorch has 0, 1 and 2.")
    if not threshold > 0:
        raise InputError(f"{layer}.threshold is {threshold:g}: it must be above 0.")
    neurons = {
        "beta": min(max(beta, 0.0), 1.0),
        "threshold": threshold,
    }  # snnTorch clamps beta when it runs
    return {"type": "lif", **neurons, "reset_mechanism": RESET_MECHANISMS[int(reset)]}


def read_nir(content: bytes, dt: float | None = None) -> Imported:
    """Return the network in a NIR file at `dt` seconds a step (None: the file's, else 1e-4).

    Raises `InputError` for a damaged file, and for graphs that `architectures.Sequential` lacks.
    """
    try:
        import h5py
        import nir
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "export") from None
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _require_harmless(file)
        with warnings.catch_warnings(action="ignore"):
            graph = nir.read(io.BytesIO(content), type_check=False)
        if not isinstance(graph, nir.NIRGraph):
            raise InputError(f"it holds a single {type(graph).__name__}, not a graph.")
        told = _about(graph.metadata.get(METADATA))
        # With another dt, scores differ.
        about = {name: value for name, value in told.items() if dt is None or name != "temperature"}
        dt = dt or about.get("dt", STEP_SECONDS)
        if not 0 < dt < 1e6:
            raise InputError("a step must last more than 0 seconds.")
        start, *inner, _ = _chain(graph)
        parts = []
        for name in inner:
            try:
                layer, arrays = _layer(graph.nodes[name], dt)
                if not all(np.isfinite(array).all() for array in arrays.values()):
                    raise InputError("its values are not all numbers (NaN or infinite).")
            except InputError as error:
                raise InputError(f"node {visible(name)[:80]}: {error}") from None
            parts.append((layer, arrays))
        if parts and parts[0][0]["type"] == "linear":
            parts.insert(0, ({"type": "flatten"}, {}))
        given = next(iter((graph.nodes[start].input_type or {}).values()), None)
        return parts, None if given is None else tuple(int(side) for side in np.ravel(given)), about
    except InputError:
        raise
    except (
        Exception
    ) as error:  # A damaged file can fail anywhere in HDF5 and nir, and nodes may hold anything.
        reason = visible(str(error).partition("\n")[0][:200]) or "no reason given"
        raise InputError(
            f"not a NIR graph, or a damaged one ({type(error).__name__}: {reason})."
        ) from None


def _require_harmless(file: Any) -> None:
    """Refuse links to other files, circles, and content that unpacks to any size."""
    import h5py

    total, entries, waiting = 0, 0, [(file, 0)]
    while waiting:
        group, depth = waiting.pop()
        for name in group:
            entries += 1
            if entries > 50 * MOST_NODES or depth > 10:
                raise InputError("it holds too many entries, or nests them too deeply.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(
                    f"its entry {visible(name)[:80]} is a link: what points elsewhere is not "
                    f"opened."
                )
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append((entry, depth + 1))
                continue
            if entry.external or entry.is_virtual:
                raise InputError(
                    f"its entry {visible(name)[:80]} lies in another file: such files are not "
                    f"opened."
                )
            total += entry.size * entry.dtype.itemsize if entry.shape is not None else 0
            if total > MOST_UNPACKED_BYTES:
                raise InputError(
                    f"it unpacks to more than {MOST_UNPACKED_BYTES / 1e6:,.0f} MB, which cannot be "
                    f"right."
                )


def _about(text: Any) -> dict[str, Any]:
    """Return the entries of spikeduel's note that make sense.

    Raises `InputError` for a wrong `dt`: every time constant depends on it.
    """
    try:
        entries = parse_json(text, dict[str, Any])
    except (InputError, TypeError):
        return {}
    about = {}
    for name, kind in _ABOUT.items():
        try:
            if entries.get(name) is not None:
                about[name] = converted(entries[name], kind)
        except InputError as error:
            if name == "dt":
                raise InputError(f"its dt is not a time in seconds ({error})") from None
    return about


def _chain(graph: Any) -> list[str]:
    """Return the nodes' names from input to output. Raises `InputError` for anything but a
    chain.
    """
    edges = set(map(tuple, graph.edges))
    sorter = TopologicalSorter(dict.fromkeys(graph.nodes, ()))
    for source, target in edges:
        sorter.add(target, source)
    try:
        names = list(sorter.static_order())
    except CycleError:
        raise InputError(
            "it goes in circles, as a recurrent network does: only chains can be imported."
        ) from None
    ends = [type(graph.nodes.get(names[i])).__name__ for i in (0, -1)] if names else []
    if (
        ends != ["Input", "Output"]
        or edges != set(itertools.pairwise(names))
        or len(names) > MOST_NODES
    ):
        raise InputError(
            f"its nodes are not one chain from input to output of at most {MOST_NODES:,} nodes."
        )
    return names


def _layer(node: Any, dt: float) -> Part:
    kind = type(node).__name__
    if kind in ("Linear", "Affine", "Conv2d"):
        weight, num_axes = np.array(node.weight, np.float32), 4 if kind == "Conv2d" else 2
        if weight.ndim != num_axes:
            raise InputError(f"its weight has {weight.ndim} dimensions, not {num_axes}.")
        arrays = (
            {"weight": weight}
            if kind == "Linear"
            else {"weight": weight, "bias": np.array(node.bias, np.float32)}
        )
        groups = int(node.groups) if kind == "Conv2d" else 1
        sizes = {"num_inputs": weight.shape[1] * groups, "num_outputs": weight.shape[0]}
        if kind != "Conv2d":
            return {"type": "linear", **sizes, "bias": kind == "Affine"}, arrays
        padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
        padding = padding if isinstance(padding, str) else _pair(padding)
        sides = {"kernel": list(weight.shape[2:]), "stride": _pair(node.stride), "padding": padding}
        return {
            "type": "conv2d",
            **sizes,
            **sides,
            "dilation": _pair(node.dilation),
            "groups": groups,
        }, arrays
    if kind in ("AvgPool2d", "SumPool2d"):
        sides = {"kernel": node.kernel_size, "stride": node.stride, "padding": node.padding}
        return {"type": kind.lower(), **{name: _pair(value) for name, value in sides.items()}}, {}
    if kind == "Flatten":
        # Tools differ in whether they count the batch; flat is flat.
        if int(node.start_dim) not in (0, 1) or int(node.end_dim) not in (-1, 2, 3):
            raise InputError("it flattens some dimensions only.")
        return {"type": "flatten"}, {}
    if kind not in NODES:
        raise InputError(f"{kind} is not among {', '.join(NODES)}, which can be imported.")
    gain = np.atleast_1d(np.array(node.r, np.float64))
    if kind == "IF":
        # As tools write it, a step of an IF adds r times its current, whatever a step lasts.
        return _lif(node, np.ones_like(gain), gain, 0)
    tau = np.atleast_1d(np.array(node.tau, np.float64))
    return _lif(node, 1 - dt / tau, gain * dt / tau, node.v_leak)


def _lif(node: Any, beta: np.ndarray, gain: np.ndarray, v_leak: Any) -> Part:
    if np.any(np.asarray(v_leak) != 0) or np.any(np.asarray(node.v_reset) != 0):
        raise InputError(
            "its neurons leak or reset to a value other than 0; spikeduel's leak and reset to 0."
        )
    if not np.all((beta >= 0) & (beta <= 1)):
        raise InputError("its time constants are shorter than a step: give a smaller --dt.")
    if not np.all(gain > 0):
        raise InputError("its resistance r must be above 0.")
    threshold = np.atleast_1d(np.array(node.v_threshold, np.float64)) / gain
    if not np.all(threshold > 0):
        raise InputError("its thresholds must be above 0.")
    layer: dict[str, Any] = {"type": "lif", "reset_mechanism": "zero"}
    beta, threshold = beta.astype(np.float32), threshold.astype(np.float32)
    if np.unique(beta).size == np.unique(threshold).size == 1:
        return {**layer, "beta": float(beta.flat[0]), "threshold": float(threshold.flat[0])}, {}
    beta, threshold = (np.array(values) for values in np.broadcast_arrays(beta, threshold))
    return {**layer, "shape": list(beta.shape)}, {"beta": beta, "thresholds": threshold}


def _pair(value: Any) -> list[int]:
    sides = [int(side) for side in np.ravel(value)]
    if len(sides) not in (1, 2) or not all(0 <= side <= 10_000 for side in sides):
        raise InputError(f"its sizes {sides[:4]} must be one or two numbers from 0 to 10,000.")
    return sides * 2 if len(sides) == 1 else sides
