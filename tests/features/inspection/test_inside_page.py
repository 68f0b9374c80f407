import html
import json
import re

import numpy as np
import pytest

import factories
from browser import opened
from made_models import SENSOR, make, of_recordings
from spikeduel import energy
from spikeduel.data import Preprocessing, Split
from spikeduel.features.inspection.inside_measurement import look_inside
from spikeduel.features.inspection.inside_page import inspect, section
from spikeduel.reporting.sections import Page, RunData


@pytest.fixture
def image(random):
    return random.integers(0, 256, (1, 10, 10), dtype=np.uint8)


def models(**changes):
    return {"spiking": make(**changes), "not spiking": make("small-cnn")}


def test_a_page_of_a_recording_says_so(tmp_path):
    frames = np.random.default_rng(0).integers(0, 3, (10, *SENSOR)).astype(np.uint8)
    page = inspect(of_recordings("vgg-gru"), frames, tmp_path)
    assert "One recording" in page.read_text()


def test_the_page_holds_its_data_and_lets_nothing_else_run(image, tmp_path):
    names = models(classes=("<b>", "b", "c")) | {
        "not spiking": make("small-cnn", classes=("<b>", "b", "c"))
    }

    text = inspect(names, image, tmp_path, truth="<b>").read_text()

    content = re.search(r'<script type="application/json" id="inside-data">(.*?)</script>', text)[1]
    assert json.loads(content)["classes"] == ["<b>", "b", "c"]
    assert "<b>" not in text
    text = html.unescape(text)
    assert re.search(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]+'", text
    )
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)", text)


def test_in_a_browser_slider_keys_and_play_button_change_the_step(image, tmp_path, running):
    with opened(running, inspect(models(), image, tmp_path)) as page:
        step = page.locator(".sdi output")
        assert step.inner_text() == "step 6 of 6"
        slider = page.get_by_role("slider", name="time step")
        slider.fill("2")
        assert slider.get_attribute("aria-valuetext") == step.inner_text() == "step 2 of 6"
        shares = page.locator(".sdi-model").first.locator(".sdi-value").all_inner_texts()
        expected = look_inside(models(), image).models[0].probabilities[1]
        assert [float(share.removesuffix(" %")) for share in shares] == pytest.approx(
            [100 * probability for probability in expected], abs=0.051
        )
        slider.press("ArrowRight")
        assert step.inner_text() == "step 3 of 6"
        page.get_by_role("button", name="play").press("Enter")
        page.get_by_role("button", name="pause").wait_for()
        page.get_by_role("button", name="play").wait_for(timeout=10_000)
        assert step.inner_text() == "step 6 of 6"
        page.locator(".sdi svg").first.hover()
        assert page.locator(".sdi-tip").inner_text().startswith("step ")
        maps = page.locator(".sdi-part", has=page.get_by_role("heading", name="Feature maps"))
        titles = [part.locator("p").all_inner_texts()[0] for part in maps.all()]
        assert titles[0] == "layer 1, spikes: its 12 numbers"
        assert titles[1].startswith("layer 1, activations: 6 of 16 channels")


def test_in_a_browser_a_phone_shows_it_without_sideways_scrolling(image, tmp_path, running):
    path = inspect(models(), image, tmp_path)
    with opened(running, path, 360, scheme="dark") as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for part in page.locator(".sdi-part").all():
            assert part.evaluate("part => part.scrollWidth <= part.clientWidth + 1")


@pytest.fixture
def run_data(random):
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


def made_section(run_data, **folds):
    """Make the section for models that were trained on `folds`, by their names."""
    models = {
        name: make(name.replace("_", "-"), trained_on={"fold": fold})
        for name, fold in folds.items()
    }
    return section(Page(None, energy.read(energy.HEADLINE), models, run_data, None, []), None)


def test_it_looks_inside_an_image_that_all_networks_were_tested_on(run_data):
    inside = made_section(run_data, dense_snn=1, small_cnn=1).content["inside"]
    assert [model.name for model in inside.models] == ["dense_snn", "small_cnn"]
    assert inside.classes[inside.truth] == "a"  # of image 6


def test_without_models_data_or_a_common_image_there_is_no_section(run_data):
    assert made_section(run_data, dense_snn=0, small_cnn=1) is None
    assert made_section(run_data) is None
    assert made_section(None, small_cnn=0) is None
