"""How many moved copies the audit finds, planted in four data sets' test images, and how many clean
ones it flags.

    python benchmarks/copies.py --socofing PATH --photos FOLDER --mnist FOLDER [--fashion-mnist
    FOLDER] [--only NAME …]

Copies of training images, drawn at random, are moved as an augmentation would: shifted by up to a
tenth of the side, turned by up to 10° or by right angles, mirrored, cropped or scaled by up to 10
%, and two of these together; bilinear, with black, the nearest pixel or a reflection at the
borders. The moving is SciPy's and shares no code with the audit. "files" are the photographs once
more, moved before they were padded to squares and shrunk. A copy is found if the image that it was
made from is named. `before` is the audit without this search: near duplicates only. Clean images
are the set's own test images (at most `--clean`, at random); of a set with fewer than 100, every
second image. The audit's constants were chosen on other draws, mostly of other images. The result
goes to benchmarks/results/copies.json.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import affine_transform

from spikeduel import data
from spikeduel.auditing import moved
from spikeduel.auditing.copies import FEWEST, NEAR_PROBLEM
from spikeduel.auditing.neighbours import NEAR, closest, small_grey
from spikeduel.data import Prepared, Split
from spikeduel.data.prepared import ids_of_images
from spikeduel.settings import Experiment
from spikeduel.system.progress import TerminalProgress

RESULT = Path(__file__).parent / "results" / "copies.json"
SINGLE = ("shifted", "turned", "turned by right angles", "mirrored", "cropped", "scaled")
BORDERS = ("constant", "nearest", "reflect")
SEED = 2026


def drawn(kind: str, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A move of `kind`: matrix and shift, in pixels around the middle, from places of the copy to
    the original's.
    """
    sign, straight, still = random.choice([-1, 1]), np.eye(2), np.zeros(2)
    if kind == "shifted":
        shift = random.uniform(-0.1, 0.1, 2) * side
        shift[random.integers(2)] = sign * random.uniform(0.03, 0.1) * side
        return straight, np.round(shift) if random.random() < 0.5 else shift
    if kind == "turned":
        angle = sign * np.deg2rad(random.uniform(1.5, 10))
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), still
    if kind == "turned by right angles":
        return np.linalg.matrix_power(
            np.array([[0.0, -1.0], [1.0, 0.0]]), random.integers(1, 4)
        ), still
    if kind == "mirrored":
        return np.diag([1.0, -1.0]) if random.random() < 0.7 else np.diag([-1.0, 1.0]), still
    if kind == "cropped":
        lost = random.uniform(0.02, 0.1)
        return (1 - lost) * straight, random.uniform(-0.5, 0.5, 2) * lost * side
    return straight / (1 + sign * random.uniform(0.02, 0.1)), still


def copy_of(image: np.ndarray, kinds: tuple[str, ...], random: np.random.Generator) -> np.ndarray:
    """`image` uint8 `[C, H, W]`, moved by all `kinds`: in one resampling or, as often, one after
    the other.
    """
    if image.shape[1] != image.shape[2] and "turned by right angles" in kinds:
        image = np.rot90(image, int(random.integers(1, 4)), (1, 2))
        kinds = tuple(kind for kind in kinds if kind != "turned by right angles")
    middle, border = (np.array(image.shape[1:]) - 1) / 2, BORDERS[random.integers(len(BORDERS))]
    moves = [drawn(kind, min(image.shape[1:]), random) for kind in kinds]
    if len(moves) == 2 and random.random() < 0.5:
        (first, by), (second, then) = moves
        moves = [(first @ second, first @ then + by)]
    for matrix, shift in moves:
        offset = middle + shift - matrix @ middle
        channels = [
            affine_transform(each.astype(np.float64), matrix, offset, order=1, mode=border)
            for each in image
        ]
        image = np.stack(channels).round().clip(0, 255).astype(np.uint8)
    return image


def planted(
    images: Sequence[np.ndarray], copies: int
) -> tuple[dict[str, list[np.ndarray]], np.ndarray]:
    """Copies of `images`, uint8 `[C, H, W]` each, by kind, and the places of the M originals, int64
    `[M]`.
    """
    random = np.random.default_rng(SEED)
    of = random.choice(len(images), min(copies, len(images)), replace=False)
    moves = {kind: [copy_of(images[k], (kind,), random) for k in of] for kind in SINGLE}
    pairs = [tuple(random.choice(SINGLE, 2, replace=False)) for _ in of]
    moves["two together"] = [
        copy_of(images[k], pair, random) for k, pair in zip(of, pairs, strict=True)
    ]
    return moves, of


