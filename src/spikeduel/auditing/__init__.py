"""Whether a result on this data and this split can be trusted."""

from spikeduel.auditing.examining import accuracy_by_distance, audit, audited, examine
from spikeduel.auditing.file_formats import file_counts
from spikeduel.auditing.neighbours import nearest
from spikeduel.results.audit import Audit

__all__ = ["Audit", "accuracy_by_distance", "audit", "audited", "examine", "file_counts", "nearest"]
