"""Compare the numbers of this tree with those of another commit, bit for bit.

    python -m benchmarks.reliability.same_numbers --base REV [--only NAME ...] [--keep FOLDER]

Run COMMANDS with one thread, once with the source of REV and once with this tree's. Compare the
answers to all test images, the weights of all models, the losses, scores, operations and energies
of all trials, and the difference, interval and p-value of all pairs. Print each kind of number
that differs, with an example. Leave this for a change that is meant to leave numbers alone; it
takes some minutes.
"""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from benchmarks import shared
from spikeduel.system.grouped import grouped

TINY = "--limit 300 --epochs 2 --width 4 --batch-size 64"
DENSE = "--limit 300 --epochs 2 --hidden 16 --num-steps 3 --batch-size 64"
TWINS = "--contender vgg-lif --contender vgg-relu"
COMMANDS = {
    "baseline": f"compare digits --recipe baseline {DENSE}",
    "seeds": f"compare digits --recipe baseline {DENSE} --seeds 3",
    "robustness": f"compare digits {TWINS} {TINY} --robustness",
    "three": f"compare digits {TINY}",
    "optimism": f"compare digits {TWINS} {TINY} --optimism",
    "ablations": f"compare digits --contender conv-lif --contender conv-relu {DENSE} --ablations",
    "convert": f"compare digits --contender conv-relu --contender conv-lif {DENSE} --convert 32",
    "folds": f"compare digits --recipe baseline {DENSE} --folds 3",
    "folder": f"compare pictures {TWINS} {TINY} --group-by '(p[0-9]+)_'",
    "group folds": f"compare pictures --recipe baseline {DENSE} --group-by '(p[0-9]+)_' --folds 2",
    "tuned": f"compare digits --recipe baseline {DENSE} --tune 3",
    "rate": f"compare digits --recipe baseline {DENSE} --encoding rate",
    "latency": f"compare digits --recipe baseline {DENSE} --encoding latency",
    "neurons": f"compare digits {TWINS} {TINY} --neuron plif --reset-mechanism zero",
    "adaptive": f"compare digits --recipe baseline {DENSE} --neuron alif --surrogate sigmoid",
    "bf16": f"compare digits {TWINS} {TINY} --precision bf16",
    "foreign": f"compare digits --contender nets:plain --contender dense-lif {DENSE}",
    "augmented": f"compare digits {TWINS} {TINY} --augmentation translate-flip-cutout "
    "--dropout 0.2 --optimizer adamw",
    "embedded": "compare --limit 300 --epochs 1 --width 4",
    "recordings": f"compare recordings --recipe events --contender vgg-lif --contender vgg-relu "
    f"{TINY}",
}
"""Arguments of `spikeduel`, by the name of the case; a case writes into a folder of its name."""
NETS = """
from torch import nn

def plain(image_shape, num_classes):
    size = image_shape[0] * image_shape[1] * image_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), nn.Linear(16, num_classes))
"""


def main() -> None:
    parser = shared.parser(__doc__, only=COMMANDS)
    parser.add_argument("--base", required=True, help="a commit of this repository")
    parser.add_argument("--keep", type=Path, help="folder for the runs; those of REV are reused")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    base = folder / "base"
    if not (folder / "tree").exists():
        folder.mkdir(parents=True, exist_ok=True)
        git = ["git", "-C", str(shared.ROOT), "worktree", "add", "--detach", "-f"]
        subprocess.run([*git, str(folder / "tree"), options.base], check=True)
    differing = 0
    for name in options.only:
        before = base / f"{name}.json"
        if not before.exists():
            before.parent.mkdir(parents=True, exist_ok=True)
            before.write_text(json.dumps(numbers(name, folder / "tree" / "src", base)))
        old = json.loads(before.read_text())
        new = json.loads(json.dumps(numbers(name, shared.ROOT / "src", folder / "now")))
        differences, rounded = compared(old, new)
        lacking = flat(old).keys() ^ flat(new).keys()
        differing += bool(differences or rounded)
        print(
            f"{name}: {len(flat(old)):,} numbers, {len(differences)} differ, {len(rounded)} in the "
            f"last digits alone; {len(lacking)} stand on one side alone",
            flush=True,
        )
        kinds = grouped(
            (re.sub(r"\d+", "#", line.partition(": ")[0]), line) for line in differences
        )
        for lines in kinds.values():
            print(f"    {len(lines)} such as {lines[0]}")
    sys.exit(1 if differing else 0)


