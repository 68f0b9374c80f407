import pytest

from made_pages import places, told
from spikeduel.features.tuning.tuning_results import TuningRecord, limits as limits_of
from spikeduel.features.tuning.tuning_section import chart, section
from spikeduel.reporting.rendering import write
from spikeduel.results.findings import sentence
from spikeduel.system.typed import converted


def entry(number, accuracy, **settings):
    return {
        "number": number,
        "settings": settings,
        "key": "k",
        "status": "failed" if accuracy is None else "done",
        "error": "loss became <NaN>" if accuracy is None else None,
        "epochs": 2,
        "best_epoch": 1,
        "stopped": "limit",
        "training_seconds": 700.0,
        "validation": None if accuracy is None else {"accuracy": accuracy, "loss": 1.0},
    }


def contender(name, family, accuracies, best, tuned):
    means = [max(a or 0 for a in accuracies[: n + 1]) for n in range(len(accuracies))]
    return {
        "contender": name,
        "family": family,
        "tuned": tuned,
        "best": best,
        "trials": [entry(n, a, learning_rate=0.001 * (n + 1)) for n, a in enumerate(accuracies)],
        "expected_best": [
            {
                "trials": n + 1,
                "mean": m,
                "standard_deviation": 0.01,
                "low": m - 0.01,
                "high": m + 0.01,
            }
            for n, m in enumerate(means)
        ],
        "gain_of_last_doubling": 0.02,
    }


@pytest.fixture
def tuning():
    """A record of tuning, made up."""
    content = {
        "schema": 1,
        "spikeduel": "0.1.0",
        "created": "2025-01-01T00:00:00+00:00",
        "environment": {"cpu": "a <fast> one"},
        "dataset": {"name": "made-<up>", "fingerprint": "f" * 64, "test": "t" * 64},
        "experiment": {"epochs": 6, "per_contender": None},
        "num_trials": 3,
        "ranges": {
            "learning_rate": {"low": 1e-5, "high": 0.01, "log": True, "choices": []},
            "num_steps": {"low": None, "high": None, "log": False, "choices": [4, 8]},
            "beta": {"low": 0.5, "high": 0.9, "log": False, "choices": []},
        },
        "contenders": [
            contender("dense-snn", "snn", [0.5, 0.75, 0.625], 1, ["learning_rate", "num_steps"]),
            contender("small-cnn", "cnn", [0.875, None, 0.25], 0, ["learning_rate"]),
        ],
    }
    return converted(content, TuningRecord)


def test_the_chart_shows_every_finished_trial_and_the_curves(tuning):
    left, right = chart(tuning).panels
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
    tried = [row for row in told(chart(tuning)) if "trial" in row]
    assert [row.get("chosen") for row in tried] == [None, "chosen", None, "chosen", None]


def test_the_section_has_all_trials_and_ranges(tuning, tmp_path, unpainted):
    made = section(None, tuning)
    drawn = {chart.name: chart for chart in made.charts}
    content = {"feature": made.content, "drawn": drawn, "definitions": made.definitions}
    page = write(tmp_path / "page.html", "tuning_section.html.j2", content).read_text()
    limits = limits_of(tuning)
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
    counted = ("<dt>beta</dt>", "<strong>(chosen)</strong>")
    assert [page.count(text) for text in counted] == [0, 2]
