"""What a training step's time goes to, by kinds of work, and how near the roofline it would be if
nothing but products took time.

    python -m benchmarks.speed.step_shares [--threads N] [--rounds N]

Run it on an otherwise idle machine. The steps are those of `benchmarks/speed`. PyTorch's profiler
gives each operation's own time; operations are sorted by `KINDS`, and the rest is what surrounds
them. Medians of rounds; the result goes to benchmarks/results/step-shares-N-threads.json.
"""

import statistics
from collections import Counter

from torch.profiler import ProfilerActivity, profile

from benchmarks import shared
from benchmarks.speed.step import networks, workloads
from benchmarks.speed.step.networks import Built
from benchmarks.speed.step.workloads import WORKLOADS, Workload

KINDS = {
    "products": ("mm", "addmm", "bmm"),
    "convolutions": ("mkldnn_convolution", "convolution_backward"),
    "first convolution, pooling and ReLU": ("ReluOfMaxPoolOfConv",),
    "norm, neurons and pooling": ("Normalised",),
    "pooling and ReLU": ("max_pool2d", "threshold_backward", "clamp_min", "relu"),
    "copies and types": ("copy_", "_to_copy", "cat", "clone"),
    "optimizer": ("_fused_adam", "Optimizer.step"),
}
"""Kinds of work, by how the names of their operations begin, "aten::" left out."""
STEPS = 30


def main() -> None:
    parser = shared.parser(__doc__, threads=1, rounds=5)
    options = parser.parse_args()
    limits = workloads.measure_limits(options.threads, 2.0)
    rows = {}
    for name in ("cnn-28", "conv-snn-28", "cnn-97"):
        workload = WORKLOADS[name]
        built = networks.spikeduel(workload)
        rounds = [shares(built, workload) for _ in range(options.rounds)]
        found = {kind: statistics.median(each[kind] for each in rounds) for kind in rounds[0]}
        flop, moved = workloads.needs(workload, 2 if limits.faster == "bf16" else 4)
        whole, roofline = sum(found.values()), limits.roofline_ms(flop, moved)
        rows[name] = {
            "ms": found,
            "roofline_ms": roofline,
            "of_roofline": roofline / whole,
            "of_roofline_by_products_alone": roofline / (found["products"] + found["convolutions"]),
        }
        print(name, *(f"{kind} {ms / whole:.0%}" for kind, ms in found.items()), sep="\n  ")
    document = {
        "command": f"python -m benchmarks.speed.step_shares --threads {options.threads}",
        "rows": rows,
    }
    shared.write(f"step-shares-{options.threads}-threads.json", document)


def shares(built: Built, workload: Workload) -> Counter[str]:
    """Return the milliseconds of a step by kind."""
    images, labels = workloads.batch(workload)
    for _ in range(STEPS):
        built.step(images, labels)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(STEPS):
            built.step(images, labels)
    found = Counter(dict.fromkeys((*KINDS, "the rest"), 0.0))
    for event in profiled.key_averages():
        found[kind_of(event.key)] += event.self_cpu_time_total / 1e3 / STEPS
    return found


def kind_of(operation: str) -> str:
    """Return the kind of work of an operation by its name."""
    name = operation.removeprefix("aten::")
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), "the rest")


if __name__ == "__main__":
    main()
