"""How fast a training step is: spikeduel, its peers and plain PyTorch in one run, against what the machine can do."""

from spikeduel.measuring.bench.document import Benchmark, Plan, failed, notes, table
from spikeduel.measuring.bench.running import plan, run
from spikeduel.measuring.bench.workloads import WORKLOADS

__all__ = ["WORKLOADS", "Benchmark", "Plan", "failed", "notes", "plan", "run", "table"]
