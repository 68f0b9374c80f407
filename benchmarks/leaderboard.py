"""The leaderboard: verifies every entry of `records/`, and makes docs/leaderboard.md of them.

    python benchmarks/leaderboard.py [--write]

An entry is a file `records/NAME.toml` with a kit `records/NAME.zip` beside it (`spikeduel report RUN
--kit`). Nothing is trained, and torch is not needed. An entry that does not hold is listed as
failing, with the first place that differs; the exit code is then 1.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spikeduel.concluding.verifying import unpacked, verify
from spikeduel.results.accuracy import of_seeds
from spikeduel.results.comparison import load_run
from spikeduel.results.run import Results
from spikeduel.results.words.numbers import hundredths, in_minutes
from spikeduel.results.words.verified import differing
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted
from spikeduel.system.typed import Frozen, read_toml

ROOT = Path(__file__).parent.parent
FOLDER, PAGE = ROOT / "records", ROOT / "docs" / "leaderboard.md"
KINDS = {"snn": "spiking", "cnn": "CNN", "rnn": "recurrent"}
HEAD = """\
# Leaderboard

Duels that anybody may enter, with all that is needed to check them: each entry is a kit of predictions, split, counts
and settings, from which `spikeduel verify` computes every number here anew, without training.
`python benchmarks/leaderboard.py --write` verifies all of them and makes this page. How to enter one is said in
`CONTRIBUTING.md`. Runs of this project that came before kits are in [Records](records.md).

Accuracy is that on the whole test set: mean ± standard deviation over seeds. Energy is an estimate from counts, on a
chip with all memory on it (45 nm, 32-bit floats): from the cheapest to the dearest way to compute. Networks of one
entry were trained under the same rules; those of different entries were not.
"""


class EntryFile(Frozen, forbid_unknown_fields=True):
    """The content of records/NAME.toml: who enters, the `command` that made the run, and a note."""

    by: str
    command: str
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """An entry as verified; `failing` names the first place that differs."""

    name: str
    file: EntryFile
    results: Results | None
    failing: str = ""


def read(path: Path) -> Entry:
    """Verify the entry of a file `records/NAME.toml`."""
    file, kit = read_toml(path, EntryFile), path.with_suffix(".zip")
    try:
        discrepancies = [found for part in verify(kit) for found in part.discrepancies]
        with unpacked(kit) as folder:
            results = load_run(folder).results
    except InputError as error:
        return Entry(path.stem, file, None, str(error).replace(str(path.parent), "records"))
    return Entry(path.stem, file, results, differing(discrepancies[0]) if discrepancies else "")


def entries(folder: Path = FOLDER) -> list[Entry]:
    return [read(path) for path in sorted(folder.glob("*.toml"))]


def budget(results: Results) -> str:
    """Return what the contenders trained for: "2 minutes together" or "8 epochs"."""
    if results.budget and results.budget.given:
        return f"{in_minutes(results.budget.minutes)} together"
    if results.budget:
        return f"{in_minutes(results.budget.minutes)} together, as the set's size gives"
    return counted(results.experiment.num_epochs, "epoch")


def rows(entry: Entry, results: Results) -> list[str]:
    """Return the lines of an entry in the table of its data set."""
    energy = results.answer.lead("energy").values
    lines = []
    for name in results.contenders:
        trials = results.of(name)
        scores = list(of_seeds(trials, results.measure).values())
        if not scores:
            continue
        spread = f" ± {hundredths(statistics.stdev(scores))}" if len(scores) > 1 else ""
        joules = energy.get(name)
        micro = f"{1e6 * joules.low:.3g} to {1e6 * joules.high:.3g}" if joules else "–"
        cells = (
            *(
                KINDS[trials[0].family],
                f"`{name}`",
                f"{hundredths(statistics.fmean(scores))}{spread}",
            ),
            *(len(scores), trials[0].num_steps or "–", f"{trials[0].parameters:,}", micro),
            *(budget(results), "fails" if entry.failing else "holds"),
            f"[{entry.name}](#entry-{entry.name})",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def page(found: Sequence[Entry]) -> str:
    """Return the content of docs/leaderboard.md."""
    parts, by_data = [HEAD], dict[str, list[str]]()
    for entry in found:
        if entry.results:
            by_data.setdefault(entry.results.dataset.name, []).extend(rows(entry, entry.results))
    for name, lines in sorted(by_data.items()):
        head = "kind | network | accuracy, % | seeds | T | parameters | µJ | trained for | verified | entry"
        rule = "|".join("---" for _ in head.split("|"))
        lines = sorted(lines, key=lambda line: -float(line.split("|")[3].split()[0]))
        parts.append("\n".join([f"## {name}", "", f"| {head} |", f"|{rule}|", *lines, ""]))
    parts.append("## Entries\n")
    for entry in found:
        parts.append(described(entry))
    return "\n".join(parts)


def described(entry: Entry) -> str:
    """Return the section of an entry."""
    about = [f"### Entry {entry.name}", "", f"By {entry.file.by}, with `{entry.file.command}`."]
    if entry.results:
        cpu = (entry.results.environment or {}).get("cpu")
        test = counted(entry.results.dataset.counts.test, f"test {entry.results.dataset.noun}")
        about[-1] += f" {test}; {cpu}; spikeduel {entry.results.spikeduel}."
        about += ["", f"> {' '.join(entry.results.answer.text.split())}"]
    kit = f"records/{entry.name}.zip"
    state = f"FAILS: {entry.failing}" if entry.failing else "Holds:"
    state += f" `spikeduel verify {kit}` ([the kit](../{kit}))."
    about += ["", f"{entry.file.note} {state}".strip(), ""]
    return "\n".join(about)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/leaderboard.md")
    options = parser.parse_args()
    found = entries()
    if options.write:
        PAGE.write_text(page(found), encoding="utf-8")
    for entry in found:
        print(f"{entry.name}: {entry.failing or 'holds'}")
    sys.exit(any(entry.failing for entry in found))


if __name__ == "__main__":
    main()