def files_of(prepared: Prepared, root: str | None) -> list[np.ndarray]:
    """The pictures in the folder `root` before they were prepared, in colour, uint8 `[3, H, W]`
    each.
    """
    pictures = [Image.open(Path(str(root), name)).convert("RGB") for name in prepared.names or ()]
    return [np.asarray(picture).transpose(2, 0, 1) for picture in pictures]


def measured(
    prepared: Prepared, experiment: Experiment, copies: int, clean: int, in_files: bool
) -> dict[str, Any]:
    """What is found of the copies and flagged of the clean images of one data set, before and
    after.

    The copies are moved as prepared, or `in_files` before they are.
    """
    split = data.split(prepared, experiment)
    if len(split.test) < 100:
        split = Split(
            np.arange(0, len(prepared), 2), split.val[:0], np.arange(1, len(prepared), 2), "half"
        )
    train = np.asarray(prepared.images[split.train])
    test = np.random.default_rng(SEED).permutation(split.test)[:clean]
    originals = files_of(prepared, experiment.dataset) if in_files else list(prepared.pictures)
    copied, of = planted([originals[k] for k in split.train], copies)
    together = [
        *(originals[k] for k in split.train),
        *chain(*copied.values()),
        *(originals[k] for k in test),
    ]
    shapes = np.array([image.shape[1:] for image in together])
    moves = {
        kind: np.stack(
            [prepared.preprocessing(Image.fromarray(copy.transpose(1, 2, 0))) for copy in those]
        )
        if in_files
        else np.stack(those)
        for kind, those in copied.items()
    }
    images = np.concatenate([train, *moves.values(), np.asarray(prepared.images[test])])
    same, count = ids_of_images(images), len(train)
    asked = Split(
        np.arange(count), np.array([], np.int64), np.arange(count, len(images)), "official"
    )
    small, began = small_grey(images), time.process_time()
    near = closest(small[count:], small[:count])
    before = np.where(near.distance < NEAR * near.usual, near.nearest, -1)
    before_seconds, began = time.process_time() - began, time.process_time()
    found = moved.search(images, same, asked, TerminalProgress(), shapes)
    index, ratio = found.nearest[count:], found.ratio[count:]
    is_moved = ratio < NEAR
    known, rows = np.append(same[:count], -1), {}
    for number, kind in enumerate(moves):
        part = slice(number * len(of), (number + 1) * len(of))
        was_near = known[before[part]] == same[of]
        named = is_moved[part] & (known[index[part]] == same[of])
        # What is equal to a training image is found as such.
        equal = np.isin(same[count:][part], same[:count])
        rows[kind] = {"before": round(float((was_near | equal).mean()), 4)}
        rows[kind]["after"] = round(float((named | was_near | equal).mean()), 4)
    part = slice(len(moves) * len(of), None)
    flagged = is_moved[part] & (before[part] < 0)
    is_many = flagged.mean() > NEAR_PROBLEM
    return {
        "training_images": count,
        "copies_of_each_kind": len(of),
        "image_shape": list(prepared.image_shape),
        "found": rows,
        "clean_images": len(test),
        "clean_near_before": int((before[part] >= 0).sum()),
        "clean_flagged": int(flagged.sum()),
        "clean_flagged_share": round(float(flagged.mean()), 5),
        "clean_is_a_problem": bool(is_many and flagged.sum() >= FEWEST),
        "ratio_of_copies_95": round(float(np.quantile(ratio[: part.start], 0.95)), 4),
        "processor_seconds": {
            "before": round(before_seconds, 1),
            "added": round(time.process_time() - began, 1),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("fashion-mnist", "mnist", "socofing", "photos"):
        parser.add_argument(f"--{name}", help="folder or file with the data")
    parser.add_argument(
        "--only", nargs="*", default=["fashion-mnist", "mnist", "socofing", "photos", "files"]
    )
    parser.add_argument("--copies", type=int, default=300, help="of each kind")
    parser.add_argument("--clean", type=int, default=4000, help="test images, at most")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.only:
        place = getattr(options, "photos" if name == "files" else name.replace("-", "_"))
        experiment = Experiment(dataset=name, data_dir=place)
        if name in ("photos", "files"):
            experiment = Experiment(dataset=place)
        found = measured(
            data.load(experiment), experiment, options.copies, options.clean, name == "files"
        )
        print(name, json.dumps(found, indent=1), flush=True)
        machine = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processor": platform.processor() or platform.machine(),
            "load_average": os.getloadavg()[0],
        }
        settings = {"near": NEAR, "seed": SEED, "copies": options.copies, "clean": options.clean}
        sets = json.loads(RESULT.read_text())["sets"] if RESULT.is_file() else {}
        sets[name] = {**found, "settings": settings, "machine": machine}
        RESULT.write_text(json.dumps({"sets": sets}, indent=1) + "\n")


if __name__ == "__main__":
    main()
