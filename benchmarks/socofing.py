"""Why a random split of SOCOFing measures memory: audits of both splits, and two charts of them for
the README.

    python benchmarks/socofing.py --socofing PATH/TO/SOCOFING     # audits; without the option only
    draws

Audits go to benchmarks/results/audit-socofing-<split>.json, charts (numbers only, no fingerprints)
to docs/figures/. The networks' accuracies are those of benchmarks/study.py, direct encoding.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spikeduel import auditing
from spikeduel.reporting import style
from spikeduel.results.words.audit import document
from spikeduel.settings.recipes import baseline
from spikeduel.system.progress import TerminalProgress

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SPLITS = {"published": "at random over files", "by-subject": "by person"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--socofing", help="SOCOFing's folder or zip")
    options = parser.parse_args()
    if options.socofing:
        for split in SPLITS:
            asked = "published" if split == "published" else "default"
            experiment = baseline("socofing", split=asked, data_dir=options.socofing)
            found = auditing.audit(experiment, progress=TerminalProgress())
            (RESULTS / f"audit-socofing-{split}.json").write_text(
                json.dumps(document(found), indent=1) + "\n"
            )
    audits = {
        split: json.loads((RESULTS / f"audit-socofing-{split}.json").read_text())
        for split in SPLITS
    }
    style.save(scores(audits), FIGURES / "socofing-scores.png")
    style.save(distances(audits), FIGURES / "socofing-distances.png")


def scores(audits: dict[str, Any]) -> Figure:
    """What a nearest neighbour and the study's networks score on both splits."""
    rows = {
        "nearest neighbour,\nnothing learned": [
            audits[split]["probe"]["accuracy"] for split in SPLITS
        ]
    }
    for family, title in (("snn", "the study's SNN"), ("cnn", "the study's CNN")):
        rows[title] = []
        for split in SPLITS:
            trials = json.loads((RESULTS / f"study-socofing-{split}-direct.json").read_text())[
                "trials"
            ]
            rows[title].append(next(t["test"]["accuracy"] for t in trials if t["family"] == family))
    figure = style.new_figure(3.2)
    axes = style.quiet(
        figure.subplots(), "The same networks, the same prints, another split", y="right answers, %"
    )
    places = np.arange(len(rows))
    colours = style.OTHER_COLOURS[1], style.OTHER_COLOURS[0]
    for number, (split, colour) in enumerate(zip(SPLITS, colours, strict=True)):
        heights = [100 * values[number] for values in rows.values()]
        bars = axes.bar(
            places + 0.38 * (number - 0.5),
            heights,
            0.36,
            color=colour,
            label=f"split {SPLITS[split]}",
        )
        axes.bar_label(bars, [f"{height:.1f}" for height in heights], padding=2, fontsize=9)
    chance = 100 * audits["by-subject"]["probe"]["chance"]
    axes.axhline(
        chance,
        color="0.45",
        linewidth=0.9,
        linestyle=(0, (4, 2)),
        label="always the commonest finger",
    )
    axes.set_xticks(places, list(rows))
    axes.set_ylim(0, 128)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(frameon=False, fontsize=9, loc="upper center", ncols=3)
    return figure


def distances(audits: dict[str, Any]) -> Figure:
    """How far test images are from training images, beside how far training images are from one
    another.
    """
    figure = style.new_figure(2.6)
    title = "How far the nearest training image is"
    axes = style.quiet(
        figure.subplots(),
        title,
        x="distance of small grey versions (box: middle half, stroke: median)",
    )
    labels = []
    for row, (split, part, label) in enumerate(
        (
            ("by-subject", "test_to_train", "test images, split by person"),
            ("published", "test_to_train", "test images, split at random"),
            ("published", "within_train", "training images, to the others"),
        )
    ):
        found = audits[split]["distances"][part]
        colour = {"by-subject": style.OTHER_COLOURS[0], "published": style.OTHER_COLOURS[1]}[split]
        colour = "0.6" if part == "within_train" else colour
        axes.barh(row, found["p75"] - found["p25"], left=found["p25"], height=0.55, color=colour)
        axes.plot([found["median"]] * 2, [row - 0.27, row + 0.27], color="black", linewidth=1.6)
        labels.append(label)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlim(0, None)
    return figure


if __name__ == "__main__":
    main()
