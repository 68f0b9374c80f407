"""Export networks as NIR graphs, and import NIR graphs as networks.

NIR is the neuromorphic intermediate representation (Pedersen et al. 2024).
NIR has continuous time; a step lasts `dt`. In: beta = 1 − dt/tau, and v/(r·dt/tau) is the membrane
of a `LIF` that resets to zero; the current of a `CubaLIF` is filtered before, by alpha = 1 −
dt/tau_syn. NIR resets at once and spikeduel one step later, before the next current, which is the
same. Out: r = 1, tau = dt/(1 − beta) and the threshold times (1 − beta), so
that tools with r (snnTorch) and without (Norse) agree.
"""

import contextlib
import copy
import io
import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import h5py
import nir
import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from spikeduel.engine import as_sequence
from spikeduel.engine.encoders import ENCODERS, EVENTS
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.cards import ModelCard, Steps, Temperature
from spikeduel.engine.networks.foreign import reset, spiking_layers
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.plain import ChannelsLastFlatten
from spikeduel.engine.neurons import ALIF, IF, LIF, IntegerIF, Neuron
from spikeduel.engine.readouts import MeanReadout
from spikeduel.exporters.exporting import (
    Encoded,
    Examples,
    Exported,
    Run,
    Runner,
    flat,
    folded,
    frames_of,
    probabilities_of,
    reference_run,
)
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system import __version__, files
from spikeduel.system.errors import InputError, naming, refusing, visible
from spikeduel.system.hardware import package_version
from spikeduel.system.typed import Frozen, parse_json, plain

HDF5 = b"\x89HDF\r\n\x1a\n"
STEP_SECONDS = 1e-4
"""Default seconds of a time step: snnTorch's convention."""
MAX_BYTES, MAX_UNPACKED_BYTES = 1 << 28, 1 << 30
MAX_NODES, MAX_ENTRIES = 1000, 50_000
NODES = ("Linear", "Affine", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "LIF", "IF", "CubaLIF")
ELSEWHERE = "Run the graph in the program that wrote it, or train a network without that."
METADATA = "spikeduel"

Part = tuple[dict[str, Any], dict[str, np.ndarray]]
"""A layer for `plain.LAYERS`, and its weights by name."""


class Note(Frozen):
    """Spikeduel's own metadata in a NIR file; `dt` is in seconds."""

    dt: Annotated[float, Meta(gt=0, lt=1e6)] | None = None
    classes: tuple[str, ...] | None = None
    dataset: str | None = None
    preprocessing: dict[str, Any] | None = None
    encoding: str | None = None
    num_steps: Steps | None = None
    temperature: Temperature | None = None


class TrainedOn(NamedTuple):
    """Training set of an imported network."""

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
    """Return the network in a NIR file, of which no code is run.

    `data` tells of the training set, else spikeduel's note in the file; without both, classes are
    numbered and images grey and square. `encoding` (direct), `num_steps` (25) and `dt` are the
    file's, if it says so. Raises `InputError`.
    """
    content = files.read_bytes(path, MAX_BYTES)
    with naming(path):
        if not content.startswith(HDF5):
            raise InputError("not a NIR graph (HDF5); .safetensors need no import.")
        if dt is not None and not 0 < dt < 1e6:
            raise InputError("a step must last more than 0 seconds.")
        with refusing(_damaged):
            parts, shape, note = _read(content, dt)
        weights = [arrays["weight"] for _, arrays in parts if "weight" in arrays]
        num_classes = len(weights[-1]) if weights else 0
        if num_classes < 2:
            raise InputError("it must have a layer with at least two outputs, one for each class.")
        trained_on = data() if data else _assumed(note, shape, num_classes, path.stem)
        if len(trained_on.classes) != num_classes:
            raise InputError(
                f"it has {num_classes} outputs, and there are {len(trained_on.classes)} classes."
            )
        is_as_noted = encoding is None and num_steps is None and dt is None
        if binning := trained_on.preprocessing.binning:
            encoding, num_steps = EVENTS, binning.num_frames
        elif encoding is None:
            # A name in a file must not run code.
            encoding = note.encoding if note.encoding in ENCODERS else "direct"
        card = ModelCard(
            contender="sequential",
            kind="snn",
            image_shape=trained_on.preprocessing.shape,
            classes=trained_on.classes,
            preprocessing=trained_on.preprocessing,
            network={"layers": [layer for layer, _ in parts]},
            encoding=encoding,
            num_steps=num_steps or note.num_steps or 25,
            dataset=trained_on.name,
            # Scores of other steps differ from those that fitted the temperature.
            temperature=note.temperature if is_as_noted else None,
        )
        with torch.random.fork_rng():
            module = build(card)
        state = {
            f"chain.{index}.{name}": torch.from_numpy(array)
            for index, (_, arrays) in enumerate(parts)
            for name, array in arrays.items()
        }
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                f"its weights do not fit its layers ({' '.join(str(error).split())[:200]})."
            ) from None
    return Model(module.eval(), card)


