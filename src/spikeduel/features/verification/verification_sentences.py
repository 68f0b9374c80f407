"""Say what a verification found."""

import json
from collections.abc import Iterator, Sequence

from spikeduel.features.verification.verification_results import (
    Discrepancy,
    TrainedAgain,
    Verification,
)
from spikeduel.system.numbers import counted, per_cent, points

MAX_SHOWN = 20
"""Discrepancies that are named; the others are counted."""
HOLDS = (
    "HOLDS: results.json follows from the predictions, the split, the counts of operations and the "
    "settings; a zip file has all its files, and its tables and texts follow, too. Measured "
    "values (times, memory, counts of operations, calibration, the audit) are taken on trust. "
    "report.html and the figures are compared with their hashes only."
)
NOT_TRAINED = (
    "The predictions and the labels are taken on trust, too: `--rerun N` compares the labels with "
    "the data set, and trains N trials again."
)
DIFFERS = (
    "DOES NOT HOLD: the files are not as they were written, or another version of spikeduel wrote "
    "them."
)


def hold(verifications: Sequence[Verification], again: Sequence[TrainedAgain]) -> bool:
    """Return True if nothing differs, and trainings end as they did."""
    runs_hold = all(verification.holds for verification in verifications)
    return runs_hold and all(trained.holds for trained in again)


def lines(verifications: Sequence[Verification], again: Sequence[TrainedAgain]) -> Iterator[str]:
    """Yield a line for each run, discrepancy and training, and the conclusion."""
    for verification in verifications:
        parts = [f"{number:,} in {place}" for place, number in verification.checked.items()]
        total = counted(sum(verification.checked.values()), "place")
        yield f"{verification.name}: {total} compared ({', '.join(parts)})."
        yield from map(differing, verification.discrepancies[:MAX_SHOWN])
        if verification.discrepancies[MAX_SHOWN:]:
            yield f"and {len(verification.discrepancies) - MAX_SHOWN:,} more."
    yield from map(training, again)
    holds = HOLDS if again else f"{HOLDS} {NOT_TRAINED}"
    yield holds if hold(verifications, again) else DIFFERS


def differing(discrepancy: Discrepancy) -> str:
    if discrepancy.missing:
        return f"{discrepancy.file} is missing."
    if discrepancy.unknown:
        return f"{discrepancy.file} is no file that spikeduel writes."
    place = f"{discrepancy.file}, {discrepancy.place}" if discrepancy.place else discrepancy.file
    stored, computed = _short(discrepancy.stored), _short(discrepancy.computed)
    return f"{place}: {stored} is written, {computed} follows."


def training(trained: TrainedAgain) -> str:
    """Say how a training that was done again ended."""
    if trained.accuracy is None:
        return f"{trained.trial}, trained again: it failed."
    if trained.same and trained.holds:
        return f"{trained.trial}, trained again: every prediction is the same."
    allowed = (
        "on the same processor, with the same versions, all must be"
        if trained.alike
        else f"elsewhere {per_cent(trained.least_equal)} must be, and accuracy may differ by "
        f"{points(trained.noise)}"
    )
    return (
        f"{trained.trial}, trained again: accuracy {per_cent(trained.accuracy)}, and "
        f"{per_cent(trained.stored)} in results.json. {per_cent(trained.equal)} of the predictions "
        f"are equal; {allowed}."
    )


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 70 else f"{text[:67]}…"
