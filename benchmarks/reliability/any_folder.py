"""Runs the main job on random small folders: each must end in a report or in an error for people.

    python -m benchmarks.reliability.any_folder [--cases 150] [--seed 0] [--only N …] [--whole]

A case is a folder of images or of recordings (sizes, colours, classes, copies, odd names, broken
files, layouts) and a command `spikeduel compare FOLDER …` with random options. A case is wrong if
it ends in a traceback, takes more than `SECONDS_A_CASE`, or if its results are not as the schema
says or its text holds one of `ABSURD`. `--only N …` runs these cases alone and prints their
output. Latencies are
made up and charts are not drawn, unless `--whole`. The counts go to
benchmarks/results/any-folder.json.
"""

import collections
import io
import json
import os
import random
import re
import shlex
import signal
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import shared

SECONDS_A_CASE = 120
"""Processor time: other work beside it does not count."""
ABSURD = re.compile(
    r"\b(nan|None|inf|Infinity)\b|\{[a-z_]+[:}]|[^.]\.\.(\s|$)|\b1 (images|seeds|steps|classes|"
    r"trials|folds|epochs|groups|labels|caveats)\b|\b0 of 0\b|-0\.0+ "
)
"""Texts that no sentence and no table should hold."""
NAMES = (
    *("cat", "a b", "ä ö", "日本語", "[x]", "(y)", "100%", "%d", "{share}", "<b>x", "a&b"),
    *("--help", "-1", "'", '"', "$x$", "$\\frac{$", "_", "1e5", "nan", "None", "true", "a,b"),
    *("a;b", "#", "~", "x" * 90, "a\nb", "\u202e", "🐈", "C:", "\\", "no.1", " x "),
)
"""Names of classes and files that have misled programs."""
IMAGE_NAMES = ("picture", "IMG_0001", "p1_a", *NAMES)
MODES = ("L", "RGB", "RGBA", "LA", "I;16", "P", "CMYK", "1", "mixed")


@dataclass(frozen=True)
class Case:
    """A command on the folder `data`, made below the current folder."""

    number: int
    options: tuple[str, ...]

    @property
    def command(self) -> str:
        return f"spikeduel compare data {shlex.join(self.options)}"


