"""A whole run: what became of its trials, their answers pooled; and its folder, each file whole or
not at all.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel import auditing, data
from spikeduel.data import Prepared, Split
from spikeduel.measuring import latency
from spikeduel.results.audit import Audit
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.optimism import Optimism
from spikeduel.results.predictions import FILE, PredictionsFile, SeedAnswers
from spikeduel.results.times import Latency
from spikeduel.results.trials import Classification
from spikeduel.settings import Experiment
from spikeduel.settings.reading import write_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import sealing, trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.controls import Controlled
from spikeduel.trials.store import AskedImages, Store, TrialRecord

LOCK = ".lock"
"""The file in a run's folder that its writer locks."""
LOGS = "logs"
"""Where in a run's folder its logs lie: while it trains they are all that is there."""


@dataclass(frozen=True)
class Finished:
    """One trial, trained or failed: its record, and what was measured of it, by the measure's
    name.
    """

    record: TrialRecord
    measured: Mapping[str, Any]
    failed_measures: Mapping[str, str] = field(default_factory=dict)
    latency: Latency | None = None
    controlled: Controlled | None = None
    optimism: Optimism | None = None

    @property
    def contender(self) -> str:
        """Its name."""
        return self.record.settings["contender"]

    @property
    def training(self) -> str:
        """The key of the training whose weights it has: its own, or that of the source of a
        converted network.
        """
        converted = self.record.settings.get("converted")
        return converted["key"] if converted else self.record.key

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
    """All that is known of each of `trials`; `timed` holds latencies by key. `audit` looked at the
    split `audited`.
    """
    finished = []
    for planned, record, its_controls in zip(trials, records, controlled, strict=True):
        measured = trial.measured(planned, store) if record.status == "done" else {}
        if (answered := measured.get("classification")) and record.fold == audited.fold:
            bins = auditing.accuracy_by_distance(audit, answered.truth, answered.predicted)
            measured["by_distance"] = bins and list(bins)
        failed = store.failed_measures(record.key)
        # Only here, where nothing is left to be chosen.
        sealed = sealing.opened(record, store) if planned.experiment.optimism else None
        finished.append(
            Finished(record, measured, failed, timed.get(record.key), its_controls, sealed)
        )
    return finished


