"""Whether a result on this data and this split can be trusted."""

from spikeduel.data.auditing.examining import accuracy_by_distance, audit, audited, examine
from spikeduel.data.auditing.file_formats import file_counts
from spikeduel.data.auditing.neighbours import nearest
from spikeduel.results.audit import Audit

__all__ = ["Audit", "accuracy_by_distance", "audit", "audited", "examine", "file_counts", "nearest"]