def _damaged(error: BaseException) -> InputError:
    # A damaged file can fail anywhere in HDF5 and nir.
    reason = visible(str(error).partition("\n")[0][:200]) or "no reason given"
    return InputError(f"not a NIR graph, or a damaged one ({type(error).__name__}: {reason}).")


def _assumed(note: Note, shape: tuple[int, ...], num_classes: int, name: str) -> TrainedOn:
    """Return the training set by spikeduel's note, else by the input's shape."""
    lengths = tuple(length for length in shape if length > 0)
    if note.preprocessing is not None:
        preprocessing = Preprocessing.from_dict(note.preprocessing)
    else:
        if len(lengths) == 1 and (length := math.isqrt(lengths[0])) ** 2 == lengths[0]:
            lengths = (length, length)
        if len(lengths) == 2:
            lengths = (1, *lengths)
        if len(lengths) != 3 or lengths[0] not in (1, 3):
            raise InputError(
                f"its input {list(lengths)} leaves the size of images open: name its data set with "
                "--dataset."
            )
        preprocessing = Preprocessing(*lengths)
    classes = note.classes or tuple(map(str, range(num_classes)))
    return TrainedOn(note.dataset or name, classes, preprocessing)


def _read(content: bytes, dt: float | None) -> tuple[list[Part], tuple[int, ...], Note]:
    """Return layers, the known shape of an input, and spikeduel's note."""
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
    start, *inner, _ = _chain(graph)
    parts: list[Part] = []
    for name in inner:
        with naming(f"node {visible(name)[:80]}"):
            layer, arrays = _layer(graph.nodes[name], dt or note.dt or STEP_SECONDS)
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise InputError("its values are not all numbers (NaN or infinite).")
        if layer["type"] == "Linear" and not parts:
            parts.append(({"type": "Flatten"}, {}))
        parts.append((layer, arrays))
    shape = next(iter((graph.nodes[start].input_type or {}).values()), None)
    return parts, () if shape is None else tuple(map(int, np.ravel(shape))), note


def _require_harmless(file: Any) -> None:
    """Refuse links to other files, and content that unpacks to any size."""
    links: list[tuple[str, Any]] = []

    def visit(name: str, link: Any) -> bool | None:
        links.append((name, link))
        return len(links) > MAX_ENTRIES or None  # None goes on

    if file.visititems_links(visit):
        raise InputError("it holds too many entries.")
    num_bytes = 0
    for name, link in links:
        where = f"its entry {visible(name)[-80:]}"
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{where} is a link: what points elsewhere is not opened.")
        entry = file[name]
        if isinstance(entry, h5py.Dataset) and entry.shape is not None:
            if entry.external or entry.is_virtual:
                raise InputError(f"{where} lies in another file: such files are not opened.")
            num_bytes += entry.nbytes
    if num_bytes > MAX_UNPACKED_BYTES:
        raise InputError(
            f"it unpacks to more than {MAX_UNPACKED_BYTES / 1e6:,.0f} MB, which cannot be right."
        )


def _chain(graph: Any) -> list[str]:
    """Return the nodes' names from input to output. Raises `InputError` naming a node of a circle,
    or the one at a branch.
    """
    if len(graph.nodes) > MAX_NODES:
        raise InputError(f"it has more than {MAX_NODES:,} nodes, which cannot be imported.")
    following: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in sorted(set(map(tuple, graph.edges))):
        following[source].append(target)
    try:
        TopologicalSorter(following).prepare()
    except CycleError as error:
        raise InputError(
            f"node {visible(error.args[1][0])[:80]}: its output comes back to it, and recurrent "
            f"connections cannot be imported. {ELSEWHERE}"
        ) from None
    names = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)][:1]
    while names and (targets := following[names[-1]]):
        if len(targets) > 1:
            next_nodes = " and ".join(visible(target)[:80] for target in targets[:4])
            raise InputError(
                f"node {visible(names[-1])[:80]}: its output goes to {next_nodes}, and branches "
                f"cannot be imported. {ELSEWHERE}"
            )
        names.append(targets[0])
    for name in graph.nodes:
        if name not in names:
            raise InputError(
                f"node {visible(name)[:80]}: not on the way from the input, and only a chain of "
                f"nodes from input to output can be imported. {ELSEWHERE}"
            )
    if not names or not isinstance(graph.nodes[names[-1]], nir.Output):
        raise InputError(f"it has no chain of nodes from input to output. {ELSEWHERE}")
    return names


