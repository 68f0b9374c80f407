"""What would the habit of reporting the best test accuracy over all epochs have claimed? On several
data sets.

    python benchmarks/optimism.py [--folder DIR] [--socofing PATH] [--limit 3000] [--seeds 5]
        [--epochs 20] [--runs DIR] [--only NAME …]

Compares conv-lif with conv-relu, and the study's two networks, on Fashion-MNIST with its whole test
set and few training images; with `--folder` also on a folder of images, with `--socofing` on
SOCOFing by subject. All with `--optimism`: the test images are asked after every epoch and the
answers opened at the end. Per contender the accuracy at the epochs chosen on validation and at the
best ones for the test, by seed; per pair the lead that is true, that of the best epochs, and that
between the best seeds. Results go to benchmarks/results/optimism.json; `--only` leaves those of the
other data sets there.
"""

import argparse
import json
import statistics
from pathlib import Path

from spikeduel.comparing import compare
from spikeduel.results.columns import OPTIMISM, render, text_rows
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import baseline, strong
from spikeduel.system import typed
from spikeduel.system.progress import TerminalProgress

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="a folder of images, a sub-folder a class")
    parser.add_argument("--socofing", help="SOCOFing's folder or zip file")
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/optimism"), help="where the runs and their store go"
    )
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()

    common = {"seeds": options.seeds, "epochs": options.epochs, "optimism": True}
    limited = {**common, "limit": options.limit}
    experiments: dict[str, Experiment] = {
        "fashion-mnist, strong": strong("fashion-mnist", **limited),
        "fashion-mnist, the study's networks": baseline(
            "fashion-mnist", encoding="direct", **limited
        ),
    }
    if options.folder:
        experiments["folder, strong"] = strong(options.folder, image_size=32, **common)
    if options.socofing:
        of_people = {"data_dir": options.socofing, "image_size": 32, **limited}
        experiments["socofing by subject, strong"] = strong("socofing", **of_people)

    path = RESULTS / "optimism.json"
    found = json.loads(path.read_text())["data"] if path.is_file() else {}
    for name, experiment in experiments.items():
        if options.only and name not in options.only:
            continue
        out = options.runs / name.replace(",", "").replace(" ", "-").replace("'", "")
        results = compare(experiment, out, options.runs / "store", TerminalProgress()).results
        meter = results.comparison.optimism
        if not meter:
            raise SystemExit(f"{name}: no trial was finished")
        settings = {
            each: getattr(experiment, each)
            for each in ("recipe", "seeds", "epochs", "limit", "image_size")
        }
        counts = results.dataset.counts
        found[name] = {
            **settings,
            "images": {"train": counts.train, "val": counts.val, "test": counts.test},
            "contenders": [
                {
                    **typed.plain(each),
                    "mean_gain": statistics.fmean(each.gains),
                    "gains": each.gains,
                }
                for each in meter
            ],
            "environment": results.environment,
        }
        path.write_text(json.dumps({"data": found}, indent=1) + "\n")
        print(f"{name}\n{render(text_rows(OPTIMISM, meter))}", flush=True)


if __name__ == "__main__":
    main()
