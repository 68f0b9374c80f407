"""Models from NIR graphs, and from the study's snnTorch state_dict.

NIR (Pedersen et al. 2024, "Neuromorphic intermediate representation") has chains of layers and
neurons in continuous time. A step lasts `dt`: beta = 1 − dt/tau, and the current is weighed by
r·dt/tau, which the threshold takes up: v/(r·dt/tau) is the membrane of a `LIF` that resets to zero.
NIR resets at once and spikeduel one step later, which is the same: the reset comes before the next
current is added.

snnTorch: `linear1`, `lif1`, `linear2`, `lif2`, by `torch.save(net.state_dict(), …)`.
"""

import io
import math
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from msgspec import Meta, structs
from torch import Tensor

from spikeduel.networks.building import build
from spikeduel.networks.cards import ModelCard, Steps, Temperature
from spikeduel.networks.models import Model
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.spiking.encoders import ENCODERS, EVENTS
from spikeduel.system import files
from spikeduel.system.errors import InputError, MissingExtra, naming, visible
from spikeduel.system.typed import Frozen, parse_json

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
STEP_SECONDS = 1e-4
"""Seconds of a time step unless a file says otherwise: snnTorch's convention."""
MOST_BYTES, MOST_UNPACKED_BYTES = 1 << 28, 1 << 30
MOST_NODES, MOST_ENTRIES = 1000, 50_000
NODES = ("Linear", "Affine", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "LIF", "IF")
METADATA = "spikeduel"
RESET_MECHANISMS = ("subtract", "zero", "none")
"""Reset mechanisms by snnTorch's `reset_mechanism_val`."""
_REQUIRED = {
    f"{layer}{i}.{part}"
    for i in (1, 2)
    for layer, parts in (("linear", ("weight", "bias")), ("lif", ("beta", "threshold")))
    for part in parts
}
_OPTIONAL = {
    f"lif{i}.{part}" for i in (1, 2) for part in ("graded_spikes_factor", "reset_mechanism_val")
}

Part = tuple[dict[str, Any], dict[str, np.ndarray]]
"""A layer for `plain.LAYERS`, and its weights by name."""


class Note(Frozen):
    """What spikeduel wrote of a network into a NIR file; `dt` is in seconds."""

    dt: Annotated[float, Meta(gt=0, lt=1e6)] | None = None
    classes: tuple[str, ...] | None = None
    dataset: str | None = None
    preprocessing: dict[str, Any] | None = None
    encoding: str | None = None
    num_steps: Steps | None = None
    temperature: Temperature | None = None


