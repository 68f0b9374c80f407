"""The audit as people see it: its figures, its part of the report, and a page of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spikeduel.data.prepared import Prepared
from spikeduel.reporting import style
from spikeduel.reporting.style import Shown
from spikeduel.reporting.template import template
from spikeduel.results.audit import Audit, AuditedImage, Counts, Pair
from spikeduel.results.trials import Trial
from spikeduel.results.words import audit as words
from spikeduel.system import files, typed

MOST_PICTURED = 12
PAIRS_A_ROW = 3
_SIDES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class AuditSection:
    """What the template places: words, numbers, and the figures. `listed` are the pairs, each as text."""

    problems: list[str]
    notes: list[str]
    rows: list[dict[str, str]]
    definition: str
    caution: str
    unreadable: tuple[str, ...]
    classes: dict[str, Counts]
    shown: list[Shown]
    listed: list[dict[str, str]]


def distances(audit: Audit) -> Figure:
    """How far test images are from training, against how far training images are from one another: two ECDFs."""
    figure = style.new_figure(3.0)
    axes = style.quiet(
        figure.subplots(), x="distance to the nearest training image (0: equal up to brightness and contrast)",
        y="share of images nearer", grid=True,
    )  # fmt: skip
    within = audit.details.within_quantiles
    test = np.sort([distance for distance in audit.details.test_distances if distance is not None])
    for values, label, colour, dashes in (
        (within, "training images (to another one)", style.QUIET, style.DASHED),
        (test, "test images", style.OTHER_COLOURS[0], "solid"),
    ):
        shares = np.linspace(0, 1, len(values))
        axes.plot(values, shares, color=colour, linewidth=1.8, linestyle=dashes, label=label)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    style.per_cent_axis(axes.yaxis)
    style.axes_legend(axes, "lower right")
    return figure


def accuracy_by_distance(trials: Sequence[Trial]) -> Figure:
    """Accuracy of each contender (mean over seeds) on test images near to and far from training."""
    figure = style.new_figure(3.0)
    axes = style.quiet(figure.subplots(), x="distance to the nearest training image", y="accuracy", grid=True)
    binned = [(trial.contender, trial.test.by_distance) for trial in trials if trial.test and trial.test.by_distance]
    bins = binned[0][1]
    places = np.arange(len(bins))
    for name, colour in style.contender_colours(trials).items():
        rows = [[b.accuracy if b.accuracy is not None else np.nan for b in row] for who, row in binned if who == name]
        if rows:
            means = np.mean(rows, axis=0)
            axes.plot(places, means, color=colour, marker="o", linewidth=1.8, markersize=5, label=name)
    axes.set_xticks(places, [f"{b.low:.2f} to {b.high:.2f}\n{b.n:,} images" for b in bins])
    style.per_cent_axis(axes.yaxis)
    axes.set_ylim(top=1.01)
    style.axes_legend(axes)
    return figure


def pairs(listed: Sequence[Pair], prepared: Prepared) -> Figure:
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
        for half, image in enumerate((pair.a, pair.b)):
            axes = grid[number // PAIRS_A_ROW, 3 * (number % PAIRS_A_ROW) + half]
            axes.set_visible(True)
            style.show_image(axes, np.asarray(prepared.images[image.index]))
            label = style.shortened(image.label, 17)
            colour = style.INK if pair.a.label == pair.b.label else style.WRONG
            axes.set_title(f"{_SIDES[image.side]}\n{label}", fontsize=style.SMALL, color=colour)
            name = style.shortened(Path(image.file).name, 16) if image.file else _name(image)
            axes.set_xlabel(name, fontsize=6.5, color=style.QUIET)
    return figure


def section(audit: Audit, prepared: Prepared | None, folder: Path, trials: Sequence[Trial]) -> AuditSection:
    """What the template places; figures are written into `folder`.

    Without `prepared` there are no pictures; without `trials` that tell it, no accuracy by distance.
    """
    listed = audit.details.pairs
    shown = [_pictured(listed, prepared, folder)] if prepared is not None and listed else []
    if audit.details.within_quantiles and audit.distances.test_to_train:
        shown.append(
            Shown(
                style.save(distances(audit), folder / "audit-distances.png"),
                "share of images by distance to their nearest training image, for test and for training images",
                "If both lines agree, test images are as new to a network as training images are to one another. If "
                "both rise at the very left, the same pictures come several times on all sides. A test line far to the "
                "left shows copies of training images in the test set; one far to the right, test images of another "
                "kind.",
                "How far test images are from training",
            )
        )
    if any(trial.test and trial.test.by_distance for trial in trials):
        shown.append(
            Shown(
                style.save(accuracy_by_distance(trials), folder / "audit-accuracy-by-distance.png"),
                "accuracy of each contender by distance of the test images to training",
                "Left: the fifth of the test images nearest to training; right: the fifth farthest from it. A steep "
                "fall means reliance on near-duplicates. Lines join the fifths only to guide the eye.",
                "Accuracy by distance to training",
            )
        )
    return AuditSection(
        problems=audit.problems,
        notes=audit.notes,
        rows=words.rows(audit),
        definition=words.near_definition(audit),
        caution=words.PIXELS_ARE_NOT_ALL,
        unreadable=audit.unreadable,
        classes=audit.class_sides,
        shown=shown,
        listed=[
            {"kind": pair.kind, "ratio": f"{pair.ratio:.2f}", "a": _line(pair.a), "b": _line(pair.b)} for pair in listed
        ],
    )


def audit_page(audit: Audit, prepared: Prepared, out: Path | str) -> Path:
    """Writes `audit.html`, `audit.json` and the figures into `out`; returns the page. Raises `InputError`."""
    out = Path(out)
    page = {
        "title": f"Audit of {audit.dataset}",
        "audited": section(audit, prepared, out / "figures", []),
        "fingerprint": audit.fingerprint,
    }
    typed.write_json(out / "audit.json", words.document(audit))
    files.write_text(out / "audit.html", template("audit.html.j2").render(page))
    return out / "audit.html"


def _pictured(listed: Sequence[Pair], prepared: Prepared, folder: Path) -> Shown:
    first = listed[:MOST_PICTURED]
    all_of = "" if len(first) == len(listed) else f" {len(first)} of {len(listed):,} listed pairs;"
    return Shown(
        style.save(pairs(first, prepared), folder / "audit-pairs.png"),
        "pairs of equal and nearly equal images, side by side",
        f"The gravest first:{all_of} {', '.join(dict.fromkeys(pair.kind for pair in first))}; the nearest first within "
        "each kind. Above each image its side of the split and its label, below its name. Different labels are red.",
        "Pairs of pictures",
    )


def _line(image: AuditedImage) -> str:
    return f"{_SIDES[image.side]}, {image.label}: {image.file or _name(image)}"


def _name(image: AuditedImage) -> str:
    return f"image {image.index}"
