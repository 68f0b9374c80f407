"""A run that is broken at its n-th write, in every place; a process of its own, which the tests
fork.

    python breaking.py FOLDER WAY...    writes FOLDER/found.json

Every attempt is a fork of this process, which has loaded everything, so that an attempt takes
little time. WAY is what happens at the n-th file or folder: `kill` (as by kill -9) or `interrupt`
(Ctrl-C) before it is put in its place, or `full`: from when it is begun nothing can be written (the
system's limit of file sizes, which reaches code of any language).
"""

import contextlib
import gc
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import unittest.mock
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from made_pages import unreported
from made_times import untimed
from spikeduel import comparing
from spikeduel.cli import app
from spikeduel.measuring import latency

SETTINGS = {
    "hidden": 8,
    "num-steps": 2,
    "epochs": 3,
    "batch-size": 8,
    "learning-rate": 0.005,
    "device": "cpu",
}
COMPARE = [
    "compare",
    "../pictures",
    "--contender",
    "dense-snn",
    "--store",
    "store",
    "--out",
    "out",
    "--optimism",
    "--verbose",
]
COMPARE += [part for name, value in SETTINGS.items() for part in (f"--{name}", str(value))]


EVERY = 4
"""Interruptions are tried at every fourth write: they end as a full disk does, by an exception."""
CACHED = 2
"""The first writes: the prepared set and its audit, in the cache. A preparation appends."""


def main(folder: Path, *ways: str) -> None:
    # The figures take seconds, and are drawn from what is on disk by then.
    # A process for each model takes seconds too.
    latency.latency = untimed
    comparing.report = unreported
    # Nobody pulls the plug here: what was written is there, on the disk or not yet.
    os.fsync = lambda descriptor: None
    # What this process holds need not be copied for each attempt.
    gc.freeze()
    write_pictures(folder / "pictures")
    warm_up(folder / "warm")
    whole = attempt(folder / "whole")
    cases: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for way, number in itertools.product(ways, range(len(whole["written"]))):
        if way == "interrupt" and number % EVERY:
            continue
        case = folder / f"{way}-{number}"
        if number >= CACHED:
            shutil.copytree(folder / "whole" / "cache", case / "cache")
        broken = attempt(case, way, number - CACHED if number >= CACHED else number)
        cases[way].append(
            {"at": whole["written"][number], "broken": broken, "again": attempt(case)}
        )
    (folder / "found.json").write_text(json.dumps({"whole": whole, "cases": cases}))


def warm_up(folder: Path) -> None:
    """Loads here, once for all forks, what a run needs."""
    folder.mkdir()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(sys.stderr),
        unittest.mock.patch.dict(os.environ, SPIKEDUEL_CACHE=str(folder / "cache")),
        contextlib.suppress(SystemExit),
    ):
        app(COMPARE)


def write_pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, brightest in (("dark", 120), ("light", 255)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, brightest, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


def attempt(folder: Path, way: str = "", number: int = -1) -> dict[str, Any]:
    """The comparison in `folder`, with its store and cache there: how it ended, what it said and
    what it left.
    """
    folder.mkdir(exist_ok=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for stream in (1, 2):
            os.dup2(writing, stream)
        os.chdir(folder)
        os.environ["SPIKEDUEL_CACHE"] = str(folder / "cache")
        break_at(number, way)
        code = 99
        try:
            app(COMPARE)
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        lines = said.read().splitlines()
    status = os.waitpid(child, 0)[1]
    results = folder / "out" / "results.json"
    return {
        "code": os.waitstatus_to_exitcode(status),
        "said": [line for line in lines if not line.startswith(WROTE)],
        "written": [line.removeprefix(WROTE) for line in lines if line.startswith(WROTE)],
        "results": json.loads(results.read_text()) if results.exists() else None,
        "models": {
            path.name: path.read_bytes().hex()
            for path in (folder / "out" / "models").glob("*.safetensors")
        },
        "left": sorted(str(path.relative_to(folder)) for path in folder.rglob("*.part")),
    }


WROTE = "WROTE "


def break_at(number: int, way: str) -> None:
    put, puts, begins = Path.replace, itertools.count(), itertools.count()

    def replace(self: Path, target: Path) -> Path:
        if next(puts) == number and way != "full":
            os.kill(os.getpid(), signal.SIGKILL if way == "kill" else signal.SIGINT)
        print(f"{WROTE}{Path(target).name}", flush=True)
        return put(self, target)

    def beginning(make: Any) -> Any:
        def begun(*arguments: Any, **settings: Any) -> Any:
            if next(begins) == number and way == "full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return make(*arguments, **settings)

        return begun

    Path.replace = replace
    tempfile.mkstemp, tempfile.mkdtemp = beginning(tempfile.mkstemp), beginning(tempfile.mkdtemp)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
