"""Pictures of a page: images with words, rate encoding in motion, and thumbnails."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from spikeduel.analysis.predicted import DisagreementCase, Predictions
from spikeduel.auditing.audit_results import AuditedImage, Pair, SuspectLabel
from spikeduel.data.events.recordings import picture_of
from spikeduel.data.prepared import Prepared
from spikeduel.engine.encoders import rate
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.results import run
from spikeduel.results.predictions import PredictionsFile, shown_pairs
from spikeduel.results.run import Results

MAX_SAMPLES = 10
MAX_PICTURED = 12
"""Pairs of equal images, or doubtful labels, in pictures."""
MAX_SIZE, ENCODED_SIZE = 160, 64
"""Largest sides in pixels: of a picture, and of an image that is shown encoded."""
ENCODED_STEPS, SPIKE_MS, LAST_MS = 40, 150, 2000
"""Time steps of a moving picture, and milliseconds of a frame and of the last one."""
GAP = 4
MAX_OF_ONE_PAIR = 12
"""Pictures of one cell of a confusion matrix, or side of a disagreement."""
MAX_THUMBNAILS = 480
THUMBNAIL_SIZE = 64
MAX_LOSSLESS_SIZE = 32
"""Side up to which pictures are kept pixel by pixel, and shown so."""
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Picture:
    """Images with a title, red if it `warns`: a data URI each, and the words below it."""

    title: str
    images: tuple[tuple[str, str], ...]
    warns: bool = False


def as_picture(image: np.ndarray) -> np.ndarray:
    """Return `[H, W]` or `[H, W, 3]` of an image, or of all events of a recording."""
    if image.ndim == 2 or (image.shape[-1] == 3 and image.shape[0] not in (1, 3)):
        return image
    if image.shape[0] == 3:
        return np.moveaxis(image, 0, -1)
    return image[0] if image.shape[0] == 1 else picture_of(image.sum(0))


def small(image: np.ndarray, edge: int) -> Image.Image:
    """Return a uint8 image as a picture, at most `edge` pixels wide and high."""
    picture = Image.fromarray(as_picture(image))
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return picture


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def source(picture: Image.Image | np.ndarray, edge: int = MAX_SIZE) -> str:
    """Return a picture, or a uint8 image made `small`, as a data URI."""
    content = io.BytesIO()
    shown = small(picture, edge) if isinstance(picture, np.ndarray) else picture
    shown.save(content, "PNG")
    return data_uri(content.getvalue(), "png")


def samples(prepared: Prepared) -> list[Picture]:
    """Return a prepared image of each class, beside the original if at hand."""
    originals = dict(prepared.samples[:MAX_SAMPLES])
    firsts = np.unique(np.asarray(prepared.labels), return_index=True)[1].tolist()
    _, height, width = prepared.image_shape
    shown = []
    for index in list(originals) or firsts[:MAX_SAMPLES]:
        images = [(source(np.asarray(prepared.pictures[index])), f"prepared, {width}×{height}")]
        if index in originals:
            high, wide = originals[index].shape[:2]
            images.insert(0, (source(originals[index]), f"original, {wide}×{high}"))
        shown.append(Picture(prepared.classes[int(prepared.labels[index])], tuple(images)))
    return shown


def pairs(listed: Sequence[Pair], prepared: Prepared) -> list[Picture]:
    """Return both images of each pair; different labels are red."""
    shown = []
    for pair in listed[:MAX_PICTURED]:
        both = (pair.a, pair.b)
        images = tuple(_named(image, _SPLITS[image.split], prepared) for image in both)
        title = " / ".join(dict.fromkeys(image.label for image in both))
        kind = pair.kind.removesuffix(" in two splits")
        shown.append(Picture(f"{title}: {kind}", images, pair.a.label != pair.b.label))
    return shown


def labels(listed: Sequence[SuspectLabel], prepared: Prepared) -> list[Picture]:
    """Return images whose label looks wrong: the label, the suggested one and its probability."""
    return [
        Picture(
            f"{suspect.image.label} → {suspect.suggested}",
            (_named(suspect.image, f"{suspect.suggested_probability:.0%}", prepared),),
        )
        for suspect in listed[:MAX_PICTURED]
    ]


def _named(image: AuditedImage, words: str, prepared: Prepared) -> tuple[str, str]:
    """Return an image's source, and words with its name."""
    name = Path(image.file).name if image.file else f"image {image.index}"
    return source(np.asarray(prepared.pictures[image.index])), f"{words}, {name}"


