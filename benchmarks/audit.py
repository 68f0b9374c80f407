"""How long an audit takes, the searches for moved and for edited copies apart: 100,000 images of
28×28, Fashion-MNIST, the embedded set; the search of neighbours beside a rival.

    python benchmarks/audit.py [--threads 2] [--fashion-mnist FOLDER]

Images are sums of random waves, in ten classes. The rival is scikit-learn's brute force, on the
same small versions, in turn with ours. Wall and processor seconds are both kept: on a busy machine
only the latter mean something. The result goes to benchmarks/results/audit.json, after each set.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from spikeduel import data
from spikeduel.auditing import edited, examining, moved
from spikeduel.auditing.neighbours import closest, small_grey
from spikeduel.data import Prepared, Preprocessing
from spikeduel.data.audited import audit_input
from spikeduel.settings import Experiment
from spikeduel.system.progress import Progress

RESULT = Path(__file__).parent / "results" / "audit.json"
NUM_QUERIES = 4000
ROUNDS = 3


def waves(count: int) -> Prepared:
    """`count` smooth images, 28×28, with a tenth each for validation and test."""
    random = np.random.default_rng(0)
    grid = np.linspace(0, 2 * np.pi, 28)
    images = np.zeros((count, 28, 28), dtype=np.float32)
    for _ in range(4):
        frequency, phase = (
            random.uniform(0.5, 3, (count, 2, 1)),
            random.uniform(0, 6, (count, 2, 1)),
        )
        x, y = (np.sin(frequency[:, k] * grid + phase[:, k]).astype(np.float32) for k in range(2))
        images += x[:, :, None] * y[:, None, :]
    pixels = (127.5 + 31 * images).clip(0, 255).astype(np.uint8)[:, None]
    official = np.repeat(
        np.array([0, 1, 2], dtype=np.uint8), [count - 2 * (count // 10), count // 10, count // 10]
    )
    return Prepared(
        name="waves", images=pixels, labels=np.arange(count) % 10, classes=tuple("0123456789"),
        preprocessing=Preprocessing(1, 28, 28), groups=None, official=official, samples=[], fingerprint="waves",
    )  # fmt: skip


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds on the wall and on the processors."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }


def against_scikit_learn(prepared: Prepared) -> dict[str, Any]:
    """The nearest of 80,000 for 4,000 queries, in turn."""
    from sklearn.neighbors import NearestNeighbors

    small = small_grey(prepared.pictures)
    references, queries = small[:80_000], small[-NUM_QUERIES:]
    brute = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(references.numpy())
    ours, theirs, same = [], [], 0.0
    for _ in range(ROUNDS):
        found: list[Any] = []
        ours.append(timed(lambda: found.append(closest(queries, references))))  # noqa: B023
        theirs.append(timed(lambda: found.append(brute.kneighbors(queries.numpy()))))  # noqa: B023
        same = float((found[0].nearest == found[1][1][:, 0]).mean())
    return {
        "queries": NUM_QUERIES,
        "references": 80_000,
        "ours": ours,
        "scikit_learn": theirs,
        "same_neighbour": same,
    }


def audit_of(prepared: Prepared) -> dict[str, Any]:
    """Time an audit, and its searches for moved and for edited copies."""
    parts: dict[str, Any] = {}

    def within(search: Callable[..., Any], name: str) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            found: list[Any] = []
            parts[name] = timed(lambda: found.append(search(*arguments)))
            return found[0]

        return run

    split = data.split(prepared, Experiment())
    asked = audit_input(Experiment(), prepared, split, None, Progress())
    searches = {"of_which_moved_copies": moved, "of_which_edited_copies": edited}
    with ExitStack() as stack:
        for name, module in searches.items():
            searching = within(module.search, name)
            stack.enter_context(mock.patch.object(module, "search", searching))
        whole = timed(lambda: examining.examine(asked))
    return {"shape": list(prepared.image_shape), **whole, **parts}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fashion-mnist", help="folder with the data")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = {
        "threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(), "load_average": os.getloadavg()[0],
    }  # fmt: skip
    measured: dict[str, Any] = {
        "rows": [],
        "search": against_scikit_learn(waves(100_000)),
        "machine": machine,
    }
    print(json.dumps(measured["search"]), flush=True)
    clothes = Experiment(dataset="fashion-mnist", data_dir=options.fashion_mnist)
    sets: dict[str, Callable[[], Prepared]] = {
        "fashion-mnist-mini": lambda: data.load(Experiment()),
        "100,000 waves": lambda: waves(100_000),
        "fashion-mnist": lambda: data.load(clothes),
    }
    for name, load in sets.items():
        measured["rows"].append({"images": name, **audit_of(load())})
        print(measured["rows"][-1], flush=True)
        RESULT.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
