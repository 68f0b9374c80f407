"""How many moved and edited copies the audit finds, planted in real test images, and how many clean
ones it flags; and what it says of drawn shapes.

    python -m benchmarks.audit.copies --socofing PATH --photos FOLDER --mnist FOLDER [--fashion-mnist
    FOLDER] [--only NAME …]

Copies of training images, drawn at random, are moved as an augmentation would: shifted by up to a
tenth of the side, turned by up to 10° or by right angles, mirrored, cropped or scaled by up to 10
%, and two of these together; bilinear, with black, the nearest pixel or a reflection at the
borders. The moving is SciPy's and shares no code with the audit. Of each edit there are `--edited` copies:
other tones, three opaque boxes, four tiles, large crops; of 8×8 images ("digits") moves by one
pixel. "files" are the photographs once
more, moved before they were padded to squares and shrunk. A copy is found if the image that it was
made from is named. Clean images
are the set's own test images (at most `--clean`, at random); of a set with fewer than 100, every
second image. "drawn" are circles, squares and triangles in two of nine colours, and symbols of a font,
each another one: what is called a copy among them is a false alarm. The audit's constants were chosen on other draws, mostly of other images. The result
goes to benchmarks/results/copies.json.
"""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import affine_transform

from benchmarks import shared
from spikeduel import data
from spikeduel.auditing import examining, geometric_duplicates, photometric_duplicates
from spikeduel.auditing.arrays import SplitIndices, equal_ids
from spikeduel.auditing.duplicate_checks import LIMITS, PHOTOMETRIC
from spikeduel.auditing.neighbours import NEAR, closest, small_grey
from spikeduel.data import Prepared, Preprocessing, Split
from spikeduel.data.audited import audit_input
from spikeduel.experiment.settings import Experiment
from spikeduel.system.progress import Progress, TerminalProgress

