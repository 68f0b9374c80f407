"""What became of a run's trials: record, measures, times and controls of each, and the answers of all, pooled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, Split, auditing
from spikeduel.measuring import latency
from spikeduel.results.audit import Audit
from spikeduel.results.costs import Latency
from spikeduel.results.trials import Classification
from spikeduel.system import files
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.controls import Controlled
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store, TrialRecord


@dataclass(frozen=True)
class Finished:
    """One trial, trained or failed: its record, and what was measured of it, by the measure's name."""

    record: TrialRecord
    measured: Mapping[str, Any]
    failed_measures: Mapping[str, str] = field(default_factory=dict)
    latency: Latency | None = None
    controlled: Controlled | None = None

    @property
    def contender(self) -> str:
        """Its name."""
        return self.record.settings["contender"]

    @property
    def answers(self) -> Classification | None:
        """Its answers to the test images; None where there are none."""
        return self.measured.get("classification")


def gather(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    controlled: Sequence[Controlled | None],
    timed: Mapping[str, Latency],
    store: Store,
    audit: Audit,
    audited: Split,
) -> list[Finished]:
    """All that is known of each of `trials`; `timed` holds latencies by key. `audit` looked at the split `audited`."""
    finished = []
    for planned, record, its_controls in zip(trials, records, controlled, strict=True):
        measured = trial.measured(planned, store) if record.status == "done" else {}
        if (answered := measured.get("classification")) and record.fold == audited.fold:
            bins = auditing.accuracy_by_distance(audit, answered.truth, answered.predicted)
            measured["by_distance"] = bins and list(bins)
        failed = store.failed_measures(record.key)
        finished.append(Finished(record, measured, failed, timed.get(record.key), its_controls))
    return finished


def time_answers(
    trials: Sequence[Trial], records: Sequence[TrialRecord], prepared: Prepared, store: Store, progress: Progress
) -> dict[str, Latency]:
    """The latency of each contender's first finished trial, by its key: answers take other seeds as long.

    Kept in the store beside the trial. Where the store has all of them from this machine (processor, threads, device,
    versions), it is not measured again; where one is missing, all are measured, one after the other, since times
    compare only within one sitting. Nothing else should be running meanwhile.
    """
    first: dict[str, Trial] = {}
    for each, record in zip(trials, records, strict=True):
        if record.status == "done":
            first.setdefault(each.card.contender, each)
    if not first:
        return {}
    timed = list(first.values())
    images = np.asarray(prepared.images[timed[0].split.test[: latency.NUM_IMAGES]])
    # Two that time answers at once would time each other; the second one finds what the first took.
    with files.locked(store.root / "latency.lock", lambda: progress.say("another process is timing answers; waiting")):
        known = {each.key: store.measure(each.key, "latency", Latency) for each in timed}
        here = latency.machine(timed[0].settings["device"])
        if all(
            found and structs.replace(found.machine, load_average=here.load_average) == here for found in known.values()
        ):
            return {key: found for key, found in known.items() if found}
        taken = {}
        for each in progress.track(timed, "timing answers", len(timed)):
            path, device = store.model_path(each.key), each.settings["device"]
            found = taken[each.key] = latency.latency(path, images, device, each.experiment.own_code)
            if found.one_image is None:
                progress.say(f"  {each.card.title}: not timed, {found.reasons['process']}")
            else:
                store.save_measure(each.key, "latency", found)
    return taken


def test_uses(
    store: Store, prepared: Prepared, trials: Sequence[Trial], controlled: Sequence[Controlled | None]
) -> tuple[int, int]:
    """How many models were asked about the test images, and how many of them are this run's; with folds, of the fold
    with the most others.
    """
    own: dict[int | None, set[str]] = {}
    for each, found in zip(trials, controlled, strict=True):
        keys = own.setdefault(each.split.fold, set())
        keys |= {each.key} if store.record(each.key) else set()
        keys |= set(found.keys) if found else set()
    test = {each.split.fold: each.split.test for each in trials}
    uses = [(store.test_uses(prepared.fingerprint, test[fold], keys), len(keys)) for fold, keys in own.items()]
    return max(uses, key=lambda use: use[0] - use[1])


def tested(splits: Sequence[Split]) -> np.ndarray:
    """The indices of all test images int64 `[N]`: the only split's, or those of one fold after the other."""
    return np.concatenate([split.test for split in splits])


def pooled(
    finished: Sequence[Finished], contender: str, part: Callable[[Finished], np.ndarray | None]
) -> dict[int, np.ndarray]:
    """`part` `[N]` of a contender's trials, for the images of `tested`, by seed.

    A seed with an unfinished fold is left out, for want of its images.
    """
    folds = sorted({each.record.fold for each in finished}, key=lambda fold: -1 if fold is None else fold)
    found: dict[int, dict[int | None, np.ndarray]] = {}
    for each in finished:
        if each.contender == contender and (its := part(each)) is not None:
            found.setdefault(each.record.settings["seed"], {})[each.record.fold] = its
    return {
        seed: np.concatenate([parts[fold] for fold in folds])
        for seed, parts in found.items()
        if len(parts) == len(folds)
    }


def right(answers: Classification | None) -> np.ndarray | None:
    """bool `[N]`: which of the answers are right; None where there are none."""
    return None if answers is None else np.equal(answers.truth, answers.predicted)
