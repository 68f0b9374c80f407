"""Build audit.html: the page of an audit alone, and what the report shows of an audit."""

from pathlib import Path

from spikeduel.auditing import Audit
from spikeduel.auditing.copies import write_groups
from spikeduel.auditing.labels import write_csv
from spikeduel.data import Prepared
from spikeduel.reporting import pictures, reliability
from spikeduel.reporting.charts import Chart
from spikeduel.reporting.rendering import write
from spikeduel.results.words import audit as audit_words
from spikeduel.system import files, typed


def audit_page(audit: Audit, prepared: Prepared, out: Path | str) -> Path:
    """Write audit.html, audit.json, labels.csv and groups.csv into `out`; return the page's path.

    Raises `InputError`.
    """
    out = Path(out)
    files.require_writable(out)
    typed.write_json(out / "audit.json", audit_words.document(audit))
    write_csv(out / "labels.csv", audit.details.labels)
    if audit.details.groups and prepared.names:
        write_groups(out / "groups.csv", prepared.names, audit.details.groups)
    chart = distances(audit)
    page = {
        "pictured": None,
        "title": f"Audit of {audit.dataset}",
        "audit": audit,
        "drawn": {chart.name: chart} if chart else {},
        "galleries": galleries(audit, prepared),
    }
    return write(out / "audit.html", "audit.html.j2", page, audit.noun)


def distances(audit: Audit | None) -> Chart | None:
    """Return the distances of test images to training images, None where they are not known."""
    known = audit and audit.details.within_quantiles and audit.distances.test_to_train
    return reliability.distances(audit) if audit and known else None


def galleries(audit: Audit | None, prepared: Prepared | None) -> dict[str, list[pictures.Picture]]:
    """Return pictures of equal pairs and of doubtful labels, as far as the data is at hand."""
    if audit is None or prepared is None:
        return {}
    shown = {
        "audit-pairs": pictures.pairs(audit.details.pairs, prepared),
        "audit-labels": pictures.labels(audit.details.labels, prepared),
    }
    return {name: gallery for name, gallery in shown.items() if gallery}
