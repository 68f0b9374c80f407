"""Audit: can a result on this data and split be trusted? Each module is a check."""

from spikeduel.auditing.context import file_counts
from spikeduel.auditing.examining import audit, audited, examine
from spikeduel.auditing.neighbours import nearest
from spikeduel.results.audit import Audit

__all__ = ["Audit", "audit", "audited", "examine", "file_counts", "nearest"]
