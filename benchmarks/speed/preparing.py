"""How fast a folder of many small pictures becomes a prepared set, in how much memory, and what an
interruption costs.

    python -m benchmarks.speed.preparing [--files 100000] [--side 32]

Writes PNGs of noise into ten folders, then prepares them (`data.prepare`, everything included) by
threads and by processes, one to all cores, each in a process of its own with an empty cache; twice,
in turns. Memory is the highest sum of what the process and its workers hold that is no page of a
file (RssAnon). Then a preparation by all cores is killed (`kill -9`) half way, and started again.
Results go to benchmarks/results/preparing.json.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shared

ROUNDS = 2


def prepare(folder: str, cores: int, kind: str, flag: str, total: int) -> dict[str, Any]:
    """Prepare a folder, and return the seconds of each part; write `flag` half way."""
    from spikeduel.data import catalogue, workers
    from spikeduel.data.prepared import DataOptions

    setattr(workers, "num_cores", lambda: cores)  # noqa: B010
    workers.MIN_IMAGES = 1 if kind == "processes" else 1 << 60
    seconds: dict[str, float] = {}

    def track(items: Iterable[Any], description: str, count: int | None = None) -> Iterator[Any]:
        started = time.perf_counter()
        for number, item in enumerate(items):
            if description == "reading images" and number == total // 2:
                Path(flag).touch()
            yield item
        seconds[description] = time.perf_counter() - started

    said: list[str] = []
    started = time.perf_counter()
    prepared = catalogue.prepare(folder, DataOptions(track=track, say=said.append))
    seconds["all"] = time.perf_counter() - started
    return {"seconds": seconds, "said": said, "fingerprint": prepared.fingerprint}


def main() -> None:
    parser = shared.parser(__doc__, files=100000, side=32)
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
    shared.write("preparing.json", results)


def write_pictures(folder: Path, count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        path = folder / f"class {number % 10}" / f"{number:06}.png"
        shared.write_image(path, noise, compress_level=1)


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
        shutil.rmtree(cache, ignore_errors=True)
    flag.unlink(missing_ok=True)
    started, peak = time.perf_counter(), 0
    words = (str(folder / "pictures"), cores, kind, str(flag), count)
    process = subprocess.Popen(
        shared.command(prepare, *words),
        env=shared.surroundings(SPIKEDUEL_CACHE=str(cache), OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None:
        peak = max(peak, sum(map(shared.memory_of, _family(process.pid))))
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


if __name__ == "__main__":
    main()
