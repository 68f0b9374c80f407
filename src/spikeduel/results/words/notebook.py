"""Audits and runs as notebooks show them, in place of a `repr`."""

from spikeduel.results.audit import Audit
from spikeduel.results.columns import percent
from spikeduel.results.run import Results
from spikeduel.results.words.audit import not_all, notes, problems, rows
from spikeduel.system.errors import visible
from spikeduel.system.notebook import Chart, html_text, page
from spikeduel.system.sentences import counted

WIDTH, ROW, NAME, PANEL, GAP = 640, 26, 150, 200, 45
"""Of the chart, in pixels: in all, the height of a contender's row, its name, a panel, and between
panels.
"""

COLOUR = "#2f86c5"  # seen on white and on black


def brief(audit: Audit) -> str:
    """What an audit found, in a line."""
    found = f"{counted(len(audit.problems), 'problem')}, {counted(len(audit.notes), 'note')}"
    return visible(
        f"<Audit of {audit.dataset}, {counted(audit.counts.total, audit.noun)}: {found}>"
    )


def of_audit(audit: Audit) -> str:
    """An audit's findings and numbers."""
    ok = "Nothing was found that would invalidate a result." if audit.ok else ""
    found = [*(f"Problem: {text}" for text in problems(audit)), ok, *notes(audit)]
    return page(f"Audit of {audit.dataset}", *found, rows(audit), not_all(audit))


def chart(results: Results) -> Chart:
    """Of each contender the accuracy of every training, a dot each, and how long an answer takes,
    as a bar.
    """
    times = {name: 1000 * value.low for name, value in results.answer.lead("answer").values.items()}
    found = {
        name: [t.test.accuracy for t in results.of(name) if t.test] for name in results.contenders
    }
    every = [accuracy for accuracies in found.values() for accuracy in accuracies]
    if not every:
        return Chart("")
    low, high = min(every), max(every)
    start, longest = NAME + PANEL + GAP, max(times.values(), default=0.0)
    marks = [_label(NAME, 14, f"accuracy, % ({percent(low)} to {percent(high)})")]
    marks += [_label(start, 14, "an answer, ms")] * bool(longest)
    for number, (name, accuracies) in enumerate(found.items()):
        middle = 20 + ROW * number + ROW // 2
        marks.append(_label(0, middle + 4, name if len(name) <= 22 else f"{name[:21]}…"))
        marks.append(f'<path d="M{NAME} {middle}h{PANEL}" stroke="currentColor" opacity=".2"/>')
        for accuracy in accuracies:
            x = NAME + 6 + (PANEL - 12) * ((accuracy - low) / (high - low) if high > low else 0.5)
            tip = f"<title>{html_text(name)}: {percent(accuracy)} %</title>"
            marks.append(
                f'<circle cx="{x:.1f}" cy="{middle}" r="5" fill="{COLOUR}" fill-opacity=".7">{tip}</circle>'
            )
        if name in times:
            width = PANEL * times[name] / longest if longest else 0.0
            marks.append(
                f'<rect x="{start}" y="{middle - 7}" width="{width:.1f}" height="14" fill="{COLOUR}"/>'
            )
            marks.append(_label(start + width + 6, middle + 4, f"{times[name]:.3g}"))
    height = 28 + ROW * len(found)
    size = f'viewBox="0 0 {WIDTH} {height}" style="max-width:{WIDTH}px;width:100%"'
    text = 'role="img" font-size="12" font-family="sans-serif"'
    return Chart(f'<svg xmlns="http://www.w3.org/2000/svg" {size} {text}>{"".join(marks)}</svg>')


def _label(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="currentColor">{html_text(text)}</text>'
