"""How long an audit takes: 100,000 images of 28×28, Fashion-MNIST's size, the embedded set; the
search beside a rival.

The search for moved copies is timed once more alone.

    python benchmarks/audit.py [--threads 2]

Images are sums of random waves, in ten classes. The rival is scikit-learn's brute force, on the
same small versions, in turn with ours. Wall and processor seconds are both kept: on a busy machine
only the latter mean something. The result goes to benchmarks/results/audit.json.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel import data
from spikeduel.auditing import examining, moved
from spikeduel.auditing.context import AuditContext
from spikeduel.auditing.neighbours import closest, small_grey
from spikeduel.data import Prepared, Preprocessing
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    rows = []
    for name, prepared in (
        ("100,000 waves", waves(100_000)),
        ("70,000 waves", waves(70_000)),
        ("fashion-mnist-mini", data.load(Experiment())),
    ):
        split = data.split(prepared, Experiment())
        context = AuditContext(Experiment(), prepared, split, Progress(), {}, None)
        seconds = timed(lambda: examining._examine(context))  # noqa: B023
        same, shapes = np.arange(len(prepared)), np.empty((0, 2))
        of_moved = timed(lambda: moved.search(prepared.pictures, same, split, Progress(), shapes))  # noqa: B023
        rows.append(
            {
                "images": name,
                "shape": list(prepared.image_shape),
                **seconds,
                "of_which_moved_copies": of_moved,
            }
        )
        print(rows[-1], flush=True)
    measured = {
        "rows": rows,
        "search": against_scikit_learn(waves(100_000)),
        "machine": {
            "threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version(),
            "processor": platform.processor() or platform.machine(), "load_average": os.getloadavg()[0],
        },
    }  # fmt: skip
    RESULT.write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured["search"]))


if __name__ == "__main__":
    main()
