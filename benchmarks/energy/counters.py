"""Counters of operations before the judge: networks made to mislead, against counts by hand.

    python -m benchmarks.energy.counters [--only NAME …]

Each network is small enough to be counted by hand, and the arithmetic stands beside it. A counter
returns multiply-accumulates (MACs) and accumulations by spikes (ACs) of one image. It is compared
with the count of what the network is given: MACs where numbers arrive, one AC for each spike and
each weight that it reaches, no operation beyond the border of an image. And it is compared with the
hand count of the definition that it states:

- `spikeduel`: the above. Work that is equal at all time steps counts once;
- `SpikingJelly`: `MACCounter` and `SynOpCounter`, by operator; a tensor of zeros and ones is spikes;
  MACs have the zeros beyond the border; every time step counts;
- `NeuroBench`: `SynapticOperations`, by module; a tensor of −1, 0 and 1 is spikes; MACs are
  effective: zeros count in neither inputs nor weights; every time step counts;
- `syops`: by module; a tensor of at most two values from 0 to 1 is spikes, and all MACs with bias
  and border, times the mean of the tensor, are ACs; pooling counts one operation an input;
- `Sinabs`: `SNNAnalyzer` (deprecated for hooks that count alike), by module; synaptic operations
  alone, the sum of inputs times the weights that they reach, since inputs are taken to be numbers
  of spikes; average pooling is corrected for.

Norse 1.1.0 has no counter. syops 0.0.5 needs SpikingJelly before 0.0.0.0.13, so run it with that on
the path and `--only syops`. A counter that is not installed keeps the results that it has. Results
go to benchmarks/results/counters.json.
"""

import io
import json
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import shared
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.ledger import IMAGE, SPIKES

RESULT = "counters.json"
Counted = tuple[float, float]
"""MACs and ACs of one image."""


