"""Answers in float32 and in bf16: how many labels differ, and what each takes.

    python benchmarks/answers.py NAME=MODEL.safetensors … [--data-dir DIR] [--rounds 3]

Every model answers the whole test part of its data set, and is measured as `compare` measures it,
in both precisions by turns: answers until 0.1.0 were in the precision of training. Times are
ratios, float32 by bf16, paired by round. NAME is what the model is called in
benchmarks/results/answers.json, which is written anew after each model.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeduel import data
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring import MEASURES
from spikeduel.measuring.answers import Asked, ask
from spikeduel.networks import models
from spikeduel.spiking.random_keys import seeded
from spikeduel.system import hardware, load, typed
from spikeduel.system.hardware import Compute
from spikeduel.system.typed import write_json
from spikeduel.trials.evaluating import trained_on

RESULT = Path(__file__).parent / "results" / "answers.json"
PRECISIONS = ("32", "bf16")


def compared(path: str, data_dir: str | None, rounds: int) -> dict[str, Any]:
    """Labels and times of the model in `path`."""
    models = {precision: models.load_model(path, precision=precision) for precision in PRECISIONS}
    card = models["32"].card
    how = {name: card.trained_on[name] for name in ("limit", "folds", "group_by")}
    found = trained_on(models["32"])
    experiment = replace(found, data_dir=data_dir or found.data_dir, **how)
    prepared = data.load(experiment)
    split = data.split(prepared, experiment, card.trained_on.get("fold") or 0)
    test, validation = (EvaluationBatches(*prepared.held, part) for part in (split.test, split.val))
    seconds: dict[str, dict[str, list[float]]] = {"test": {}, "all_measures": {}}
    for turn in range(rounds):
        for precision in PRECISIONS[:: 1 if turn % 2 else -1]:
            model = models[precision]
            started = time.perf_counter()
            ask(model, test)
            seconds["test"].setdefault(precision, []).append(time.perf_counter() - started)
            started = time.perf_counter()
            given = Asked(test, count=True), Asked(validation)
            for measure in MEASURES.values():
                with seeded(card.seed):
                    measure.take(model, *given[: 2 if measure.on_validation else 1])
            seconds["all_measures"].setdefault(precision, []).append(time.perf_counter() - started)
    answers = {precision: ask(model, test) for precision, model in models.items()}
    ratios = {
        what: [one / other for one, other in zip(by["32"], by["bf16"], strict=True)]
        for what, by in seconds.items()
    }
    return {
        "contender": card.contender,
        "encoding": card.encoding,
        "num_steps": card.num_steps,
        "trained_in": card.precision,
        "images": len(split.test),
        "labels_that_differ": float((answers["32"].predicted != answers["bf16"].predicted).mean()),
        "accuracy": {precision: found.accuracy for precision, found in answers.items()},
        "float32_by_bf16": {what: statistics.median(values) for what, values in ratios.items()},
        "seconds": seconds,
    }


def main() -> None:
    """Compares what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--data-dir")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    document = typed.read_json(RESULT, dict) if RESULT.exists() else {"models": {}}
    for each in given.models:
        name, _, path = each.partition("=")
        found = compared(path, given.data_dir, given.rounds)
        document["environment"] = {
            **hardware.environment(Compute("cpu", "32")),
            "load": load.load_average(),
        }
        document["models"][name] = found
        write_json(RESULT, document)
        print(name, found, flush=True)


if __name__ == "__main__":
    main()
