import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from factories import run_predictions, run_results
from spikeduel.analysis.predicted import Predictions
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import images as pictures
from spikeduel.reporting.images import thumbnails


@pytest.fixture
def made(make_prepared):
    """Makes a data set, a run's results on its last images, and what it answered to them."""

    def make(num_images=60, **settings):
        prepared = make_prepared(num_images=num_images, **settings)
        experiment = replace(baseline("digits"), contenders=("dense-snn", "small-cnn"))
        results = run_results(prepared, experiment)
        return prepared, results, run_predictions(prepared, results, np.arange(20, num_images))

    return make


def opened(sprite):
    kind, content = sprite.split(",")
    assert kind == "data:image/webp;base64"
    return Image.open(BytesIO(base64.b64decode(content)))


def test_each_place_of_the_sprite_shows_the_image_that_it_says(made):
    prepared, results, kept = made()
    shown = thumbnails(results, kept, prepared)
    sheet = np.asarray(opened(shown.sprite).convert("L"))

    for place, said in enumerate(shown.listed):
        index = int(said["name"].removeprefix("image "))
        row, column = divmod(place, shown.columns)
        picture = sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.array_equal(picture, np.asarray(prepared.images[index])[0])
        assert said["truth"] == prepared.classes[prepared.labels[index]]


def test_places_of_a_cell_are_images_of_that_cell(made):
    prepared, results, kept = made()
    shown = thumbnails(results, kept, prepared)

    for (truth, answer), group in shown.cells["small-cnn"].items():
        for place in group.places:
            said = shown.listed[place]
            assert said["truth"] == kept.classes[truth]
            (told,) = [told for told in said["answers"] if told["who"] == "small-cnn"]
            assert (told["said"], told["right"]) == (kept.classes[answer], truth == answer)
    wrong = {
        rows[0]
        for cell, rows in Predictions(kept).cells("small-cnn").items()
        if cell[0] == 0 != cell[1]
    }
    assert shown.classes["small-cnn"][0].total >= len(wrong) > 0


def test_there_are_never_more_than_the_limits_and_what_is_left_out_is_counted(made, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_OF_ONE_PAIR", 2)
    monkeypatch.setattr(pictures, "MAX_THUMBNAILS", 10)
    prepared, results, kept = made(num_images=200)

    shown = thumbnails(results, kept, prepared)

    assert len(shown.listed) == 10
    groups = [group for of in shown.cells.values() for group in of.values()]
    assert max(len(group.places) for group in groups) <= 2
    assert sum(group.total for group in shown.cells["dense-snn"].values()) == len(kept.labels)
    # The sides of the disagreement come first.
    ((_, sides),) = shown.pairs
    assert all(len(group.places) == min(2, group.total) for group in sides.values())


def test_pictures_in_colour_and_large_ones_are_made_small(made):
    prepared, results, kept = made(shape=(3, 150, 100))

    shown = thumbnails(results, kept, prepared)

    sheet = opened(shown.sprite)
    assert (sheet.mode, sheet.size) == ("RGB", (64 * shown.columns, 64 * shown.rows))


def test_without_the_data_images_are_counted_and_none_is_shown(made):
    _, results, kept = made()

    shown = thumbnails(results, kept, None)

    assert (shown.sprite, shown.listed) == (None, [])
    assert sum(group.total for group in shown.cells["dense-snn"].values()) == len(kept.labels)
