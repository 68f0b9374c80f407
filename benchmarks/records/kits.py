"""Remake the kits of `records/` after a conclusion or a sentence has changed.

    python -m benchmarks.records.kits [NAME …]

Predictions, counts, times and settings stay. Conclusions, report, tables and figures are made again by
this version, and a kit is written only if it passes `verify`. `python -m
benchmarks.records.leaderboard --write` then makes the page.
"""

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks import shared
from benchmarks.records.leaderboard import FOLDER
from spikeduel.analysis import hashes
from spikeduel.analysis.conclusions import concluded
from spikeduel.features.kit import derived_files, write_kit
from spikeduel.features.verification.verifying import unpacked
from spikeduel.reporting import report_again
from spikeduel.results.predictions import FILE, PredictionsFile
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files, typed


def main() -> None:
    parser = shared.parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries; default: all")
    names = parser.parse_args().names or [path.stem for path in FOLDER.glob("*.zip")]
    for name in sorted(names):
        with unpacked(FOLDER / f"{name}.zip") as folder, tempfile.TemporaryDirectory() as temporary:
            shutil.copytree(folder, Path(temporary, "runs", name))
            # The report names the folder of its run.
            with contextlib.chdir(temporary):
                print(remade(Path("runs", name), FOLDER / f"{name}.zip"))


def remade(run: Path, kit: Path) -> Path:
    """Write the kit of an unpacked run again; return its path."""
    stored = typed.read_json(run / FILE, PredictionsFile)
    comparison = load_run(run)
    results = concluded(comparison.results, stored)
    typed.write_json(run / "results.json", replace(comparison, results=results).document())
    for folder in ("figures", "tables", "energy"):
        shutil.rmtree(run / folder)
    hashes.write(run)
    report_again(run, figures=True)
    for picture in run.glob("figures/*.png"):  # a kit has the charts as SVG alone
        picture.unlink()
    for made, content in derived_files(load_run(run)):
        (run / made).parent.mkdir(exist_ok=True)
        (run / made).write_bytes(content)
    every_file = [path.relative_to(run).as_posix() for path in run.rglob("*.*")]
    every_file.remove(hashes.FILE)
    files.write_text(run / hashes.FILE, hashes.text(hashes.of_files(run, every_file)))
    return write_kit(run, kit)


if __name__ == "__main__":
    main()
