"""The leaderboard: verifies every entry of `records/`, and makes docs/leaderboard.md of them.

    python -m benchmarks.records.leaderboard [--write]

An entry is a file `records/NAME.toml` with a kit `records/NAME.zip` beside it (`spikeduel kit`). Nothing is trained, and torch is not needed. An entry that does not hold is listed as
failing, with the first place that differs; the exit code is then 1.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import shared
from spikeduel.features.verification.verification_sentences import differing
from spikeduel.features.verification.verifying import unpacked, verify
from spikeduel.results.accuracy import effective_images, of_seeds
from spikeduel.results.run import Pair, Results
from spikeduel.results.trials import Trial
from spikeduel.sentences.comparison import load_run
from spikeduel.statistics import wilson
from spikeduel.system.errors import InputError
from spikeduel.system.numbers import hundredths, in_minutes, signed
from spikeduel.system.sentences import counted
from spikeduel.system.typed import Frozen, read_toml

ROOT = shared.ROOT
FOLDER, PAGE = ROOT / "records", shared.DOCS / "leaderboard.md"
KINDS = {"snn": "spiking", "cnn": "CNN", "rnn": "recurrent"}
HEAD = """\
# Leaderboard

Duels that anyone can enter and check. An entry is a kit: predictions, split, counts and settings. `spikeduel verify`
computes the numbers on this page again, without training. It takes measured values (minutes, counts of operations) on
trust, and without `--rerun` predictions and labels, too. To enter a duel, see `CONTRIBUTING.md`.

The entries so far are ours, and small. [Records](records.md) has longer training runs.

- **rank**: the best and the worst place that the evidence leaves open. Networks of one entry are ranked by its paired
  test. Networks of different entries are ranked if both have several seeds and their intervals do not overlap. They
  were not trained under the same rules.
- **accuracy**: mean ± standard deviation over seeds. The 95 % interval (Wilson) covers other test images, not other
  seeds.
- **behind**: the difference to the first row, and whether it is significant.
- **µJ**: estimated [energy per inference](energy.md) with on-chip memory (45 nm, 32-bit floats), from the cheapest to
  the most expensive way to compute.
- **trained for**: all epochs, including those with ReLU, and the mean time on the entry's machine.
- **verified**: the first command needs no torch. The second compares the entry with the data set, and trains two of its
  networks again, drawn at random. It needs the extra `train`. On the entry's processor and versions all predictions
  must be equal, elsewhere nearly all.

`python -m benchmarks.records.leaderboard --write` verifies all entries and makes this page.
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


