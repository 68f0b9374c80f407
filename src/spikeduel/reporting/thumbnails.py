"""Small pictures of the test images behind a page's numbers, all in one picture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from spikeduel.data import Prepared
from spikeduel.reporting.pictures import data_uri, small
from spikeduel.results.predictions import Answered, Disagreement, PredictionsFile, shown_pairs
from spikeduel.results.run import Results

MOST_OF_ONE = 12
"""Pictures of one cell of a confusion matrix, or of one side of a disagreement."""
MOST_IN_ALL = 480
SIDE = 64
"""Pixels of a picture at most, in the file."""
LOSSLESS_SIDE = 32
"""Pictures up to this side are kept pixel by pixel, and shown so."""


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
    pairs: list[tuple[Disagreement, dict[str, Group]]]

    @property
    def rows(self) -> int:
        return max(1, math.ceil(len(self.listed) / self.columns))


def of_run(results: Results, kept: PredictionsFile, prepared: Prepared | None) -> Thumbnails:
    """Return the test images behind a run's numbers, only counted without `prepared`."""
    answered = Answered(kept)
    pairs = [answered.between(pair.led.a, pair.led.b) for pair in shown_pairs(results)]
    cells = {name: answered.cells(name) for name in kept.contenders}
    listed = [(cell, rows) for of_one in cells.values() for cell, rows in of_one.items()]
    # Errors first: readers of a matrix want to see them.
    wanted = [rows for pair in pairs for rows in pair.rows.values()]
    wanted += [rows for (a, b), rows in listed if a != b] + [
        rows for (a, b), rows in listed if a == b
    ]
    first = dict.fromkeys(_in_turn([rows[:MOST_OF_ONE] for rows in wanted]))
    chosen = sorted(list(first)[:MOST_IN_ALL]) if prepared is not None else []
    place = {row: number for number, row in enumerate(chosen)}

    def group(rows: Sequence[int]) -> Group:
        return Group([place[row] for row in rows if row in place][:MOST_OF_ONE], len(rows))

    pictures = [
        small(np.asarray(prepared.images[kept.indices[row]]), SIDE) for row in chosen if prepared
    ]
    columns = max(1, math.isqrt(len(chosen)))
    return Thumbnails(
        sprite=_sprite(pictures, columns) if pictures else None,
        columns=columns,
        pixelated=all(max(picture.size) <= LOSSLESS_SIDE for picture in pictures),
        listed=[_said(answered, row, prepared) for row in chosen],
        cells={
            name: {cell: group(rows) for cell, rows in of_one.items()}
            for name, of_one in cells.items()
        },
        classes={
            name: {truth: group(_wrong(of_one, truth)) for truth in {truth for truth, _ in of_one}}
            for name, of_one in cells.items()
        },
        pairs=[(pair, {side: group(rows) for side, rows in pair.rows.items()}) for pair in pairs],
    )


def _wrong(cells: Mapping[tuple[int, int], Sequence[int]], truth: int) -> list[int]:
    """Return the rows of all wrong answers to a class, the worst of every answer in turn."""
    wrong = [rows for (true, answer), rows in cells.items() if true == truth != answer]
    return list(dict.fromkeys(_in_turn(wrong)))


def _in_turn(lists: Iterable[Sequence[int]]) -> list[int]:
    """Return the first row of every list, then the second rows, and so on."""
    return [row for rank in zip_longest(*lists) for row in rank if row is not None]


def _sprite(pictures: Sequence[Image.Image], columns: int) -> str:
    side = max(max(picture.size) for picture in pictures)
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    sheet = Image.new(mode, (columns * side, math.ceil(len(pictures) / columns) * side))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = ((side - length) // 2 for length in picture.size)
        sheet.paste(picture, (column * side + left, row * side + top))
    content = BytesIO()
    sheet.save(content, "WEBP", lossless=side <= LOSSLESS_SIDE, quality=80)
    return data_uri(content.getvalue(), "webp")


def _said(answered: Answered, row: int, prepared: Prepared | None) -> dict[str, Any]:
    kept = answered.kept
    index, truth = kept.indices[row], kept.labels[row]
    name = prepared.names[index] if prepared is not None and prepared.names else f"image {index}"
    answers = []
    for contender in kept.contenders:
        chosen = answered.of(contender, row)
        seeds = sum(times for _, times in chosen)
        times_of = {k: f" ({times} of {seeds})" if len(chosen) > 1 else "" for k, times in chosen}
        answers.append(
            {
                "who": contender,
                "said": ", ".join(kept.classes[k] + times for k, times in times_of.items()),
                "wrong": ", ".join(kept.classes[k] for k in times_of if k != truth),
                "right": list(times_of) == [truth],
            }
        )
    return {"name": name, "truth": kept.classes[truth], "answers": answers}