Imported = tuple[list[Part], tuple[int, ...] | None, Note]
"""Content of a file: layers, the shape of an image as far as it is known, and spikeduel's note."""


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
    parts, shape, note = imported
    weights = [arrays["weight"] for _, arrays in parts if "weight" in arrays]
    num_classes = len(weights[-1]) if weights else 0
    if num_classes < 2:
        raise InputError("it must have a layer with at least two outputs, one for each class.")
    if trained_on is None:
        stored = note.preprocessing
        preprocessing = _assumed(shape) if stored is None else Preprocessing.from_dict(stored)
        classes = note.classes or tuple(map(str, range(num_classes)))
        trained_on = TrainedOn(note.dataset or name, classes, preprocessing)
    if len(trained_on.classes) != num_classes:
        raise InputError(
            f"it has {num_classes} outputs, and there are {len(trained_on.classes)} classes."
        )
    is_as_noted = encoding is None and num_steps is None
    if binning := trained_on.preprocessing.binning:
        encoding, num_steps = EVENTS, binning.num_frames
    elif encoding is None:
        # A name in a file must not be enough to run code.
        encoding = note.encoding if note.encoding in ENCODERS else "direct"
    card = ModelCard(
        contender="sequential",
        family="snn",
        image_shape=trained_on.preprocessing.shape,
        classes=trained_on.classes,
        preprocessing=trained_on.preprocessing,
        network={"layers": [layer for layer, _ in parts]},
        encoding=encoding,
        num_steps=num_steps or note.num_steps or 25,
        dataset=trained_on.name,
        temperature=note.temperature if is_as_noted else None,
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


# ---- The study's state_dict


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
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise InputError("it holds something other than a state_dict: save net.state_dict().")
    if missing := sorted(_REQUIRED - state.keys()):
        raise InputError(f"it lacks {missing[0]}.")
    if other := [name for name in state if name not in _REQUIRED | _OPTIONAL]:
        raise InputError(
            f"its entry {visible(str(other[0]))[:80]} is not one of the study's. Other networks "
            f"come as a NIR graph."
        )
    if wrong := [name for name, value in state.items() if not bool(value.isfinite().all())]:
        raise InputError(f"its {wrong[0]} is not all numbers (NaN or infinite).")
    parts: list[Part] = [({"type": "Flatten"}, {})]
    for i in (1, 2):
        weight, bias = (state[f"linear{i}.{name}"].float().numpy() for name in ("weight", "bias"))
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise InputError(
                f"the shapes of linear{i} do not fit: {list(weight.shape)}, {list(bias.shape)}."
            )
        parts.append((_linear(weight, True), {"weight": weight, "bias": bias}))
        parts.append((_leaky(state, f"lif{i}"), {}))
    return parts, (state["linear1.weight"].shape[1],), Note()


def _leaky(state: dict[str, Tensor], layer: str) -> dict[str, Any]:
    def number(name: str, default: float = 0.0) -> float:
        values = state.get(f"{layer}.{name}", torch.tensor(default)).double().unique()
        if len(values) != 1:
            raise InputError(
                f"{layer}.{name} differs from neuron to neuron; the study has one number for the "
                f"layer."
            )
        return float(values[0])

    reset, threshold = number("reset_mechanism_val"), number("threshold")
    if number("graded_spikes_factor", 1.0) != 1:
        raise InputError(
            f"{layer} gives graded spikes (graded_spikes_factor is not 1); spikeduel's are 0 or 1."
        )
    if reset not in range(len(RESET_MECHANISMS)):
        raise InputError(f"{layer}.reset_mechanism_val is {reset:g}: snnTorch has 0, 1 and 2.")
    if not threshold > 0:
        raise InputError(f"{layer}.threshold is {threshold:g}: it must be above 0.")
    neurons = {"beta": number("beta"), "threshold": threshold}
    return {"type": "LIF", **neurons, "reset_mechanism": RESET_MECHANISMS[int(reset)]}


# ---- NIR


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
        note = Note()
        if isinstance(text := graph.metadata.get(METADATA), str):
            with naming("its note by spikeduel"):
                note = parse_json(text, Note)
        if dt is not None:
            if not 0 < dt < 1e6:
                raise InputError("a step must last more than 0 seconds.")
            # Scores differ from those that the temperature was fitted to.
            note = structs.replace(note, dt=dt, temperature=None)
        start, *inner, _ = _chain(graph)
        parts = []
        for name in inner:
            with naming(f"node {visible(name)[:80]}"):
                layer, arrays = _layer(graph.nodes[name], note.dt or STEP_SECONDS)
                if not all(np.isfinite(array).all() for array in arrays.values()):
                    raise InputError("its values are not all numbers (NaN or infinite).")
            parts.append((layer, arrays))
        if parts and parts[0][0]["type"] == "Linear":
            parts.insert(0, ({"type": "Flatten"}, {}))
        shape = next(iter((graph.nodes[start].input_type or {}).values()), None)
        return parts, None if shape is None else tuple(int(side) for side in np.ravel(shape)), note
    except InputError:
        raise
    # A damaged file can fail anywhere in HDF5 and nir, and nodes may hold anything.
    except Exception as error:
        reason = visible(str(error).partition("\n")[0][:200]) or "no reason given"
        raise InputError(
            f"not a NIR graph, or a damaged one ({type(error).__name__}: {reason})."
        ) from None


def _require_harmless(file: Any) -> None:
    """Refuse links to other files, and content that unpacks to any size."""
    import h5py

    total = num_entries = 0

    # A visit ends where a reason is returned.
    def link_reason(name: str, link: Any) -> str | None:
        nonlocal num_entries
        num_entries += 1
        if num_entries > MOST_ENTRIES:
            return "it holds too many entries."
        if not isinstance(link, h5py.HardLink):
            where = visible(name)[-80:]
            return f"its entry {where} is a link: what points elsewhere is not opened."
        return None

    def reason(name: str, entry: Any) -> str | None:
        nonlocal total
        if not isinstance(entry, h5py.Dataset) or entry.shape is None:
            return None
        if entry.external or entry.is_virtual:
            where = visible(name)[-80:]
            return f"its entry {where} lies in another file: such files are not opened."
        total += entry.nbytes
        most = f"{MOST_UNPACKED_BYTES / 1e6:,.0f} MB, which cannot be right."
        return f"it unpacks to more than {most}" if total > MOST_UNPACKED_BYTES else None

    if refusal := file.visititems_links(link_reason) or file.visititems(reason):
        raise InputError(refusal)


def _chain(graph: Any) -> list[str]:
    """Return the nodes' names from input to output. Raises `InputError` for anything but a
    chain.
    """
    edges = set(map(tuple, graph.edges))
    following = dict(edges)
    names = [name for name, node in graph.nodes.items() if type(node).__name__ == "Input"][:1]
    while names and len(names) < len(graph.nodes) and names[-1] in following:
        names.append(following[names[-1]])
    if (
        not names
        or len(set(names)) != len(graph.nodes)
        or len(edges) != len(names) - 1
        or len(names) > MOST_NODES
        or type(graph.nodes.get(names[-1])).__name__ != "Output"
    ):
        raise InputError(
            f"its nodes are not one chain from input to output of at most {MOST_NODES:,} nodes: "
            "branches and circles, as of a recurrent network, cannot be imported."
        )
    return names


def _linear(weight: np.ndarray, bias: bool) -> dict[str, Any]:
    num_outputs, num_inputs = weight.shape
    return {
        "type": "Linear",
        "in_features": num_inputs,
        "out_features": num_outputs,
        "bias": bias,
    }


def _layer(node: Any, dt: float) -> Part:
    kind = type(node).__name__
    if kind in ("Linear", "Affine", "Conv2d"):
        weight, num_axes = np.array(node.weight, np.float32), 4 if kind == "Conv2d" else 2
        if weight.ndim != num_axes:
            raise InputError(f"its weight has {weight.ndim} dimensions, not {num_axes}.")
        arrays = {"weight": weight}
        if kind != "Linear":
            arrays["bias"] = np.array(node.bias, np.float32)
        if kind != "Conv2d":
            return _linear(weight, kind == "Affine"), arrays
        padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
        return {
            "type": "Conv2d",
            "in_channels": weight.shape[1] * int(node.groups),
            "out_channels": len(weight),
            "kernel_size": list(weight.shape[2:]),
            "stride": _pair(node.stride),
            "padding": padding if isinstance(padding, str) else _pair(padding),
            "dilation": _pair(node.dilation),
            "groups": int(node.groups),
        }, arrays
    if kind in ("AvgPool2d", "SumPool2d"):
        sides = {name: _pair(getattr(node, name)) for name in ("kernel_size", "stride", "padding")}
        summed = {"divisor_override": 1} if kind == "SumPool2d" else {}
        return {"type": "AvgPool2d", **sides, **summed}, {}
    if kind == "Flatten":
        # Tools differ in whether they count the batch; flat is flat.
        if int(node.start_dim) not in (0, 1) or int(node.end_dim) not in (-1, 2, 3):
            raise InputError("it flattens some dimensions only.")
        return {"type": "Flatten"}, {}
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
    beta, threshold = (
        np.array(values, np.float32) for values in np.broadcast_arrays(beta, threshold)
    )
    if np.unique(beta).size == np.unique(threshold).size == 1:
        numbers = {"beta": float(beta.flat[0]), "threshold": float(threshold.flat[0])}
        return {"type": "LIF", **numbers, "reset_mechanism": "zero"}, {}
    layer = {"type": "EachItsOwnLIF", "shape": list(beta.shape), "reset_mechanism": "zero"}
    return layer, {"beta": beta, "thresholds": threshold}


def _pair(value: Any) -> list[int]:
    sides = [int(side) for side in np.ravel(value)]
    if len(sides) not in (1, 2) or not all(0 <= side <= 10_000 for side in sides):
        raise InputError(f"its sizes {sides[:4]} must be one or two numbers from 0 to 10,000.")
    return sides * 2 if len(sides) == 1 else sides
