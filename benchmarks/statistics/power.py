"""Is a lead found as often as `spikeduel plan` and the report say? Simulated from single answers,
and computed.

    python -m benchmarks.statistics.power [--repeats 1000]

The data sets are those of `significance.py`: seeds and images crossed, trainings disagreeing as on
Fashion-MNIST, a true lead of half a point, one point or two, and accuracy that varies over seeds by
`spread` (on an unlimited test set). `simulated` is the share of data sets in which the leader is
called better. `computed` is `detection_power` of what is assumed before a run; `told` the mean, over
the data sets, of what a run says of itself from its own spread, with its
5th and 95th percentile. Results go to benchmarks/results/power.json.
"""

import json
from dataclasses import asdict

import numpy as np

from benchmarks import shared
from benchmarks.statistics.significance import (
    ACCURACY,
    CORRELATION,
    DISAGREEMENT,
    Scenario,
    answers,
)
from spikeduel.results import significance
from spikeduel.results.significance import Conclusion
from spikeduel.statistics import (
    BETWEEN,
    WITHIN,
    Variability,
    assumed_variability,
    detection_power,
    variability_of,
)
from spikeduel.system.progress import TerminalProgress

SCENARIOS = [
    Scenario(seeds=seeds, difference=lead, spread=spread)
    for spread in (0.003, 0.005)
    for seeds, lead in ((4, 0.01), (5, 0.01), (6, 0.005), (6, 0.01), (8, 0.01))
] + [
    Scenario(seeds=6, images=1_000, difference=0.02, spread=0.005),
    Scenario(difference=0.01, times_spread=3.0),
]


def measured(scenario: Scenario, repeats: int, progress: TerminalProgress) -> dict[str, object]:
    """How often the lead is found, how often it should be, and what the data sets say of
    themselves.
    """
    rng = np.random.default_rng(0)
    found, told = 0, []
    title = f"{scenario.seeds} seeds, {100 * scenario.difference:g} points, spread {100 * scenario.spread:g}"
    for _ in progress.track(range(repeats), title, repeats):
        (a, b), _ = answers(scenario, rng, None)
        found += significance.difference(a, b).conclusion is Conclusion.A_BETTER
        told.append(detection_power(variability_of(a, b), scenario.difference, scenario.seeds))
    alike = assumed_variability(scenario.spread, scenario.images)
    other = assumed_variability(scenario.times_spread * scenario.spread, scenario.images)
    low, high = np.quantile(told, [0.05, 0.95]).tolist()
    variability = Variability(seeds_a=alike.seeds_a, seeds_b=other.seeds_b, images=alike.images)
    return {
        "simulated": found / repeats,
        "computed": detection_power(variability, scenario.difference, scenario.seeds),
        "told": float(np.mean(told)),
        "told_p5": low,
        "told_p95": high,
    }


def main() -> None:
    parser = shared.parser(__doc__, repeats=1000)
    options = parser.parse_args()
    assert tuple(DISAGREEMENT.values()) == (WITHIN, BETWEEN)
    rows = []
    for scenario in SCENARIOS:
        rows.append({**asdict(scenario), **measured(scenario, options.repeats, TerminalProgress())})
        print(json.dumps(rows[-1]), flush=True)
    results = {
        "accuracy": ACCURACY,
        "disagreement": DISAGREEMENT,
        "correlation": CORRELATION,
        "repeats": options.repeats,
        "rows": rows,
    }
    shared.write("power.json", results)


if __name__ == "__main__":
    main()
