"""Build tuning.html: the page of a tuning."""

from pathlib import Path

from spikeduel.reporting.learning import tuning_trials
from spikeduel.reporting.rendering import write
from spikeduel.results.tuned import TuningRecord


def report_tuning(tuning: TuningRecord, folder: Path) -> Path:
    """Write `folder`/tuning.html, and return its path. Raises `InputError`."""
    names = " and ".join(tuned.contender for tuned in tuning.contenders)
    page = {
        "title": f"Tuning {names} on {tuning.dataset.name}",
        "pictured": None,
        "run": folder,
        "results": tuning,
        "drawn": {"tuning": tuning_trials(tuning)},
        "tuning": tuning,
    }
    return write(folder / "tuning.html", "tuning.html.j2", page)
