"""How fast a training step is: spikeduel, its peers and plain PyTorch in one run, against what the machine can do."""

from spikeduel.bench.results import failed
from spikeduel.bench.running import Plan, plan, run
from spikeduel.bench.table import notes, table
from spikeduel.bench.workloads import WORKLOADS

__all__ = ["WORKLOADS", "Plan", "failed", "notes", "plan", "run", "table"]
