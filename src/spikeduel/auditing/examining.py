"""Audit from top to bottom: load, split, run every check, say what it means."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from spikeduel import data
from spikeduel.auditing import copies, files as files_behind, labels, recordings
from spikeduel.auditing.context import AuditContext, Fields, file_counts
from spikeduel.auditing.neighbours import NEAR
from spikeduel.data import Prepared, Split, cache
from spikeduel.results.audit import SIDES, Audit, Details
from spikeduel.results.findings import Finding, find
from spikeduel.results.words.audit import PrintedAudit
from spikeduel.settings import Experiment
from spikeduel.system import hardware, typed
from spikeduel.system.progress import Progress

CHECKS: tuple[Callable[[AuditContext], Fields], ...] = (
    files_behind.check,
    copies.check,
    labels.check,
    recordings.check,
)
"""Every check fills fields of `Audit`."""
VERSION = 23
"""Raised when the same data would give another audit."""


def audit(
    dataset_or_experiment: "str | Path | Experiment",
    progress: Progress | None = None,
) -> Audit:
    """Check a data set and its split for leaks, duplicates, wrong labels, telling formats and
    broken files. Raises `InputError`.
    """
    experiment = dataset_or_experiment
    if not isinstance(experiment, Experiment):
        experiment = Experiment(dataset=str(experiment))
    return audited(experiment, progress or Progress())[0]


def audited(experiment: Experiment, progress: Progress) -> tuple[Audit, Prepared]:
    """Return the audit of an experiment's data and split, and the audited images."""
    prepared = data.load(replace(experiment, skip_unreadable=True), progress.track)
    return examine(experiment, prepared, data.split(prepared, experiment), progress), prepared


def examine(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    progress: Progress | None = None,
) -> Audit:
    """Return the audit of a loaded set and its split, kept in the cache."""
    progress, counts = progress or Progress(), file_counts(experiment, prepared)
    context = AuditContext(experiment, prepared, split, progress, counts)
    path = cache.audits() / f"{_key(context)}.json"
    return cache.kept(path, PrintedAudit, lambda: _examine(context), progress)


def _key(context: AuditContext) -> str:
    prepared, split = context.prepared, context.split
    sides = [cache.digest_of(getattr(split, side)) for side in SIDES]
    state = cache.state(prepared.sources)
    unreadable, counts = sorted(prepared.unreadable), typed.plain(context.files)
    is_skipped = context.experiment.skip_unreadable
    source = [context.experiment.dataset, state, unreadable, is_skipped, counts]
    return typed.digest([VERSION, prepared.fingerprint, split.kind, sides, NEAR, source])[:24]


def _examine(context: AuditContext) -> PrintedAudit:
    hardware.keep_freed_memory()
    fields: Fields = {}
    details: Fields = {}
    for check in CHECKS:
        found = check(context)
        details |= found.pop("details", {})
        fields |= found
    hardware.release_freed_memory()
    audit = PrintedAudit(
        dataset=context.prepared.name,
        fingerprint=context.prepared.fingerprint,
        split=context.split.kind,
        own_validation=context.prepared.own_validation,
        **fields,
        details=Details(**details),
    )
    return structs.replace(audit, conclusions=findings(audit))


def findings(audit: Audit) -> tuple[Finding, ...]:
    """Return the meaning of an audit's numbers, problems first. That images are too few to show a
    problem is said only where none was found.
    """
    found = sorted(find("audit", audit), key=lambda finding: not finding.is_problem)
    is_ok = not any(finding.is_problem for finding in found)
    return tuple(finding for finding in found if is_ok or finding.id != "too_few_to_audit")
