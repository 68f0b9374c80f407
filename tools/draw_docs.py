"""Draw the figures of the README and of docs/spiking.md into docs/figures/: the finding, a neuron,
rate encoding, rates and a ReLU, surrogates.

    python tools/draw_docs.py              # all of these
    python tools/draw_docs.py report.html  # a report's first screen, photographed by a browser
"""

import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import spikeduel as sd
from spikeduel.engine.encoders import rate
from spikeduel.engine.neurons import IF
from spikeduel.features.compression.compression_section import chart as drawn
from spikeduel.features.compression.frontier_results import Conclusion
from spikeduel.features.compression.frontier_sentences import by_group, times, whole
from spikeduel.reporting.charts import ACCURACY, FAINT, INK, OTHER_COLOURS, QUIET, SPIKING_COLOURS
from spikeduel.results.cost_results import Group
from spikeduel.system.typed import read_json

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
FRONTIER = FIGURES.parents[1] / "benchmarks" / "results" / "equal-grids.json"
FIRST_SPIKES = "SNN, first spikes"
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


def finding() -> None:
    """Accuracy against inference time and energy on Fashion-MNIST; an arrow leads from the CNN to
    the SNN at the highest accuracy that both reach.
    """
    entry = read_json(FRONTIER, dict)["fashion-mnist"]["equal minutes"]
    found = msgspec.convert(entry["frontier"], Conclusion)
    (pair,) = [pair for pair in found.pairs if pair.spiking == "vgg-lif"]
    at, kinds = pair.at[0], found.accountings
    colours = {
        "vgg-lif": SPIKING_COLOURS[0],
        "vgg-integer": SPIKING_COLOURS[1],
        "vgg-relu": OTHER_COLOURS[0],
    }
    series = dict(zip(colours.values(), ("SNN, LIF", "SNN, integer", "CNN"), strict=True))
    titles: dict[Group, str] = {
        "measured": "Inference time on a CPU",
        "memory": "Energy with memory access (estimate)",
    }
    level, ratios = 100 * at.accuracy, {name: whole(by_group(at)[name]) for name in titles}
    figure = new_figure(3.9)
    for axes, (group, title) in zip(
        figure.subplots(1, 2, sharey=True), titles.items(), strict=True
    ):
        of_group = {name: kind for name, kind in kinds.items() if kind.group == group}
        chart = drawn(msgspec.structs.replace(found, accountings=of_group), colours)
        quiet(axes, title, x="cost relative to the full-size 8-bit CNN")
        axes.set(xscale="log", ylim=(83, 93))
        axes.xaxis.set_major_formatter("{x:g}×")
        axes.xaxis.set_minor_formatter("")
        if group == "measured":
            axes.set_xticks([0.7, 1, 2, 3])
        axes.grid(axis="y", color=FAINT, linewidth=0.7)
        ends = {}
        for marks in chart.panels[0].marks:
            x, y = (
                np.array([row[column] for row in marks.rows], float)
                for column in (chart.panels[0].x.column, ACCURACY)
            )
            if marks.kind == "line":
                axes.plot(x, y, color=marks.look.colour, linewidth=1.2)
                ends[marks.look.colour] = np.interp(level, y, x)
            elif marks.kind == "points":
                shape = "s" if marks.look.shape == "square" else "o"
                colour = marks.look.colour
                axes.plot(
                    x, y, shape, color=colour, markersize=4, label=series.get(colour, FIRST_SPIKES)
                )
        spiking, other = (ends[colours[name]] for name in ("vgg-lif", "vgg-relu"))
        axes.annotate(
            "", (spiking, level), (other, level), arrowprops={"arrowstyle": "->", "color": INK}
        )
        axes.annotate(
            f"{times(ratios[group])} times",
            (np.sqrt(spiking * other), level - 0.12),
            ha="center",
            va="top",
            fontsize=SMALL,
            weight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    left, right = figure.axes
    left.set_ylabel("test accuracy, %", fontsize=SMALL, color=INK)
    right.legend(loc="lower right", frameon=False, fontsize=SMALL, labelcolor=INK)
    figure.suptitle(
        f"Fashion-MNIST at {level:.1f} % accuracy: an SNN of LIF neurons takes "
        f"{times(ratios['measured'])} times as long as a CNN",
        fontsize=SMALL + 2,
        weight="bold",
        color=INK,
    )
    save(figure, "finding.png")


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
    first, *others = frames(encoded[:, 0].numpy(), image[0], scale=8)
    durations = [150] * len(others) + [2000]
    first.save(
        FIGURES / "rate.gif", save_all=True, append_images=others, duration=durations, loop=0
    )


def frames(encoded: np.ndarray, image: np.ndarray, scale: int) -> list[Image.Image]:
    """Return a frame for each step: the grey image `[H, W]`, the step's spikes, and their mean so
    far.
    """
    means = np.cumsum(encoded[:, 0], 0) / np.arange(1, len(encoded) + 1).reshape(-1, 1, 1)
    gap = np.full((len(image), 4), 255)
    rows = [
        np.concatenate([image, gap, 255 * spikes, gap, 255 * mean], axis=1)
        for spikes, mean in zip(encoded[:, 0], means, strict=True)
    ]
    return [
        Image.fromarray(np.rint(row).astype(np.uint8).repeat(scale, 0).repeat(scale, 1))
        for row in rows
    ]


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
    """The recommendation, table and chart of a report, photographed with Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playing:
        browser = playing.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1320, "height": 900}, device_scale_factor=1.25)
        page.goto(report.resolve().as_uri())
        found = page.locator("#recommendation")
        found.evaluate(
            "found => { found.style.padding = '16px'; found.querySelector('.settle')?.remove() }"
        )
        found.screenshot(path=FIGURES / "recommendation.png")
        browser.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        answer(Path(sys.argv[1]))
    else:
        for draw in (finding, neuron, encoding, rates, surrogates):
            draw()
