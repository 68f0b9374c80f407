"""Parts of a run's page: what it shows, and its sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spikeduel import energy
from spikeduel.auditing.audit_results import Audit
from spikeduel.data import Prepared, Split
from spikeduel.engine.networks.models import Model
from spikeduel.reporting.charts import Chart
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.sentences.comparison import Comparison


@dataclass(frozen=True)
class RunData:
    """Prepared images, their split (or each fold's), and the audit of the first split."""

    prepared: Prepared
    splits: Sequence[Split]
    audit: Audit | None = None


@dataclass(frozen=True)
class Page:
    """Content of a run's page, and what is `missing`."""

    comparison: Comparison
    table: energy.Table
    models: dict[str, Model]
    run_data: RunData | None
    predictions_file: PredictionsFile | None
    missing: list[str]

    @property
    def results(self) -> Results:
        return self.comparison.results

    @property
    def audit(self) -> Audit | None:
        """The audit, with all details if the data is at hand."""
        return self.run_data.audit if self.run_data else self.results.dataset.audit


@dataclass(frozen=True)
class Section:
    """A section of the page. A feature's follows the section `after` of the core and earlier
    features there. Its template finds `content` as `feature`; the page includes the files `style`
    and `script`, and the `definitions` of words.
    """

    heading: str
    after: str = ""
    charts: Sequence[Chart] = ()
    content: Mapping[str, Any] = field(default_factory=dict)
    style: str = ""
    script: str = ""
    definitions: Mapping[str, str] = field(default_factory=dict)
