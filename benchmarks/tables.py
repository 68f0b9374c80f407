"""Prints the README's tables from benchmarks/results/, or with --write puts them into the README.

python benchmarks/tables.py [--write]
"""

import json
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- study: made by benchmarks/tables.py -->\n", "<!-- study: end -->"

STUDY = {
    "fashion-mnist": ("86.49", "86.55"),
    "emnist-digits": ("98.41", "99.23"),
    "socofing": ("0.98", "0.83"),
}
"""What the study reports: (SNN, CNN), on SOCOFing as it rounds them."""

ROWS = [
    ("Fashion-MNIST", "fashion-mnist", "direct", "spikeduel compare fashion-mnist --encoding direct"),
    ("Fashion-MNIST", "fashion-mnist", "rate", "spikeduel compare fashion-mnist"),
    (
        "SOCOFing, published split (leaks)",
        "socofing-published",
        "direct",
        "spikeduel compare socofing --encoding direct --split published --data-dir PATH",
    ),
    (
        "SOCOFing, published split (leaks)",
        "socofing-published",
        "rate",
        "spikeduel compare socofing --split published --data-dir PATH",
    ),
    (
        "SOCOFing, split by subject",
        "socofing-by-subject",
        "direct",
        "spikeduel compare socofing --encoding direct --data-dir PATH",
    ),
    ("SOCOFing, split by subject", "socofing-by-subject", "rate", "spikeduel compare socofing --data-dir PATH"),
    ("EMNIST digits", "emnist-digits", "direct", "spikeduel compare emnist-digits --encoding direct"),
]


def table() -> str:
    """The README's section, Markdown."""
    lines = [
        "| data | encoding | SNN, % | CNN, % | study: SNN, CNN | s/epoch SNN, CNN | epochs | test images |",
        "|---|---|---|---|---|---|---|---|",
    ]
    machines = set()
    for title, name, encoding, _ in ROWS:
        path = HERE / "results" / f"study-{name}-{encoding}.json"
        published = STUDY.get("socofing" if name == "socofing-published" else name)
        # The study trained on direct encoding; its figures say nothing about rate.
        study = ", ".join(published) if published and encoding == "direct" else "–"
        if not path.is_file():
            lines.append(f"| {title} | {encoding} | not measured here | not measured here | {study} | | | |")
            continue
        results = json.loads(path.read_text())
        snn, cnn = (next(t for t in results["trials"] if t["family"] == family) for family in ("snn", "cnn"))
        seconds = ", ".join(f"{statistics.median(t['epoch_seconds']):.1f}" for t in (snn, cnn))
        lines.append(
            f"| {title} | {encoding} | {100 * snn['test']['accuracy']:.2f} | {100 * cnn['test']['accuracy']:.2f} "
            f"| {study} | {seconds} | {snn['epochs']}, {cnn['epochs']} | {snn['test']['n']:,} |"
        )
        environment = results["environment"]
        machines.add(
            f"{environment['cpu']}, {environment['threads']} threads, PyTorch {environment['torch'].split('+')[0]}, "
            f"precision {environment['precision']}"
        )
    commands = "\n".join(f"{command:<80} # {title}, {encoding}" for title, _, encoding, command in ROWS)
    return (
        "\n".join(lines)
        + f"\n\nOne seed each. Machine: {'; '.join(sorted(machines)) or 'not measured'}. The commands:\n\n"
        + f"```\n{commands}\n```\n"
    )


def main() -> None:
    if "--write" not in sys.argv:
        print(table())
        return
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(before + BEGIN + "\n" + table() + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
