"""How fast a training step is: the whole of `spikeduel bench`, on an idle machine, a good half
hour.

    python benchmarks/speed.py [--rounds N] [--threads N] [--name cpu]

The result goes to benchmarks/results/speed-<name>.json, written anew after each workload.
"""

import argparse
from pathlib import Path

from spikeduel.measuring import bench
from spikeduel.system.progress import TerminalProgress

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="how often each has its turn")
    parser.add_argument("--threads", type=int, help="threads to compute with")
    parser.add_argument(
        "--name", default="cpu", help="what the machine is called in the file's name"
    )
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    plan = bench.plan(rounds=options.rounds, threads=options.threads)
    document = bench.run(
        plan, TerminalProgress(stderr=True), RESULTS / f"speed-{options.name}.json"
    )
    print(bench.table(document))
    print("\n".join(bench.notes(document)))


if __name__ == "__main__":
    main()
