"""Thumbnails of test images: where contenders disagree, and those behind each number."""

import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from spikeduel.analysis.predicted import DisagreementCase, Predictions
from spikeduel.data.prepared import Prepared
from spikeduel.reporting.images import data_uri, small
from spikeduel.results import run
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.system.grouped import grouped

MAX_PAIRS = 3
MAX_IN_GROUP = 12
"""Pictures of one cell of a confusion matrix, or of one case of a disagreement."""
MAX_THUMBNAILS = 480
THUMBNAIL_SIZE = 64
"""Largest side in pixels."""
MAX_LOSSLESS_SIZE = 32
"""Side up to which pictures are kept pixel by pixel, and shown so."""
Cell = tuple[int, int]
"""True and predicted class."""


class Group(NamedTuple):
    """Places of pictures, the worst first, of `total` images."""

    places: list[int]
    total: int


@dataclass(frozen=True)
class Thumbnails:
    """Pictures in one `sprite` of `columns`, each described in `images`.

    `groups`: by contender, and by "true predicted" class or, of all wrong predictions, "true"
    class. `pairs`: groups by the contenders that are right.
    """

    sprite: str | None
    columns: int
    pixelated: bool
    images: list[dict[str, Any]]
    groups: Mapping[str, Mapping[str, Group]]
    pairs: list[tuple[run.Pair, dict[DisagreementCase, Group]]]

    @property
    def rows(self) -> int:
        return max(1, math.ceil(len(self.images) / self.columns))


def thumbnails(
    results: Results, predictions_file: PredictionsFile, prepared: Prepared | None
) -> Thumbnails:
    """Return the test images behind a run's numbers, only counted without `prepared`."""
    predictions = Predictions(predictions_file)
    pairs = [(pair, predictions.between(pair.a, pair.b)) for pair in main_pairs(results)]
    cells = {name: rows_by_cell(predictions, name) for name in predictions_file.contenders}
    all_cells = [item for of_contender in cells.values() for item in of_contender.items()]
    # Errors first: readers of a matrix want to see them.
    wanted = [rows for _, cases in pairs for rows in cases.values()]
    wanted += [rows for (truth, predicted), rows in all_cells if truth != predicted]
    wanted += [rows for (truth, predicted), rows in all_cells if truth == predicted]
    first = dict.fromkeys(_in_turn([rows[:MAX_IN_GROUP] for rows in wanted]))
    chosen = sorted(list(first)[:MAX_THUMBNAILS]) if prepared is not None else []
    number_of = {row: number for number, row in enumerate(chosen)}

    def group(rows: Sequence[int]) -> Group:
        return Group([number_of[row] for row in rows if row in number_of][:MAX_IN_GROUP], len(rows))

    pictures = [
        small(np.asarray(prepared.images[predictions_file.indices[row]]), THUMBNAIL_SIZE)
        for row in chosen
        if prepared
    ]
    columns = max(1, math.isqrt(len(chosen)))
    groups = {}
    for name, of_contender in cells.items():
        wrong = {str(truth): group(_wrong(of_contender, truth)) for truth, _ in of_contender}
        of_cells = {
            f"{truth} {predicted}": group(rows) for (truth, predicted), rows in of_contender.items()
        }
        groups[name] = wrong | of_cells
    return Thumbnails(
        sprite=_sprite(pictures, columns) if pictures else None,
        columns=columns,
        pixelated=all(max(picture.size) <= MAX_LOSSLESS_SIZE for picture in pictures),
        images=[_described(predictions, row, predictions_file, prepared) for row in chosen],
        groups=groups,
        pairs=[
            (pair, {case: group(rows) for case, rows in cases.items()}) for pair, cases in pairs
        ],
    )


def main_pairs(results: Results) -> list[run.Pair]:
    """Return at most `MAX_PAIRS` pairs with the leader first: a spiking contender and another
    first, then the most accurate.
    """
    spiking = {trial.contender: trial.spiking for trial in results.trials}

    def rank(pair: run.Pair) -> tuple[bool, float]:
        return spiking[pair.a] == spiking[pair.b], -(pair.accuracy_a + pair.accuracy_b)

    pairs = sorted(results.comparison.pairs, key=rank)[:MAX_PAIRS]
    return [pair.leader_first for pair in pairs]


def rows_by_cell(predictions: Predictions, contender: str) -> dict[Cell, list[int]]:
    """Return the rows of predictions.json in each cell of a contender's confusion matrix, of any
    seed, the worst first.
    """
    rows = grouped(
        (cell, row)
        for seed in predictions.seeds(contender)
        for row, cell in enumerate(
            zip(predictions.truth.tolist(), predictions.of(contender)[seed].tolist(), strict=True)
        )
    )
    return {cell: predictions.worst_first(of_cell) for cell, of_cell in rows.items()}


def _wrong(cells: Mapping[Cell, Sequence[int]], truth: int) -> list[int]:
    """Return the rows of all wrong predictions of a class, the worst of every cell in turn."""
    wrong = [rows for (true, predicted), rows in cells.items() if true == truth != predicted]
    return list(dict.fromkeys(_in_turn(wrong)))


def _in_turn(lists: Iterable[Sequence[int]]) -> list[int]:
    """Return the first row of every list, then the second rows, and so on."""
    return [row for rank in zip_longest(*lists) for row in rank if row is not None]


def _sprite(pictures: Sequence[Image.Image], columns: int) -> str:
    """Return the pictures side by side as one WebP, a data URI."""
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


def _described(
    predictions: Predictions, row: int, predictions_file: PredictionsFile, prepared: Prepared | None
) -> dict[str, Any]:
    """Return name and true class of an image, and what each contender predicted, in words."""
    index, truth = predictions_file.indices[row], predictions_file.labels[row]
    classes = predictions_file.classes
    name = prepared.names[index] if prepared is not None and prepared.names else f"image {index}"
    by_contender = []
    for contender in predictions_file.contenders:
        of_seed, seeds = predictions.of(contender), predictions.seeds(contender)
        counts = Counter(int(of_seed[seed][row]) for seed in seeds).most_common()
        times_of = {
            k: f" ({times} of {len(seeds)})" if len(counts) > 1 else "" for k, times in counts
        }
        by_contender.append(
            {
                "contender": contender,
                "predicted": ", ".join(classes[k] + times for k, times in times_of.items()),
                "wrong": ", ".join(classes[k] for k in times_of if k != truth),
                "right": list(times_of) == [truth],
            }
        )
    return {"name": name, "truth": classes[truth], "predictions": by_contender}
