"""Is the default as good as a CNN written in ten minutes? Both get the same minutes on the same
split.

    python -m benchmarks.records.rival DATASET [--data-dir PATH] [--minutes M] [--folds K] [--limit N]
    [--group-by …] [--flip]

The rival is plain PyTorch: five convolutions with batch norm, AdamW, one cycle, shifts and, with
`--flip`, mirror images, in float32. It trains as long as the duel's CNN did, by its own measured
step, and is asked once, at its end. The result goes to benchmarks/results/rival.json, beside those
of other sets, and from there to docs/records.md (`records.py --write`). Run it on an idle machine.
"""

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import shared
from spikeduel import data
from spikeduel.comparing import compare
from spikeduel.data import Prepared, Split
from spikeduel.experiment.recipes import strong
from spikeduel.system.progress import TerminalProgress

RESULT = "rival.json"
CHANNELS = (32, 32, 64, 64, 128)
POOLED = (32, 64)
"""The sides above which the image is halved after the first, and after the third convolution."""
TIMED = 10


def network(channels: int, num_classes: int, side: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, after in enumerate(CHANNELS):
        layers += [
            nn.Conv2d(channels, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        if (
            number in (1, 3)
            or (number == 0 and side > POOLED[0])
            or (number == 2 and side > POOLED[1])
        ):
            layers.append(nn.MaxPool2d(2))
        channels = after
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
    )


def moved(images: Tensor, generator: np.random.Generator, flip: bool) -> Tensor:
    """Each image moved by up to 2 pixels, or a sixteenth of its side, and mirrored half of the
    time.
    """
    side, way = images.shape[-1], max(2, images.shape[-1] // 16)
    padded = F.pad(images, (way,) * 4)
    places = generator.integers(0, 2 * way + 1, (len(images), 2))
    out = torch.stack(
        [each[:, y : y + side, x : x + side] for each, (y, x) in zip(padded, places, strict=True)]
    )
    mirrored = torch.from_numpy(generator.random(len(images)) < 0.5)
    return torch.where(mirrored[:, None, None, None], out.flip(3), out) if flip else out


def rival(prepared: Prepared, split: Split, seconds: float, flip: bool) -> dict[str, Any]:
    """Trains it for about as many `seconds`, the time of its first steps included."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    images = torch.from_numpy(np.array(prepared.images)).float() / 255
    labels = torch.from_numpy(np.array(prepared.labels))
    batch_size = 128 if len(split.train) >= 10_000 else 32
    batches_an_epoch = math.ceil(len(split.train) / batch_size)

    def batches() -> Any:
        while True:
            order = generator.permutation(split.train)
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                yield moved(images[chosen], generator, flip), labels[chosen]

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = network(images.shape[1], len(prepared.classes), min(images.shape[2:]))
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net, torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)

    started = time.perf_counter()
    stream, (net, optimizer), taken = batches(), fresh(), []
    for _ in range(TIMED):
        now = time.perf_counter()
        step(net, optimizer, *next(stream))
        taken.append(time.perf_counter() - now)
    num_steps = max(batches_an_epoch, int(seconds / statistics.median(taken)))
    net, optimizer = fresh()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=num_steps)
    for _ in range(num_steps):
        step(net, optimizer, *next(stream))
        schedule.step()
    trained = time.perf_counter() - started
    net.eval()
    with torch.no_grad():
        answers = torch.cat(
            [
                net(images[part]).argmax(1)
                for part in np.array_split(split.test, 1 + len(split.test) // 256)
            ]
        )
    right = int((answers == labels[split.test]).sum())
    return {
        "right": right,
        "n": len(split.test),
        "seconds": trained,
        "epochs": num_steps / batches_an_epoch,
        "parameters": sum(each.numel() for each in net.parameters()),
    }


def main() -> None:
    parser = shared.parser(
        __doc__,
        "dataset",
        name=str,
        data_dir=str,
        minutes=float,
        folds=int,
        limit=int,
        group_by=str,
        flip=False,
        runs=Path("runs/rival"),
    )
    measure(parser.parse_args())


def measure(options: argparse.Namespace) -> None:
    given = {
        name: getattr(options, name)
        for name in ("data_dir", "minutes", "folds", "limit", "group_by")
    }
    experiment = strong(
        options.dataset, **{name: value for name, value in given.items() if value is not None}
    )
    name = options.name or Path(options.dataset).name
    comparison = compare(
        experiment, options.runs / name, options.runs / "store", TerminalProgress(stderr=True)
    )
    results, prepared = comparison.results, data.load(experiment)
    tested = {
        contender: [trial for trial in results.of(contender) if trial.test]
        for contender in results.contenders
    }
    seconds = statistics.fmean(sum(trial.epoch_seconds) for trial in tested["vgg-relu"])
    rivals = [
        rival(prepared, split, seconds, options.flip) for split in data.splits(prepared, experiment)
    ]
    rows = {row["set"]: row for row in shared.read(RESULT, {"rows": []})["rows"]}
    rows[name] = {
        "set": name,
        "given": {each: getattr(options, each) for each in ("minutes", "folds", "limit", "flip")},
        "train": results.dataset.counts.train,
        "image_shape": prepared.image_shape,
        "contenders": {
            contender: {
                "right": sum(
                    round(trial.test.accuracy * trial.test.n) for trial in trials if trial.test
                ),
                "n": sum(trial.test.n for trial in trials if trial.test),
                "seconds": statistics.fmean(sum(trial.epoch_seconds) for trial in trials),
                "epochs": trials[0].epochs,
                "parameters": trials[0].parameters,
            }
            for contender, trials in tested.items()
        },
        "rival": {
            **rivals[0],
            "right": sum(each["right"] for each in rivals),
            "n": sum(each["n"] for each in rivals),
            "seconds": statistics.fmean(each["seconds"] for each in rivals),
        },
        "environment": shared.environment(),
    }
    command = "python -m benchmarks.records.rival"
    shared.write(RESULT, {"command": command, "rows": list(rows.values())})


if __name__ == "__main__":
    main()
