"""Whether anything is lost when a comparison is killed: `kill -9` at random moments of every stage,
and once more.

    python -m benchmarks.reliability.kill [--kills 3] [--limit 400]

The embedded set, written as a folder of pictures so that there is something to prepare, both
contenders, three epochs. Each run has a store and a cache of its own, is killed from outside, a
random time after a stage began, and started again. Then the numbers of results.json
(`same_numbers`) and the models' bytes must be those of a run that nobody killed. Results go to
benchmarks/results/kill.json: how many kills hit which stage, and how many runs ended in the same
numbers.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import shared
from benchmarks.reliability.same_numbers import of_results
from spikeduel import comparing, data
from spikeduel.data import catalogue
from spikeduel.engine.networks import models
from spikeduel.experiment.recipes import baseline
from spikeduel.experiment.settings import Experiment
from spikeduel.training import run_folder, training, trial
from spikeduel.training.training import Loop

RESULT = "kill.json"
SETTINGS: dict[str, Any] = {
    "hidden": 64,
    "num_steps": 5,
    "epochs": 3,
    "learning_rate": 1e-3,
    "device": "cpu",
}
EPOCHS = ("first epoch", "middle epoch", "last epoch")
STAGES = (
    "preparing data",
    *EPOCHS,
    "writing a checkpoint",
    "saving a model",
    "measuring",
    "writing results",
    "report",
)


def main() -> None:
    parser = shared.parser(__doc__, kills=3, limit=400)
    options = parser.parse_args()
    # Each attempt is a fork of this process, and GNU OpenMP's threads do not survive one.
    torch.set_num_threads(1)
    numbers = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "pictures")
        experiment = baseline(str(folder / "pictures"), limit=options.limit, **SETTINGS)
        # What is loaded here, every attempt has: each is a fork of this process.
        comparing.compare(experiment, folder / "warm" / "out", folder / "warm" / "store")
        whole = attempt(experiment, folder / "whole")
        kills: list[dict[str, Any]] = []
        for stage in STAGES:
            # The figures are most of the time, and come when all else is on disk.
            with_report = stage == STAGES[-1]
            for _ in range(options.kills):
                case = folder / str(len(kills))
                begun = [seconds for name, seconds in whole["stages"] if name == stage]
                # The report asks for the data as well, when they are prepared.
                occurrence = 0 if stage == STAGES[0] else numbers.randrange(len(begun))
                delay = numbers.uniform(0, begun[occurrence])
                killed = attempt(experiment, case, (stage, occurrence, delay), with_report)
                again = attempt(experiment, case, report=with_report)
                same = (again["numbers"], again["models"]) == (whole["numbers"], whole["models"])
                kills.append({"aimed": stage, "delay": delay, "hit": killed["hit"], "same": same})
                print(
                    f"{stage}, after {delay:.3f} s: killed in {killed['hit']}, "
                    f"{'same' if same else 'OTHER'} numbers"
                )
    found = {
        "settings": {**SETTINGS, "limit": options.limit},
        "kills": len(kills),
        "same": sum(kill["same"] for kill in kills),
        "hit": dict(Counter(kill["hit"] for kill in kills)),
        "each": kills,
    }
    shared.write(RESULT, found)
    print(f"{found['same']} of {found['kills']} ended in the same numbers; hit: {found['hit']}")
    sys.exit(found["same"] != found["kills"])


def write_pictures(folder: Path) -> None:
    embedded = data.load(Experiment(dataset="fashion-mnist-mini"))
    for number in range(0, len(embedded), 4):
        path = (
            folder
            / embedded.classes[int(embedded.labels[number])].replace("/", "-")
            / f"{number:05}.png"
        )
        shared.write_image(path, embedded.images[number][0])


def attempt(
    experiment: Experiment,
    folder: Path,
    kill: tuple[str, int, float] | None = None,
    report: bool = True,
) -> dict[str, Any]:
    """The comparison in a process of its own, which is killed so many seconds after that occurrence
    of that stage.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.environ["SPIKEDUEL_CACHE"] = str(folder / "cache")
            if not report:
                setattr(comparing, "report", lambda *_, **__: None)  # noqa: B010
            announce_stages(os.fdopen(writing, "w", buffering=1).write)
            comparing.compare(experiment, folder / "out", folder / "store")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    stages: list[tuple[str, float]] = []
    open_stages: list[tuple[str, float]] = []
    begun: Counter[str] = Counter()
    with os.fdopen(reading) as told:
        for line in told:
            what, stage = line.rstrip("\n").split(" ", 1)
            if what == "ends":
                name, started = open_stages.pop()
                stages.append((name, time.perf_counter() - started))
                continue
            open_stages.append((stage, time.perf_counter()))
            if kill is not None and kill[:2] == (stage, begun[stage]):
                time.sleep(kill[2])
                os.kill(child, signal.SIGKILL)
            begun[stage] += 1
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if kill is None and code:
        raise SystemExit(f"a run that nobody killed ended with {code}")
    results = folder / "out" / "results.json"
    return {
        "code": code,
        "stages": stages,
        "hit": open_stages[-1][0] if open_stages else "between stages",
        "numbers": of_results(json.loads(results.read_text())) if kill is None else None,
        "models": {
            path.name: path.read_bytes()
            for path in (folder / "out" / "models").glob("*.safetensors")
        },
    }


def announce_stages(tell: Callable[[str], Any]) -> None:
    """Has this process tell the begin and end of every stage."""

    def told(stage: str | Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
        def telling(*arguments: Any, **settings: Any) -> Any:
            name = stage if isinstance(stage, str) else stage(*arguments)
            tell(f"begins {name}\n")
            found = function(*arguments, **settings)
            tell(f"ends {name}\n")
            return found

        return telling

    replaced: list[tuple[Any, str, str | Callable[..., str]]] = [
        (catalogue.cache, "fetch", "preparing data"),
        (Loop, "_epoch", lambda loop, epoch, *_: EPOCHS[epoch]),
        (training, "write_checkpoint", "writing a checkpoint"),
        (models, "save_model", "saving a model"),
        (trial, "_measure", "measuring"),
        (run_folder, "write", "writing results"),
        (comparing, "report", "report"),
    ]
    for owner, name, stage in replaced:
        setattr(owner, name, told(stage, getattr(owner, name)))


if __name__ == "__main__":
    main()
