"""Small pictures of test images behind the numbers of a page, all in one picture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL import Image

from spikeduel.data import Prepared
from spikeduel.reporting.pictures import as_picture, data_uri
from spikeduel.results.predictions import (
    Answered,
    Disagreement,
    PredictionsFile,
    shown_pairs,
)
from spikeduel.results.run import Results

MOST_OF_ONE = 12
"""Pictures of one cell of a confusion matrix, or of one side of a disagreement."""
MOST_IN_ALL = 480
SIDE = 64
"""Pixels of a picture at most, in the file."""
LOSSLESS_SIDE = 32
"""Pictures up to this side are kept pixel by pixel."""


@dataclass(frozen=True)
class Group:
    """Places of pictures that belong together, the worst first, of `total` images."""

    places: list[int]
    total: int


@dataclass(frozen=True)
class Thumbnails:
    """The pictures of a page: `sprite` is a data URI, `columns` in a row; None without pictures.

    Pictures are `pixelated` if they are so small that their pixels should be seen. `listed` is what
    the page says of each picture. `cells` are groups by contender, true class and answer; `classes`
    are the wrong answers by contender and true class.
    """

    sprite: str | None
    columns: int
    pixelated: bool
    listed: list[dict[str, Any]]
    cells: Mapping[str, Mapping[tuple[int, int], Group]]
    classes: Mapping[str, Mapping[int, Group]]
    pairs: list[tuple[Disagreement, dict[str, Group]]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Return the number of rows in the sprite."""
        return max(1, math.ceil(len(self.listed) / self.columns))


def of_run(results: Results, kept: PredictionsFile, prepared: Prepared | None) -> Thumbnails:
    """Return the test images behind a run's numbers; without `prepared` they are only counted."""
    answered = Answered(kept)
    pairs = [answered.between(pair.led.a, pair.led.b) for pair in shown_pairs(results)]
    cells = {name: answered.cells(name) for name in kept.contenders}
    classes = {name: _wrong_by_class(of_one) for name, of_one in cells.items()}
    wanted = [*(rows for pair in pairs for rows in pair.rows.values())]
    # Errors first: who looks into a matrix wants to see them.
    for wrong in (True, False):
        wanted += [
            rows for of in cells.values() for (a, b), rows in of.items() if (a != b) == wrong
        ]
    chosen = _chosen(wanted) if prepared is not None else []
    place = {row: number for number, row in enumerate(chosen)}

    def group(rows: Sequence[int]) -> Group:
        return Group([place[row] for row in rows if row in place][:MOST_OF_ONE], len(rows))

    pictures = (
        [_small(np.asarray(prepared.images[kept.indices[row]])) for row in chosen]
        if prepared
        else []
    )
    columns = max(1, math.isqrt(len(chosen)))
    return Thumbnails(
        sprite=_sprite(pictures, columns) if pictures else None,
        columns=columns,
        pixelated=all(max(picture.shape[:2]) <= LOSSLESS_SIDE for picture in pictures),
        listed=[_said(answered, row, prepared) for row in chosen],
        cells={
            name: {cell: group(rows) for cell, rows in of.items()} for name, of in cells.items()
        },
        classes={name: {k: group(rows) for k, rows in of.items()} for name, of in classes.items()},
        pairs=[(pair, {side: group(rows) for side, rows in pair.rows.items()}) for pair in pairs],
    )


def _wrong_by_class(cells: Mapping[tuple[int, int], Sequence[int]]) -> dict[int, list[int]]:
    by_class: dict[int, list[int]] = {}
    for truth in sorted({truth for truth, _ in cells}):
        wrong = [rows for (true, answer), rows in cells.items() if true == truth != answer]
        # The worst image of every wrong answer in turn.
        by_class[truth] = list(dict.fromkeys(_in_turn(wrong)))
    return by_class


def _in_turn(lists: Iterable[Sequence[int]]) -> list[int]:
    """Return the first row of every list, then the second rows, and so on."""
    return [row for rank in zip_longest(*lists) for row in rank if row is not None]


def _chosen(wanted: Sequence[Sequence[int]]) -> list[int]:
    """Return the rows to show, in the file's order: the first of every list, while room lasts."""
    return sorted(
        list(dict.fromkeys(_in_turn([rows[:MOST_OF_ONE] for rows in wanted])))[:MOST_IN_ALL]
    )


def _small(image: np.ndarray) -> np.ndarray:
    """Return `image` uint8 `[C, H, W]` as a picture `[h, w]` or `[h, w, 3]`, at most `SIDE` pixels
    a side.
    """
    picture = as_picture(image)
    height, width = picture.shape[:2]
    if max(height, width) <= SIDE:
        return picture
    share = SIDE / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _sprite(pictures: Sequence[np.ndarray], columns: int) -> str:
    """Return all pictures in one WebP, each in the middle of a square, as a data URI."""
    side = max(max(picture.shape[:2]) for picture in pictures)
    mode = "L" if all(picture.ndim == 2 for picture in pictures) else "RGB"
    sheet = Image.new(mode, (columns * side, math.ceil(len(pictures) / columns) * side))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        height, width = picture.shape[:2]
        corner = column * side + (side - width) // 2, row * side + (side - height) // 2
        sheet.paste(Image.fromarray(picture), corner)
    content = BytesIO()
    sheet.save(content, "WEBP", lossless=side <= LOSSLESS_SIDE, quality=80)
    return data_uri(content.getvalue(), "webp")


def _said(answered: Answered, row: int, prepared: Prepared | None) -> dict[str, Any]:
    kept = answered.kept
    index = kept.indices[row]
    name = prepared.names[index] if prepared is not None and prepared.names else f"image {index}"
    answers = []
    for contender in kept.contenders:
        chosen = answered.of(contender, row)
        seeds = sum(times for _, times in chosen)
        said = [
            kept.classes[k] + (f" ({times} of {seeds})" if len(chosen) > 1 else "")
            for k, times in chosen
        ]
        right = bool(chosen) and chosen[0][0] == kept.labels[row]
        brief = ", ".join(kept.classes[k] for k, _ in chosen if k != kept.labels[row])
        answers.append(
            {
                "who": contender,
                "said": ", ".join(said),
                "wrong": brief,
                "right": right and len(chosen) == 1,
            }
        )
    return {"name": name, "truth": kept.classes[kept.labels[row]], "answers": answers}
