"""Audit of images: run every check, then conclude what the numbers mean."""

from collections.abc import Callable

from msgspec import structs

from spikeduel.auditing import duplicate_checks, file_checks, labels, recording_checks
from spikeduel.auditing.audit_results import Audit, Details
from spikeduel.auditing.context import AuditInput, Fields
from spikeduel.system import hardware
from spikeduel.system.finding_tables import Finding, find

CHECKS: tuple[Callable[[AuditInput], Fields], ...] = (
    file_checks.check,
    duplicate_checks.check,
    labels.check,
    recording_checks.check,
)
"""Every check fills fields of `Audit`."""
VERSION = 24
"""Raised when the same data would give another audit."""


def examine(data: AuditInput) -> Audit:
    """Return the audit of images and their split: leaks, duplicates, labels that look wrong, and
    formats and names of files that tell the class or the split.
    """
    hardware.keep_freed_memory()
    fields: Fields = {}
    details: Fields = {}
    for check in CHECKS:
        found = check(data)
        details |= found.pop("details", {})
        fields |= found
    hardware.release_freed_memory()
    audit = Audit(
        dataset=data.name,
        fingerprint=data.fingerprint,
        split=data.split_kind,
        own_validation=data.own_validation,
        **fields,
        details=Details(**details),
    )
    return structs.replace(audit, conclusions=findings(audit))


def findings(audit: Audit) -> tuple[Finding, ...]:
    """Return the findings of an audit, problems first; `too_few_to_audit` only without problems."""
    found = sorted(find("audit", audit), key=lambda finding: not finding.is_problem)
    is_ok = not any(finding.is_problem for finding in found)
    return tuple(finding for finding in found if is_ok or finding.id != "too_few_to_audit")
