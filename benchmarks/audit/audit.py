"""How long an audit takes, the searches for moved and for edited copies apart: 100,000 images of
28×28, Fashion-MNIST, the embedded set.

    python -m benchmarks.audit.audit [--threads 2] [--fashion-mnist FOLDER]

Images are sums of random waves, in ten classes. Wall and processor seconds are both
kept: on a busy machine only the latter mean something. The result goes to benchmarks/results/audit.json, after each set.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks import shared
from spikeduel import data
from spikeduel.auditing import edited, examining, moved
from spikeduel.data import Prepared, Preprocessing
from spikeduel.data.audited import audit_input
from spikeduel.experiment.settings import Experiment
from spikeduel.system.progress import Progress

RESULT = "audit.json"


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


def audit_of(prepared: Prepared) -> dict[str, Any]:
    """Time an audit, and its searches for moved and for edited copies."""
    parts: dict[str, Any] = {}

    def within(search: Callable[..., Any], name: str) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            found: list[Any] = []
            parts[name] = shared.timed(lambda: found.append(search(*arguments)))
            return found[0]

        return run

    split = data.split(prepared, Experiment())
    asked = audit_input(Experiment(), prepared, split, None, Progress())
    searches = {"of_which_moved_copies": moved, "of_which_edited_copies": edited}
    with ExitStack() as stack:
        for name, module in searches.items():
            searching = within(module.search, name)
            stack.enter_context(mock.patch.object(module, "search", searching))
        whole = shared.timed(lambda: examining.examine(asked))
    return {"shape": list(prepared.image_shape), **whole, **parts}


def main() -> None:
    parser = shared.parser(__doc__, threads=2, fashion_mnist=str)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    clothes = Experiment(dataset="fashion-mnist", data_dir=options.fashion_mnist)
    sets: dict[str, Callable[[], Prepared]] = {
        "fashion-mnist-mini": lambda: data.load(Experiment()),
        "100,000 waves": lambda: waves(100_000),
        "fashion-mnist": lambda: data.load(clothes),
    }
    for name, load in sets.items():
        rows.append({"images": name, **audit_of(load())})
        print(rows[-1], flush=True)
        shared.write(RESULT, {"rows": rows})


if __name__ == "__main__":
    main()
