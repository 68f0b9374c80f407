"""What the trials of a run gave, put together for its results."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, Split, auditing
from spikeduel.data.auditing import Audit
from spikeduel.measuring import latency
from spikeduel.results.costs import Latency
from spikeduel.results.run import ControlledContender
from spikeduel.results.trials import Trial as Entry
from spikeduel.settings import Experiment
from spikeduel.system import files
from spikeduel.system.progress import Progress
from spikeduel.trials import answers, assembling, controls, trial
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store, TrialRecord


@dataclass(frozen=True)
class Timed:
    """A stored trial whose model is to be timed: its key, its title for the progress, and where it computes."""

    key: str
    title: str
    device: str


def take(
    trials: Sequence[Timed], images: np.ndarray, own_code: Collection[str], store: Store, progress: Progress
) -> dict[str, Latency]:
    """`latency` of each trial by its key, kept in the store beside it. Nothing else should be running meanwhile.

    Where the store has all of them from this machine (processor, threads, device, versions), it is not measured again;
    where one is missing, all are measured, one after the other, since times compare only within one sitting.
    `images` are uint8 `[N, C, H, W]`.
    """
    # Two that time answers at once would time each other; the second one finds what the first took.
    with files.locked(store.root / "latency.lock", lambda: progress.say("another process is timing answers; waiting")):
        known = {each.key: _from_here(store.measure(each.key, "latency", Latency), each.device) for each in trials}
        if all(known.values()):
            return {key: found for key, found in known.items() if found}
        taken = {}
        for each in progress.track(trials, "timing answers", len(trials)):
            taken[each.key] = latency.latency(store.model_path(each.key), images, each.device, own_code)
            if taken[each.key].one_image is None:
                progress.say(f"  {each.title}: not timed, {taken[each.key].reasons['process']}")
            else:
                store.save_measure(each.key, "latency", taken[each.key])
    return taken


def _from_here(found: Latency | None, device: str) -> Latency | None:
    here = latency.machine(device)
    alike = found is not None and structs.replace(found.machine, load_average=here.load_average) == here
    return found if alike else None


def measures(
    store: Store, trials: Sequence[tuple[Trial, Split]], records: Sequence[TrialRecord], audit: Audit, audited: Split
) -> list[dict[str, Any]]:
    """What was measured of each of `trials`, by name; of an unfinished one, nothing."""
    found = []
    for (planned, _), record in zip(trials, records, strict=True):
        measured = trial.measured(planned, store) if record.status == "done" else {}
        # With folds, the audit looks at the first one's split.
        if (answered := measured.get("classification")) and record.fold == audited.fold:
            bins = auditing.accuracy_by_distance(audit, answered.truth, answered.predicted)
            measured["by_distance"] = bins and list(bins)
        found.append(measured)
    return found


def entries(
    records: Sequence[TrialRecord],
    measures: Sequence[Mapping[str, Any]],
    store: Store,
    timed: Mapping[str, Latency],
    controlled: Sequence[controls.Controlled | None],
) -> list[Entry]:
    entries = []
    for place, (record, found) in enumerate(zip(records, measures, strict=True)):
        entry = assembling.trial_entry(record, found, store.failed_measures(record.key), timed.get(record.key))
        if controlled and (of_trial := controlled[place]):
            entry = structs.replace(entry, controls=of_trial.results, controls_left_out=of_trial.reasons)
        entries.append(entry)
    return entries


def concluded(
    trials: Sequence[tuple[Trial, Split]],
    controlled: Sequence[controls.Controlled | None],
    measures: Sequence[Mapping[str, Any]],
    prepared: Prepared,
    splits: Sequence[Split],
) -> list[ControlledContender]:
    if not controlled:
        return []
    groups = None if prepared.groups is None else prepared.groups[answers.tested(splits)]
    return controls.conclude(trials, controlled, [found.get("classification") for found in measures], groups)


def time_answers(
    experiment: Experiment,
    prepared: Prepared,
    trials: Sequence[tuple[Trial, Split]],
    records: Sequence[TrialRecord],
    store: Store,
    progress: Progress,
) -> dict[str, Latency]:
    """The latency of each contender's first finished trial, by its key: answers take other seeds as long."""
    first: dict[str, tuple[Trial, Split]] = {}
    for (each, split), record in zip(trials, records, strict=True):
        if record.status == "done":
            first.setdefault(each.card.contender, (each, split))
    if not first:
        return {}
    timed = [Timed(each.key, each.card.title, each.settings["device"]) for each, _ in first.values()]
    _, split = next(iter(first.values()))
    images = np.asarray(prepared.images[split.test[: latency.NUM_IMAGES]])
    return take(timed, images, experiment.own_code, store, progress)


def test_uses(
    store: Store,
    prepared: Prepared,
    splits: Sequence[Split],
    trials: Sequence[tuple[Trial, Split]],
    controlled: Sequence[controls.Controlled | None],
) -> tuple[int, int]:
    """How many models were asked about the test images, and how many of them are this run's; with folds, of the fold
    with the most others.
    """
    uses = []
    for split in splits:
        own = {each.key for each, of in trials if of is split and store.record(each.key)}
        for (_, of), found in zip(trials, controlled, strict=False):
            if of is split and found is not None:
                own |= set(found.keys)
        uses.append((store.test_uses(prepared.fingerprint, split.test, own), len(own)))
    return max(uses, key=lambda use: use[0] - use[1])
