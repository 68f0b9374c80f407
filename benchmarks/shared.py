"""Share what benchmarks repeat: folders, command lines, results files, timing, processes of their
own, and trained networks.

Nothing but the standard library is imported until a function needs it: some benchmarks time the
imports, or run without torch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikeduel.data import Prepared, Split
    from spikeduel.engine.networks.models import Model
    from spikeduel.experiment.settings import Experiment
    from spikeduel.training.contenders import Trial
    from spikeduel.training.outcomes import TrialOutcome

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"


def parser(description: str | None, *positional: str, **defaults: Any) -> argparse.ArgumentParser:
    """Return a parser of the command line whose help begins with a module's docstring.

    `positional` arguments are texts. `defaults` are options: a value of `--data-dir` is given as
    `data_dir`. A default decides the type; False is a flag, a list takes several values, a dict some
    of its keys, by default all, and a type in place of a default stands for None.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    made = argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec else None,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in positional:
        made.add_argument(name)
    for name, default in defaults.items():
        option = f"--{name.replace('_', '-')}"
        if default is False:
            made.add_argument(option, action="store_true")
        elif isinstance(default, type):
            made.add_argument(option, type=default)
        elif isinstance(default, dict):
            names = list(default)
            made.add_argument(option, nargs="+", choices=names, default=names)
        elif isinstance(default, list):
            kind = type(default[0]) if default else str
            made.add_argument(option, nargs="*", type=kind, default=default)
        else:
            made.add_argument(option, type=type(default), default=default)
    return made


def pairs(arguments: list[str]) -> dict[str, str]:
    """Return the values of arguments NAME=VALUE by name."""
    return dict(argument.split("=", 1) for argument in arguments)


def read(name: str, default: Any = None) -> Any:
    """Return the content of a results file, or `default` if it is missing and a default is
    given.
    """
    path = RESULTS / name
    if default is not None and not path.is_file():
        return default
    return json.loads(path.read_text(encoding="utf-8"))


def write(name: str, document: Mapping[str, Any], as_it_is: bool = False) -> None:
    """Write a results file, with the time and the machine unless `as_it_is`, and print its path.
    Raises ValueError for NaN.
    """
    from spikeduel.system import typed

    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {} if as_it_is else {"created": now, "environment": environment()}
    typed.write_json(RESULTS / name, {**document, **about})
    print(RESULTS / name, flush=True)


def environment() -> dict[str, Any]:
    """Return versions, processor, threads and load of this machine."""
    from spikeduel.system import hardware, load

    return {**hardware.environment(hardware.resolve()), "load": load.load_average()}


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each work in each round. Works take turns, every other round in
    reverse; a first round is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works)[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            works[name]()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the ratios of two works that took turns, paired by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


_CALL = """
import importlib, json, sys
module, name, arguments = sys.argv[1:]
function = getattr(importlib.import_module(module), name)
print(json.dumps(function(*json.loads(arguments))))
"""


def command(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """Return the command that calls a function of a module in a process of its own, which prints
    the result as JSON.
    """
    module = function.__module__
    if module == "__main__":
        module = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    return [sys.executable, "-c", _CALL, module, function.__name__, json.dumps(arguments)]


def surroundings(**changes: str) -> dict[str, str]:
    """Return the environment of such a process, with changes, for any current folder."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **changes}


def apart(words: list[str], folder: Path | None = None, **changes: str) -> Any:
    """Run a `command`, and return what its function returns. `changes` are of the environment."""
    done = subprocess.run(
        words, cwd=folder, env=surroundings(**changes), stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


class TooSlow(BaseException):
    """Not an Exception, so that no code that is tried takes it for an error."""


def too_slow(*_: Any) -> None:
    """Raise `TooSlow`, as the handler of a signal."""
    raise TooSlow


def memory_of(process: int | str = "self") -> int:
    """Return the bytes of a process that are no pages of a file; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def write_image(path: Path, pixels: Any, **options: Any) -> None:
    """Write pixels uint8 `[H, W]` or `[H, W, 3]` as an image file, with its folder."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def loaded(experiment: "Experiment") -> "tuple[Prepared, Split]":
    """Return an experiment's data, and the split of its first fold."""
    from spikeduel import data

    prepared = data.load(experiment)
    return prepared, data.split(prepared, experiment)


def trials_of(experiment: "Experiment") -> "tuple[Prepared, Split, list[Trial]]":
    """Return an experiment's data, split, and trials."""
    from spikeduel.training import contenders

    prepared, split = loaded(experiment)
    return prepared, split, contenders.trials_of(experiment, prepared, split)


def untrained(trial: "Trial") -> "Model":
    """Return the network of a trial, with random weights."""
    from spikeduel.engine.networks import building
    from spikeduel.engine.networks.models import Model

    return Model(building.build(trial.card), trial.card, trial.card.precision)


def train(model: "Model", prepared: "Prepared", split: "Split", experiment: "Experiment") -> Any:
    """Train a network by an experiment's rules, without a store; return its `Training`."""
    from spikeduel.system.progress import Progress
    from spikeduel.training.contenders import relu_epochs
    from spikeduel.training.training import Loop

    epochs = relu_epochs(model.module, experiment)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        loop = Loop(model, *prepared.arrays, split, experiment, checkpoint, Progress(), epochs)
        return loop.run()


def fitted(experiment: "Experiment", prepared: "Prepared", split: "Split", store: Any) -> Any:
    """Return the experiment with the settings that `compare` decides before training."""
    from spikeduel.system.progress import TerminalProgress
    from spikeduel.training import auto_settings

    progress = TerminalProgress(stderr=True)
    return auto_settings.resolve(experiment, prepared, split, store, progress).experiment


def finished(
    trials: "Iterable[Trial]", prepared: "Prepared", store: Any, test: bool = True
) -> "list[TrialOutcome]":
    """Train what the store lacks of trials, and return their records and measures."""
    from spikeduel.system.progress import TerminalProgress
    from spikeduel.training import trial
    from spikeduel.training.jobs import Job, Workers
    from spikeduel.training.outcomes import TrialOutcome

    planned, progress = list(trials), TerminalProgress(stderr=True)
    records = Workers().run([Job(each, prepared, progress, test=test) for each in planned], store)
    measured = [trial.measured(each, store) for each in planned]
    return list(map(TrialOutcome, records, measured))


def markdown(heads: Iterable[object], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a table."""
    titles = list(heads)
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (titles, *rows)]
    return [lines[0], "|---" * len(titles) + "|", *lines[1:]]
