"""Public names, and the modules that they come from."""

from .arrays import EventRecordings as EventRecordings, SplitIndices as SplitIndices
from .context import AuditInput as AuditInput, FileFormat as FileFormat
from .examining import examine as examine