def numbers(name: str, source: Path, folder: Path) -> dict[str, Any]:
    """Run the case `name` with the package in `source`, and return its numbers."""
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    (work / "nets.py").write_text(NETS)
    write_pictures(work / "pictures")
    write_recordings(work / "recordings")
    environment = {**os.environ, "PYTHONPATH": f"{source}:{work}", "OMP_NUM_THREADS": "1"}
    environment["SPIKEDUEL_CACHE"] = str(work / "cache")
    own = " --own-code nets:plain" if "nets:" in COMMANDS[name] else ""
    arguments = f"{COMMANDS[name]}{own} --threads 1 --out run --store store"
    command = f"{sys.executable} -m spikeduel {arguments}"
    done = subprocess.run(command, shell=True, cwd=work, env=environment, capture_output=True)
    if done.returncode:
        raise SystemExit(
            f"{name} failed with "
            f"{source}:\n{done.stdout.decode()[-800:]}{done.stderr.decode()[-1500:]}"
        )
    return {
        "results": of_results(json.loads((work / "run" / "results.json").read_text())),
        "predictions": json.loads((work / "run" / "predictions.json").read_text()),
        "models": {
            path.stem: {
                tensor: hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
                for tensor, value in load_file(path).items()
            }
            for path in sorted((work / "run" / "models").glob("*.safetensors"))
        },
    }


def of_results(results: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of results.json that a training decides, none of them a time."""
    trials = {}
    for trial in results["trials"]:
        kept = {
            name: trial.get(name)
            for name in (
                "parameters",
                "epochs",
                "test",
                "validation",
                "operations",
                "energy",
                "anytime",
                "robustness",
            )
        }
        kept["history"] = [
            {key: value for key, value in epoch.items() if "second" not in key}
            for epoch in trial.get("history") or []
        ]
        trials[f"{trial['contender']} {trial['seed']} {trial.get('fold')}"] = kept
    pairs = {
        f"{pair['a']} {pair['b']}": {
            name: pair.get(name)
            for name in ("difference", "ci95", "ci90", "p_value", "detectable", "conclusion")
        }
        for pair in results["comparison"]["pairs"]
    }
    return {"trials": trials, "pairs": pairs}


def flat(document: Any, path: str = "") -> dict[str, Any]:
    """Return every value of a JSON document by its path."""
    if isinstance(document, dict):
        entries = [(str(key), value) for key, value in document.items()]
    elif isinstance(document, list):
        entries = [(str(index), value) for index, value in enumerate(document)]
    else:
        return {path: document}
    return {k: v for key, value in entries for k, v in flat(value, f"{path}/{key}").items()}


def compared(old: Any, new: Any) -> tuple[list[str], list[str]]:
    """Return a line for each value that differs, and for each that differs by rounding alone (by
    less than 1e-7 of it).
    """
    before, after = flat(old), flat(new)
    differences: list[str] = []
    rounded: list[str] = []
    for path, value in before.items():
        if path in after and after[path] != value:
            are_floats = isinstance(value, float) and isinstance(after[path], float)
            close = are_floats and math.isclose(value, after[path], rel_tol=1e-7)
            (rounded if close else differences).append(f"{path}: {value!r} -> {after[path]!r}")
    return differences, rounded


def write_pictures(folder: Path) -> None:
    """Write 120 pictures of three classes by twelve persons: noise with a bright bar."""
    if folder.exists():
        return
    random = np.random.default_rng(0)
    for index in range(120):
        label = index % 3
        pixels = random.integers(0, 90, (20, 24), dtype=np.uint8)
        pixels[4 + 5 * label : 8 + 5 * label, 3:21] += 120
        path = folder / "abc"[label] / f"p{index // 10}_{index}.png"
        shared.write_image(path, pixels)


def write_recordings(folder: Path) -> None:
    """Write 90 recordings of two classes as N-MNIST's files: dots that move right, or left."""
    if folder.exists():
        return
    random = np.random.default_rng(1)
    for index in range(90):
        label = index % 2
        times = np.sort(random.integers(0, 100_000, 800)).astype(np.uint32)
        across = (times / 100_000 * 24).astype(np.int64) + random.integers(0, 6, 800)
        x = (across if label else 33 - across).clip(0, 33).astype(np.uint32)
        y = random.integers(8, 26, 800).astype(np.uint32)
        polarity = random.integers(0, 2, 800).astype(np.uint32)
        events = np.stack(
            [x, y, polarity << 7 | times >> 16, times >> 8 & 255, times & 255], axis=1
        ).astype(np.uint8)
        path = folder / ("left", "right")[label] / f"{index}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(events.tobytes())


if __name__ == "__main__":
    main()
