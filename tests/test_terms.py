"""Abandoned terms do not come back. docs/glossary.md defines the standard ones."""

import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "spikeduel"
NAMES = {
    r"answer": "prediction, recommendation, or inference time",
    r"sibling|relatives": "near_duplicates",
    r"doubted": "label_issues",
    r"whole_number": "int8",
    r"until_sure|in_time|takes_less|dearest": "temporal exit, cheaper",
    r"(?:^|_)(?:told|said|held|kept|priced|let_go)(?:_|$)": "what it holds, or does",
    r"^(?:MOST|FEWEST|LARGEST|LONGEST|SHORTEST|WIDEST|FEW|FEWER)(?:_|$)": "MAX_ or MIN_",
    r"^_?(?:chance|chances)$": "probability, power, or chance_level",
    r"^_?(?:spread|spreads)$": "deviation",
    r"^_?(?:member|members)$|Members?$": "variant",
    r"^_?controls?$|^Control|_controls?$": "variant, ablation",
    r"^_?(?:side|sides|sides_of)$": "split",
    r"^Foreign$|^Calling$|^Asked$": "ExternalNetwork, CallConvention, CachedPredictions",
    r"^Family$|^FAMILIES$": "NetworkKind; a family is a group of related data sets",
}
"""Names that the code no longer uses, and the standard terms."""
OF_OTHERS = {"shared_segments.py: side", "hub_dataset.py: members"}
"""Names of arguments and attributes of libraries."""
PHRASES = {
    r"in whole numbers": "in int8",
    r"(?:time|energy|cost|operations) of an answer": "inference time, energy per inference",
    r"siblings? in training": "near-duplicates in training",
    r"constant answer": "constant prediction",
    r"until sure": "early exit",
}
"""Phrases that texts for people no longer use, and the standard terms."""


def abandoned_names(path):
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.NAME:
            for pattern, term in NAMES.items():
                if re.search(pattern, token.string):
                    yield f"{path.name}: {token.string}", f"{token.start[0]}: {term}"


def test_names_in_the_code_are_standard_terms():
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        found |= dict(abandoned_names(path))
    assert {name: found[name] for name in found.keys() - OF_OTHERS} == {}


def test_texts_use_standard_terms():
    texts = [*SOURCE.rglob("*"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    texts = [path for path in texts if path.suffix in (".py", ".toml", ".j2", ".md")]
    assert len(texts) > 200
    found = [
        f"{path.relative_to(ROOT)}: {match[0]} ({term})"
        for path in texts
        for pattern, term in PHRASES.items()
        for match in re.finditer(pattern, path.read_text("utf-8"), re.IGNORECASE)
    ]
    assert found == []