@dataclass(frozen=True)
class Row:
    """A network of an entry: its trials, and its accuracies by seed."""

    entry: Entry
    results: Results
    name: str
    trials: Sequence[Trial]
    scores: Sequence[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def num_images(self) -> int:
        """The number of test images; of unbalanced ones, as many as they tell."""
        return round(effective_images(self.trials) or self.results.dataset.counts.test)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the mean accuracy, for other test images."""
        right = round(self.mean * self.num_images)
        return wilson(right / self.num_images, self.num_images)

    def pair(self, other: "Row") -> Pair | None:
        """Return the test of both, None for rows of different entries."""
        names = {self.name, other.name}
        pairs = self.results.comparison.pairs if self.entry is other.entry else []
        return next((pair for pair in pairs if {pair.a, pair.b} == names), None)

    def is_better(self, other: "Row") -> bool:
        """Return True if this network is significantly more accurate than `other`."""
        if pair := self.pair(other):
            return pair.shows_better and pair.leader == self.name
        has_seeds = min(len(self.scores), len(other.scores)) > 1
        return self.entry is not other.entry and has_seeds and self.interval[0] > other.interval[1]


def rows(entry: Entry) -> list[Row]:
    """Return a row for every network of an entry that was tested."""
    if not (results := entry.results):
        return []
    found = []
    for name in results.contenders:
        trials = results.of(name)
        if scores := list(of_seeds(trials, results.measure).values()):
            found.append(Row(entry, results, name, trials, scores))
    return found


def rank(row: Row, among: Sequence[Row]) -> str:
    """Return the places that the evidence leaves open: "2", "1–3"."""
    best = 1 + sum(other.is_better(row) for other in among)
    worst = len(among) - sum(row.is_better(other) for other in among)
    return str(best) if best == worst else f"{best}–{worst}"


def behind(row: Row, first: Row) -> str:
    """Return the difference to the first row: "−1.16 points, significant"."""
    if row is first:
        return "–"
    pair = row.pair(first)
    difference = pair.ordered(row.name).difference if pair else row.mean - first.mean
    return f"{signed(difference)} points, {'' if first.is_better(row) else 'not '}significant"


def trained_for(row: Row) -> str:
    """Return the whole training: "8 epochs (the first 2 with ReLU), 4.0 min"."""
    fewest, most = (end(trial.epochs for trial in row.trials) for end in (min, max))
    text = counted(most, "epoch") if fewest == most else f"{fewest} to {most} epochs"
    if before := max(trial.relu_epochs or 0 for trial in row.trials):
        text += f" (the first {before} with ReLU)"
    minutes = statistics.fmean(sum(trial.epoch_seconds) for trial in row.trials) / 60
    text += f", {minutes:.1f} min"
    if budget := row.results.budget:
        text += f"; {in_minutes(budget.minutes)} for all networks together"
    return text


def cells_of(row: Row, among: Sequence[Row]) -> tuple[object, ...]:
    """Return the cells of the table of a data set."""
    joules = row.results.recommendation.quantity("energy").values.get(row.name)
    spread = f" ± {hundredths(statistics.stdev(row.scores))}" if len(row.scores) > 1 else ""
    low, high = (hundredths(end, 1) for end in row.interval)
    command = f"spikeduel verify records/{row.entry.name}.zip"
    return (
        rank(row, among),
        f"`{row.name}`<br>{KINDS[row.trials[0].kind]}",
        f"{hundredths(row.mean)}{spread} over {counted(len(row.scores), 'seed')}<br>"
        f"95 %: {low} to {high} of {row.num_images:,} images",
        behind(row, among[0]),
        row.trials[0].num_steps or "–",
        f"{row.trials[0].parameters:,}",
        f"{1e6 * joules.low:.3g} to {1e6 * joules.high:.3g}" if joules else "–",
        trained_for(row),
        f"{'fails' if row.entry.failing else 'holds'} ([{row.entry.name}](#entry-{row.entry.name}))"
        f"<br>`{command}`<br>`{command} --rerun 2`",
    )


COLUMNS = (
    *("rank", "network", "accuracy, %", "behind", "T", "parameters", "µJ"),
    *("trained for (measured)", "verified"),
)


def page(found: Sequence[Entry]) -> str:
    """Return the content of docs/leaderboard.md."""
    parts, by_data = [HEAD], dict[str, list[Row]]()
    for entry in found:
        for row in rows(entry):
            by_data.setdefault(row.results.dataset.name, []).append(row)
    for name, unsorted in sorted(by_data.items()):
        among = sorted(unsorted, key=lambda row: -row.mean)
        table = shared.markdown(COLUMNS, (cells_of(row, among) for row in among))
        parts.append("\n".join([f"## {name}", "", *table, ""]))
    parts.append("## Entries\n")
    for entry in found:
        parts.append(described(entry))
    return "\n".join(parts)


def described(entry: Entry) -> str:
    """Return the section of an entry."""
    about = [f"### Entry {entry.name}", "", f"{entry.file.by}: `{entry.file.command}`."]
    if entry.results:
        cpu = (entry.results.environment or {}).get("cpu")
        test = counted(entry.results.dataset.counts.test, f"test {entry.results.dataset.noun}")
        about[-1] += f" {test}; {cpu}; spikeduel {entry.results.spikeduel}."
        about += ["", f"> {' '.join(entry.results.recommendation.text.split())}"]
    kit = f"records/{entry.name}.zip"
    state = f"FAILS: {entry.failing}" if entry.failing else "Holds:"
    state += f" `spikeduel verify {kit}` ([the kit](../{kit}))."
    about += ["", f"{entry.file.note} {state}".strip(), ""]
    return "\n".join(about)


def main() -> None:
    parser = shared.parser(__doc__, write=False)
    options = parser.parse_args()
    found = entries()
    if options.write:
        PAGE.write_text(page(found), encoding="utf-8")
    for entry in found:
        print(f"{entry.name}: {entry.failing or 'holds'}")
    sys.exit(any(entry.failing for entry in found))


if __name__ == "__main__":
    main()
