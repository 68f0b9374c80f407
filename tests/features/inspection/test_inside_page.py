import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from browser import browser, opened
from made_models import SENSOR, make, of_recordings
from spikeduel.evaluation.inside_measurement import look_inside
from spikeduel.features.inspection.inside_page import at_step, inspect


@pytest.fixture
def image(random):
    return random.integers(0, 256, (1, 10, 10), dtype=np.uint8)


@pytest.fixture(scope="module")
def running():
    with browser() as started:
        yield started


def models(**changes):
    return {"spiking": make(**changes), "not spiking": make("small-cnn")}


def test_a_still_and_a_moving_picture_are_written(image, tmp_path):
    paths = inspect(
        models(num_steps=3), image, tmp_path / "seen", truth="b", formats=["gif", "svg", "png"]
    )

    kinds = ("html", "png", "svg", "gif")
    assert [path.name for path in paths] == [f"inside.{kind}" for kind in kinds]
    with Image.open(paths[1]) as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 0
    assert "<svg" in paths[2].read_text()
    with Image.open(paths[3]) as movie:
        assert movie.n_frames == 3
        first = np.asarray(movie.convert("L"), int)
        movie.seek(2)
        assert (np.asarray(movie.convert("L"), int) != first).any()


@pytest.mark.parametrize("contender", ["vgg-lif", "vgg-gru"])
def test_a_recording_is_shown_frame_by_frame(tmp_path, contender):
    frames = np.random.default_rng(0).integers(0, 3, (10, *SENSOR)).astype(np.uint8)

    page, moving = inspect(of_recordings(contender), frames, tmp_path, formats=["gif"])

    assert "One recording" in page.read_text()
    with Image.open(moving) as movie:
        assert movie.n_frames == 5


def test_a_figure_has_the_spikes_up_to_its_step_and_no_later_ones(image):
    inside = look_inside(
        models(encoding="direct", network={"hidden": 12, "neuron": "lif", "threshold": 0.01}), image
    )

    for step in (1, 4):
        raster = next(
            axes
            for axes in at_step(inside, step).axes
            if "spikes so far" in [text.get_text() for text in axes.texts]
        )
        marks = len(raster.collections[0].get_segments())
        assert marks == sum(layer.fired[:, :step].sum() for layer in inside.models[0].layers) > 0


def test_the_page_holds_its_data_and_lets_nothing_else_run(image, tmp_path):
    names = models(classes=("<b>", "b", "c")) | {
        "not spiking": make("small-cnn", classes=("<b>", "b", "c"))
    }

    text = inspect(names, image, tmp_path, truth="<b>", formats=[])[0].read_text()

    held = re.search(r'<script type="application/json" id="inside-data">(.*?)</script>', text)[1]
    assert json.loads(held)["classes"] == ["<b>", "b", "c"]
    assert "<b>" not in text
    text = html.unescape(text)
    assert re.search(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]+'", text
    )
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)", text)


def test_in_a_browser_slider_keys_and_play_button_change_the_step(image, tmp_path, running):
    with opened(running, inspect(models(), image, tmp_path, formats=[])[0]) as page:
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
    path = inspect(models(), image, tmp_path, formats=[])[0]
    with opened(running, path, 360, scheme="dark") as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        for part in page.locator(".sdi-part").all():
            assert part.evaluate("part => part.scrollWidth <= part.clientWidth + 1")
