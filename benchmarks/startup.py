"""What one waits for before anything happens: each command's time above that of `import torch`.

    python benchmarks/startup.py [--repeats 7]

Prepares Fashion-MNIST's embedded sample once, so that caches are warm, then starts each command
several times, in turn with `python -c "import torch"`. Results go to
benchmarks/results/startup.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spikeduel import data
from spikeduel.networks import building, models
from spikeduel.networks.models import Model
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import baseline
from spikeduel.system import hardware
from spikeduel.trials import contenders

RESULT = Path(__file__).parent / "results" / "startup.json"
NUM_IMAGES = 1000
FIRST_STEP = """
import sys
from pathlib import Path
from spikeduel.comparing import compare
from spikeduel.system.progress import Progress
from spikeduel.settings.recipes import baseline

class UntilTheFirstStep(Progress):
    def track(self, items, description, total=None):
        for number, item in enumerate(items):
            if "dense-snn" in description and number == 1:
                sys.stdout.flush()
                import os
                os._exit(0)
            yield item

compare(baseline(encoding=sys.argv[1]), Path("run"), Path("store"), UntilTheFirstStep())
raise SystemExit("no step was taken")
"""


def _seconds(command: list[str], folder: Path) -> float:
    for leftover in ("run", "store"):
        subprocess.run(["rm", "-rf", str(folder / leftover)], check=True)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _save_models_and_images(folder: Path) -> None:
    """Untrained models, as quick to answer as trained ones, and image files to ask them about."""
    for side in (28, 97):
        images = np.random.default_rng(side).integers(
            0, 256, (NUM_IMAGES, side, side), dtype=np.uint8
        )
        (folder / f"images{side}").mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"images{side}" / f"{number:04d}.png")
        for encoding in ("direct", "rate"):
            experiment = baseline(encoding=encoding, contenders=("dense-snn",))
            card = contenders.trials_of(experiment, *_sample(experiment))[0].card
            resized = replace(
                card,
                image_shape=(1, side, side),
                preprocessing=replace(card.preprocessing, height=side, width=side),
            )
            models.save_model(
                folder / f"{encoding}{side}.safetensors", Model(building.build(resized), resized)
            )


def _sample(experiment: Experiment) -> tuple[data.Prepared, data.Split]:
    prepared = data.load(experiment)
    return prepared, data.split(prepared, experiment)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    python = sys.executable
    commands = {
        "import torch": [python, "-c", "import torch"],
        "import spikeduel": [python, "-c", "import torch, spikeduel"],
        "first step, direct": [python, "-c", FIRST_STEP, "direct"],
        "first step, rate": [python, "-c", FIRST_STEP, "rate"],
    }
    for side in (28, 97):
        for encoding in ("direct", "rate"):
            commands[f"predict {NUM_IMAGES} images {side}×{side}, {encoding}"] = [
                python,
                "-m",
                "spikeduel",
                "predict",
                f"{encoding}{side}.safetensors",
                f"images{side}",
                "--json",
            ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SPIKEDUEL_CACHE"] = f"{name}/cache"
        _save_models_and_images(folder)
        seconds: dict[str, list[float]] = {label: [] for label in commands}
        for repeat in range(repeats + 1):
            for label, command in commands.items():
                taken = _seconds(command, folder)
                if repeat > 0:  # the first fills the caches
                    seconds[label].append(taken)
    torch_alone = statistics.median(seconds["import torch"])
    results = {
        "repeats": repeats,
        "environment": hardware.environment(hardware.resolve()),
        "seconds": {
            label: {"median": statistics.median(s), "min": min(s), "max": max(s)}
            for label, s in seconds.items()
        },
        "seconds_above_import_torch": {
            label: round(statistics.median(s) - torch_alone, 3)
            for label, s in seconds.items()
            if label != "import torch"
        },
    }
    RESULT.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["seconds_above_import_torch"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
