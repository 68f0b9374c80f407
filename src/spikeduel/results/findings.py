"""Findings about runs, ablations and tests: `findings.toml` here and those of features
declare them.
"""

from pathlib import Path

import spikeduel.auditing.audit_results  # noqa: F401  its findings are declared first, and rank first
from spikeduel.features import folders
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

for folder in (Path(__file__).parent, *folders().values()):
    if (declared := folder / "findings.toml").exists():
        declare(declared)


def caveat(finding: Finding, noun: str = "image") -> str:
    """Return a caveat's sentence, with its source."""
    source = "Data audit: " if finding.subject == "audit" else ""
    return source + sentence(finding, noun)
