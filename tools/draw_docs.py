"""Draw the figures of docs/spiking.md into docs/figures/: a neuron, rate encoding, rates and a
ReLU, surrogates.

    python tools/draw_docs.py              # all of these
    python tools/draw_docs.py report.html  # the README's picture: a report's answer, by a browser
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import spikeduel as sd
from spikeduel import reporting
from spikeduel.reporting.charts import INK, OTHER_COLOURS, QUIET, SPIKING_COLOURS
from spikeduel.spiking.encoders import rate
from spikeduel.spiking.neurons import IF

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
STEPS = 60
SMALL, DPI = 8.5, 130
"""Font size in points, and dots an inch."""


def new_figure(height: float) -> Figure:
    """Return an empty white figure of 7 inches by `height`."""
    return Figure(figsize=(7.0, height), dpi=DPI, facecolor="white", layout="constrained")


def quiet(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Give `axes` two spines, small grey ticks and labels."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)
    axes.tick_params(colors=QUIET, labelsize=SMALL, length=3)
    axes.set_title(title, fontsize=SMALL + 1, loc="left", color=INK)
    axes.set_xlabel(x, fontsize=SMALL, color=INK)
    axes.set_ylabel(y, fontsize=SMALL, color=INK)
    return axes


def save(figure: Figure, name: str) -> None:
    """Write `figure` as a PNG into the docs."""
    figure.savefig(FIGURES / name, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def neuron() -> None:
    """A leaky neuron's membrane over random inputs, and its spikes."""
    current = 0.35 * (torch.rand(STEPS, 1, generator=torch.Generator().manual_seed(3)) < 0.5)
    spk, mem = sd.LIF(beta=0.9)(current)
    figure = new_figure(3.4)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    quiet(upper, y="membrane")
    upper.plot(mem[:, 0], color=SPIKING_COLOURS[0])
    upper.axhline(1, color=QUIET, linestyle="--", linewidth=1)
    upper.annotate(
        "threshold",
        (1.005, 1),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=SMALL,
        color=QUIET,
    )
    quiet(lower, x="time step")
    times = [each[:, 0].nonzero()[:, 0].tolist() for each in (spk, current)]
    lower.eventplot(times, colors=[SPIKING_COLOURS[0], QUIET], linelengths=0.7)
    lower.set_yticks([0, 1], ["spikes", "inputs"])
    save(figure, "neuron.png")


def encoding() -> None:
    """An image of the embedded set, rate-encoded."""
    prepared = sd.data.load(sd.recipes.strong())
    image = np.array(prepared.images[int(np.flatnonzero(prepared.labels == 9)[0])])
    batch = torch.from_numpy(image)[None]
    encoded = rate(batch, 32, sd.RandomKeys.for_content(batch))
    moving = reporting.encoded_animation(encoded[:, 0].numpy(), image, scale=8)
    (FIGURES / "rate.gif").write_bytes(moving)


def rates() -> None:
    """The rate of a neuron over a constant input, beside a ReLU that ends at 1."""
    figure = new_figure(3.4)
    axes = quiet(figure.subplots(), x="input at each step, in thresholds", y="spikes per step")
    inputs = torch.linspace(-0.25, 1.25, 601)
    for steps, alpha in ((4, 1.0), (16, 0.7), (64, 0.45)):
        spk, _ = IF()(inputs.expand(steps, -1))
        axes.plot(
            inputs, spk.mean(0), color=SPIKING_COLOURS[0], alpha=alpha, label=f"{steps} steps"
        )
    axes.plot(
        inputs,
        inputs.clamp(0, 1),
        color=OTHER_COLOURS[0],
        linestyle="--",
        label="ReLU, at most 1",
    )
    axes.legend(loc="upper left", frameon=False, fontsize=SMALL, labelcolor=INK)
    save(figure, "rates.png")


def surrogates() -> None:
    """A spike over the membrane, and the slopes that training uses in place of its own."""
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    u = torch.linspace(-1.5, 1.5, 601)
    quiet(left, "spike", x="membrane minus threshold")
    left.plot(u, (u > 0).float(), color=SPIKING_COLOURS[0])
    left.set_yticks([0, 1])
    quiet(right, "slope used in training", x="membrane minus threshold")
    for (name, surrogate), colour in zip(
        sd.SURROGATES.items(), (*OTHER_COLOURS, QUIET), strict=True
    ):
        gradient = surrogate.gradient(u, surrogate.alpha)
        right.plot(u, gradient / gradient.max(), color=colour, label=name.replace("_", " "))
    right.set_yticks([0, 1], ["0", "highest"])
    handles = right.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    save(figure, "surrogates.png")


def answer(report: Path) -> None:
    """The first screen of a report, photographed with Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playing:
        browser = playing.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1320, "height": 900}, device_scale_factor=1.25)
        page.goto(report.resolve().as_uri())
        found = page.locator("#answer")
        found.evaluate("section => section.style.padding = '16px'")
        found.screenshot(path=FIGURES / "answer.png")
        browser.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        answer(Path(sys.argv[1]))
    else:
        for draw in (neuron, encoding, rates, surrogates):
            draw()
