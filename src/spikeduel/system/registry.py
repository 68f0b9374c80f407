"""Names in a registry, or in the user's own code as `module:attribute`."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from spikeduel.system.errors import InputError, unknown

T = TypeVar("T")

NetworkKind = Literal["snn", "cnn", "ann"]
"""Kind of network: "snn" spikes; "cnn" convolves without spikes; "ann" does neither."""
NETWORK_KINDS: tuple[NetworkKind, ...] = get_args(NetworkKind)

Precision = Literal["32", "bf16"]
"""float32, or "bf16": matrix products and convolutions in bfloat16."""

GPUS = {"cuda": "CUDA GPU", "mps": "Apple GPU", "xpu": "Intel GPU"}
"""Devices beside "cpu", with names for people."""

LIBRARIES = ("torchvision", "timm")
"""Libraries whose networks can be named, as in `torchvision:resnet18`."""


def library_of(name: str) -> str | None:
    """Return the library of `torchvision:resnet18`; None for other names."""
    library, colon, _ = name.partition(":")
    return library if colon and library in LIBRARIES else None


def is_own_code(name: str) -> bool:
    """Return True for a `module:attribute` of the user's code."""
    return ":" in name and library_of(name) is None


def resolve(kind: str, name: str, registry: Mapping[str, Any], hint: str = "") -> Any:
    """Return `registry[name]`, or import a `module:attribute`, also from the current folder.

    Raises `InputError` for an unknown name, module or attribute, or an error on import.
    """
    if name in registry:
        return registry[name]
    if ":" not in name:
        raise unknown(kind, name, registry, hint)
    module_name, _, attribute = name.partition(":")
    if (
        not module_name
        or not attribute
        or not all(part.isidentifier() for part in module_name.split("."))
    ):
        raise InputError(
            f"{kind} '{name}': write it as module:attribute, such as my_code:my_function."
        )
    thing = sys.modules.get(module_name) or _imported(kind, name, module_name)
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise unknown(
                f"attribute of {module_name}",
                attribute,
                [
                    attribute_name
                    for attribute_name in dir(thing)
                    if not attribute_name.startswith("_")
                ],
            )
        thing = getattr(thing, part)
    return thing


def resolve_as(
    wrapper: type[T], kind: str, name: str, registry: Mapping[str, T], expected: str
) -> T:
    """Return what `resolve` finds, or a plain function as a `wrapper`.

    Raises `InputError` also for something else, with what is `expected`.
    """
    named = resolve(kind, name, registry)
    if isinstance(named, wrapper):
        return named
    if not callable(named):
        raise InputError(f"{kind} '{name}' must be {expected}, not {type(named).__name__}.")
    return wrapper(named)  # type: ignore[call-arg]


def source_hash(thing: Any, name: str = "") -> str:
    """Return the sha256 (64 hex digits) of the source file of `thing`, without imports.

    An object that is neither class nor function is defined in the module of `name`. Without a file,
    hash the source of `thing`. Raises `InputError` if there is neither.
    """
    if inspect.isclass(thing) or inspect.isroutine(thing):
        module = sys.modules.get(thing.__module__)
    else:
        module = sys.modules.get(name.partition(":")[0] or type(thing).__module__)
    path = getattr(module, "__file__", None)
    try:
        content = Path(path).read_bytes() if path else inspect.getsource(thing).encode()
    except (OSError, TypeError):
        name = getattr(thing, "__qualname__", repr(thing))
        raise InputError(
            f"the source of {name} cannot be read: put it in a file of its own."
        ) from None
    return hashlib.sha256(content).hexdigest()


def _imported(kind: str, name: str, module_name: str) -> Any:
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
        importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    # The user's code can raise anything, even SystemExit.
    except (Exception, SystemExit) as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and (module_name == absent or module_name.startswith(f"{absent}.")):
            raise InputError(
                f"{kind} '{name}': no module '{module_name}', neither in {here} nor installed."
            ) from None
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{kind} '{name}': {module_name} cannot be imported ({reason})."
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
