import numpy as np
import pytest

import factories
from made_models import make
from spikeduel import energy
from spikeduel.data import Preprocessing, Split
from spikeduel.features.inspection.inside_section import section
from spikeduel.reporting.sections import Page, RunData


@pytest.fixture
def held(random):
    """Ten images, of which the folds test the last two, and those before."""
    images, numbers = random.integers(0, 256, (10, 1, 10, 10), dtype=np.uint8), np.arange(10)
    prepared = factories.prepared(
        images, numbers % 3, name="made up", classes="abc", preprocessing=Preprocessing(1, 10, 10)
    )
    folds = [
        Split(numbers[:4], numbers[4:6], numbers[start : start + 2], "stratified")
        for start in (8, 6)
    ]
    return RunData(prepared, folds)


def page(held, models):
    return Page(None, energy.read(energy.HEADLINE), models, held, None, [])


def models(**folds):
    return {
        name: make(name.replace("_", "-"), trained_on={"fold": fold})
        for name, fold in folds.items()
    }


def test_it_looks_inside_an_image_that_all_networks_were_tested_on(held):
    shown = section(page(held, models(dense_snn=1, small_cnn=1)), None).content["inside"]

    assert [model.name for model in shown.models] == ["dense_snn", "small_cnn"]
    assert shown.classes[shown.truth] == "a"  # of image 6


@pytest.mark.parametrize("folds", [{"dense_snn": 0, "small_cnn": 1}, {}])
def test_without_models_or_a_common_image_there_is_no_section(held, folds):
    assert section(page(held, models(**folds)), None) is None


def test_without_data_there_is_no_section():
    assert section(page(None, models(small_cnn=0)), None) is None
