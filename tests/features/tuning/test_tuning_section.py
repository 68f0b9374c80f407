import pytest

from features.tuning.made_tunings import tuned, tuning
from made_pages import listed_rows, places
from spikeduel.features.tuning.tuning_results import limits as limits_of
from spikeduel.features.tuning.tuning_section import chart, section
from spikeduel.reporting.rendering import write
from spikeduel.results.findings import sentence


@pytest.fixture
def record():
    return tuning(
        tuned("dense-snn", [0.5, 0.75, 0.625], settings=("learning_rate", "num_steps")),
        tuned("small-cnn", [0.875, None, 0.25]),
    )


def test_the_chart_shows_every_finished_trial_and_the_curves(record):
    left, right = chart(record).panels
    # For each contender its trials, then a ring around the chosen one.
    assert [places(left, marks) for marks in left.marks] == [
        ([1, 2, 3], [50, 75, 62.5]),
        ([2], [75]),
        ([1, 3], [87.5, 25]),
        ([1], [87.5]),
    ]
    lines = [marks for marks in right.marks if marks.kind == "line"]
    assert [places(right, marks)[1] for marks in lines] == [[50, 75, 75], [87.5, 87.5, 87.5]]
    assert len(right.marks) == 4
    tried = [row for row in listed_rows(chart(record)) if "trial" in row]
    assert [row.get("chosen") for row in tried] == [None, "chosen", None, "chosen", None]


def test_the_section_has_all_trials_and_ranges(record, tmp_path, unpainted):
    made = section(None, record)
    drawn = {chart.name: chart for chart in made.charts}
    content = {"feature": made.content, "drawn": drawn, "definitions": made.definitions}
    page = write(tmp_path / "page.html", "tuning_section.html.j2", content).read_text()
    limits = limits_of(record)
    for text in (
        "loss became &lt;NaN&gt;",
        # First and best trial, expected best, seconds, what was chosen.
        "<td>50.00</td><td>75.00</td>",
        "75.00 ± 1.00",
        "<td>2,100</td>",
        "learning_rate 0.002",
        # Ranges of what was tuned alone, and what it leaves open: still rising, one failed trial.
        "<dd>1e-05 to 0.01, log-uniform</dd>",
        "<dd>one of 4, 8</dd>",
        *map(sentence, limits),
    ):
        assert text in page
    assert len(limits) == 2
    absent_and_doubled = ("<dt>beta</dt>", "<strong>(chosen)</strong>")
    assert [page.count(text) for text in absent_and_doubled] == [0, 2]