RESULT = "copies.json"
SINGLE = ("shifted", "turned", "turned by right angles", "mirrored", "cropped", "scaled")
BORDERS = ("constant", "nearest", "reflect")
SEED = 2026
COPIES = 300
"""Copies of each kind of move, where there are as many training images."""
EDITS = (
    "negative",
    "solarised",
    "gamma 2.2",
    "three opaque boxes",
    "four tiles",
    "centre crop 70 %",
    "corner crop 80 %",
)
SIZES = (16, 28, 32, 64)
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "black", "white", "cyan")
SHAPES = {"square": (4, np.pi / 4), "triangle": (3, -np.pi / 2), "circle": (90, 0.0)}


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
    images: Sequence[np.ndarray],
) -> tuple[dict[str, list[np.ndarray]], np.ndarray]:
    """Copies of `images`, uint8 `[C, H, W]` each, by kind, and the places of the M originals, int64
    `[M]`.
    """
    random = np.random.default_rng(SEED)
    of = random.choice(len(images), min(COPIES, len(images)), replace=False)
    moves = {kind: [copy_of(images[k], (kind,), random) for k in of] for kind in SINGLE}
    pairs = [tuple(random.choice(SINGLE, 2, replace=False)) for _ in of]
    moves["two together"] = [
        copy_of(images[k], pair, random) for k, pair in zip(of, pairs, strict=True)
    ]
    return moves, of


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image` uint8 `[C, H, W]` in another size, by Pillow."""
    channels = [Image.fromarray(channel) for channel in image]
    return np.stack(
        [
            np.asarray(channel.resize((width, height), Image.Resampling.BILINEAR))
            for channel in channels
        ]
    )


def edit_of(image: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """`image` uint8 `[C, H, W]`, edited."""
    height, width = image.shape[1:]
    if kind == "negative":
        return 255 - image
    if kind == "solarised":
        return np.where(image >= 128, 255 - image, image)
    if kind == "gamma 2.2":
        return (255 * (image / 255) ** 2.2).round().astype(np.uint8)
    if kind == "four tiles":
        return np.tile(resized(image, -(-height // 2), -(-width // 2)), (1, 2, 2))[
            :, :height, :width
        ]
    if kind == "moved by one pixel":
        down, right = ((0, 1), (0, -1), (1, 0), (-1, 0))[random.integers(4)]
        around = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        return around[:, 1 + down :, 1 + right :][:, :height, :width]
    if kind == "three opaque boxes":
        image = image.copy()
        for _ in range(3):
            down, across = (
                max(1, round(side * random.uniform(0.2, 0.3))) for side in (height, width)
            )
            top, left = random.integers(height - down + 1), random.integers(width - across + 1)
            grey = random.integers(0, 256, (len(image), 1, 1))
            image[:, top : top + down, left : left + across] = grey
        return image
    share = 0.7 if kind == "centre crop 70 %" else 0.8
    down, across = round(share * height), round(share * width)
    place = (0.5, 0.5) if kind == "centre crop 70 %" else random.integers(2, size=2)
    top, left = int(place[0] * (height - down)), int(place[1] * (width - across))
    return resized(image[:, top : top + down, left : left + across], height, width)


def edited_copies(
    images: Sequence[np.ndarray], kinds: Sequence[str], copies: int
) -> tuple[dict[str, list[np.ndarray]], np.ndarray]:
    """Edits of `images`, uint8 `[C, H, W]` each, by kind, and the places of the M originals, int64
    `[M]`.
    """
    random = np.random.default_rng(SEED + 1)
    of = random.choice(len(images), min(copies, len(images)), replace=False)
    return {kind: [edit_of(images[k], kind, random) for k in of] for kind in kinds}, of


def shapes(side: int, count: int, smooth: bool) -> Prepared:
    """`count` drawn shapes in three classes; `smooth` ones are turned and have grey borders."""
    random, scale = np.random.default_rng(SEED), 4 if smooth else 1
    pictures = []
    for number in range(count):
        corners, turn = SHAPES[tuple(SHAPES)[number % 3]]
        ground, colour = random.choice(COLOURS, 2, replace=False)
        radius = random.uniform(0.15, 0.35) * side * scale
        middle = random.uniform(radius, side * scale - radius, 2)
        turn += random.uniform(0, 2 * np.pi) * smooth
        angles = turn + 2 * np.pi * np.arange(corners) / corners
        places = middle + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        picture = Image.new("RGB", (side * scale, side * scale), str(ground))
        ImageDraw.Draw(picture).polygon([(x, y) for x, y in places], fill=str(colour))
        pictures.append(picture.resize((side, side), Image.Resampling.BOX))
    return drawn_set("shapes", pictures, tuple(SHAPES))


def symbols(side: int, count: int) -> Prepared:
    """`count` different symbols of a font, as of a set of icons, in two classes."""
    from fontTools.ttLib import TTFont
    from matplotlib import font_manager

    random, pictures = np.random.default_rng(SEED), []
    path = font_manager.findfont("DejaVu Sans")
    known = [number for number in TTFont(path).getBestCmap() if 0x2600 <= number < 0x27C0]
    for number in random.permutation(known)[:count]:
        ground, colour = random.choice(COLOURS, 2, replace=False)
        picture = Image.new("RGB", (side, side), str(ground))
        font = ImageFont.truetype(path, int(side * random.uniform(0.5, 0.8)))
        at = tuple(side * random.uniform(0.45, 0.55, 2))
        ImageDraw.Draw(picture).text(at, chr(number), fill=str(colour), font=font, anchor="mm")
        pictures.append(picture)
    return drawn_set("symbols", pictures, ("a", "b"))


def drawn_set(name: str, pictures: list[Image.Image], classes: tuple[str, ...]) -> Prepared:
    images = np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in pictures])
    labels = np.arange(len(images)) % len(classes)
    return Prepared(
        name=name, images=images, labels=labels, classes=classes, groups=None, samples=[],
        preprocessing=Preprocessing(*images.shape[1:]), fingerprint=name,
    )  # fmt: skip


def drawn_alarms() -> dict[str, Any]:
    """Copies that the audit counts among images that are drawn, none of them a copy."""
    sets = {f"symbols, {side} pixels": symbols(side, 300) for side in SIZES}
    for side in SIZES:
        for smooth in (False, True):
            kind = "turned, smooth" if smooth else "upright"
            sets[f"shapes, {kind}, {side} pixels"] = shapes(side, 300, smooth)
    rows = {}
    for name, prepared in sets.items():
        random = np.random.default_rng(SEED).permutation(len(prepared))
        split = Split(random[:225], random[:0], random[225:], "stratified")
        audit = examining.examine(audit_input(Experiment(), prepared, split, None, Progress()))
        kinds = (audit.near_duplicates, audit.geometric_duplicates, audit.photometric_duplicates)
        rows[name] = {
            "test_images": len(split.test),
            "called_copies": sum(kind.test_in_training for kind in kinds if kind),
            "too_plain": audit.plain_drawings,
            "problems": [problem.id for problem in audit.problems],
        }
        print(name, rows[name], flush=True)
    return rows


def files_of(prepared: Prepared, root: str | None) -> list[np.ndarray]:
    """The pictures in the folder `root` before they were prepared, in colour, uint8 `[3, H, W]`
    each.
    """
    pictures = [Image.open(Path(str(root), name)).convert("RGB") for name in prepared.names or ()]
    return [np.asarray(picture).transpose(2, 0, 1) for picture in pictures]


def measured(
    prepared: Prepared,
    experiment: Experiment,
    clean: int,
    in_files: bool,
    num_edited: int,
) -> dict[str, Any]:
    """What is found of the copies and flagged of the clean images of one data set.

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
    trained = [originals[k] for k in split.train]
    copied, of = planted(trained)
    kinds = ["moved by one pixel"] if max(prepared.image_shape[1:]) <= 8 else EDITS
    edits, edited_of = edited_copies(trained, kinds, num_edited)
    together = [
        *trained,
        *chain(*copied.values(), *edits.values()),
        *(originals[k] for k in test),
    ]
    shapes = np.array([image.shape[1:] for image in together])
    moves = {
        kind: np.stack(
            [prepared.preprocessing(Image.fromarray(copy.transpose(1, 2, 0))) for copy in those]
        )
        if in_files
        else np.stack(those)
        for kind, those in (copied | edits).items()
    }
    images = np.concatenate([train, *moves.values(), np.asarray(prepared.images[test])])
    same, count = equal_ids(images), len(train)
    asked = SplitIndices(np.arange(count), np.arange(0), np.arange(count, len(images)))
    small = small_grey(images)
    near = closest(small[count:], small[:count])
    nearest = np.where(near.distance < NEAR * near.usual, near.nearest, -1)
    centres = geometric_duplicates.middles(images, shapes)
    found = geometric_duplicates.search(images, centres, same, asked, TerminalProgress())
    index, ratio = found.nearest[count:], found.ratio[count:]
    by_tone = photometric_duplicates.search(centres, same, asked, TerminalProgress())
    is_moved, is_edited = ratio < NEAR, by_tone.ratio[count:] < LIMITS[PHOTOMETRIC]
    known, rows, start = np.append(same[:count], -1), {}, 0
    for kind, images_of_kind in moves.items():
        part, start = slice(start, start + len(images_of_kind)), start + len(images_of_kind)
        source = same[edited_of if kind in edits else of]
        named = known[nearest[part]] == source
        named |= is_moved[part] & (known[index[part]] == source)
        named |= is_edited[part] & (known[by_tone.nearest[count:][part]] == source)
        # What is equal to a training image is found as such.
        equal = np.isin(same[count:][part], same[:count])
        rows[kind] = round(float((named | equal).mean()), 4)
    part = slice(start, None)
    flagged = is_moved[part] & (nearest[part] < 0)
    flagged_as_edited = is_edited[part] & (nearest[part] < 0) & ~flagged
    return {
        "training_images": count,
        "copies_of_each_kind": len(of),
        "image_shape": list(prepared.image_shape),
        "found": {kind: rows[kind] for kind in copied},
        "edited_copies_of_each_kind": len(edited_of),
        "found_edited": {kind: rows[kind] for kind in edits},
        "clean_images": len(test),
        "clean_near": int((nearest[part] >= 0).sum()),
        "clean_flagged": int(flagged.sum()),
        "clean_flagged_share": round(float(flagged.mean()), 5),
        "clean_flagged_as_edited": int(flagged_as_edited.sum()),
    }


def main() -> None:
    parser = shared.parser(
        __doc__,
        only=["fashion-mnist", "mnist", "socofing", "photos", "files", "digits", "drawn"],
        edited=40,
        clean=4000,
    )
    for name in ("fashion-mnist", "mnist", "socofing", "photos"):
        parser.add_argument(f"--{name}", help="folder or file with the data")
    options = parser.parse_args()
    torch.set_num_threads(2)
    for name in options.only:
        kept = shared.read(RESULT, {"sets": {}})
        if name == "drawn":
            kept["drawn"] = drawn_alarms()
        else:
            place = getattr(options, "photos" if name == "files" else name.replace("-", "_"), None)
            experiment = Experiment(dataset=name, data_dir=place)
            if place and name in ("photos", "files"):
                experiment = Experiment(dataset=place)
            prepared, in_files = data.load(experiment), name == "files"
            found = measured(prepared, experiment, options.clean, in_files, options.edited)
            print(name, json.dumps(found, indent=1), flush=True)
            settings = {"near": NEAR, "seed": SEED, "copies": COPIES, "clean": options.clean}
            kept["sets"][name] = {**found, "settings": settings}
        shared.write(RESULT, kept)


if __name__ == "__main__":
    main()