def _layer(node: Any, dt: float) -> Part:
    """Return the layer and its weights that a node stands for. Raises `InputError`."""
    kind = type(node).__name__
    if kind in ("Linear", "Affine", "Conv2d"):
        weight, num_axes = np.array(node.weight, np.float32), 4 if kind == "Conv2d" else 2
        if weight.ndim != num_axes:
            raise InputError(f"its weight has {weight.ndim} dimensions, not {num_axes}.")
        arrays = {"weight": weight}
        if kind != "Linear":
            arrays["bias"] = np.array(node.bias, np.float32)
        if kind != "Conv2d":
            num_outputs, num_inputs = weight.shape
            sizes = {"in_features": num_inputs, "out_features": num_outputs}
            return {"type": "Linear", **sizes, "bias": kind == "Affine"}, arrays
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
        lengths = {
            name: _pair(getattr(node, name)) for name in ("kernel_size", "stride", "padding")
        }
        summed = {"divisor_override": 1} if kind == "SumPool2d" else {}
        return {"type": "AvgPool2d", **lengths, **summed}, {}
    if kind == "Flatten":
        # Tools differ in whether they count the batch; flat is flat.
        if int(node.start_dim) not in (0, 1) or int(node.end_dim) not in (-1, 2, 3):
            raise InputError("it flattens some dimensions only.")
        return {"type": "Flatten"}, {}
    if kind not in NODES:
        raise InputError(
            f"{kind} is not among {', '.join(NODES)}, which can be imported. {ELSEWHERE}"
        )
    return _neurons(node, dt)


def _neurons(node: Any, dt: float) -> Part:
    """Return the neurons of a node, with time steps of `dt` seconds. Raises `InputError`."""
    alpha = np.zeros(1)
    resistance = np.atleast_1d(np.array(node.r, np.float64))
    if isinstance(node, nir.IF):
        # Tools let a step of an IF add r times its current, whatever a step lasts.
        beta, gain, v_leak = np.ones_like(resistance), resistance, 0
    else:
        tau = node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau
        share = dt / np.atleast_1d(np.array(tau, np.float64))
        beta, gain, v_leak = 1 - share, resistance * share, node.v_leak
    if isinstance(node, nir.CubaLIF):
        share = dt / np.atleast_1d(np.array(node.tau_syn, np.float64))
        alpha, gain = 1 - share, gain * share * np.array(node.w_in, np.float64)
    if np.any(np.asarray(v_leak) != 0) or np.any(np.asarray(node.v_reset) != 0):
        raise InputError(
            "its neurons leak or reset to a value other than 0; spikeduel's leak and reset to 0."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold = np.atleast_1d(np.array(node.v_threshold, np.float64)) / gain
    for is_right, problem in (
        (
            (beta >= 0) & (beta <= 1) & np.all((alpha >= 0) & (alpha <= 1)),
            "time constants are shorter than a step: give a smaller --dt.",
        ),
        (gain > 0, "resistance r must be above 0, and so must its weight w_in."),
        (threshold > 0, "thresholds must be above 0."),
    ):
        if not np.all(is_right):
            raise InputError(f"its {problem}")
    values = np.broadcast_arrays(alpha, beta, threshold)
    alpha, beta, threshold = np.stack(values).astype(np.float32)
    is_alike = all(np.unique(values).size == 1 for values in (alpha, beta, threshold))
    numbers = {"beta": float(beta.flat[0]), "threshold": float(threshold.flat[0])}
    if isinstance(node, nir.CubaLIF):
        if not is_alike:
            raise InputError(
                "its neurons differ, and a CubaLIF is imported with one value for all of them. "
                f"{ELSEWHERE}"
            )
        return {"type": "CubaLIF", "alpha": float(alpha.flat[0]), **numbers}, {}
    if is_alike:
        return {"type": "LIF", **numbers, "reset_mechanism": "zero"}, {}
    layer = {"type": "EachItsOwnLIF", "shape": list(beta.shape), "reset_mechanism": "zero"}
    return layer, {"beta": beta, "thresholds": threshold}


def _pair(value: Any) -> list[int]:
    lengths = [int(length) for length in np.ravel(value)]
    if len(lengths) not in (1, 2) or not all(0 <= length <= 10_000 for length in lengths):
        raise InputError(f"its sizes {lengths[:4]} must be one or two numbers from 0 to 10,000.")
    return lengths * 2 if len(lengths) == 1 else lengths


def write(model: Model, path: Path, examples: Examples) -> Exported:
    """Write `model` as a NIR graph; it is run by spikeduel's import, and by installed programs.
    Raises `InputError`.
    """
    if reasons := dict.fromkeys(_reasons(model)):
        raise InputError(" ".join(reasons))
    nodes, names = _nodes(model)
    flat = "Conv2d" not in {type(node).__name__ for node in nodes.values()}
    shape = "[B, C·H·W], an image's rows one after the other" if flat else "[B, C, H, W]"
    card, takes = plain(model.card), f"float32 at each step, {shape}; {frames_of(model.card)}"
    about = {
        "spikeduel": __version__,
        "contender": card["contender"],
        **{name: card[name] for name in Note.__struct_fields__ if name != "dt"},
        "dt": STEP_SECONDS,
        "input": takes,
        "scores": "the mean of the output over the steps is the score of each class",
        "probabilities": f"not in the graph, as NIR has no softmax: {probabilities_of(model.card)}",
    }
    metadata = {METADATA: json.dumps(about)}
    # A file object, since h5py names its file by the path.
    with path.open("w+b") as file:
        nir.write(file, nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), metadata=metadata))
    pooled = any(isinstance(node, nir.AvgPool2d) for node in nodes.values())
    runners: dict[str, Runner] = {"spikeduel": _spikeduel(path, names)}
    runners |= {
        f"{program} {installed}": _stepped(program, path, names)
        for program in PROGRAMS
        # Norse 1.1 reads no average pooling.
        if (installed := package_version(program)) and not (program == "norse" and pooled)
    }
    return Exported({"input": takes}, runners)


