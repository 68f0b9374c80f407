"""From timings to what is reported: rows, ratios, and the whole document."""

import statistics
from collections.abc import Mapping
from typing import Any

from spikeduel.measuring.bench.contenders import CONTENDERS
from spikeduel.measuring.bench.interleaving import Timing
from spikeduel.measuring.bench.machine import Limits
from spikeduel.measuring.bench.roofline import needs
from spikeduel.measuring.bench.workloads import Workload

STUDY, CNN = "snntorch-study", "cnn"
FASTEST_PEER, FASTEST_WITH_MEMORY = "fastest-peer", "fastest-peer+memory"


def rows(workload: Workload, timings: Mapping[str, Timing], limits: Limits) -> list[dict[str, Any]]:
    """One row a contender: `{workload, contender, precision, start_seconds, ms{…}, peak_memory_bytes, flop, bytes,
    roofline_ms, roofline_fraction, error}`. Null is what was not measured. `roofline.RULE` says how the roofline is
    counted; it is the same for all.
    """
    least = needs(workload, limits.operand_bytes)
    roofline_ms = least.milliseconds(limits.gflops, limits.bandwidth_gbs)
    found = []
    for name, timing in timings.items():
        ms = timing.summary()
        found.append(
            {
                "workload": workload.name,
                "contender": name,
                "precision": timing.precision,
                "start_seconds": timing.start_seconds,
                "ms": ms,
                "peak_memory_bytes": timing.peak_memory_bytes,
                "flop": least.flop,
                "bytes": least.bytes,
                "roofline_ms": roofline_ms,
                "roofline_fraction": roofline_ms / ms["median"] if ms else None,
                "error": timing.error,
            }
        )
    return found


def ratios(workload: Workload, timings: Mapping[str, Timing], own_cnn: Timing | None) -> dict[str, dict[str, Any]]:
    """How many times as long as spikeduel others take: `{median, min, max, contender}`, paired by round.

    Spiking workloads: `snntorch-study`; `fastest-peer`, whichever is fastest in whatever setting that its users have;
    `fastest-peer+memory`, whichever is fastest of those that are lent spikeduel's setting of the allocator. `cnn` is
    the other way round, spikeduel's SNN step by its CNN step on the same images (`own_cnn`, timed in the same rounds).
    An epoch has the same number of steps for both. The CNN: `torch-cnn` and `torch-cnn-tuned`.
    """
    ours = timings["spikeduel"]
    if ours.summary() is None:
        return {}
    if workload.shape == "cnn":
        pairs = {name: (name, timing) for name, timing in timings.items() if not CONTENDERS[name].own}
    else:
        peers = {name: timing for name, timing in timings.items() if not CONTENDERS[name].own}
        medians = {name: ms["median"] for name, timing in peers.items() if (ms := timing.summary())}
        pairs = {STUDY: (STUDY, peers[STUDY])} if STUDY in medians else {}
        for key, lent in ((FASTEST_PEER, False), (FASTEST_WITH_MEMORY, True)):
            some = [name for name in medians if CONTENDERS[name].keeps_memory == lent]
            if some:
                fastest = min(some, key=lambda name: medians[name])
                pairs[key] = (fastest, peers[fastest])
    found = {
        key: {**paired(timing, ours), "contender": name} for key, (name, timing) in pairs.items() if timing.summary()
    }
    if own_cnn is not None and own_cnn.summary():
        found[CNN] = {**paired(ours, own_cnn), "contender": "spikeduel"}
    return found


def paired(numerator: Timing, denominator: Timing) -> dict[str, float]:
    """`{median, min, max}` of the ratios of the two medians of each round."""
    each = [
        statistics.median(above) / statistics.median(below)
        for above, below in zip(numerator.rounds, denominator.rounds, strict=True)
    ]
    return {"median": statistics.median(each), "min": min(each), "max": max(each)}


def failed(document: dict[str, Any]) -> bool:
    """Whether spikeduel itself could not be timed somewhere."""
    found = document["rows"] + document["scaling"]
    return any(row["error"] is not None and CONTENDERS[row["contender"]].own for row in found)
