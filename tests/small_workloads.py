"""Workloads that train in milliseconds."""

from benchmarks.speed.step.workloads import Workload

TINY = Workload("tiny", "dense", side=4, encoding="direct", num_steps=3, batch_size=2, hidden=5)
SMALL = {
    "dense-direct": Workload(
        "dense-direct", "dense", side=8, encoding="direct", num_steps=5, batch_size=16, hidden=64
    ),
    "dense-rate": Workload(
        "dense-rate", "dense", side=8, encoding="rate", num_steps=5, batch_size=16, hidden=64
    ),
    "conv": Workload(
        "conv", "conv", side=8, encoding="direct", num_steps=3, batch_size=16, hidden=32
    ),
    "cnn": Workload("cnn", "cnn", side=12, batch_size=16, hidden=64),
}
