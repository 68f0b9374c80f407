"""The section of the report on images that contenders disagree about."""

from spikeduel.features.disagreement.thumbnails import MAX_IN_GROUP, thumbnails
from spikeduel.reporting.sections import Page, Section


def section(page: Page, conclusion: None) -> Section | None:
    """Return thumbnails of disagreements, and those that numbers by class open; None without
    predictions.
    """
    if page.predictions_file is None:
        return None
    prepared = page.run_data.prepared if page.run_data else None
    pictured = thumbnails(page.results, page.predictions_file, prepared)
    return Section(
        heading="Where they disagree" if pictured.pairs else "Images behind the numbers",
        after="caveats",
        content={
            "thumbnails": pictured,
            "max_in_group": MAX_IN_GROUP,
            "num_tested": len(page.predictions_file.labels),
        },
    )
