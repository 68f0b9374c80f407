"""Whether trained models answer alike where they are exported to, and what int8 costs in C.

    python -m benchmarks.export.export NAME=MODEL.safetensors … [--to FORMAT] [--images 1000] [--data-dir
    DIR]

Every model is exported to every format, C in int8 and all others in float32, and checked on test images of the data set that it was trained on. A refusal is a result: its reason is
kept. NAME is what the model is called in benchmarks/results/export.json, which is written anew
after each model and keeps those that were there.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel.engine.networks import models
from spikeduel.exporters import exporting
from spikeduel.features.export import model_exchange
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.typed import plain
from spikeduel.training import model_data

RESULT = "export.json"
KEPT = ("bytes", "n", "accuracy", "accuracy_float32", "programs", "versions")


def main() -> None:
    """Exports what the command line names."""
    parser = shared.parser(__doc__, images=1000, data_dir=str)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument(
        "--to",
        choices=exporting.EXPORTERS,
        help="only this format; what is known of others is kept",
    )
    given = parser.parse_args()
    document = shared.read(RESULT, {"models": {}})
    for each in given.models:
        name, _, path = each.partition("=")
        formats = [given.to] if given.to else list(exporting.EXPORTERS)
        found = exported(Path(path), formats, given.images, given.data_dir)
        before = document["models"].get(name, found)
        document["models"][name] = {**found, "exports": {**before["exports"], **found["exports"]}}
        shared.write(RESULT, document)


def exported(
    path: Path, formats: list[str], num_images: int, data_dir: str | None
) -> dict[str, Any]:
    """What came of each of `formats` for the model in `path`."""
    model = models.load_model(path)
    card = model.card
    experiment = replace(model_data.trained_on(model), data_dir=data_dir) if data_dir else None
    found: dict[str, Any] = {
        "contender": card.contender,
        "dataset": card.dataset,
        "encoding": card.encoding,
        "num_steps": card.num_steps,
        "network": card.network,
        "exports": {},
    }
    for to in formats:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "exported"
            options: dict[str, Any] = {
                "experiment": experiment,
                "num_images": num_images,
                "store": folder,
            }
            try:
                check = plain(model_exchange.export(model, out, to, **options))
                outcome = {key: check[key] for key in KEPT}
            except SpikeduelError as error:
                outcome = {"error": str(error).replace(str(out), "FILE")}
        seconds = time.perf_counter() - start
        found["exports"][to] = {**outcome, "seconds": round(seconds, 1)}
        print(path.stem, to, outcome.get("error") or outcome["programs"], flush=True)
    return found


if __name__ == "__main__":
    main()
