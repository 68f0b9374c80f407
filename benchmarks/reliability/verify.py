"""Does `spikeduel verify` catch an edit of a run's files, and how long does it take?

    python -m benchmarks.reliability.verify [--edits 1000] [--seed 0] [--runs DIR]

Trains a small run (digits, two seeds, with ablations) and edits it at random, one place at a time: a
digit of results.json, an answer of predictions.json, an entry of split.csv, the hash of a training
image there (put to that of a test image), a setting of experiment.toml. Each edit is verified twice:
as it is, and with the hashes in sha256sums.txt put right, as a forger would; then only what follows
from other files can be caught. Energies of the same counts are computed once for all edits. Then
measures the processor time of `spikeduel verify` with 10,000 test images and six seeds. Results go to
benchmarks/results/verify.json.
"""

import json
import random
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import shared
from spikeduel import energy
from spikeduel.analysis import hashes
from spikeduel.comparing import compare
from spikeduel.energy import accounting
from spikeduel.experiment.recipes import strong
from spikeduel.features.verification.verifying import COMPUTED, verify
from spikeduel.sentences.comparison import load_run
from spikeduel.system.errors import InputError
from spikeduel.system.progress import TerminalProgress

RESULT = "verify.json"


def another_digit(text: str, at: int, draw: random.Random) -> str:
    """Return `text` with another digit at a place."""
    digit = draw.choice([digit for digit in "0123456789" if digit != text[at]])
    return text[:at] + digit + text[at + 1 :]


def in_results(text: str, draw: random.Random) -> str:
    places = [match.start() for match in re.finditer(r"\d", text)]
    return another_digit(text, draw.choice(places), draw)


def in_predictions(text: str, draw: random.Random) -> str:
    content = json.loads(text)
    predicted = draw.choice(content["trials"])["predicted"]
    at = draw.randrange(len(predicted))
    others = [k for k in range(len(content["classes"])) if k != predicted[at]]
    predicted[at] = draw.choice(others)
    return json.dumps(content, separators=(",", ":")) + "\n"


def in_split(text: str, draw: random.Random) -> str:
    """Put an image in another split, or change a name or a hash."""
    lines = text.splitlines()
    at = draw.randrange(1, len(lines))
    cells = lines[at].split(",")
    column = draw.randrange(len(cells))
    if cells[column] in ("train", "val", "test"):
        cells[column] = draw.choice([s for s in ("train", "val", "test") if s != cells[column]])
    else:
        digits = [match.start() for match in re.finditer(r"\d", cells[column])] or [0]
        cells[column] = another_digit(cells[column], draw.choice(digits), draw)
    return "\n".join([*lines[:at], ",".join(cells), *lines[at + 1 :]]) + "\n"


def as_copy(text: str, draw: random.Random) -> str:
    """Give a training image the hash of a test image."""
    lines = [line.split(",") for line in text.splitlines()]
    trained, tested = (
        draw.choice([line for line in lines if line[1] == side]) for side in ("train", "test")
    )
    trained[-1] = tested[-1]
    return "\n".join(map(",".join, lines)) + "\n"


def in_settings(text: str, draw: random.Random) -> str:
    """Change a digit, turn true and false, or change a word's last letter."""
    places = [m.start() for m in re.finditer(r"(?<= = ).*\d|true|false|[a-z](?=\")", text)]
    at = draw.choice(places)
    if text[at : at + 4] == "true":
        return text[:at] + "false" + text[at + 4 :]
    if text[at : at + 5] == "false":
        return text[:at] + "true" + text[at + 5 :]
    if text[at].isdigit():
        return another_digit(text, at, draw)
    return text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]


EDITS: dict[str, tuple[str, Callable[[str, random.Random], str]]] = {
    "digit": ("results.json", in_results),
    "answer": ("predictions.json", in_predictions),
    "split": ("split.csv", in_split),
    "copy": ("split.csv", as_copy),
    "setting": ("experiment.toml", in_settings),
}
"""File and edit of each kind."""


