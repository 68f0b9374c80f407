"""How trials get faster with more workers: one after another, `--jobs`, and Ray nodes of one core
each; and where the time of a trial goes.

    python -m benchmarks.speed.scale [--rounds 3]  # about 23 minutes a round, on an idle machine
    python -m benchmarks.speed.scale --trials 4 --out /tmp/scale.json  # quickly, to see that it works

24 short trials (12 seeds of two small networks on the embedded set), each with one thread. Everything is trained anew
each time, in a store of its own; rounds take turns. One after another runs on one core alone. Of
each trial it is also told what the process that hands them out spends on it, which limits how many
workers it can feed; and of the serial way, what it takes to conclude the duel. The result goes to
benchmarks/results/scale.json, way after way: the same command goes on where it stopped, on the same
machine.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel.comparing import conclude, prepare
from spikeduel.experiment.recipes import matched
from spikeduel.system import hardware, load, typed
from spikeduel.system.progress import Progress
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.store import Store

EXPERIMENT: dict[str, Any] = {"contenders": ("conv-lif", "conv-relu"), "device": "cpu"}


def main() -> None:
    """Measures, and writes the results."""
    parser = shared.parser(__doc__, trials=24, epochs=4, rounds=3)
    parser.add_argument("--out", type=Path, default=shared.RESULTS / "scale.json")
    given = parser.parse_args()
    jobs = [f"jobs {number}" for number in (1, 2, 4) if number <= len(load.cores())]
    ways = ["serial", *jobs, "ray 1", "ray 2", "ray 4"]
    asked = {
        "what": f"{given.trials} trials of {given.epochs} epochs, one thread each; seconds, starting workers included",
        "experiment": typed.plain(experiment(given.trials, given.epochs)),
        "environment": hardware.environment(hardware.resolve()),
    }
    before = json.loads(given.out.read_text()) if given.out.is_file() else {}
    goes_on = json.loads(json.dumps(asked)).items() <= before.items()
    rounds: dict[str, list[dict[str, Any]]] = {
        way: before["measured"][way] if goes_on else [] for way in ways
    }
    for number in range(given.rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            if len(rounds[way]) > number:
                continue
            rounds[way].append(alone(way, given))
            print(f"{way}: {rounds[way][-1]['seconds']:.1f} s", file=sys.stderr)
            whole = min(map(len, rounds.values()))
            rows = [
                row_of(way, its[:whole], rounds["serial"][:whole])
                for way, its in rounds.items()
                if whole
            ]
            document = {**asked, "rounds": whole, "rows": rows, "measured": rounds}
            typed.write_json(given.out, document)


def row_of(
    way: str, its: Sequence[dict[str, Any]], serial: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The medians of a way over its rounds, and of its share of what one after another took in the
    same round.
    """
    return {
        "way": way,
        **{each: statistics.median(row[each] for row in its) for each in its[0] if each != "parts"},
        "of_serial": statistics.median(
            row["seconds"] / one["seconds"] for row, one in zip(its, serial, strict=True)
        ),
        "parts": {
            part: statistics.median(row["parts"][part] for row in its) for part in its[0]["parts"]
        },
    }


def alone(way: str, given: argparse.Namespace) -> dict[str, Any]:
    """What one way takes, in a process of its own."""
    command = shared.command(measured, way, given.trials, given.epochs)
    if way == "serial" and hasattr(os, "sched_setaffinity"):
        command = ["taskset", "-c", str(load.cores()[-1]), *command]
    return shared.apart(command)


def experiment(trials: int, epochs: int) -> Any:
    """What is trained."""
    return matched(**EXPERIMENT, seeds=trials // 2, epochs=epochs)


def measured(way: str, trials: int, epochs: int) -> dict[str, Any]:
    """The seconds until all is finished, and what a trial's time is made of, in seconds a trial."""
    name, _, number = way.partition(" ")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        begun = prepare(experiment(trials, epochs), Path(folder) / "out", store, Progress())
        jobs = begun.jobs(Progress())
        started = time.perf_counter()
        with workers(name, int(number or 1)) as pool:
            ready, spent = time.perf_counter(), time.process_time()
            records = pool.run(jobs, store)
            seconds = time.perf_counter() - started
            spent = time.process_time() - spent
        at_once, starting = int(number or 1), ready - started
        training = statistics.fmean(sum(record.epoch_seconds) for record in records)
        whole = (seconds - starting) * at_once / len(records)
        parts = {"training": training, "measuring, sending, waiting": whole - training}
        found = {"seconds": seconds, "starting": starting, "parts": parts}
        if name != "serial":
            return {**found, "handing_out": spent / len(records)}
        started = time.perf_counter()
        conclude(begun, records, store, Progress())
        return {**found, "concluding": time.perf_counter() - started}


def workers(name: str, number: int) -> Workers:
    """Those of a way."""
    if name == "serial":
        return Workers(1)
    if name == "jobs":
        from spikeduel.training.jobs import Processes

        return Processes(number, threads=1)
    return Nodes(number)


class Nodes(Workers):
    """A Ray cluster of so many nodes of one core each, on this machine."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> "Nodes":
        from ray.cluster_utils import Cluster as Local

        from spikeduel import Cluster

        node: Any = {"num_cpus": 1, "object_store_memory": 200_000_000}
        self.local = Local(
            initialize_head=True, head_node_args={**node, "include_dashboard": False}
        )
        for _ in range(self.number - 1):
            self.local.add_node(**node)
        self.inner = Cluster(self.local.address).__enter__()
        return self

    def run(self, jobs: Sequence[Job], store: Store) -> list[Any]:
        return self.inner.run(jobs, store)

    def __exit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)
        self.local.shutdown()


if __name__ == "__main__":
    main()
