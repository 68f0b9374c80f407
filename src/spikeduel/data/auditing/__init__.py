"""Whether a result on this data and this split can be trusted."""

from spikeduel.data.auditing.examining import Audit, accuracy_by_distance, audit, audited, examine
from spikeduel.data.auditing.findings import PIXELS_ARE_NOT_ALL, rows
from spikeduel.data.auditing.neighbours import nearest

__all__ = ["PIXELS_ARE_NOT_ALL", "Audit", "accuracy_by_distance", "audit", "audited", "examine", "nearest", "rows"]
