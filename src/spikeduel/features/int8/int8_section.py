"""Section of the report on the networks in int8."""

from spikeduel.features.int8.int8_conclusion import COLUMNS, Conclusion
from spikeduel.reporting.sections import Page, Section


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the sentences and the table of contenders in int8."""
    return Section(
        heading="At equal precision",
        after="accountings",
        content={
            "summary": conclusion.text,
            "columns": COLUMNS,
            "rows": conclusion.rows,
        },
    )
