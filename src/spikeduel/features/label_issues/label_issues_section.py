"""Section of the report on labels that networks call wrong."""

from spikeduel.features.label_issues.label_issues_conclusion import Conclusion
from spikeduel.reporting import images
from spikeduel.reporting.sections import Page, Section


def section(page: Page, conclusion: Conclusion) -> Section | None:
    """Return pictures of the most suspect labels; None without any, or without the images."""
    if page.run_data is None or not conclusion.suspects:
        return None
    pictures = images.labels(conclusion.suspects, page.run_data.prepared)
    return Section("Labels that the networks doubt", "audit", content={"pictures": pictures})