def _reasons(model: Model) -> Iterator[str]:
    """Yield why NIR cannot express `model`, each with the remedy."""
    contender, layers = model.card.contender, list(model.module.modules())
    if model.card.kind != "snn":
        yield f"{contender} does not spike, and NIR has no ReLU: export it with --to onnx."
        return
    for neuron in (layer for layer in layers if isinstance(layer, Neuron)):
        if isinstance(neuron, IntegerIF):
            yield (
                "NIR has no neuron that integrates all time steps before it spikes: use --to onnx "
                "or --to c."
            )
            continue
        if not isinstance(neuron, LIF) or isinstance(neuron, ALIF):
            yield f"NIR is written with LIF, not {type(neuron).__name__}: train with --neuron lif."
            continue
        beta = torch.as_tensor(neuron.beta)
        if neuron.reset_mechanism != "zero":
            yield (
                f"NIR has no reset by '{neuron.reset_mechanism}': train with --recipe chip, or "
                "--reset-mechanism zero."
            )
        if isinstance(neuron, IF) or not bool((beta < 1).all()):
            # snnTorch 1.0 lets it leak.
            yield (
                "Programs disagree about neurons without a leak: train with --neuron lif and a "
                "beta below 1."
            )
        if bool((beta <= 0).any()):
            yield "Its neurons keep nothing from one step to the next: train with a beta above 0."
    if any(isinstance(layer, nn.MaxPool2d) for layer in layers):
        yield "NIR has no maximum pooling: train with --recipe chip, or --pooling avg."
    if not isinstance(model.readout, MeanReadout):
        yield (
            f"{contender} breaks ties by membranes, which NIR programs do not return: train a "
            "network whose output integrates, --contender dense-lif or conv-lif."
        )
    if not callable(getattr(model.module, "layers", None)):
        yield (
            f"Give the class of {contender} a method layers() that returns them in order, or use "
            "--to onnx."
        )


def _nodes(model: Model) -> tuple[dict[str, Any], list[str]]:
    """Return the graph's nodes by name, and the names of layers of neurons, in order."""
    module = folded(copy.deepcopy(model.module))
    name_of = {part: name for name, part in module.named_modules()}
    layers = [layer for layer in flat(module.layers()) if not _passes(layer)]  # type: ignore[operator]
    x = torch.zeros(1, *model.card.input_shape)
    if isinstance(layers[0], nn.Flatten):
        x, layers = x.flatten(1), layers[1:]
    nodes: dict[str, Any] = {"input": nir.Input(np.array(x.shape[1:]))}
    names: list[str] = []
    permuted: tuple[int, ...] | None = None
    for layer in layers:
        node = _node(layer, tuple(x.shape[1:]), permuted)
        if isinstance(layer, ChannelsLastFlatten | nn.Linear):
            permuted = None if isinstance(layer, nn.Linear) else tuple(x.shape[1:])
        nodes[f"{type(node).__name__.lower()}{len(nodes)}"] = node
        if isinstance(layer, Neuron):
            names.append(name_of[layer])
        else:
            with torch.no_grad():
                x = layer(x)
    nodes["output"] = nir.Output(np.array(x.shape[1:]))
    return nodes, names


