"""Pages in a real browser: the Chromium or Chrome of this machine, without a window."""

import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def browser():
    """The browser, driven by Playwright; the test is skipped where one of the two is missing."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright (pip install playwright)"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def opened(running, path, width=1280, height=800, scheme="light", **settings):
    """A page of a file in a `running` browser. Nothing may be asked for, and nothing may be
    complained about.
    """
    context = running.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, **settings
    )
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.resolve().as_uri())
    yield page
    assert complaints == []
    # The page itself, and pictures that are in it.
    assert [url for url in asked[1:] if not url.startswith("data:")] == []
    context.close()


def violations(page, impacts=("serious", "critical")):
    """Return the objections of axe to a page whose folds are all open: rules, and places in it."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    ).Axe()
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    return [
        (broken["id"], [node["html"][:150] for node in broken["nodes"][:3]])
        for broken in axe.run(page).response["violations"]
        if broken["impact"] in impacts
    ]
