"""The graph of a network as `torch.fx` traces it, followed node by node by the rules of
`tracing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from spikeduel.networks.plain import IMAGES, Affine, AsPretrained, ChannelsLastFlatten
from spikeduel.system.errors import InputError


@dataclass
class Layer:
    """A layer: its `name` in the network, the module, and the layers whose outputs it takes.

    A layer that is called twice is two, the second named "NAME, call 2".
    """

    name: str
    module: nn.Module
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Output:
    """The output of a layer, by number; `IMAGES` for the network's input."""

    layer: int


@dataclass(frozen=True)
class Size:
    """Sizes of a tensor, of use in `view` only."""


@dataclass(frozen=True)
class Rules:
    """Rules for calls, by class of module, by function, and by name of method."""

    modules: Mapping[Any, Callable[..., Any]]
    functions: Mapping[Any, Callable[..., Any]]
    methods: Mapping[Any, Callable[..., Any]]


class Tracer(fx.Tracer):
    """Looks into all modules but torch's and those of `plain`, and into modules made in
    `forward`.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, AsPretrained | ChannelsLastFlatten | Affine)
        return known or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        try:
            self.path_of_module(m)
        except NameError:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


class Followed:
    """The layers so far, and the value of each node of the graph.

    A rule gets this object, the called module if there is one, and the arguments; it adds layers
    and returns an `Output`.
    """

    def __init__(self, modules: dict[str, nn.Module], rules: Rules) -> None:
        self.modules, self.rules = modules, rules
        self.layers: list[Layer] = []
        self.known: dict[fx.Node, Any] = {}
        self.node: Any = None

    def take(self, node: fx.Node) -> None:
        """Add what `node` does."""
        self.node = node
        if node.op == "placeholder":
            self.known[node] = Output(IMAGES if not self.layers else 0)
        elif node.op == "output":
            self._end(self._value(node.args[0]))
        elif node.op == "get_attr":
            self.known[node] = None  # refused as soon as it is used
        elif node.op == "call_module":
            module = self.modules[str(node.target)]
            self.known[node] = self._called(self.rules.modules.get(type(module)), module)
        else:
            named = self.rules.methods if node.op == "call_method" else self.rules.functions
            self.known[node] = self._called(named.get(node.target))

    def add(self, name: str, module: nn.Module, *inputs: Output) -> Output:
        """Add a layer."""
        self.layers.append(Layer(self.unlike(name), module, tuple(each.layer for each in inputs)))
        return Output(len(self.layers) - 1)

    def unlike(self, name: str) -> str:
        """Return `name`, with the number of the call if there is a layer of this name."""
        calls = 1 + sum(each.name.partition(", call")[0] == name for each in self.layers)
        return f"{name}, call {calls}" if calls > 1 else name

    def _called(self, rule: Callable[..., Any] | None, *first: Any) -> Any:
        args, kwargs = self._value(self.node.args), self._value(self.node.kwargs)
        given = [*args, *kwargs.values()]
        parts = [part for each in given for part in (each if isinstance(each, list) else [each])]
        if not any(isinstance(part, Output) for part in parts):
            return Size()  # arithmetic of sizes
        if rule is None:
            raise self.refused()
        try:
            return rule(self, *first, *args, **kwargs)
        except TypeError:  # called with arguments that the rule does not know
            raise self.refused() from None

    def _value(self, given: Any) -> Any:
        """Return arguments, nodes replaced by their values."""
        if isinstance(given, fx.Node):
            return self.known[given]
        if isinstance(given, tuple | list):
            return [self._value(each) for each in given]
        if isinstance(given, dict):
            return {name: self._value(each) for name, each in given.items()}
        return given

    def _end(self, output: Any) -> None:
        if not isinstance(output, Output) or output.layer != len(self.layers) - 1:
            raise InputError("its answer is not what its last layer gives.")

    @property
    def name(self) -> str:
        """Name of the current node in the network."""
        stack = list((self.node.meta.get("nn_module_stack") or {}).values())
        inside = str(stack[-1][0]) if stack else ""
        if self.node.op == "call_module":
            return str(self.node.target)
        what = self.node.target if isinstance(self.node.target, str) else self.node.target.__name__
        return f"{inside}: {what}" if inside else what

    def refused(self, why: str = "") -> InputError:
        """Make the error for the current node."""
        kind = ""
        if self.node.op == "call_module":
            kind = f" ({type(self.modules[self.node.target]).__name__})"
        why = (
            why
            or "has no counterpart among neurons that integrate and fire, and what lies between "
            "them"
        )
        return InputError(f"{self.name}{kind} {why}.")

    def uses(self, layer: Output) -> int:
        """Return how many nodes use the output of a layer, without those that only pass it on."""
        nodes = [node for node, known in self.known.items() if known == layer]
        return sum(self.known.get(user) != layer for node in nodes for user in node.users)
