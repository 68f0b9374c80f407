"""Render templates: one page, with pictures and scripts in it."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from spikeduel import features
from spikeduel.auditing import audit_sentences as audit_words
from spikeduel.reporting import charts, drawing
from spikeduel.results import findings, means
from spikeduel.sentences import (
    columns,
    cost_sentences as costs,
    recommendation_sentences as recommendation_sentences,
    verdict,
)
from spikeduel.system import files, numbers, typed
from spikeduel.system.errors import visible
from spikeduel.system.numbers import with_noun

DEFINITIONS: dict[str, str] = {
    **columns.definitions(),
    **{str(quantity): text for quantity, text in recommendation_sentences.MEANINGS.items()},
    "confusion matrix": (
        "Rows: true classes. Columns: predicted classes. Correct predictions lie on the "
        "diagonal; a dark cell off it is a pair of classes that is often confused."
    ),
    "worst first": "Those that the most trainings of all contenders get wrong come first.",
    "MAC": "A multiply-accumulate: multiplies a number by a weight and adds it up.",
    "AC": "An accumulate: adds up the weight of a spike.",
    "hoisted": costs.TWO_WAYS,
    "range of energy": costs.ZEROS,
    "Pareto front": "No other network is better for less.",
    "confidence": "The probability that a network gives to its prediction.",
    "as most count": (
        "Every multiplication, and of spikes only those that come, so that spiking networks alone "
        "skip zeros; with memory, numbers are computed whole and spikes one by one."
    ),
    "changes at": costs.CHANGES_AT,
}
"""Words of the report, explained where they are hovered over or tapped."""


MAX_CROSSED_CELLS = 30
"""Classes in a confusion matrix; of more, the most frequent errors are listed."""
MAX_ERRORS = 50
SCRIPTS = ("page.js", "charts.js")
"""Scripts at the end of every page, before those of its sections."""
PLACE_OF_SCRIPTS = "<!-- scripts -->"
_FOLDER = Path(__file__).parent


def write(path: Path | str, template: str, page: Mapping[str, Any], noun: str = "image") -> Path:
    """Render a template with `page` to `path`, and return `path`; `noun` is "image" or
    "recording".

    The content policy of the page allows the `scripts` alone: `SCRIPTS`, and those of sections.
    """
    of_sections = [section.script for section in page.get("sections", {}).values()]
    names = dict.fromkeys(filter(None, (*SCRIPTS, *page.get("scripts", ()), *of_sections)))
    environment = _environment()
    scripts = [_source(environment, name) for name in names]
    hashes = [policy_of(script) for script in scripts]
    text = environment.get_template(template).render({**page, "script_hashes": hashes})
    # Scripts come last: their hashes stand in the policy, so that no word may change.
    ends = "".join(f"<script>{script}</script>\n" for script in scripts)
    text = with_noun(text, noun).replace(PLACE_OF_SCRIPTS, ends)
    files.write_text(Path(path), text)
    return Path(path)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_FOLDER, *features.folders().values()]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Unprintable characters of a name, which may turn the writing direction, are escaped.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {
        "percent": numbers.hundredths,
        "file_name": charts.file_name,
        "because": verdict.because,
        "within": verdict.margin,
        "sentence": findings.sentence,
        "shortened": charts.shortened,
        "embedded": embedded,
    }
    environment.globals |= {
        "numbers": numbers,
        "plain": typed.plain,
        "columns": columns,
        "costs": costs,
        "means": means,
        "verdicts": verdict,
        "audits": audit_words,
        "recommendation": recommendation_sentences,
        "definitions": DEFINITIONS,
        "colours": charts.contender_colours,
        "place_of_scripts": PLACE_OF_SCRIPTS,
        "most_crossed": MAX_CROSSED_CELLS,
        "most_errors": MAX_ERRORS,
        "charts": charts,
        "drawing": drawing,
        "galleries": {},
        "sections": {},
    }
    return environment


def embedded(value: Any) -> Markup:
    """Return a struct as JSON within a page."""
    return Markup(msgspec.json.encode(value).decode().replace("<", r"\u003c"))


def _source(environment: jinja2.Environment, name: str) -> str:
    """Return the text of a file beside the templates."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def policy_of(script: str) -> str:
    """Return a script's hash as a content policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
