"""Does the interval of a ratio of costs at equal accuracy hold it, and is a ratio of 2 shown?

    python -m benchmarks.statistics.equal_accuracy [--repeats 300]

Two contenders have the variants of vgg-relu on Fashion-MNIST (`CURVE`, from frontier.json), one of
them at RATIO times the cost, or only every other variant. Their accuracies vary over seeds by
`spread`, and their predictions agree as often as trainings do. `at_equal_accuracy` judges them by
four seeds, at five levels of accuracy. Of each, `held` is the share of intervals with the true ratio,
`shown` of those that are above 1.1, `bias` the mean log error. Results go to
benchmarks/results/equal-accuracy.json.
"""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.stats import norm

from benchmarks import shared
from spikeduel.features.compression import frontier_analysis
from spikeduel.features.compression.frontier_analysis import Draws, Network, at_equal_accuracy
from spikeduel.features.compression.frontier_results import CompressedVariant, CostKind
from spikeduel.results.cost_results import Range
from spikeduel.system.progress import TerminalProgress

RESULT = "equal-accuracy.json"
SEEDS, IMAGES = 4, 10_000
CURVE = np.array(
    [
        (0.9372, 38.0),
        (0.9377, 19.0),
        (0.9282, 9.7),
        (0.9226, 4.9),
        (0.9085, 2.52),
        (0.9053, 1.26),
        (0.8684, 0.677),
        (0.8626, 0.34),
    ]
)
"""Accuracies, and costs."""
FEW = [0, 1, 2, 4, 6]
WITHIN, BETWEEN = 0.96, 0.87
"""Correlations of what decides a prediction, of one contender and of two (`power.json`)."""
KINDS = {"cost": CostKind(label="cost", group="memory")}


def contender(rng: np.random.Generator, alike: np.ndarray, curve: np.ndarray, spread: float) -> Any:
    """Return the right predictions `[S, N]` and the costs `[S]` of each variant."""
    own, start = rng.standard_normal(IMAGES), rng.normal(size=SEEDS)
    shared_by_all = math.sqrt(BETWEEN) * alike + math.sqrt(WITHIN - BETWEEN) * own
    for accuracy, cost in curve:
        # Variants begin with the weights of one trained network.
        seeds = accuracy + spread * (start + rng.normal(size=SEEDS)) / math.sqrt(2)
        noise = math.sqrt(1 - WITHIN) * rng.standard_normal((SEEDS, IMAGES))
        right = shared_by_all + noise < norm.ppf(seeds)[:, None]
        yield right, cost * np.exp(rng.normal(0, 0.02, SEEDS))


def networks(draws: Draws, variants: Any) -> list[Network]:
    """Return the variants as `frontier` makes them."""
    made = []
    for right, cost in variants:
        draws.predictions = SimpleNamespace(classes=None, right=lambda *_, right=right: right)  # type: ignore[assignment]
        accuracies, of_images = draws.accuracies("", "")
        entry = CompressedVariant(
            contender="",
            name="",
            title="",
            spiking=False,
            val_accuracy=0.0,
            accuracy=float(accuracies[0]),
            ci95=Range(low=0.0, high=1.0),
            rate=None,
            num_steps=None,
            seconds=0.0,
            amounts={},
        )
        made.append(Network(entry, accuracies, {"cost": draws.costs(cost[None])}, of_images))
    return made


def true_cost(level: float, curve: np.ndarray) -> float:
    accuracies, costs = curve.T[:, :, None]
    return float(frontier_analysis._least_cost(level, accuracies, costs, stored=False)[0])


def simulated(
    ratio: float, spread: float, few: bool, repeats: int, progress: TerminalProgress
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    alike = SimpleNamespace(truth=np.zeros(IMAGES), groups=None, classes=None)
    draws = Draws(alike, range(SEEDS))  # type: ignore[arg-type]
    ours, theirs = (CURVE[FEW] if few else CURVE) * (1, ratio), CURVE
    found: dict[int, list[tuple[bool, bool, float]]] = {}
    title = f"ratio {ratio:g}, spread {100 * spread:g} points{', fewer variants' * few}"
    for _ in progress.track(range(repeats), title, repeats):
        images = rng.standard_normal(IMAGES)
        spiking, others = (
            networks(draws, contender(rng, images, curve, spread)) for curve in (ours, theirs)
        )
        for place, at in enumerate(at_equal_accuracy(spiking, others, KINDS, SEEDS)):
            truth = true_cost(at.accuracy, ours) / true_cost(at.accuracy, theirs)
            (one,) = at.ratios
            if math.isfinite(truth):
                held = (one.low or 0) <= truth <= (one.high or math.inf)
                error = math.log(one.ratio.high / truth)
                found.setdefault(place, []).append((held, one.cheaper == "other", error))
    levels = [np.mean(each, 0).round(3).tolist() for each in found.values()]
    return {
        "ratio": ratio,
        "spread": spread,
        "fewer_variants": few,
        "levels": [dict(zip(("held", "shown", "bias"), each, strict=True)) for each in levels],
    }


def main() -> None:
    options = shared.parser(__doc__, repeats=300).parse_args()
    progress = TerminalProgress()
    rows = [
        simulated(ratio, spread, few, options.repeats, progress)
        for ratio, few in ((2.0, False), (1.0, False), (2.0, True))
        for spread in (0.002, 0.004)
    ]
    document = {"seeds": SEEDS, "images": IMAGES, "repeats": options.repeats, "rows": rows}
    shared.write(RESULT, document)


if __name__ == "__main__":
    main()
