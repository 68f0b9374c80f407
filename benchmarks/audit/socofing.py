"""Why a random split of SOCOFing measures memory: audits of both splits, and a chart of them for
the README.

    python -m benchmarks.audit.socofing --socofing PATH/TO/SOCOFING

Without the option it only draws.
Audits go to benchmarks/results/audit-socofing-SPLIT.json, the chart (numbers only, no
fingerprints) to docs/figures/. The networks' accuracies are those of benchmarks/accuracy/study.py, direct encoding.
"""

from typing import Any

import spikeduel as sd
from benchmarks import shared
from spikeduel.auditing.audit_sentences import document
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import figure
from spikeduel.reporting.charts import (
    DASHES,
    OTHER_COLOURS,
    Axis,
    Chart,
    Key,
    Look,
    Marks,
    Name,
    Panel,
    Rule,
)
from spikeduel.reporting.drawing import DPI
from spikeduel.system.progress import TerminalProgress

SPLITS = {"published": "at random over files", "by-subject": "by person"}


def main() -> None:
    parser = shared.parser(__doc__, socofing=str)
    options = parser.parse_args()
    if options.socofing:
        for split in SPLITS:
            name = "socofing-published" if split == "published" else "socofing"
            experiment = baseline(name, data_dir=options.socofing)
            found = sd.audit(experiment, progress=TerminalProgress())
            shared.write(f"audit-socofing-{split}.json", document(found))
    audits = {split: shared.read(f"audit-socofing-{split}.json") for split in SPLITS}
    chart = scores(audits)
    figure(chart).savefig(
        shared.DOCS / "figures" / f"{chart.name}.png", dpi=DPI, bbox_inches="tight"
    )


def scores(audits: dict[str, Any]) -> Chart:
    """Return the scores of a nearest neighbour and of the study's networks on both splits."""
    column = "right answers, %"
    rows = {
        "nearest neighbour, nothing learned": [
            audits[split]["probe"]["accuracy"] for split in SPLITS
        ]
    }
    for family, title in (("snn", "the study's SNN"), ("cnn", "the study's CNN")):
        rows[title] = []
        for split in SPLITS:
            trials = shared.read(f"study-socofing-{split}-direct.json")["trials"]
            rows[title].append(next(t["test"]["accuracy"] for t in trials if t["family"] == family))
    looks = [Look(colour, size=8) for colour in (OTHER_COLOURS[1], OTHER_COLOURS[0])]
    marks = [
        Marks("points", [{column: 100 * share}], look, place=place)
        for place, shares in enumerate(rows.values())
        for share, look in zip(shares, looks, strict=True)
    ]
    chance = Look(dashes=DASHES, width=0.9)
    names = [
        Name(title, ", ".join(f"{100 * share:.1f} %" for share in shares))
        for title, shares in rows.items()
    ]
    panel = Panel(
        Axis(column, low=0, high=100),
        Axis(""),
        marks,
        "The same networks, the same prints, another split",
        [Rule(100 * audits["by-subject"]["probe"]["chance_level"], look=chance)],
        names,
        row_height=0.45,
    )
    splits = zip(SPLITS.values(), looks, strict=True)
    keys = [Key(f"split {title}", "points", look) for title, look in splits]
    return Chart("socofing-scores", [panel], [*keys, Key("commonest finger", "line", chance)])


if __name__ == "__main__":
    main()
