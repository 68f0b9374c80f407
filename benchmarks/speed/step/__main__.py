"""Measure how fast a training step is: spikeduel, snnTorch, SpikingJelly and plain PyTorch.

    python -m benchmarks.speed.step --quick
    python -m benchmarks.speed.step --only snn-28-rate --out speed.json

Each contender runs in a process of its own, and they take turns. "ms" is the median time
of a step, "start" the seconds until the first steps were done, with compilation. The last column
compares the time with the machine's limit. Without --quick it takes half an hour, most of it compiling peers; with
--quick some minutes on two cores, in few rounds. The peers come with: pip install
'spikeduel[bench]'. The results at hand are benchmarks/results/speed-*.json.
"""

import sys
from pathlib import Path

from benchmarks import shared
from benchmarks.speed.step import WORKLOADS, failed, plan, run, summary
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import TerminalProgress


def main() -> int:
    parser = shared.parser(__doc__, quick=False)
    parser.add_argument(
        "--only", action="append", choices=WORKLOADS, help="this training step; repeatable"
    )
    parser.add_argument("--rounds", type=int, help="rounds of turns (10; with --quick 2)")
    parser.add_argument("--threads", type=int, help="threads to compute with (PyTorch's)")
    parser.add_argument("--out", type=Path, help="JSON file, written after each workload")
    options = parser.parse_args()
    try:
        settings = plan(options.only or (), options.quick, options.rounds, options.threads)
        document = run(settings, TerminalProgress(stderr=True), options.out)
    except SpikeduelError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(summary(document))
    return 3 if failed(document) else 0


if __name__ == "__main__":
    sys.exit(main())