def make(seed: int, number: int, jobs: bool = True) -> Case:
    """Write the data of a case below the current folder, and return the case."""
    rng = random.Random(f"{seed}-{number}")
    recorded = rng.random() < 0.25
    root = Path("data")
    more = ("train", "test", ".hidden") if rng.random() < 0.05 else ()
    names = rng.sample((*NAMES, *more), rng.choice((2, 2, 3, 4, 6)))
    count, people = rng.choice((3, 5, 8, 8, 12, 20, 30)), rng.choice((5, 6, 100))
    lone = rng.randrange(50)
    layout = rng.choice(("classes", "classes", "classes", "sides", "table"))
    write = _recordings(rng) if recorded else _images(rng)
    rows: list[tuple[str, str, str]] = []
    sides = ["train", "val", "test"][:: rng.choice((1, 2))] if layout == "sides" else ["."]
    for side in sides:
        for place, name in enumerate(names):
            folder = root / side / name if layout != "table" else root / "all"
            folder.mkdir(parents=True, exist_ok=True)
            number_here = 1 if place == lone else max(min(5, count), count // rng.choice((1, 1, 4)))
            odd = rng.choice(IMAGE_NAMES).strip("./\\") or "x"
            for index in range(number_here):
                person = f"s{index % people}"
                path = write(folder / f"{odd[:60]}_{person}_{side[0]}{place}_{index}", place)
                rows.append((path.relative_to(root).as_posix(), name, person))
    if rng.random() < 0.15:
        _damage(root, rng)
    if layout == "table":
        _table(root, rows, rng)
    options = _options(recorded, rng, jobs)
    if len(sides) > 1 and "--folds" in options and rng.random() < 0.9:
        del options[(at := options.index("--folds")) : at + 2]
    return Case(number, tuple(options))


def _images(rng: random.Random) -> Callable[[Path, int], Path]:
    """Return a function that writes an image of a class, and returns its path."""
    size = (rng.randint(4, 40), rng.randint(4, 40))
    mode, varied, blank = rng.choice(MODES), rng.random() < 0.15, rng.random() < 0.05
    copies, ending = rng.choice((0.0, 0.0, 0.0, 0.1, 0.5)), rng.choice(("png", "png", "png", "bmp"))
    numbers = np.random.default_rng(rng.randrange(2**32))
    before: list[Image.Image] = []

    def write(stem: Path, label: int) -> Path:
        width, height = (rng.randint(1, 60), rng.randint(1, 60)) if varied else size
        kind = rng.choice(MODES[:-1]) if mode == "mixed" else mode
        pixels = numbers.integers(0, 90, (height, width, 3), dtype=np.uint8)
        pixels[:, label % width :: 5] += 120
        if blank:
            pixels[:] = 0
        picture = Image.fromarray(pixels)
        if kind == "I;16":
            picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
        else:
            picture = picture.convert(kind)
        if before and rng.random() < copies:
            picture = rng.choice(before)
        before.append(picture)
        can_be = picture.mode in ("L", "RGB", "P", "1", "RGBA")
        suffix = "jpg" if picture.mode == "CMYK" else ending if can_be else "png"
        path = stem.with_name(f"{stem.name}.{suffix}")
        picture.save(path)
        return path

    return write


def _recordings(rng: random.Random) -> Callable[[Path, int], Path]:
    """Return a function that writes a recording as NumPy arrays, and returns its path."""
    width, height = rng.randint(2, 34), rng.randint(2, 34)
    last, count = rng.choice((50, 5_000, 200_000)), rng.choice((1, 20, 300))
    numbers, copies = np.random.default_rng(rng.randrange(2**32)), rng.choice((0.0, 0.0, 0.5))
    before: list[bytes] = []

    def write(stem: Path, label: int) -> Path:
        t = np.sort(numbers.integers(0, last, count))
        x, y = numbers.integers(0, width, count), numbers.integers(0, height, count)
        x[: count // 2] = label % width
        p = numbers.integers(0, 2, count)
        file = io.BytesIO()
        np.savez(file, x=x, y=y, t=t, p=p)
        content = file.getvalue()
        if before and rng.random() < copies:
            content = rng.choice(before)
        before.append(content)
        path = stem.with_name(f"{stem.name}.npz")
        path.write_bytes(content)
        return path

    return write


def _damage(root: Path, rng: random.Random) -> None:
    """Add what lies in real folders: broken and stray files, empty folders, odd bytes in names."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    folders = sorted({path.parent for path in paths})
    match rng.randrange(7):
        case 0:
            rng.choice(paths).write_bytes(b"")
        case 1:
            (path := rng.choice(paths)).write_bytes(path.read_bytes()[:50])
        case 2:
            (rng.choice(folders) / "notes.txt").write_text("nothing")
        case 3:
            (root / "empty").mkdir(exist_ok=True)
        case 4:
            (folder := root / os.fsdecode(b"caf\xe9")).mkdir()
            (folder / f"1{paths[0].suffix}").write_bytes(paths[0].read_bytes())
        case 5:
            source = rng.choice(paths)
            name = os.fsdecode(b"\xff\xfe") + source.suffix
            (source.parent / name).write_bytes(source.read_bytes())
        case 6:
            (rng.choice(folders) / "link").symlink_to(root.resolve())


def _table(root: Path, rows: list[tuple[str, str, str]], rng: random.Random) -> None:
    import csv

    more = [name for name in ("group", "split") if rng.random() < 0.3]
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", *more])
        for path, label, person in rows:
            values = {"group": person, "split": rng.choice(("train", "train", "test"))}
            writer.writerow([path, label, *(values[name] for name in more)])


def _options(recorded: bool, rng: random.Random, jobs: bool) -> list[str]:
    recipe = "events" if recorded else rng.choice(("strong", "strong", "baseline", "matched"))
    options = ["--recipe", recipe, "--epochs", str(rng.choice((1, 1, 2))), "--device", "cpu"]
    options += ["--batch-size", "16", "--num-steps", str(rng.choice((1, 2, 4)))]
    options += ["--width", "8"] if recipe in ("strong", "events") else ["--hidden", "16"]
    if recorded and rng.random() < 0.7:
        options += [word for word in ["--no-ablations"] if _is_known(word)]
    names = {
        "strong": ("vgg-lif", "vgg-relu", "resnet-silu"),
        "events": ("vgg-lif", "vgg-sum", "vgg-relu", "vgg-gru"),
        "baseline": ("dense-snn", "small-cnn"),
        "matched": ("dense-lif", "dense-relu", "conv-lif", "conv-relu"),
    }[recipe]
    for name in rng.sample(names, rng.choice((1, 2, 2, 2, min(3, len(names))))):
        options += ["--contender", name]
    way = rng.choice((["--folds", str(rng.choice((2, 3, 5)))], ["--tune", "2"]))
    maybe: list[tuple[float, list[str]]] = [
        (0.25, way),
        (0.3, ["--seeds", str(rng.choice((2, 3)))]),
        (0.15, ["--group-by", rng.choice(("_(s[0-9]+)_", "_(s[0-9]+)_", "([0-9]+)", "(.)"))]),
        (0.1, ["--ablations"]),
        (0.08, ["--optimism"]),
        (0.07, ["--limit", str(rng.choice((2, 5, 12, 1000)))]),
        (0.06, ["--image-size", str(rng.choice((4, 9, 16)))]),
        (0.1, ["--augmentation", rng.choice(("none", "affine-flip", "translate-cutout"))]),
        (0.03 * jobs, ["--jobs", "2"]),
        (0.05, ["--tolerance", rng.choice(("0", "20", "100"))]),
        (0.05, ["--patience", "1"]),
        (0.3, ["--verbose"]),
    ]
    if recorded:
        maybe += [(0.15, ["--bin-ms", rng.choice(("0.001", "1", "1000"))])]
        maybe += [(0.1, ["--augmentation", "eventdrop-jitter"])]
    else:
        maybe += [(0.08, ["--robustness"]), (0.12, ["--convert", rng.choice(("1", "4"))])]
        maybe += [(0.1, ["--encoding", rng.choice(("rate", "latency"))])]
    chosen = [words for share, words in maybe if rng.random() < share]
    return [*options, *(word for words in chosen if _is_known(words[0]) for word in words)]


def _is_known(option: str) -> bool:
    """Return False for an option of a feature that is not installed."""
    from spikeduel.experiment.settings import COMMAND_OPTIONS, SETTINGS

    name = option.removeprefix("--").removeprefix("no-").replace("-", "_")
    return name in (*SETTINGS, *COMMAND_OPTIONS, "contender")


def run(case: Case) -> tuple[str, str]:
    """Run a case; return how it ended ("report", "failed trials: …", "error: …", "BAD: …") and
    what it printed.
    """
    import jsonschema
    from typer.testing import CliRunner

    from spikeduel.cli import app
    from spikeduel.results.run import json_schema

    out = Path("out")
    words = ["compare", "data", "--out", str(out), *case.options]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "100"})
    text = result.output
    if result.exception and not isinstance(result.exception, SystemExit):
        return f"BAD: {_place(result.exception)}", text + "".join(
            traceback.format_exception(result.exception)
        )
    if result.exit_code == 2:
        return f"error: {text.strip().splitlines()[-1]}", text
    if result.exit_code not in (0, 3):
        return f"BAD: exit code {result.exit_code}", text
    document = json.loads((out / "results.json").read_text())
    jsonschema.validate(document, json_schema())
    page = re.sub(
        r"(?s)<(style|script|svg)\b.*?</\1>|<[^>]*>", " ", (out / "report.html").read_text()
    )
    data_names = [*map(str, NAMES), *document["dataset"]["classes"]]
    for kind, said in (("terminal", text), ("page", page)):
        for name in sorted(data_names, key=len, reverse=True):
            said = said.replace(name, "NAME") if len(name) > 1 else said
        if absurd := ABSURD.search(said):
            start = max(0, absurd.start() - 70)
            return f"BAD: {kind} says …{' '.join(said[start : absurd.end() + 40].split())}…", text
    if failed := [trial["error"] for trial in document["trials"] if trial["status"] == "failed"]:
        return f"failed trials: {failed[0]}", text
    return "report", text


def _place(error: BaseException) -> str:
    ours = [one for one in traceback.extract_tb(error.__traceback__) if "spikeduel" in one.filename]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} in {place} ({' '.join(str(error).split())[:150]})"


def without_waiting() -> None:
    """Make up latencies and draw no chart: each takes seconds a case."""
    from markupsafe import Markup

    from spikeduel.evaluation import latency
    from spikeduel.reporting import drawing
    from spikeduel.results.trials import Latency, Throughput, Times

    def untimed(path: Path, images: Any, device: str, *more: Any, **rest: Any) -> Latency:
        times: dict[str, Any] = {"median_ms": 2.0, "p95_ms": 3.0, "n": 20}
        return Latency(
            machine=latency.machine(device),
            precision="32",
            one_image=Times(**times),
            throughput={"1": Throughput(batch_size=1, images_per_second=500.0, **times)},
            start_up_seconds=1.0,
            peak_memory_bytes=1 << 28,
        )

    latency.latency = untimed
    drawing.panels = lambda chart, label: Markup("<svg></svg>")


def code_version() -> str:
    """Return the commit of the code that is run, with a mark if files differ from it."""
    words = ["git", "-C", str(shared.ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = shared.parser(__doc__, cases=150, first=0, seed=0, whole=False)
    parser.add_argument("--only", type=int, nargs="+")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    if not options.whole:
        without_waiting()
    numbers = range(options.first, options.first + options.cases)
    ends: collections.Counter[str] = collections.Counter()
    bad: list[dict[str, Any]] = []
    slowest, home = 0.0, Path.cwd()
    began, version = time.process_time(), code_version()
    signal.signal(signal.SIGPROF, shared.too_slow)
    for number in options.only or numbers:
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            os.chdir(folder)
            os.environ["SPIKEDUEL_CACHE"], os.environ["SPIKEDUEL_STORE"] = "cache", "store"
            case = make(options.seed, number, jobs=True)
            started = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SECONDS_A_CASE)
            try:
                end, text = run(case)
            except shared.TooSlow:
                end, text = "BAD: too slow", ""
            except Exception as error:
                end, text = f"BAD: {_place(error)}", traceback.format_exc()
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                os.chdir(home)
            seconds = time.process_time() - started
        slowest = max(slowest, seconds)
        ends[end.split(":")[0]] += 1
        if end.startswith("BAD"):
            bad.append({"case": number, "command": case.command, "end": end})
        print(f"{number} {seconds:.1f} s: {end}\n    {case.command}", flush=True)
        if options.only is not None:
            print(text)
    if options.only is not None:
        return
    found = {
        "command": "python -m benchmarks.reliability.any_folder "
        f"--cases {options.cases} --seed {options.seed}",
        "ends": dict(ends),
        "bad": bad,
        "slowest_processor_seconds": round(slowest, 1),
        "processor_minutes": round((time.process_time() - began) / 60, 1),
        "first_case": options.first,
        "made_up": [] if options.whole else ["latencies", "charts"],
        "seconds_a_case": SECONDS_A_CASE,
        "code": version,
    }
    shared.write("any-folder.json", found)


if __name__ == "__main__":
    main()
