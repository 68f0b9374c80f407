"""Chart, table and page of a tuning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikeduel.experiment.settings import write_experiment
from spikeduel.features.tuning.tuning import Tuning
from spikeduel.features.tuning.tuning_results import TuningRecord, limits
from spikeduel.reporting import charts
from spikeduel.reporting.charts import ACCURACY, Axis, Chart, Look, Marks, Panel, Row
from spikeduel.reporting.rendering import write
from spikeduel.reporting.sections import Page, Section
from spikeduel.system import typed
from spikeduel.training import run_folder

DEFINITIONS = {
    "expected best": (
        "The mean over all orders of the trials, ± standard deviation (Dodge et al. 2019, “Show "
        "your work”)."
    ),
}


def section(page: Page, record: TuningRecord) -> Section:
    """Return the section of a comparison's report."""
    return Section(
        *("Tuning", "audit", [chart(record)], _content(record)),
        definitions=DEFINITIONS,
    )


def _content(record: TuningRecord) -> Mapping[str, Any]:
    return {"record": record, "limits": limits(record)}


def report_tuning(record: TuningRecord, folder: Path) -> Path:
    """Write `folder`/tuning.html, and return its path. Raises `InputError`."""
    names = " and ".join(tuned.contender for tuned in record.contenders)
    page = {
        "title": f"Tuning {names} on {record.dataset.name}",
        "run": folder,
        "results": record,
        "drawn": {"tuning": chart(record)},
        "feature": _content(record),
    }
    return write(folder / "tuning.html", "tuning.html.j2", page)


def write_tuning(tuned: Tuning, out: Path | str | None = None) -> Path:
    """Write experiment.toml, tuning.json and tuning.html into `out`, and return it.

    `out` defaults to `runs/<data set>-<recipe>-<hash>-tuning`. Raises `InputError`.
    """
    name = run_folder.default_name(tuned.experiment, tuned.record.dataset.fingerprint)
    folder = Path(out or f"runs/{name}-tuning")
    run_folder.require_writable(folder)
    write_experiment(folder / "experiment.toml", tuned.experiment)
    typed.write_json(folder / "tuning.json", tuned.record)
    report_tuning(tuned.record, folder)
    return folder


def chart(record: TuningRecord) -> Chart:
    """Return every trial's validation accuracy, and the expected best of so many; a ring marks the
    chosen one.
    """
    colours = charts.contender_colours(record.contenders)
    tried, expected = list[Marks](), list[Marks]()
    for tuned, colour in zip(record.contenders, colours.values(), strict=True):
        rows: dict[int, Row] = {
            trial.number: {
                "contender": tuned.contender,
                "trial": trial.number + 1,
                ACCURACY: 100 * trial.validation.accuracy,
                **trial.settings,
                "chosen": "chosen" if trial.number == tuned.best else None,
            }
            for trial in tuned.trials
            if trial.validation
        }
        tried.append(Marks("points", list(rows.values()), Look(colour, size=5)))
        if tuned.best is not None:
            ring = Look(colour, size=9.5, width=1.4, filled=False)
            tried.append(Marks("points", [rows[tuned.best]], ring, listed=False))
        curve: list[Row] = [
            {
                "contender": tuned.contender,
                "trials": point.trials,
                "expected best, %": 100 * point.mean,
                "standard deviation, points": 100 * point.standard_deviation,
                "low": 100 * point.low,
                "high": 100 * point.high,
            }
            for point in tuned.expected_best
        ]
        expected += [
            Marks("band", curve, Look(colour), ("low", "high"), listed=False),
            Marks("line", curve, Look(colour, size=3, width=2.0)),
        ]
    number, best = Axis("trials", "number of trials", ticks="whole"), Axis("expected best, %")
    panels = [
        Panel(Axis("trial", ticks="whole"), Axis(ACCURACY), tried, "Every trial"),
        Panel(number, best, expected, "Expected best"),
    ]
    return Chart("tuning", panels, charts.contender_keys(colours, "points"))