def time_answers(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    prepared: Prepared,
    store: Store,
    progress: Progress,
) -> dict[str, Latency]:
    """The latency of each contender's first finished trial, by its key: answers take other seeds as
    long.

    Kept in the store beside the trial. Where the store has all of them from this machine
    (processor, threads, device, versions), it is not measured again, unless it was busy then and is
    not now; where one is missing, all are measured, one after the other, since times compare only
    within one sitting. Nothing else should be running meanwhile.
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
    with files.locked(
        store.root / "latency.lock",
        lambda: progress.say("another process is timing answers; waiting"),
    ):
        known = {each.key: store.measure(each.key, "latency", Latency) for each in timed}
        here = latency.machine(timed[0].device)
        if all(
            found
            and structs.replace(found.machine, load_average=here.load_average) == here
            and (not found.machine.busy or here.busy)
            for found in known.values()
        ):
            return {key: found for key, found in known.items() if found}
        taken = {}
        for each in progress.track(timed, "timing answers", len(timed)):
            path, device = store.model_path(each.key), each.device
            found = taken[each.key] = latency.latency(
                path, images, device, each.experiment.own_code
            )
            if found.one_image is None:
                progress.say(f"  {each.card.title}: not timed, {found.reasons['process']}")
            else:
                # Under the trial's lock, too: who takes it removes what lies there unfinished.
                with store.locked(each.key):
                    store.save_measure(each.key, "latency", found)
    return taken


@dataclass(frozen=True)
class TestUses:
    """How often the test images of a run were asked: how many `models` were, and how many of them
    are this run's (`here`); in how many trainings they were asked after `every_epoch`, for the
    optimism meter.
    """

    models: int | None = None
    here: int | None = None
    every_epoch: int = 0


def test_uses(
    store: Store,
    prepared: Prepared,
    trials: Sequence[Trial],
    controlled: Sequence[Controlled | None],
) -> TestUses:
    """How often the test images were asked; with folds, those of the fold that the most models of
    other runs were.

    Trainings that were asked after every epoch are counted in all folds.
    """
    own: dict[int | None, set[str]] = {}
    for each, found in zip(trials, controlled, strict=True):
        keys = own.setdefault(each.split.fold, set())
        keys |= {each.key} if store.record(each.key) else set()
        keys |= set(found.keys) if found else set()
    asked = {each.split.fold: AskedImages.of(prepared, each.split.test) for each in trials}
    uses = [(store.test_uses(asked[fold], keys), len(keys)) for fold, keys in own.items()]
    every_epoch = sum(store.tested_every_epoch(asked[fold]) for fold in own)
    return TestUses(*max(uses, key=lambda use: use[0] - use[1]), every_epoch)


def tested(splits: Sequence[Split]) -> np.ndarray:
    """The indices of all test images int64 `[N]`: the only split's, or those of one fold after the
    other.
    """
    return np.concatenate([split.test for split in splits])


def pooled(
    finished: Sequence[Finished],
    contender: str,
    answers: Callable[[Finished], Classification | None] = lambda each: each.answers,
) -> dict[int, np.ndarray]:
    """True and predicted classes int64 `[2, N]` of a contender's trials, for the images of
    `tested`, by seed.

    A seed with an unfinished fold is left out, for want of its images.
    """
    folds = sorted(
        {each.record.fold for each in finished}, key=lambda fold: -1 if fold is None else fold
    )
    found: dict[int, dict[int | None, np.ndarray]] = {}
    for each in finished:
        if each.contender == contender and (its := answers(each)):
            found.setdefault(each.record.settings["seed"], {})[each.record.fold] = np.array(
                [its.truth, its.predicted]
            )
    return {
        seed: np.concatenate([parts[fold] for fold in folds], axis=1)
        for seed, parts in found.items()
        if len(parts) == len(folds)
    }


def right_of(seeds: Sequence[int], answers: Mapping[int, np.ndarray]) -> np.ndarray:
    """bool `[S, N]`: which answers are right, of `answers` as `pooled` gives them."""
    return np.array([np.equal(*answers[seed]) for seed in seeds])


def trainings(finished: Sequence[Finished], contender: str) -> dict[int, list[str]]:
    """The keys of the trainings whose weights a contender has, one a fold, by seed."""
    found: dict[int, dict[int | None, str]] = {}
    for each in finished:
        if each.contender == contender:
            found.setdefault(each.record.settings["seed"], {})[each.record.fold] = each.training
    return {
        seed: [keys[fold] for fold in sorted(keys, key=lambda fold: fold or 0)]
        for seed, keys in found.items()
    }


def located(experiment: Experiment) -> Experiment:
    """`experiment` with absolute paths, so that it means the same in every folder."""
    dataset, data_dir, group_by = experiment.dataset, experiment.data_dir, experiment.group_by
    dataset = data.absolute(dataset)
    if data_dir is not None:
        data_dir = str(files.located(data_dir))
    if group_by is not None and data.names_a_file(group_by):
        group_by = str(files.located(group_by))
    return replace(experiment, dataset=dataset, data_dir=data_dir, group_by=group_by)


def _dataset_of(folder: Path) -> str | None:
    """What the data of the run in `folder` are called; None where there is none, or it is
    damaged.
    """
    with suppress(InputError):
        return load_run(folder).results.dataset.name
    return None


def require_writable(out: Path | str | None, dataset: str | None = None) -> None:
    """Raises `InputError` unless a run can be written to `out` (None: below `runs`), or it holds
    one already, on the data set of this name.
    """
    folder = Path(out or "runs")
    files.require_writable(folder)
    if out is None or not folder.is_dir():
        return
    if (folder / "experiment.toml").is_file():
        before = _dataset_of(folder)
        if dataset and before not in (None, dataset):
            raise InputError(
                f"{folder}: holds a run on other data ({before}). Choose another --out, or remove "
                f"it."
            )
        return
    # A process that was killed while it wrote its first file leaves these.
    if any(
        path.name not in (LOCK, LOGS) and not fnmatch(path.name, ".*.part")
        for path in folder.iterdir()
    ):
        raise InputError(
            f"{folder}: holds other things than a run. Choose a new folder, or one that a run made."
        )


def default_name(experiment: Experiment, fingerprint: str) -> str:
    """`<data set>-<recipe>-<hash>`: the same experiment on the same data finds its folder again."""
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(experiment.dataset).name).strip("-") or "images"
    return f"{dataset}-{experiment.recipe}-{typed.digest([asdict(experiment), fingerprint])[:8]}"


def write(
    comparison: Comparison,
    prepared: Prepared,
    splits: Sequence[Split],
    finished: Sequence[Finished],
    store: Store,
) -> None:
    """Puts settings, models, results, split and predictions into the run's folder, each file whole
    or not at all.
    """
    folder, results = comparison.out, comparison.results
    write_experiment(folder / "experiment.toml", comparison.experiment)
    for each, entry in zip(finished, results.trials, strict=True):
        if entry.model:
            files.link(store.model_path(each.record.key), folder / entry.model)
    if results.tuning:
        typed.write_json(folder / "tuning.json", results.tuning)
    typed.write_json(folder / "results.json", comparison.document())
    data.write_splits(folder / "split.csv", prepared, splits)
    write_predictions(folder, prepared, splits, finished)


def is_written(comparison: Comparison) -> bool:
    """Whether its folder holds just this, written by this version, and the page that is written
    last.
    """
    results, page = comparison.out / "results.json", comparison.out / "report.html"
    try:
        before = json.loads(results.read_text())
        is_whole = page.stat().st_mtime_ns >= results.stat().st_mtime_ns
    except (OSError, ValueError):
        return False
    now = {**json.loads(json.dumps(comparison.document())), "created": before.get("created")}
    return is_whole and before == now


def write_predictions(
    folder: Path, prepared: Prepared, splits: Sequence[Split], finished: Sequence[Finished]
) -> None:
    """Writes a run's `predictions.json`, whole or not at all."""
    test = tested(splits)
    content = PredictionsFile(
        schema=1,
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        indices=test.tolist(),
        labels=np.asarray(prepared.labels)[test].tolist(),
        images=[f"{each:016x}" for each in prepared.content_of(test).view(np.uint64).tolist()],
        groups=None if prepared.groups is None else np.asarray(prepared.groups)[test].tolist(),
        trials=[
            SeedAnswers(
                contender=contender,
                seed=seed,
                predicted=answers[1].tolist(),
                trainings=trainings(finished, contender)[seed],
            )
            for contender in dict.fromkeys(each.contender for each in finished)
            for seed, answers in pooled(finished, contender).items()
        ],
    )
    files.write_text(folder / FILE, json.dumps(typed.plain(content), separators=(",", ":")) + "\n")
