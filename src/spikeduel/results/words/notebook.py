"""Audits and runs as notebooks show them."""

from spikeduel.results.audit import Audit
from spikeduel.results.columns import percent
from spikeduel.results.run import Results
from spikeduel.results.words.audit import not_all, notes, problems, rows
from spikeduel.system.errors import visible
from spikeduel.system.notebook import Chart, html_text, page
from spikeduel.system.sentences import counted

WIDTH, ROW, NAME, PANEL, GAP = 640, 26, 150, 200, 45
"""Sizes of the chart in pixels: its width, a contender's height, a name, a panel, a gap."""
COLOUR = "#2f86c5"  # seen on white and on black


class PrintedAudit(Audit):
    """An audit that `print` and notebooks show."""

    def __repr__(self) -> str:
        findings = f"{counted(len(self.problems), 'problem')}, {counted(len(self.notes), 'note')}"
        images = counted(self.counts.total, self.noun)
        return visible(f"<Audit of {self.dataset}, {images}: {findings}>")

    def _repr_html_(self) -> str:
        """Return findings and numbers as HTML."""
        ok = "Nothing was found that would invalidate a result." if self.ok else ""
        findings = [*(f"Problem: {text}" for text in problems(self)), ok, *notes(self)]
        return page(f"Audit of {self.dataset}", *findings, rows(self), not_all(self))


def chart(results: Results) -> Chart:
    """Return each contender's accuracies, a dot for a training, and its answer time, as a bar."""
    times = {name: 1000 * value.low for name, value in results.answer.lead("answer").values.items()}
    accuracies = {
        name: [trial.test.accuracy for trial in results.of(name) if trial.test]
        for name in results.contenders
    }
    known = [shares for shares in accuracies.values() if shares]
    if not known:
        return Chart("")
    low, high = min(map(min, known)), max(map(max, known))
    start, longest = NAME + PANEL + GAP, max(times.values(), default=0.0)
    marks = [_label(NAME, 14, f"accuracy, % ({percent(low)} to {percent(high)})")]
    marks += [_label(start, 14, "an answer, ms")] * bool(longest)
    for number, (name, shares) in enumerate(accuracies.items()):
        middle = 20 + ROW * number + ROW // 2
        marks.append(_label(0, middle + 4, name if len(name) <= 22 else f"{name[:21]}…"))
        marks.append(f'<path d="M{NAME} {middle}h{PANEL}" stroke="currentColor" opacity=".2"/>')
        for share in shares:
            x = NAME + 6 + (PANEL - 12) * ((share - low) / (high - low) if high > low else 0.5)
            tip = f"<title>{html_text(name)}: {percent(share)} %</title>"
            place = f'cx="{x:.1f}" cy="{middle}" r="5"'
            marks.append(f'<circle {place} fill="{COLOUR}" fill-opacity=".7">{tip}</circle>')
        if name in times:
            width = PANEL * times[name] / longest if longest else 0.0
            size = f'width="{width:.1f}" height="14"'
            marks.append(f'<rect x="{start}" y="{middle - 7}" {size} fill="{COLOUR}"/>')
            marks.append(_label(start + width + 6, middle + 4, f"{times[name]:.3g}"))
    height = 28 + ROW * len(accuracies)
    size = f'viewBox="0 0 {WIDTH} {height}" style="max-width:{WIDTH}px;width:100%"'
    text = 'role="img" font-size="12" font-family="sans-serif"'
    return Chart(f'<svg xmlns="http://www.w3.org/2000/svg" {size} {text}>{"".join(marks)}</svg>')


def _label(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="currentColor">{html_text(text)}</text>'
