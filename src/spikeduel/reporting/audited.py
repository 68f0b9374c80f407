"""The audit as people see it: its figures, its part of the report, and a page of its own."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from spikeduel.data.auditing import PIXELS_ARE_NOT_ALL, Audit, rows
from spikeduel.data.prepared import Prepared
from spikeduel.reporting import style
from spikeduel.reporting.gallery import Shown
from spikeduel.system import files

MOST_PICTURED = 12
PAIRS_A_ROW = 3
_SIDES = {"train": "training", "val": "validation", "test": "test"}


def distances(audit: Audit) -> Figure:
    """How far test images are from training, against how far training images are from one another: two ECDFs."""
    figure = style.new_figure(3.0)
    axes = style.quiet(
        figure.subplots(), x="distance to the nearest training image (0: equal up to brightness and contrast)",
        y="share of images nearer", grid=True,
    )  # fmt: skip
    within = audit.details["within_quantiles"]
    test = np.sort([d for d in audit.details["test_distances"] if d is not None])
    axes.plot(within, np.linspace(0, 1, len(within)), color=style.QUIET, linewidth=1.8, linestyle=(0, (4, 2)))
    axes.plot(test, np.linspace(0, 1, len(test)), color=style.OTHER_COLOURS[0], linewidth=1.8)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(
        ["training images (to another one)", "test images"], loc="lower right", frameon=False,
        fontsize=style.SMALL, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def accuracy_by_distance(trials: list[dict[str, Any]]) -> Figure:
    """Accuracy of each contender (mean over seeds) on test images near to and far from training."""
    figure = style.new_figure(3.0)
    colours = style.contender_colours(trials)
    bins = next(t["test"]["by_distance"] for t in trials if _has_bins(t))
    axes = style.quiet(figure.subplots(), x="distance to the nearest training image", y="accuracy", grid=True)
    places = np.arange(len(bins))
    for name, colour in colours.items():
        own = [t["test"]["by_distance"] for t in trials if t["contender"] == name and _has_bins(t)]
        if own:
            values = np.array([[np.nan if b["accuracy"] is None else b["accuracy"] for b in row] for row in own])
            axes.plot(places, values.mean(0), color=colour, marker="o", linewidth=1.8, markersize=5, label=name)
    axes.set_xticks(places, [f"{b['from']:.2f} to {b['to']:.2f}\n{b['n']:,} images" for b in bins])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(top=1.01)
    axes.legend(loc="best", frameon=False, fontsize=style.SMALL, labelcolor=style.INK)
    return figure


def pairs(listed: list[dict[str, Any]], prepared: Prepared) -> Figure:
    """Pairs of pictures side by side, each with its kind, and the side, label and file or index of both."""
    num_rows = -(-len(listed) // PAIRS_A_ROW)
    figure = style.new_figure(0.1 + 1.85 * num_rows)
    # A narrow column between two pairs.
    columns = 3 * PAIRS_A_ROW - 1
    widths = [0.25 if column % 3 == 2 else 1.0 for column in range(columns)]
    grid = figure.subplots(num_rows, columns, squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_visible(False)
    for number, pair in enumerate(listed):
        conflict = pair["a"]["label"] != pair["b"]["label"]
        for half, image in enumerate((pair["a"], pair["b"])):
            axes = grid[number // PAIRS_A_ROW, 3 * (number % PAIRS_A_ROW) + half]
            axes.set_visible(True)
            style.show_image(axes, np.asarray(prepared.images[image["index"]]))
            label = style.shortened(image["label"], 17)
            axes.set_title(f"{_SIDES[image['side']]}\n{label}", fontsize=style.SMALL, color=style.INK)
            if conflict:
                axes.title.set_color(style.WRONG)
            axes.set_xlabel(_where(image), fontsize=6.5, color=style.QUIET)
    return figure


def section(audit: Audit, prepared: Prepared | None, folder: Path, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """What the template places: words, numbers, and the figures, written into `folder`.

    Without `prepared` there are no pictures; without `trials` that tell it, no accuracy by distance.
    """
    shown = []
    listed = audit.details["pairs"]
    if prepared is not None and listed:
        shown.append(_pictured(listed[:MOST_PICTURED], len(listed), prepared, audit, folder))
    if audit.details["within_quantiles"] and audit.results["distances"]["test_to_train"]:
        shown.append(
            Shown(
                style.save(distances(audit), folder / "audit-distances.png"),
                "share of images by distance to their nearest training image, for test and for training images",
                "Where both lines agree, test images are as new to a network as training images are to one another; do "
                "both rise at the very left, the same pictures come several times on all sides. A test line far to the "
                "left of the other shows copies of training images in the test set; one far to the right, test images "
                "of another kind.",
                "How far test images are from training",
            )
        )
    if any(_has_bins(trial) for trial in trials):
        shown.append(
            Shown(
                style.save(accuracy_by_distance(trials), folder / "audit-accuracy-by-distance.png"),
                "accuracy of each contender by distance of the test images to training",
                "Left: the fifth of the test images that training knows best; right: the fifth that is newest to it. A "
                "contender that falls steeply lives on likeness. Lines join the fifths only to guide the eye.",
                "Accuracy by distance to training",
            )
        )
    return {
        "ok": audit.ok,
        "problems": audit.problems,
        "notes": audit.notes,
        "rows": rows(audit.results),
        "definition": audit.results["near_definition"],
        "unreadable": audit.results["unreadable"],
        "classes": audit.results["class_sides"],
        "caution": PIXELS_ARE_NOT_ALL,
        "shown": shown,
        "listed": [_line(pair) for pair in listed],
    }


def audit_page(audit: Audit, prepared: Prepared, out: Path | str) -> Path:
    """Writes `audit.html`, `audit.json` and the figures into `out`; returns the page. Raises `InputError`."""
    from spikeduel.reporting.page import template

    out = Path(out)
    page = {
        "title": f"Audit of {audit.results['dataset']}",
        "audited": section(audit, prepared, out / "figures", []),
        "fingerprint": audit.results["fingerprint"],
    }
    files.write_json(out / "audit.json", audit.results)
    files.write_text(out / "audit.html", template("audit.html.j2").render(page))
    return out / "audit.html"


def _pictured(listed: list[dict[str, Any]], number: int, prepared: Prepared, audit: Audit, folder: Path) -> Shown:
    kinds = list(dict.fromkeys(pair["kind"] for pair in listed))
    all_of = "" if number == len(listed) else f" {len(listed)} of {number:,} listed pairs;"
    return Shown(
        style.save(pairs(listed, prepared), folder / "audit-pairs.png"),
        "pairs of equal and nearly equal images, side by side",
        f"The gravest first:{all_of} {', '.join(kinds)}; the nearest first within each kind. Above each its side of "
        "the split and its label, below its place. Different labels are red.",
        "Pairs of pictures",
    )


def _line(pair: dict[str, Any]) -> dict[str, str]:
    return {
        "kind": pair["kind"],
        "ratio": f"{pair['ratio']:.2f}",
        **{half: f"{_SIDES[pair[half]['side']]}, {pair[half]['label']}: {_full(pair[half])}" for half in ("a", "b")},
    }


def _full(image: dict[str, Any]) -> str:
    return str(image["file"] or f"image {image['index']}")


def _where(image: dict[str, Any]) -> str:
    return style.shortened(Path(image["file"]).name, 16) if image["file"] else f"image {image['index']}"


def _has_bins(trial: dict[str, Any]) -> bool:
    return bool(trial["test"] and trial["test"].get("by_distance"))