def telling_image(prepared: Prepared, test: np.ndarray) -> int:
    """Return the greyest of the first 64 test images: black and white pixels spike never and
    always.
    """
    brightness = np.asarray(prepared.images[test[:64]]) / 255
    return int(test[(brightness * (1 - brightness)).mean((1, 2, 3)).argmax()])


def gif(frames: Sequence[Image.Image], step_ms: int) -> bytes:
    """Return an endless GIF that shows the last frame longest."""
    content, durations = io.BytesIO(), [step_ms] * (len(frames) - 1) + [LAST_MS]
    first, *others = frames
    first.save(content, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return content.getvalue()


def encoded_animation(encoded: np.ndarray, image: np.ndarray, scale: int = 1) -> bytes:
    """Return a GIF with a frame a step: the image, the step's spikes, and their mean so far.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`; a pixel is `scale` wide.
    """
    return gif(_encoded_frames(encoded, image, scale), SPIKE_MS)


def _encoded_frames(encoded: np.ndarray, image: np.ndarray, scale: int) -> list[Image.Image]:
    gap = np.full((*image.shape[:2], GAP), 255)
    means = np.cumsum(encoded, 0) / np.arange(1, len(encoded) + 1).reshape(-1, 1, 1, 1)
    rows = [
        np.concatenate([image, gap, 255 * spikes, gap, 255 * mean], axis=2)
        for spikes, mean in zip(encoded, means, strict=True)
    ]
    wide = [np.rint(row).astype(np.uint8).repeat(scale, 1).repeat(scale, 2) for row in rows]
    return [Image.fromarray(as_picture(row)) for row in wide]


def rate_encoding(image: np.ndarray) -> tuple[str, str]:
    """Return the animation of a uint8 image `[C, H, W]` and its last frame, as data URIs."""
    shown = np.asarray(small(image, ENCODED_SIZE))
    batch = torch.from_numpy(shown.reshape(*shown.shape[:2], -1).copy()).permute(2, 0, 1)[None]
    encoded = rate(batch, ENCODED_STEPS, RandomKeys.for_content(batch))[:, 0].float().numpy()
    frames = _encoded_frames(encoded, batch[0].numpy(), 1)
    return data_uri(gif(frames, SPIKE_MS), "gif"), source(frames[-1])


class Group(NamedTuple):
    """Places of pictures, the worst first, of `total` images."""

    places: list[int]
    total: int


@dataclass(frozen=True)
class Thumbnails:
    """Pictures of a page in one `sprite`, each `listed`; `cells` are groups by contender, true
    class and answer, `classes` the wrong answers.
    """

    sprite: str | None
    columns: int
    pixelated: bool
    listed: list[dict[str, Any]]
    cells: Mapping[str, Mapping[tuple[int, int], Group]]
    classes: Mapping[str, Mapping[int, Group]]
    pairs: list[tuple[run.Pair, dict[DisagreementCase, Group]]]

    @property
    def rows(self) -> int:
        return max(1, math.ceil(len(self.listed) / self.columns))


def thumbnails(
    results: Results, predictions_file: PredictionsFile, prepared: Prepared | None
) -> Thumbnails:
    """Return the test images behind a run's numbers, only counted without `prepared`."""
    of_models = Predictions(predictions_file)
    leader_first = [pair.leader_first for pair in shown_pairs(results)]
    pairs = [(pair, of_models.between(pair.a, pair.b)) for pair in leader_first]
    cells = {name: of_models.cells(name) for name in predictions_file.contenders}
    listed = [(cell, rows) for of_one in cells.values() for cell, rows in of_one.items()]
    # Errors first: readers of a matrix want to see them.
    wanted = [rows for _, cases in pairs for rows in cases.values()]
    wanted += [rows for (a, b), rows in listed if a != b] + [
        rows for (a, b), rows in listed if a == b
    ]
    first = dict.fromkeys(_in_turn([rows[:MAX_OF_ONE_PAIR] for rows in wanted]))
    chosen = sorted(list(first)[:MAX_THUMBNAILS]) if prepared is not None else []
    place = {row: number for number, row in enumerate(chosen)}

    def group(rows: Sequence[int]) -> Group:
        return Group([place[row] for row in rows if row in place][:MAX_OF_ONE_PAIR], len(rows))

    shown = [
        small(np.asarray(prepared.images[predictions_file.indices[row]]), THUMBNAIL_SIZE)
        for row in chosen
        if prepared
    ]
    columns = max(1, math.isqrt(len(chosen)))
    return Thumbnails(
        sprite=_sprite(shown, columns) if shown else None,
        columns=columns,
        pixelated=all(max(picture.size) <= MAX_LOSSLESS_SIZE for picture in shown),
        listed=[_predictions_for(of_models, row, predictions_file, prepared) for row in chosen],
        cells={
            name: {cell: group(rows) for cell, rows in of_one.items()}
            for name, of_one in cells.items()
        },
        classes={
            name: {truth: group(_wrong(of_one, truth)) for truth in {truth for truth, _ in of_one}}
            for name, of_one in cells.items()
        },
        pairs=[
            (pair, {edge: group(rows) for edge, rows in cases.items()}) for pair, cases in pairs
        ],
    )


def _wrong(cells: Mapping[tuple[int, int], Sequence[int]], truth: int) -> list[int]:
    """Return the rows of all wrong answers to a class, the worst of every answer in turn."""
    wrong = [
        rows for (true, predicted_class), rows in cells.items() if true == truth != predicted_class
    ]
    return list(dict.fromkeys(_in_turn(wrong)))


def _in_turn(lists: Iterable[Sequence[int]]) -> list[int]:
    """Return the first row of every list, then the second rows, and so on."""
    return [row for rank in zip_longest(*lists) for row in rank if row is not None]


def _sprite(pictures: Sequence[Image.Image], columns: int) -> str:
    edge = max(max(picture.size) for picture in pictures)
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    sheet = Image.new(mode, (columns * edge, math.ceil(len(pictures) / columns) * edge))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = ((edge - length) // 2 for length in picture.size)
        sheet.paste(picture, (column * edge + left, row * edge + top))
    content = io.BytesIO()
    sheet.save(content, "WEBP", lossless=edge <= MAX_LOSSLESS_SIZE, quality=80)
    return data_uri(content.getvalue(), "webp")


def _predictions_for(
    of_models: Predictions, row: int, predictions_file: PredictionsFile, prepared: Prepared | None
) -> dict[str, Any]:
    index, truth = predictions_file.indices[row], predictions_file.labels[row]
    name = prepared.names[index] if prepared is not None and prepared.names else f"image {index}"
    by_contender = []
    for contender in predictions_file.contenders:
        chosen = of_models.predicted_counts(contender, row)
        seeds = sum(times for _, times in chosen)
        times_of = {k: f" ({times} of {seeds})" if len(chosen) > 1 else "" for k, times in chosen}
        by_contender.append(
            {
                "who": contender,
                "said": ", ".join(
                    predictions_file.classes[k] + times for k, times in times_of.items()
                ),
                "wrong": ", ".join(predictions_file.classes[k] for k in times_of if k != truth),
                "right": list(times_of) == [truth],
            }
        )
    return {"name": name, "truth": predictions_file.classes[truth], "answers": by_contender}
