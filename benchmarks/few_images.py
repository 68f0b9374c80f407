"""What few images can show: early exit, calibration error and temperature, before and after they
allowed for chance.

    python benchmarks/few_images.py NAME=MODEL.safetensors … [--data-dir DIR] [--repeats 300]

A trained model answers every image that it was not trained on: the more, the better, so train it
with --limit. Parts of 200, 1,000 and 6,000 of them are drawn again and again and play validation,
or test; the rest says what is true. "before" are the rules until 0.1.0: the earliest exit whose
accuracy on validation is within the tolerance, and the temperature with the lowest loss. The
results are written to benchmarks/results/few_images.json, model by model.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from spikeduel import data
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.answers import Answers, Running, ask
from spikeduel.measuring.correctness import (
    best_temperature,
    chosen_threshold,
    judged,
    thresholds,
)
from spikeduel.networks import models
from spikeduel.networks.models import Model
from spikeduel.system import hardware, typed
from spikeduel.system.hardware import Compute
from spikeduel.system.negligible import MAX_EXIT_LOSS
from spikeduel.system.progress import TerminalProgress
from spikeduel.system.typed import write_json
from spikeduel.trials.evaluating import trained_on

RESULT = Path(__file__).parent / "results" / "few_images.json"
SIZES = (200, 1000, 6000)
FEWEST = (20, 50, 200)
"""Validation images for a temperature."""


def unseen(model: Model, data_dir: str | None) -> Answers:
    """The model's answers to all images of its data set that it was not trained on."""
    known = model.card.trained_on
    how = {name: known[name] for name in ("limit", "folds", "group_by")}
    found = trained_on(model)
    experiment = replace(found, data_dir=data_dir or found.data_dir, **how)
    prepared = data.load(experiment)
    split = data.split(prepared, experiment, known.get("fold") or 0)
    others = np.setdiff1d(np.arange(len(prepared)), split.train)
    batches = EvaluationBatches(*prepared.held, others)
    tracked = TerminalProgress().track(batches, "answering", -(-len(others) // 256))
    return ask(model, tracked, over_time=True)


def part(running: Running, chosen: np.ndarray) -> Running:
    """The same of some of the images."""
    return Running(*(part[:, chosen] for part in vars(running).values()))


def earliest(validation: Running) -> float | None:
    """The threshold as it was chosen before."""
    full = float(validation.right[-1].mean())
    offered = [
        found
        for found in map(validation.leaving, thresholds(validation))
        if found.accuracy >= full - MAX_EXIT_LOSS
    ]
    return min(offered, key=lambda found: found.mean_steps).threshold


def exits(running: Running, size: int, repeats: int, random: np.random.Generator) -> dict[str, Any]:
    """Leaving early by thresholds that parts of `size` images chose: what it costs on the others,
    and saves.
    """
    found: dict[str, list[tuple[float, float, bool]]] = {"before": [], "after": []}
    for _ in range(repeats):
        order = random.permutation(running.right.shape[1])
        validation, rest = part(running, order[:size]), part(running, order[size:])
        for rule, threshold in (
            ("before", earliest(validation)),
            ("after", chosen_threshold(validation)[0]),
        ):
            steps, right = rest.exits(threshold)
            loss = float(rest.right[-1].mean() - right.mean())
            found[rule].append((loss, float(steps.mean()), threshold is None))
    return {
        rule: {
            "broke_tolerance": float(np.mean([loss > MAX_EXIT_LOSS for loss, _, _ in rows])),
            "mean_loss": float(np.mean([loss for loss, _, _ in rows])),
            "largest_loss": max(loss for loss, _, _ in rows),
            "mean_steps": float(np.mean([steps for _, steps, _ in rows])),
            "nobody_left": float(np.mean([nobody for _, _, nobody in rows])),
        }
        for rule, rows in found.items()
    }


def errors(scores: Tensor, size: int, repeats: int, random: np.random.Generator) -> dict[str, Any]:
    """Calibration errors on `size` images whose labels are drawn by the probabilities themselves,
    and what is said of a perfect model; "flagged" is the share above the 95th percentile.
    """
    generator = torch.Generator().manual_seed(int(random.integers(2**31)))
    rows = []
    for _ in range(repeats):
        chosen = scores[torch.randperm(len(scores), generator=generator)[:size]]
        truth = torch.multinomial(chosen.softmax(1), 1, generator=generator)[:, 0]
        found = judged(chosen, truth)
        rows.append(
            (found.ece, found.ece_of_perfect or 0.0, found.ece > (found.ece_of_perfect_95 or 0.0))
        )
    ece, said, flagged = (float(np.mean(column)) for column in zip(*rows, strict=True))
    return {"ece_of_perfect_drawn": ece, "ece_of_perfect_said": said, "flagged": flagged}


def coldest(scores: Tensor, truth: Tensor) -> float:
    """The temperature as it was fitted before."""

    def nll(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores / np.exp(log_temperature), truth))

    found = minimize_scalar(
        nll, bounds=(np.log(0.01), np.log(100)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def temperatures(
    scores: Tensor, truth: Tensor, size: int, repeats: int, random: np.random.Generator
) -> dict[str, Any]:
    """Negative log-likelihood of the other images by temperatures that `size` images gave, and the
    lowest of them.
    """
    found: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
    for _ in range(repeats):
        order = torch.from_numpy(random.permutation(len(truth)))
        fitted, rest = order[:size], order[size:]
        for rule, fit in (("before", coldest), ("after", best_temperature)):
            temperature = fit(scores[fitted], truth[fitted])
            loss = torch.nn.functional.cross_entropy(scores[rest] / temperature, truth[rest])
            found[rule].append((temperature, float(loss)))
    return {
        rule: {
            "lowest_temperature": min(temperature for temperature, _ in rows),
            "mean_nll": float(np.mean([nll for _, nll in rows])),
            "worst_nll": max(nll for _, nll in rows),
        }
        for rule, rows in found.items()
    }


def simulated(model: Model, data_dir: str | None, repeats: int) -> dict[str, Any]:
    """What came of all sizes for one model."""
    answers, random = unseen(model, data_dir), np.random.default_rng(0)
    truth, running = torch.from_numpy(answers.truth), answers.over_time
    best = best_temperature(answers.scores, truth)
    raw, scaled = judged(answers.scores, truth), judged(answers.scores / best, truth)
    probabilities = answers.scores.softmax(1)
    right = probabilities.argmax(1) == truth
    return {
        "contender": model.card.contender,
        "encoding": model.card.encoding,
        "num_steps": model.card.num_steps,
        "images": len(truth),
        "accuracy": answers.accuracy,
        "temperature": best,
        "ece": {"raw": raw.ece, "scaled": scaled.ece},
        "mean_confidence_where_right": {
            "raw": float(probabilities.max(1).values[right].mean()),
            "scaled": float((answers.scores / best).softmax(1).max(1).values[right].mean()),
        },
        "early_exit": running
        and {str(size): exits(running, size, repeats, random) for size in SIZES},
        "calibration_error": {
            str(size): errors(answers.scores / best, size, repeats, random) for size in SIZES
        },
        "temperature_from": {
            str(size): temperatures(answers.scores, truth, size, repeats, random) for size in FEWEST
        },
    }


def main() -> None:
    """Simulates for what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--data-dir")
    parser.add_argument("--repeats", type=int, default=300)
    given = parser.parse_args()
    document = typed.read_json(RESULT, dict) if RESULT.exists() else {"models": {}}
    for each in given.models:
        name, _, path = each.partition("=")
        found = simulated(models.load_model(path), given.data_dir, given.repeats)
        document |= {"tolerance": MAX_EXIT_LOSS, "repeats": given.repeats}
        document["environment"] = hardware.environment(Compute("cpu", "32"))
        document["models"][name] = found
        write_json(RESULT, document)
        print(name, found, flush=True)


if __name__ == "__main__":
    main()
