"""HTML for notebooks: sentences and tables, escaped."""

from collections.abc import Mapping, Sequence
from html import escape

from spikeduel.system.errors import visible

Part = str | Sequence[Mapping[str, str]]
"""A sentence, or the rows of a table."""


def page(title: str, *parts: Part) -> str:
    """Return `title` and `parts` as HTML, without empty ones."""
    shown = "".join(_html(part) for part in parts if part)
    return f"<div><p><b>{html_text(title)}</b></p>{shown}</div>"


def _html(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{html_text(part)}</p>"
    head = "".join(_cell(name, "th") for name in part[0])
    body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in part)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def _cell(text: str, kind: str = "td") -> str:
    return f'<{kind} style="text-align:left;white-space:nowrap">{html_text(text)}</{kind}>'


def html_text(text: str) -> str:
    """Return `text` escaped, control characters visible."""
    return escape(visible(text))
