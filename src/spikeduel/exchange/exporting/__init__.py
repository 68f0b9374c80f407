"""Models that run elsewhere with the same answers: an exporter a file, each checked by running what it wrote."""

from spikeduel.exchange.exporting.exporters import (
    EXPORTERS,
    WEIGHTS,
    ExportCheck,
    ExportDisagrees,
    export,
    lines,
    trained_on,
)

__all__ = ["EXPORTERS", "WEIGHTS", "ExportCheck", "ExportDisagrees", "export", "lines", "trained_on"]
