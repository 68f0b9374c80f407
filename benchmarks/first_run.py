"""How long the first run takes and how much memory it needs: `spikeduel compare`, in an empty
folder, nothing cached.

    python benchmarks/first_run.py [FOLDER]

Run it on an idle machine. The result goes to benchmarks/results/first-run.json, the run itself to
FOLDER, if one is named. `python tools/draw_docs.py FOLDER/runs/RUN/report.html` makes the README's
picture of it.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "first-run.json"


def main(kept: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "SPIKEDUEL_CACHE": f"{folder}/cache",
            "NUMBA_CACHE_DIR": f"{folder}/numba",
        }
        environment.pop("SPIKEDUEL_STORE", None)
        started = time.perf_counter()
        command = [sys.executable, "-m", "spikeduel", "compare", "--json"]
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True
        )
        seconds = time.perf_counter() - started
        if kept:
            shutil.copytree(Path(folder) / "runs", Path(kept) / "runs")
    results = json.loads(done.stdout)
    measured = {
        "command": "spikeduel compare",
        "seconds": round(seconds, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        "environment": results["environment"],
        "answer": results["comparison"]["answer"],
        "trials": [
            {name: trial[name] for name in ("contender", "epochs", "epoch_seconds")}
            | {"accuracy": trial["test"]["accuracy"]}
            for trial in results["trials"]
        ],
    }
    RESULT.write_text(json.dumps(measured, indent=1) + "\n")
    print(f"{measured['seconds']} s, {measured['peak_memory_bytes'] / 1e9:.2f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
