"""Findings about runs, studies, ablations and tests: `findings.toml` declares them."""

from pathlib import Path

from spikeduel.system.finding_tables import (
    ADVICE as ADVICE,
    TABLE as TABLE,
    Finding as Finding,
    Values as Values,
    declare,
    find as find,
    finding as finding,
    finds as finds,
    is_leak as is_leak,
    ranked as ranked,
    sentence as sentence,
    with_id as with_id,
)

declare(Path(__file__).with_name("findings.toml"))


def caveat(finding: Finding, noun: str = "image") -> str:
    """Return a caveat's sentence, with its source."""
    source = "Data audit: " if finding.subject == "audit" else ""
    return source + sentence(finding, noun)
