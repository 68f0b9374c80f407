import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from factories import pair, predictions_file, results, run_predictions, run_results, trial
from spikeduel.analysis.predicted import Predictions
from spikeduel.experiment.recipes import baseline
from spikeduel.features.disagreement import thumbnails as module
from spikeduel.features.disagreement.thumbnails import (
    main_pairs,
    rows_by_cell,
    thumbnails,
)

#          row: 0  1  2  3  4  5
TRUTH = [0, 0, 1, 1, 2, 2]
PREDICTED = {
    ("snn", 0): [0, 1, 1, 0, 2, 0],
    ("snn", 1): [0, 1, 1, 1, 2, 1],
    ("cnn", 0): [0, 0, 2, 0, 2, 0],
    ("cnn", 1): [0, 1, 2, 0, 2, 2],
}


@pytest.fixture
def made(make_prepared):
    """Makes a data set, a run's results on its last images, and what it answered to them."""

    def make(num_images=60, **settings):
        prepared = make_prepared(num_images=num_images, **settings)
        experiment = replace(baseline("digits"), contenders=("dense-snn", "small-cnn"))
        run = run_results(prepared, experiment)
        return prepared, run, run_predictions(prepared, run, np.arange(20, num_images))

    return make


def opened(sprite):
    kind, content = sprite.split(",")
    assert kind == "data:image/webp;base64"
    return Image.open(BytesIO(base64.b64decode(content)))


def num_in_cells(shown):
    groups = shown.groups["dense-snn"]
    return sum(group.total for cell, group in groups.items() if " " in cell)


def test_each_place_of_the_sprite_shows_the_image_that_it_says(made):
    prepared, run, predictions = made()
    shown = thumbnails(run, predictions, prepared)
    sheet = np.asarray(opened(shown.sprite).convert("L"))

    for place, image in enumerate(shown.images):
        index = int(image["name"].removeprefix("image "))
        row, column = divmod(place, shown.columns)
        picture = sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.array_equal(picture, np.asarray(prepared.images[index])[0])
        assert image["truth"] == prepared.classes[prepared.labels[index]]


def test_places_of_a_cell_are_images_of_that_cell(made):
    prepared, run, predictions = made()
    shown = thumbnails(run, predictions, prepared)

    for cell, group in shown.groups["small-cnn"].items():
        if " " not in cell:
            continue
        truth, predicted = map(int, cell.split())
        for place in group.places:
            image = shown.images[place]
            assert image["truth"] == predictions.classes[truth]
            (entry,) = [
                entry for entry in image["predictions"] if entry["contender"] == "small-cnn"
            ]
            assert (entry["predicted"], entry["right"]) == (
                predictions.classes[predicted],
                truth == predicted,
            )
    wrong = {
        rows[0]
        for cell, rows in rows_by_cell(Predictions(predictions), "small-cnn").items()
        if cell[0] == 0 != cell[1]
    }
    assert shown.groups["small-cnn"]["0"].total >= len(wrong) > 0


def test_there_are_never_more_than_the_limits_and_what_is_left_out_is_counted(made, monkeypatch):
    monkeypatch.setattr(module, "MAX_IN_GROUP", 2)
    monkeypatch.setattr(module, "MAX_THUMBNAILS", 10)
    prepared, run, predictions = made(num_images=200)

    shown = thumbnails(run, predictions, prepared)

    assert len(shown.images) == 10
    groups = [group for of in shown.groups.values() for group in of.values()]
    assert max(len(group.places) for group in groups) <= 2
    assert num_in_cells(shown) == len(predictions.labels)
    # The sides of the disagreement come first.
    ((_, groups),) = shown.pairs
    assert all(len(group.places) == min(2, group.total) for group in groups.values())


def test_pictures_in_colour_and_large_ones_are_made_small(made):
    prepared, run, predictions = made(shape=(3, 150, 100))

    shown = thumbnails(run, predictions, prepared)

    sheet = opened(shown.sprite)
    assert (sheet.mode, sheet.size) == ("RGB", (64 * shown.columns, 64 * shown.rows))


def test_without_the_data_images_are_counted_and_none_is_shown(made):
    _, run, predictions = made()

    shown = thumbnails(run, predictions, None)

    assert (shown.sprite, shown.images) == (None, [])
    assert num_in_cells(shown) == len(predictions.labels)


def test_cells_hold_every_image_that_one_seed_puts_there_most_seeds_first():
    predictions = Predictions(predictions_file(TRUTH, PREDICTED))
    cells = rows_by_cell(predictions, "cnn")

    assert cells[1, 2] == [2]
    assert cells[0, 0] == [0, 1]  # row 0 in both seeds, row 1 in one
    assert cells[2, 0] == [5]
    assert sum(len(rows) for (truth, _), rows in cells.items() if truth == 2) == 3


def test_a_spiking_and_another_contender_come_first_and_three_pairs_are_enough():
    trials = [trial(name, 0.5) for name in ("a-snn", "b-snn", "a-cnn", "b-cnn")]
    pairs = [
        pair(0.0, a="a-snn", b="b-snn", accuracy_a=0.99),
        pair(0.0, a="a-snn", b="a-cnn", accuracy_a=0.7),
        pair(0.0, a="b-snn", b="a-cnn", accuracy_a=0.9),
        pair(0.0, a="b-snn", b="b-cnn", accuracy_a=0.8),
        pair(0.0, a="a-cnn", b="b-cnn", accuracy_a=0.98),
    ]

    shown = main_pairs(results(trials, pairs))

    assert [(chosen.a, chosen.b) for chosen in shown] == [
        ("b-snn", "a-cnn"),
        ("b-snn", "b-cnn"),
        ("a-snn", "a-cnn"),
    ]
