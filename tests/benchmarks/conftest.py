"""A peer's step on a small workload, in this process; and a small document."""

from dataclasses import asdict

import pytest
import torch

from benchmarks.speed.step import Benchmark, plan
from benchmarks.speed.step.workloads import WORKLOADS, batch
from spikeduel.system import hardware, typed
from spikeduel.system.hardware import Compute


@pytest.fixture
def losses():
    """The losses of `count` steps of what `builder(workload, **settings)` makes."""

    def run(builder, workload, count=30, **settings):
        torch.manual_seed(0)
        built = builder(workload, **settings)
        images, labels = batch(workload)
        return [float(built.step(images, labels)) for _ in range(count)]

    return run


@pytest.fixture
def benchmark():
    """A small document, written by hand: one contender that was timed and one that failed."""
    ms = {"median": 4.123, "min": 3.0, "max": 9.0, "p25": 4.0, "p75": 123.4, "n": 9}
    row = {
        "workload": "snn-28-rate",
        "contender": "spikeduel",
        "precision": "bf16",
        "start_seconds": 37.44,
        "ms": ms,
        "peak_memory_bytes": 512_000_000,
        "flop": 1000,
        "bytes": 2000,
        "roofline_ms": 1.7,
        "roofline_fraction": 0.416,
        "error": None,
    }
    missing = {
        "start_seconds": None,
        "ms": None,
        "peak_memory_bytes": None,
        "error": "needs spikingjelly",
    }
    ratio = {"median": 24.36, "min": 22.0, "max": 26.5}
    return typed.converted(
        {
            "schema": 1,
            "spikeduel": "0.1.0",
            "created": "2026-01-01T00:00:00+00:00",
            "settings": asdict(plan(only=["snn-28-rate", "cnn-28"], threads=2)),
            "machine": {
                **hardware.environment(Compute()),
                "cpu": "A Processor",
                "torch": "2.13",
                "threads": 2,
                "last_level_cache_bytes": None,
                "load_average": 0.5,
                "peers": {"snntorch": None},
            },
            "limits": {"bf16_gflops": 1310.4, "float32_gflops": 390.2, "bandwidth_gbs": 21.3},
            "roofline": "Roofline: a rule.",
            "contenders": {"spikeduel": "this", "spikingjelly": "that", "torch-cnn": "another"},
            "workloads": {"snn-28-rate": asdict(WORKLOADS["snn-28-rate"])},
            "rows": [
                row,
                {
                    **row,
                    **missing,
                    "contender": "spikingjelly",
                    "precision": None,
                    "roofline_fraction": None,
                },
            ],
            "ratios": {
                "snn-28-rate": {
                    "snntorch-study": {**ratio, "contender": "snntorch-study"},
                    "fastest-peer": {**ratio, "contender": "spikingjelly-hoisted"},
                    "cnn": {**ratio, "contender": "spikeduel"},
                },
                "cnn-28": {"torch-cnn": {**ratio, "contender": "torch-cnn"}},
            },
            "warnings": ["The machine was busy."],
        },
        Benchmark,
    )
