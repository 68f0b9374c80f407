"""The study's network as snnTorch saves it: `linear1`, `lif1`, `linear2`, `lif2`."""

import io
import pickle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.exchange.importing.imported import ImportedNetwork
from spikeduel.system.errors import InputError, visible

RESET_MECHANISMS = ("subtract", "zero", "none")
"""By the number that snnTorch keeps as `reset_mechanism_val`."""
_REQUIRED = [
    f"{name}.{part}"
    for i in (1, 2)
    for name, parts in ((f"linear{i}", ("weight", "bias")), (f"lif{i}", ("beta", "threshold")))
    for part in parts
]
_OPTIONAL = [f"lif{i}.{part}" for i in (1, 2) for part in ("graded_spikes_factor", "reset_mechanism_val")]


def read(content: bytes) -> ImportedNetwork:
    """The network in what `torch.save(net.state_dict(), …)` wrote. Opened with `weights_only`, so that no code runs.

    Raises `InputError`.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # Torch's own words go on to advise opening it all the same.
    except pickle.UnpicklingError:
        raise InputError(
            "it holds more than tensors. Opening it could run code, so it was not opened. Save net.state_dict(), not "
            "the network itself."
        ) from None
    except Exception as error:  # a damaged file can fail anywhere in torch
        raise InputError(f"not a state_dict, or a damaged one ({type(error).__name__}).") from None
    return _network(state)


def _network(state: Any) -> ImportedNetwork:
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError("it holds something other than a state_dict: save net.state_dict().")
    for name, value in state.items():
        if name not in _REQUIRED + _OPTIONAL:
            raise InputError(
                f"its entry {visible(str(name))[:80]} is not one of the study's network, which is "
                f"{', '.join(_REQUIRED + _OPTIONAL)}. A network of another shape comes as a NIR graph: "
                "snntorch.export_nir.export_to_nir, then nir.write."
            )
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"its {name} is not all numbers (NaN or infinite).")
    for name in _REQUIRED:
        if name not in state:
            raise InputError(f"it lacks {name}.")
    layers: list[dict[str, Any]] = [{"type": "flatten"}]
    weights: dict[int, dict[str, np.ndarray]] = {}
    num_outputs = None
    for i in (1, 2):
        weight, bias = state[f"linear{i}.weight"], state[f"linear{i}.bias"]
        if weight.ndim != 2 or tuple(bias.shape) != (len(weight),) or num_outputs not in (None, weight.shape[1]):
            raise InputError(f"the shapes of linear{i} do not fit: {list(weight.shape)}, {list(bias.shape)}.")
        num_inputs, num_outputs = weight.shape[1], len(weight)
        weights[len(layers)] = {"weight": weight.float().numpy(), "bias": bias.float().numpy()}
        layers.append({"type": "linear", "num_inputs": num_inputs, "num_outputs": num_outputs})
        layers.append(_leaky(state, i))
    return ImportedNetwork(layers, weights, (state["linear1.weight"].shape[1],), num_outputs or 0)


def _leaky(state: dict[str, Tensor], i: int) -> dict[str, Any]:
    beta, threshold = (_number(state, f"lif{i}.{name}", None) for name in ("beta", "threshold"))
    if _number(state, f"lif{i}.graded_spikes_factor", 1.0) != 1:
        raise InputError(
            f"lif{i} gives graded spikes (graded_spikes_factor is not 1), and those of spikeduel are 0 or 1."
        )
    reset = _number(state, f"lif{i}.reset_mechanism_val", 0.0)
    if reset not in range(len(RESET_MECHANISMS)):
        raise InputError(f"lif{i}.reset_mechanism_val is {reset:g}: snnTorch has 0, 1 and 2.")
    if not threshold > 0:
        raise InputError(f"lif{i}.threshold is {threshold:g}: it must be above 0.")
    # As snnTorch clamps it when it runs.
    return {
        "type": "lif",
        "beta": min(max(beta, 0.0), 1.0),
        "threshold": threshold,
        "reset_mechanism": RESET_MECHANISMS[int(reset)],
    }


def _number(state: dict[str, Tensor], name: str, default: float | None) -> float:
    if name not in state and default is not None:
        return default
    values = state[name].double().unique()
    if len(values) != 1:
        raise InputError(
            f"{name} differs from neuron to neuron; in the study's network it is one number for the layer."
        )
    return float(values[0])
