"""How long the first run takes, in training and outside of it, and how much memory it needs:
`spikeduel compare`, in an empty folder, nothing cached; then the same again, which trains nothing,
and the label of one image.

    python -m benchmarks.speed.first_run [FOLDER]

Run it on an idle machine. The result goes to benchmarks/results/first-run.json, the run itself to
FOLDER, if one is named. `python tools/draw_docs.py FOLDER/runs/RUN/report.html` makes the README's
picture of it.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import shared

BEGINS = "Training takes"
"""Start of the line before the first training."""


class Timed:
    """Output of a command, its seconds, and those before its first training (None: no training)."""

    def __init__(self, folder: str, *arguments: str) -> None:
        environment = shared.surroundings(
            SPIKEDUEL_CACHE=f"{folder}/cache", NUMBA_CACHE_DIR=f"{folder}/numba"
        )
        for name in ("SPIKEDUEL_STORE", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "spikeduel", *arguments]
        self.before: float | None = None
        started = time.perf_counter()
        with (
            tempfile.TemporaryFile("w+") as output,
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            for line in process.stderr or ():
                print(f"{time.perf_counter() - started:6.1f} s  {line.rstrip()}")
                if line.startswith(BEGINS):
                    self.before = time.perf_counter() - started
            process.wait()
            self.seconds = time.perf_counter() - started
            output.seek(0)
            self.output = output.read()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")


def main() -> None:
    parser = shared.parser(__doc__)
    parser.add_argument("kept", nargs="?", metavar="FOLDER", help="where the run is kept")
    kept = parser.parse_args().kept
    with tempfile.TemporaryDirectory() as folder:
        first = Timed(folder, "compare", "--json")
        peak_memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        again = Timed(folder, "compare", "--json")
        pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
        shared.write_image(Path(folder) / "image.png", pixels)
        predicted = Timed(folder, "predict", "fashion-mnist-vgg-lif", "image.png")
        if kept:
            shutil.copytree(Path(folder) / "runs", Path(kept) / "runs")
    results = json.loads(first.output)
    training = sum(sum(trial["epoch_seconds"]) for trial in results["trials"])
    before = first.before or 0.0
    measured = {
        "command": "spikeduel compare",
        "seconds": round(first.seconds, 1),
        "before_training_seconds": round(before, 1),
        "training_seconds": round(training, 1),
        "after_seconds": round(first.seconds - before - training, 1),
        "again_seconds": round(again.seconds, 1),
        "predict_seconds": round(predicted.seconds, 1),
        "peak_memory_bytes": peak_memory,
        "recommendation": results["comparison"]["recommendation"],
        "trials": [
            {name: trial[name] for name in ("contender", "epochs", "epoch_seconds")}
            | {"accuracy": trial["test"]["accuracy"]}
            for trial in results["trials"]
        ],
    }
    shared.write("first-run.json", measured)


if __name__ == "__main__":
    main()
