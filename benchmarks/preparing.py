"""How fast a folder of many small pictures becomes a prepared set, in how much memory, and what an
interruption costs.

    python benchmarks/preparing.py [--files 100000] [--side 32]

Writes PNGs of noise into ten folders, then prepares them (`data.prepare`, everything included) by
threads and by processes, one to all cores, each in a process of its own with an empty cache; twice,
in turns. Memory is the highest sum of what the process and its workers hold that is no page of a
file (RssAnon). Then a preparation by all cores is killed (`kill -9`) half way, and started again.
Results go to benchmarks/results/preparing.json.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spikeduel.system import hardware

RESULT = Path(__file__).parent / "results" / "preparing.json"
ROUNDS = 2
PREPARE = """
import json, sys, time
from spikeduel.data import workers
from spikeduel.data.catalogue import prepare
from spikeduel.data.prepared import DataOptions

folder, cores, kind, flag, total = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
workers.num_cores = lambda: cores
workers.FEWEST = 1 if kind == "processes" else 1 << 60
seconds = {}

def track(items, description, count):
    started = time.perf_counter()
    for number, item in enumerate(items):
        if description == "reading images" and number == total // 2:
            open(flag, "w").close()
        yield item
    seconds[description] = time.perf_counter() - started

said = []
started = time.perf_counter()
prepared = prepare(folder, DataOptions(track=track, say=said.append))
seconds["all"] = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "said": said, "fingerprint": prepared.fingerprint}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=32)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "pictures", options.files, options.side)
        # The files are read once, so that all find them in the system's cache.
        prepared(folder, "warm", cores, "processes", options.files)
        ways = [("threads", cores), *(("processes", number) for number in sorted({1, 2, cores}))]
        rounds: dict[str, list[dict[str, Any]]] = {}
        for _ in range(ROUNDS):
            for kind, number in ways:
                done = prepared(folder, "round", number, kind, options.files)
                rounds.setdefault(f"{kind} {number}", []).append(done)
        killed = prepared(folder, "killed", cores, "processes", options.files, kill=True)
        again = prepared(folder, "killed", cores, "processes", options.files, keep=True)
    prints = {each["fingerprint"] for runs in rounds.values() for each in runs} | {
        again["fingerprint"]
    }
    results = {
        "environment": hardware.environment(hardware.resolve()),
        "files": options.files,
        "side": options.side,
        "rounds": rounds,
        "files_a_second": {
            name: options.files / min(each["seconds"]["all"] for each in runs)
            for name, runs in rounds.items()
        },
        "peak_bytes": {
            name: max(each["peak_bytes"] for each in runs) for name, runs in rounds.items()
        },
        "killed_after_seconds": killed["wall_seconds"],
        "again": again,
        "all_the_same": len(prints) == 1,
    }
    RESULT.write_text(json.dumps(results, indent=1) + "\n")
    print(
        json.dumps(
            {name: results[name] for name in ("files_a_second", "peak_bytes", "all_the_same")},
            indent=1,
        )
    )
    print(
        f"killed after {killed['wall_seconds']:.1f} s, then {again['wall_seconds']:.1f} s: "
        f"{again['said']}"
    )


def write_pictures(folder: Path, count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"class {number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"{number:06}.png", compress_level=1)


def prepared(
    folder: Path,
    name: str,
    cores: int,
    kind: str,
    count: int,
    kill: bool = False,
    keep: bool = False,
) -> dict[str, Any]:
    """One preparation, in a process of its own; with `kill` ended half way, with `keep` with what
    that one left.
    """
    cache, flag = folder / name, folder / f"{name}.flag"
    if not keep:
        subprocess.run(["rm", "-rf", str(cache)], check=True)
    flag.unlink(missing_ok=True)
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PREPARE,
            str(folder / "pictures"),
            str(cores),
            kind,
            str(flag),
            str(count),
        ],
        env={**os.environ, "SPIKEDUEL_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None:
        peak = max(peak, sum(map(_anonymous, _family(process.pid))))
        if kill and flag.exists():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    if kill:
        return {"wall_seconds": seconds}
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a preparation failed: {process.returncode}")
    return {**json.loads(output.splitlines()[-1]), "wall_seconds": seconds, "peak_bytes": peak}


def _family(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _anonymous(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0


if __name__ == "__main__":
    main()