class Written(nn.Module):
    """A network by its forward function, which is given the network and its input."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@dataclass(frozen=True)
class Case:
    """A network and its input, one image, with counts by hand.

    `kind` is what the input is: an image or spikes. `hand` are the MACs and ACs; `theirs` differs
    from it by a counter's own definition.
    """

    name: str
    module: Callable[[], nn.Module]
    x: Tensor
    kind: str
    hand: Counted
    theirs: dict[str, Counted] = field(default_factory=dict)
    num_steps: int = 1

    def by_definition(self, counter: str) -> Counted:
        return self.theirs.get(counter, self.hand)


def row(*values: float) -> Tensor:
    """Return a batch of one image without width and height."""
    return torch.tensor([values], dtype=torch.float32)


def linear(inputs: int, outputs: int, weight: float = 0.5, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.constant_(layer.weight, weight)
    return layer


def convolution() -> nn.Conv2d:
    """2 → 4 channels in two groups, 3×3, stride 2 and a border of 1: 4×4 pixels become 2×2."""
    layer = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    return layer


def functional() -> nn.Module:
    weights = nn.ParameterDict(
        {
            "linear": torch.full((3, 8), 0.5),
            "matmul": torch.full((8, 2), 0.5),
            "conv": torch.full((2, 1, 1, 1), 0.5),
        }
    )

    def forward(net: Any, x: Tensor) -> Tensor:
        first, second = F.linear(x, net.w["linear"]), torch.matmul(x, net.w["matmul"])
        third = F.conv2d(x.reshape(1, 1, 2, 4), net.w["conv"])
        return torch.cat([first, second, third.reshape(1, 16)], 1)

    return Written(forward, w=weights)


def in_two_blocks() -> nn.Module:
    """One layer, a part of two blocks, for the two halves of the input."""
    shared = linear(4, 4)
    blocks = {"first": nn.Sequential(shared), "second": nn.Sequential(shared)}
    return Written(lambda net, x: net.first(x[:, :4]) + net.second(x[:, 4:]), **blocks)


def used_twice() -> nn.Module:
    return Written(lambda net, x: net.layer(x[:, :4]) + net.layer(x[:, 4:]), layer=linear(4, 4))


def residual() -> nn.Module:
    return Written(lambda net, x: net.layer(x[:, :4] + x[:, 4:]), layer=linear(4, 3))


def loop(num_steps: int) -> nn.Module:
    """8 inputs, 4 neurons of snnTorch that fire at every step, since currents are about 10, and 3
    outputs; the image is given at every step.
    """
    import snntorch

    def forward(net: Any, x: Tensor) -> Tensor:
        mem, out = torch.zeros(1, 4), torch.zeros(1, 3)
        for _ in range(num_steps):
            spikes, mem = net.fires(net.first(x), mem)
            out = out + net.last(spikes)
        return out

    fires = snntorch.Leaky(beta=0.5, threshold=1.0)
    return Written(forward, first=linear(8, 4, 10.0), fires=fires, last=linear(4, 3))


def cases() -> list[Case]:
    """Return the networks; a name says what misleads."""
    three = row(1, 0, 0, 1, 0, 1, 0, 0)
    halves = row(1, 1, 0, 1, 1, 0, 0, 1)
    diagonal = torch.eye(4).reshape(1, 1, 4, 4)
    # Rows 0, 1, 2 and 3 are seen by 1, 2, 1 and 1 of the two rows of outputs, columns likewise.
    events = torch.zeros(1, 2, 4, 4)
    events[0, 0, 1, 1] = events[0, 1, 0, 0] = events[0, 1, 3, 1] = 1
    seen = 1 + 2 + 1 + 1
    numbers = torch.arange(1.0, 33).reshape(1, 2, 4, 4) / 40
    rate = 3 / 32
    return [
        Case("spikes, one layer", lambda: linear(8, 3), three, SPIKES, (0, 3 * 3)),
        Case(
            "spikes, a layer with a bias",
            lambda: linear(8, 3, bias=True),
            three,
            SPIKES,
            (0, 3 * 3),
            {"syops": (0, (8 * 3 + 3) * 3 / 8)},
        ),
        Case(
            "spikes, stride, border and groups",
            convolution,
            events,
            SPIKES,
            # Outputs reached by each spike, times 2 channels of its group.
            (0, (2 * 2 + 1 * 1 + 1 * 2) * 2),
            {"syops": (0, 9 * 2 * 2 * 2 * 2 * rate)},
        ),
        Case(
            "numbers, stride, border and groups",
            convolution,
            numbers,
            IMAGE,
            # Pairs of pixel and output, in each of 4 channels that see one channel.
            (seen * seen * 4, 0),
            {
                "SpikingJelly": (3 * 3 * 2 * 2 * 4, 0),
                "syops": (9 * 2 * 2 * 2 * 2, 0),
                "Sinabs": (0, _reached(numbers) * 2),
            },
        ),
        Case(
            "max-pooled spikes",
            lambda: nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), linear(4, 3)),
            diagonal,
            SPIKES,
            (0, 2 * 3),
            {"syops": (0, 4 + 2 * 3)},
        ),
        Case(
            "average-pooled spikes",
            lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), linear(4, 3)),
            diagonal,
            SPIKES,
            (0, 4 * 3),
            {
                "SpikingJelly": (4 * 3, 0),
                "NeuroBench": (2 * 3, 0),
                "syops": (0, 4 + 4 * 3 * (0.5 + 0.5) / 4),
            },
        ),
        Case(
            "sum of two spikes",
            residual,
            halves,
            SPIKES,
            (0, (3 + 2) * 3),
            {"SpikingJelly": (4 * 3, 0), "NeuroBench": (3 * 3, 0), "syops": (4 * 3, 0)},
        ),
        Case(
            "black-and-white image",
            lambda: linear(8, 3),
            three,
            IMAGE,
            (8 * 3, 0),
            dict.fromkeys(("SpikingJelly", "NeuroBench", "syops", "Sinabs"), (0, 3 * 3)),
        ),
        Case(
            "white image",
            lambda: linear(8, 3),
            torch.ones(1, 8),
            IMAGE,
            (8 * 3, 0),
            dict.fromkeys(("SpikingJelly", "NeuroBench", "syops", "Sinabs"), (0, 8 * 3)),
        ),
        Case(
            "ReLU that is silent",
            lambda: nn.Sequential(linear(4, 4, -0.5), nn.ReLU(), linear(4, 3)),
            row(0.2, 0.4, 0.6, 0.8),
            IMAGE,
            (4 * 4 + 4 * 3, 0),
            {
                "SpikingJelly": (4 * 4, 0),
                "NeuroBench": (4 * 4, 0),
                "syops": (4 * 4, 0),
                "Sinabs": (0, 2.0 * 4),
            },
        ),
        Case(
            "weights of 0 and 1",
            lambda: linear(8, 3, 1.0),
            row(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            IMAGE,
            (8 * 3, 0),
            {"SpikingJelly": (0, 8 * 3), "Sinabs": (0, 3.6 * 3)},
        ),
        Case(
            "F.linear, matmul, F.conv2d", functional, three, SPIKES, (0, 3 * 3 + 3 * 2 + 3 * 1 * 2)
        ),
        Case("a layer used twice", used_twice, halves, SPIKES, (0, 3 * 4 + 2 * 4)),
        Case("a layer in two blocks", in_two_blocks, halves, SPIKES, (0, 3 * 4 + 2 * 4)),
        Case(
            "a loop over 4 steps",
            partial(loop, 4),
            row(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            IMAGE,
            (8 * 4, 4 * 4 * 3),
            {
                **dict.fromkeys(("SpikingJelly", "NeuroBench"), (4 * 8 * 4, 4 * 4 * 3)),
                "syops": (4 * 8 * 4, 4 * 4 * 3),
                "Sinabs": (0, 4 * 3.6 * 4 + 4 * 4 * 3),
            },
            4,
        ),
        Case(
            "spikes of 2 steps in one call",
            lambda: linear(4, 3),
            torch.stack([row(1, 1, 0, 1), row(1, 0, 0, 1)]),
            SPIKES,
            (0, (3 + 2) * 3),
            num_steps=2,
        ),
    ]


def _reached(numbers: Tensor) -> float:
    """Return the sum of pixels times the places of outputs that they reach in `convolution`."""
    fan_out = torch.tensor([1.0, 2.0, 1.0, 1.0])
    return float((numbers * fan_out[:, None] * fan_out).sum())


def ours(case: Case) -> Counted:
    module = case.module().eval()
    counter, looped = Counter(module), case.kind == IMAGE and case.num_steps > 1
    steps = 1 if looped else case.num_steps
    counter.run(lambda: module(case.x), case.x, 1, case.kind, steps)
    totals = counter.operations().totals
    return totals.macs.dense.hoisted, totals.acs.total


def spikingjelly(case: Case) -> Counted:
    from spikingjelly.activation_based import op_counter

    module, macs, acs = case.module().eval(), op_counter.MACCounter(), op_counter.SynOpCounter()
    with torch.no_grad(), op_counter.DispatchCounterMode([macs, acs]):
        module(case.x)
    counts = macs.get_counts()["Global"].items()
    products = ("addmm", "mm", "convolution")
    return sum(
        count for name, count in counts if any(part in str(name) for part in products)
    ), acs.get_total()


def neurobench(case: Case) -> Counted:
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    # It looks for layers below the network, so that a network of one layer is put into another.
    model, metric = TorchModel(nn.Sequential(case.module())), SynapticOperations()
    model.register_hooks()
    with torch.no_grad():
        model(case.x)
    counts = metric(model, None, (torch.zeros(1),))
    return counts["Effective_MACs"], counts["Effective_ACs"]


def syops(case: Case) -> Counted:
    from syops import get_model_complexity_info

    module = case.module().eval()
    with redirect_stdout(io.StringIO()):
        (_, acs, macs, _), _ = get_model_complexity_info(
            nn.Sequential(module),
            tuple(case.x.shape),
            input_constructor=lambda _: {"input": case.x},
            as_strings=False,
            print_per_layer_stat=False,
        )
    # It divides by the first axis of the input, or by 1 where the network's input has a name.
    return float(macs), float(acs)


def sinabs(case: Case) -> Counted:
    from sinabs.synopcounter import SNNAnalyzer

    module = nn.Sequential(case.module().eval())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        analyzer = SNNAnalyzer(module)
        # Images come before time steps.
        module(case.x.transpose(0, 1) if case.x.dim() == 3 else case.x)
        layers = analyzer.get_layer_statistics()["parameter"].values()
    return 0.0, float(sum(layer["synops"] for layer in layers))


COUNTERS: dict[str, tuple[str, Callable[[Case], Counted]]] = {
    "spikeduel": ("spikeduel", ours),
    "SpikingJelly": ("spikingjelly", spikingjelly),
    "NeuroBench": ("neurobench", neurobench),
    "syops": ("syops", syops),
    "Sinabs": ("sinabs", sinabs),
}
"""Package and function of each counter."""


def judged(case: Case, counter: str) -> dict[str, Any]:
    """Return what a counter counts of a network, or its error, and whether that is right."""
    defined = case.by_definition(counter)
    try:
        counted = COUNTERS[counter][1](case)
    except Exception as error:  # a counter that fails is a result, too
        return {"error": f"{type(error).__name__}: {error}"}
    right = all(
        abs(number - expected) <= 1e-3 for number, expected in zip(counted, defined, strict=True)
    )
    return {
        "macs": round(counted[0], 3),
        "acs": round(counted[1], 3),
        "by_hand_of_its_definition": defined,
        "as_defined": right,
        "as_by_hand": max(abs(a - b) for a, b in zip(counted, case.hand, strict=True)) <= 1e-3,
    }


def main() -> None:
    options = shared.parser(__doc__, only=COUNTERS).parse_args()
    document = shared.read(RESULT, {"versions": {}, "cases": []})
    before = {row["case"]: row["counters"] for row in document["cases"]}
    rows = []
    for case in cases():
        counters = before.get(case.name, {})
        counters |= {name: judged(case, name) for name in options.only}
        kept = {name: counters[name] for name in COUNTERS if name in counters}
        rows.append({"case": case.name, "by_hand": case.hand, "counters": kept})
        print(case.name, case.hand, json.dumps(kept), flush=True)
    versions = document["versions"] | {name: version(COUNTERS[name][0]) for name in options.only}
    content = {
        "versions": {name: versions[name] for name in COUNTERS if name in versions},
        "cases": rows,
    }
    shared.write(RESULT, content)


if __name__ == "__main__":
    main()
