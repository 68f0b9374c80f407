"""Measure how fast a training step is: spikeduel, snnTorch, SpikingJelly and plain PyTorch.

    python benchmarks/speed --quick
    python benchmarks/speed --only snn-28-rate --out speed.json

Each contender runs in a process of its own, and they take turns. The last column compares the time
with the machine's limit. Without --quick it takes half an hour, most of it compiling peers. The
peers come with: pip install 'spikeduel[bench]'
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the modules of `speed`

from speed import WORKLOADS, failed, notes, plan, run, table
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import TerminalProgress


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="some minutes on two cores: few rounds, no scaling, nothing that is compiled first",
    )
    parser.add_argument(
        "--only", action="append", choices=WORKLOADS, help="this training step; repeatable"
    )
    parser.add_argument("--rounds", type=int, help="rounds of turns (10; with --quick 2)")
    parser.add_argument("--threads", type=int, help="threads to compute with (PyTorch's)")
    parser.add_argument(
        "--scaling",
        action=argparse.BooleanOptionalAction,
        help="time and memory against steps, batch, width and threads (unless --quick)",
    )
    parser.add_argument("--out", type=Path, help="JSON file, written after each workload")
    options = parser.parse_args()
    try:
        settings = plan(
            options.only or (), options.quick, options.rounds, options.threads, options.scaling
        )
        document = run(settings, TerminalProgress(stderr=True), options.out)
    except SpikeduelError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table(document))
    for note in notes(document):
        print(f"  · {note}")
    return 3 if failed(document) else 0


if __name__ == "__main__":
    sys.exit(main())