def once(function: Callable[..., object]) -> Callable[..., object]:
    """Return a pure `function` that is called once for equal arguments."""
    known: dict[bytes, object] = {}

    def called(*given: object) -> object:
        key = msgspec.msgpack.encode(given)
        if key not in known:
            known[key] = function(*given)
        return known[key]

    return called


def is_caught(run: Path) -> bool:
    try:
        return not all(verification.holds for verification in verify(run))
    except InputError:  # a file that cannot be what a run wrote
        return True


def edited(run: Path, kind: str, draw: random.Random, whole: Path) -> dict[str, object]:
    """Edit `run` once, verify it with the old hashes and with right ones, and mend it."""
    name, edit = EDITS[kind]
    path = run / name
    before = path.read_text(encoding="utf-8")
    after = edit(before, draw)
    path.write_text(after, encoding="utf-8")
    found: dict[str, object] = {"kind": kind, "caught": is_caught(run)}
    hashes.write(run)
    found["caught_with_right_hashes"] = is_caught(run)
    if kind == "digit":
        found["kind"] = "digit, computed" if is_computed(before, after) else "digit, measured"
    path.write_text(before, encoding="utf-8")
    shutil.copyfile(whole / hashes.FILE, run / hashes.FILE)
    return found


def is_computed(before: str, after: str) -> bool:
    """Return True if the edited place of results.json follows from other files."""

    def places(one: object, other: object, place: str = "") -> list[str]:
        if isinstance(one, dict) and isinstance(other, dict):
            names = one.keys() | other.keys()
            return [
                found
                for name in names
                for found in places(
                    one.get(name), other.get(name), f"{place}.{name}" if place else name
                )
            ]
        if isinstance(one, list) and isinstance(other, list):
            both = enumerate(zip(one, other, strict=True))
            return [found for at, pair in both for found in places(*pair, f"{place}[{at}]")]
        return [] if one == other else [place]

    try:
        return any(map(COMPUTED.match, places(json.loads(before), json.loads(after))))
    except ValueError:  # no JSON any more
        return False


def timed(run: Path) -> dict[str, object]:
    """Verify a run in processes of their own, and return processor seconds and what was in it."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "spikeduel", "verify", str(run)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        seconds.append(round(used, 2))
    results = load_run(run).results
    return {
        "test_images": results.dataset.counts.test,
        "seeds": results.experiment.seeds,
        "contenders": results.contenders,
        "seconds": seconds,
    }


def main() -> None:
    parser = shared.parser(__doc__, edits=1000, seed=0, runs=Path("runs/verify"))
    options = parser.parse_args()
    store, progress = options.runs / "store", TerminalProgress()
    small = strong("digits", seeds=2, epochs=2, ablations=True, limit=600)
    large = strong("fashion-mnist", seeds=6, epochs=1, limit=2000)
    whole = compare(small, options.runs / "small", store, progress).out
    full = compare(large, options.runs / "large", store, progress).out
    for module, name in ((energy, "energies"), (accounting, "_compared")):
        setattr(module, name, once(getattr(module, name)))
    run = options.runs / "edited"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    assert not is_caught(run), "a run that nobody edited does not hold"
    draw, counts = random.Random(options.seed), dict[str, dict[str, int]]()
    for number in progress.track(range(options.edits), "editing", options.edits):
        kind = list(EDITS)[number % len(EDITS)]
        found = edited(run, kind, draw, whole)
        row = counts.setdefault(
            str(found["kind"]), {"edits": 0, "caught": 0, "caught_with_right_hashes": 0}
        )
        row["edits"] += 1
        row["caught"] += bool(found["caught"])
        row["caught_with_right_hashes"] += bool(found["caught_with_right_hashes"])
    measured = {
        "edits": counts,
        "time": timed(full),
        "settings": {"edits": options.edits, "seed": options.seed},
    }
    shared.write(RESULT, measured)


if __name__ == "__main__":
    main()
