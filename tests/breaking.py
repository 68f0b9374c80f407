"""A run that is broken at each of its writes; a process of its own, which the tests fork.

    python breaking.py FOLDER WAY...    writes FOLDER/found.json

WAY is what happens at the n-th file or folder: `kill` (as by kill -9) or `interrupt` (Ctrl-C)
before it is put in its place, or `full`: from when it is begun nothing can be written (the system's
limit of file sizes, which reaches code of any language).

One run forks at each write, and the fork breaks: so nothing is computed twice. What it leaves is
started again, in a fork of this process, which has loaded everything.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import typer.main
from PIL import Image

from factories import untimed
from forked import Forked
from made_pages import unreported
from spikeduel import comparing
from spikeduel.cli import app
from spikeduel.evaluation import latency
from spikeduel.features import FEATURES

SETTINGS = {
    "hidden": 8,
    "num-steps": 2,
    "epochs": 2,
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
    "--verbose",
]
COMPARE += ["--optimism"] * ("optimism" in FEATURES)
COMPARE += [part for name, value in SETTINGS.items() for part in (f"--{name}", str(value))]


EVERY = 4
"""Interruptions are tried at every fourth write: they end as a full disk does, by an exception."""
WAYS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
    "full": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY)),
}
WROTE, BROKE = "WROTE ", "BROKE "


def main(folder: Path, *ways: str) -> None:
    # The figures take seconds, and are drawn from what is on disk by then.
    # A process for each model takes seconds too.
    latency.latency = untimed
    comparing.report = unreported
    # Nobody pulls the plug here: what was written is there, on the disk or not yet.
    os.fsync = lambda descriptor: None
    write_pictures(folder / "pictures")
    program = typer.main.get_command(app)
    warm_up(program, folder / "warm")
    # What this process holds need not be copied for each attempt.
    gc.freeze()
    whole = attempt(program, folder / "whole", ways)
    cases: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    output = []
    for line in whole.pop("lines"):
        if not line.startswith(BROKE):
            output.append(line)
            continue
        case = json.loads(line.removeprefix(BROKE))
        case["broken"]["said"] = output + case["broken"]["said"]
        cases[case["way"]].append({**case, "again": attempt(program, folder / case["name"])})
    (folder / "found.json").write_text(json.dumps({"whole": whole, "cases": cases}))


def warm_up(program: Any, folder: Path) -> None:
    """Loads here, once for all forks, what a run needs."""
    folder.mkdir()
    os.environ["SPIKEDUEL_CACHE"] = str(folder / "cache")
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(sys.stderr),
        contextlib.suppress(SystemExit),
    ):
        program(COMPARE)


def write_pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, brightest in (("dark", 120), ("light", 255)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, brightest, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


def attempt(program: Any, folder: Path, ways: tuple[str, ...] = ()) -> dict[str, Any]:
    """The comparison in `folder`, with its store and cache there: how it ended, what it said and
    what it left. A fork of it breaks in each of `ways` at each write.
    """
    folder.mkdir(exist_ok=True)

    def run() -> None:
        os.chdir(folder)
        os.environ["SPIKEDUEL_CACHE"] = str(folder / "cache")
        if ways:
            break_at_each_write(folder, ways)
        program(COMPARE)

    code, lines = Forked(run).ended()
    results = folder / "out" / "results.json"
    return {
        "code": code,
        "lines": lines,
        "said": [line for line in lines if not line.startswith((WROTE, BROKE))],
        "written": [line.removeprefix(WROTE) for line in lines if line.startswith(WROTE)],
        "results": json.loads(results.read_text()) if results.exists() else None,
        "models": {
            path.name: path.read_bytes().hex()
            for path in (folder / "out" / "models").glob("*.safetensors")
        },
        "left": left_in(folder),
    }


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.part"))


def forked(function: Callable[[], None]) -> tuple[int, list[str]]:
    """The exit code and the lines of a fork, which calls `function` and raises `InFork`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for stream in (1, 2):
            os.dup2(writing, stream)
        function()
        raise InFork
    os.close(writing)
    with os.fdopen(reading) as output:
        lines = output.read().splitlines()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lines


class InFork(Exception):
    """This is the fork, which goes on."""


def break_at_each_write(folder: Path, ways: tuple[str, ...]) -> None:
    put, puts, aside, done = Path.replace, itertools.count(), folder.with_name("aside"), []

    def broken(way: str, at: str) -> None:
        if way not in ways or InFork in done:
            return
        sys.stdout.flush()
        shutil.copytree(folder, aside)
        try:
            code, lines = forked(WAYS[way])
        except InFork:
            done.append(InFork)
            return
        # The fork has broken what lay here; here goes on what lay here before.
        name = f"{way}-{len(done)}"
        done.append(name)
        folder.rename(folder.with_name(name))
        aside.rename(folder)
        os.chdir(folder)
        broken_run = {"code": code, "said": lines, "left": left_in(folder.with_name(name))}
        print(
            BROKE + json.dumps({"name": name, "way": way, "at": at, "broken": broken_run}),
            flush=True,
        )

    def replace(self: Path, target: Path) -> Path:
        at = Path(target).name
        if next(puts) % EVERY == 0:
            broken("interrupt", at)
        broken("kill", at)
        print(f"{WROTE}{at}", flush=True)
        return put(self, target)

    def beginning(make: Any) -> Any:
        def begun(self: Path, *arguments: Any, **settings: Any) -> Any:
            if self.suffix == ".part":
                broken("full", self.name.strip(".").rsplit(".", 2)[0])
            return make(self, *arguments, **settings)

        return begun

    Path.replace = replace
    Path.touch, Path.mkdir = beginning(Path.touch), beginning(Path.mkdir)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
