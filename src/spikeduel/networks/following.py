"""The graph of a network, as `torch.fx` traces it, followed node by node: `tracing` has the rules
for each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from spikeduel.networks.narrow import NarrowLinear
from spikeduel.networks.plain import IMAGES, Affine, AsPretrained, ChannelsLastFlatten
from spikeduel.system.errors import InputError


@dataclass
class Layer:
    """A layer by the `name` that its network has for it, what it computes, and which layers'
    outputs it takes.

    One that is called twice is two, the second named "NAME, call 2".
    """

    name: str
    module: nn.Module
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Output:
    """What a node of the graph is: the output of the layer of this number; `IMAGES` for what goes
    in.
    """

    layer: int


@dataclass(frozen=True)
class Size:
    """A size of a tensor, or all of them: of use in `view` alone."""


@dataclass(frozen=True)
class Rules:
    """What is done with each call, by the class of a module, the function, or the name of the
    method.
    """

    modules: Mapping[Any, Callable[..., Any]]
    functions: Mapping[Any, Callable[..., Any]]
    methods: Mapping[Any, Callable[..., Any]]


class Tracer(fx.Tracer):
    """Looks into all modules but torch's and those of `plain`; into those, too, that `forward`
    makes anew.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, AsPretrained | ChannelsLastFlatten | Affine | NarrowLinear)
        return known or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        try:
            self.path_of_module(m)
        except NameError:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


class Followed:
    """The layers found so far, and what each node of the graph is, by `rules` for what it calls.

    A rule gets this, the module of a call of one, and what the call was given; it adds layers and
    returns an `Output`.
    """

    def __init__(self, modules: dict[str, nn.Module], rules: Rules) -> None:
        self.modules, self.rules = modules, rules
        self.layers: list[Layer] = []
        self.known: dict[fx.Node, Any] = {}
        self.node: Any = None

    def take(self, node: fx.Node) -> None:
        """Adds what `node` does."""
        self.node = node
        if node.op == "placeholder":
            self.known[node] = Output(IMAGES if not self.layers else 0)
        elif node.op == "output":
            self._end(self._value(node.args[0]))
        elif node.op == "get_attr":
            self.known[node] = None  # refused where something is done with it
        elif node.op == "call_module":
            module = self.modules[str(node.target)]
            self.known[node] = self._called(self.rules.modules.get(type(module)), module)
        else:
            named = self.rules.methods if node.op == "call_method" else self.rules.functions
            self.known[node] = self._called(named.get(node.target))

    def add(self, name: str, module: nn.Module, *inputs: Output) -> Output:
        """Adds a layer."""
        self.layers.append(Layer(self.unlike(name), module, tuple(each.layer for each in inputs)))
        return Output(len(self.layers) - 1)

    def unlike(self, name: str) -> str:
        """`name`, with the number of the call where there is a layer of this name."""
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
        except TypeError:  # it was called in a way that no rule knows
            raise self.refused() from None

    def _value(self, given: Any) -> Any:
        """Arguments, with what is known in place of nodes."""
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
        """What the present node is called in the network."""
        stack = list((self.node.meta.get("nn_module_stack") or {}).values())
        inside = str(stack[-1][0]) if stack else ""
        if self.node.op == "call_module":
            return str(self.node.target)
        what = self.node.target if isinstance(self.node.target, str) else self.node.target.__name__
        return f"{inside}: {what}" if inside else what

    def refused(self, why: str = "") -> InputError:
        """The error for the present node."""
        kind = ""
        if self.node.op == "call_module":
            kind = f" ({type(self.modules[self.node.target]).__name__})"
        why = (
            why
            or "has no counterpart among neurons that integrate and fire, and what lies between them"
        )
        return InputError(f"{self.name}{kind} {why}.")

    def uses(self, layer: Output) -> int:
        """How many nodes take the output of a layer, but for those that do nothing to it."""
        nodes = [node for node, known in self.known.items() if known == layer]
        return sum(self.known.get(user) != layer for node in nodes for user in node.users)
