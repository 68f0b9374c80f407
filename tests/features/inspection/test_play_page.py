"""The page in a real browser."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from browser import violations

PREDICTED = "#inside[aria-busy=false] .sdi-model"


@pytest.fixture(scope="module")
def address(served):
    with served() as address:
        yield address


@pytest.fixture
def opened(running, address):
    """A function that opens the page for a visitor of their own; at the end nobody's console has
    errors.
    """
    contexts, errors, asked = [], [], []

    def open_page(width=1280, scheme="light", height=900):
        context = running.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: errors.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector(PREDICTED)
        return page

    open_page.errors = errors
    yield open_page
    for context in contexts:
        context.close()
    assert not errors
    assert all(url.startswith((address, "data:")) for url in asked)


def summary(page, *texts):
    """Return the lines of the summary, once all `texts` are in it."""
    for text in texts:
        page.wait_for_function(
            "text => document.querySelector('#summary').innerText.includes(text)", arg=text
        )
    return page.inner_text("#summary").split("\n")


def upload(page, name, content):
    page.set_input_files("#upload", {"name": name, "mimeType": "image/png", "buffer": content})


def move(page, name, value):
    """Moves a slider, or chooses from a list, as an input of the user's."""
    page.eval_on_selector(
        f"#setting-{name}",
        "(input, value) => "
        "{ input.value = value; input.dispatchEvent(new Event('input', { bubbles: true })); }",
        str(value),
    )


def test_an_upload_a_drawing_and_a_slider_change_the_predictions(opened):
    page = opened()
    assert summary(page, "vgg-relu: ")[0] == "A sample: T-shirt/top"
    for joules in page.locator(".sdi-cost").all_inner_texts():
        assert re.search(r"\b[\d.]+ (.J )?to [\d.]+ .J$", joules)
    file = io.BytesIO()
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))).save(file, "PNG")
    upload(page, "boot.png", file.getvalue())
    summary(page, "Your file: boot.png", "vgg-lif: ", "vgg-relu: ")
    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    for across in (0.35, 0.65):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + across * box["width"], box["y"] + box["height"] - 10, steps=5)
        page.mouse.up()
    summary(page, "Your drawing", "after 4 steps")
    move(page, "num_steps", 10)
    summary(page, "Your drawing", "after 10 steps")
    page.click("#reset")
    summary(page, "Your drawing", "after 4 steps")


def test_a_broken_upload_is_refused_by_a_sentence_and_the_page_goes_on(opened):
    page = opened()
    upload(page, "broken.png", b"this is no picture")
    page.wait_for_selector("#error:not([hidden])")
    assert "cannot be read as an image" in page.inner_text("#error")
    assert any("422" in error for error in opened.errors)
    opened.errors.clear()  # the browser's own line on the refusal
    move(page, "num_steps", 6)
    summary(page, "A sample: T-shirt/top", "after 6 steps")
    assert page.is_hidden("#error")
    page.click("#samples button:nth-child(5)")
    summary(page, "A sample: Pullover", "vgg-lif: ")
    assert page.is_hidden("#error")
    page.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([new Uint8Array(17 << 20)], "huge.png"));
        document.querySelector("#upload-part").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
    }""")
    assert "16 MB" in page.inner_text("#error")
    assert summary(page) == ["Still shown: A sample: Pullover"]
    upload(page, "empty.png", b"")
    assert "empty" in page.inner_text("#error")
    assert summary(page) == ["Still shown: A sample: Pullover"]


def test_it_works_by_keyboard_alone(opened):
    page = opened()
    page.focus("#samples button:nth-child(3)")
    page.keyboard.press("Enter")
    summary(page, "A sample: Trouser")
    page.focus("#drawing")
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    summary(page, "Your drawing")
    ink = "canvas => canvas.getContext('2d').getImageData(112, 150, 1, 1).data[0]"
    assert page.eval_on_selector("#drawing", ink) == 255
    page.focus("#setting-num_steps")
    page.keyboard.press("ArrowRight")
    summary(page, "after 5 steps")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_nothing_is_cut_off_and_axe_finds_nothing_serious(opened, width, scheme):
    page = opened(width, scheme)
    for part in ("html", "#given", "#image", "#settings", "#answer"):
        assert page.eval_on_selector(part, "part => part.scrollWidth - part.clientWidth") <= 0, part
    assert violations(page) == []