def _passes(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Identity | nn.Dropout) or (
        isinstance(layer, nn.ZeroPad2d) and not any(layer.padding)
    )


def _node(layer: nn.Module, shape: tuple[int, ...], permuted: tuple[int, ...] | None) -> Any:
    """Return the node of a layer with inputs of this shape.

    `permuted` is the shape (C, H, W) of the map whose channels-last values a linear layer takes.
    """
    if isinstance(layer, LIF):
        beta, threshold = (
            _array(torch.as_tensor(value)).astype(np.float64)
            for value in (layer.beta, layer.dynamics.threshold)
        )
        # In NIR's order: tau, r, v_leak, v_threshold, v_reset.
        values = (STEP_SECONDS / (1 - beta), 1, 0, threshold * (1 - beta), 0)
        return nir.LIF(*(np.broadcast_to(np.float32(value), shape).copy() for value in values))
    if isinstance(layer, nn.Linear | nn.Conv2d):
        weight = _array(layer.weight)
        bias = np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias)
    if isinstance(layer, nn.Linear):
        if permuted is not None:
            channels, height, width = permuted
            by_place = weight.reshape(-1, height, width, channels)
            weight = by_place.transpose(0, 3, 1, 2).reshape(len(weight), -1)
        return nir.Affine(weight, bias)
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        return nir.Conv2d(
            shape[1:], weight, layer.stride, layer.padding, layer.dilation, layer.groups, bias
        )
    if isinstance(layer, nn.AvgPool2d) and layer.divisor_override is None:
        lengths = (layer.kernel_size, layer.stride, layer.padding)
        return nir.AvgPool2d(*(np.broadcast_to(np.array(length), 2).copy() for length in lengths))
    if isinstance(layer, nn.Flatten | ChannelsLastFlatten):
        return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
    raise InputError(f"NIR has no {type(layer).__name__}: export it with --to onnx.")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()


def _spikeduel(path: Path, names: list[str]) -> Runner:
    model = import_model(path)

    def run(images: Tensor, encoded: Encoded) -> Run:
        scores, spikes = reference_run(model, as_sequence(encoded))
        return Run(scores, dict(zip(names, spikes.values(), strict=True)))

    return run


def _snntorch(graph: Any) -> nn.Module:
    from snntorch import import_nir

    return import_nir.import_from_nir(graph)


def _norse(graph: Any) -> nn.Module:
    from norse.torch import from_nir

    return from_nir(graph, ignore_warnings=True, dt=STEP_SECONDS)


PROGRAMS: dict[str, Callable[[Any], nn.Module]] = {"snntorch": _snntorch, "norse": _norse}
"""Programs make of a graph a network that takes an input of one step and its state."""


def _stepped(program: str, path: Path, names: list[str]) -> Runner:
    """Make a runner of single steps and images: NIR's shapes have no batch."""
    # Programs warn and print while they read.
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        network = PROGRAMS[program](nir.read(path))
    spikes: list[Tensor] = []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        spikes.append((output[0] if isinstance(output, tuple) else output).clone())

    for layer in spiking_layers(network).values():
        layer.register_forward_hook(note)
    one_by_one = any(isinstance(layer, nn.Conv2d) for layer in network.modules())

    def over_time(frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        reset(network)
        state, outputs, steps = None, [], []
        for frame in frames:
            spikes.clear()
            output, state = network(frame, state)
            outputs.append(output)
            steps.append(list(spikes))
        layers = [torch.stack(layer) for layer in zip(*steps, strict=True)]
        return torch.stack(outputs).mean(0), layers

    @torch.inference_mode()
    def run(images: Tensor, encoded: Encoded) -> Run:
        frames = as_sequence(encoded)
        if one_by_one:
            scores, layers = zip(*map(over_time, frames.unbind(1)), strict=True)
            whole = torch.stack(scores), [torch.stack(spk, 1) for spk in zip(*layers, strict=True)]
        else:
            whole = over_time(frames.flatten(2))
        return Run(
            whole[0].numpy(),
            {name: spk.numpy() for name, spk in zip(names, whole[1], strict=True)},
        )

    return run
