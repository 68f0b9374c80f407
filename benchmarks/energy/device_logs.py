"""Energy models of devices, tested on logs that their fit had not seen.

    python -m benchmarks.energy.device_logs --rounds DIR DIR …
    python -m benchmarks.energy.device_logs

DIR: a git directory of github.com/mlcommons/tiny_results_vROUND, named after it. The first command
stores the energy of every log of the closed division in benchmarks/results/device-logs.json; the
second tests the stored logs again. `device_fit --write` makes the table of the page.

A log is new if no device file has its energy. New logs of a board that spikeduel knows are estimated
twice: by the model of the board's newest software, and by the shared costs of the family with the
scale of the log's own system, from its other networks. Those of other boards are estimated in the
second way alone. The family's fit never has the network that is estimated.
"""

import re
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import shared
from benchmarks.energy import device_fit
from benchmarks.energy.device_fit import DENSE, FAMILIES, LOGS, NEWEST_SOFTWARE, Log, counted
from spikeduel.features.device_energy.device_models import (
    EnergyModel,
    Measured,
    device_named,
    devices,
    models,
)

TASKS = {
    "image_classification": "ic",
    "keyword_spotting": "kws",
    "visual_wake_words": "vww",
    "anomaly_detection": "ad",
}
MEDIAN = re.compile(r"Median energy cost is ([\d.]+) uJ")
SAME = 1e-3
"""Relative difference below which two energies are of the same log."""
BOARDS = {
    "L4R5": "nucleo-l4r5",
    "H7A3": "nucleo-h7a3",
    "U575": "nucleo-u575",
    "9120_0v9": "ndp9120-0.9v",
    "9120_1v1": "ndp9120-1.1v",
}
"""Device, or board of the newest one, by a part of a system's name."""
OWN_SCALE, OTHER_BOARDS = (
    "boards with a model, by the scale of the same software",
    "other boards, by the scale of the same software",
)


class Found(NamedTuple):
    """Energy of a network in a log."""

    round: str
    submitter: str
    system: str
    network: str
    microjoules: float

    @property
    def board(self) -> str | None:
        return next((board for part, board in BOARDS.items() if part in self.system), None)


def logs_in(git_directory: Path) -> Iterator[Found]:
    """Yield the logs of the closed division of a round that have one of the four networks."""

    def git(*words: str) -> str:
        command = ["git", f"--git-dir={git_directory}", *words]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    (number,) = re.findall(r"tiny_results_v([\d.]+)", str(git_directory))
    for path in git("ls-tree", "-r", "HEAD", "--name-only").splitlines():
        place = re.fullmatch(r"closed/([^/]+)/results/(.+)/([^/]+)/energy/\w*results.txt", path)
        if place is None:
            continue
        submitter, system, task = place.groups()
        energies = MEDIAN.findall(git("show", f"HEAD:{path}"))
        if TASKS.get(task, task) in TASKS.values() and energies:
            network = TASKS.get(task, task)
            yield Found(number, submitter, system, network, float(energies[-1]))


def new(logs: Sequence[Found]) -> list[Found]:
    """Return the logs whose energy is neither in a device file nor in an earlier log."""
    known = [
        (measured.network, measured.microjoules)
        for device in devices().values()
        for measured in device.measured
    ]
    found = []
    for log in sorted(logs):
        same = (
            abs(log.microjoules / microjoules - 1) < SAME
            for network, microjoules in known
            if network == log.network
        )
        if not any(same):
            found.append(log)
        known.append((log.network, log.microjoules))
    return found


def as_log(found: Found) -> Log:
    """Return a log as the fit has it."""
    measured = Measured(network=found.network, microjoules=found.microjoules)
    device = f"{found.submitter} {found.system} {found.round}"
    return Log(
        device=device,
        network=found.network,
        group=found.network,
        picojoules=found.microjoules * 1e6,
        published=0.0,
        counted=counted(measured, DENSE),
        only_tested=False,
    )


def family_of(found: Found) -> str:
    """Return the beginning of the names of devices whose costs a system shares."""
    starts = [start for start in FAMILIES.values() if (found.board or "").startswith(start)]
    return starts[0] if starts else FAMILIES["Cortex-M"]


def relative_costs(start: str, without: str) -> tuple[np.ndarray, float]:
    """Return a family's costs relative to a multiplication, without a network, and the factor of
    their 80 % interval.
    """
    names = [name for name in devices() if name.startswith(start)]
    logs = [log for log in device_fit.logs_of(names, DENSE) if log.network != without]
    weights = device_fit.fitted_together(logs)[names[0]]
    return weights / weights[0], device_fit.factor(logs, device_fit.fitted_together)


def by_newest_software(found: Found) -> tuple[float, float]:
    """Return the microjoules by the newest software's model, and the factor of its interval."""
    assert found.board
    model: EnergyModel = models()[device_named(found.board)]["other"]
    weights = np.array([model.picojoules[term] for term in DENSE])
    return float(weights @ as_log(found).counted) * 1e-6, model.factor


def by_own_scale(found: Found, system: Sequence[Found]) -> tuple[float, float] | None:
    """Return the microjoules by the scale of the system's other networks, and the factor of the
    interval; None if it has no other network.
    """
    others = [log for log in system if log.network != found.network]
    if not others:
        return None
    relative, factor = relative_costs(family_of(found), found.network)

    def weighted(log: Found) -> float:
        return float(relative @ as_log(log).counted)

    scale = statistics.geometric_mean(log.microjoules / weighted(log) for log in others)
    return scale * weighted(found), factor


def row(test: str, found: Found, estimate: tuple[float, float]) -> dict[str, Any]:
    microjoules, factor = estimate
    return {
        "test": test,
        **found._asdict(),
        "estimated": round(microjoules, 2),
        "80 % from": round(microjoules / factor, 2),
        "to": round(microjoules * factor, 2),
        "measured by estimated": round(found.microjoules / microjoules, 3),
    }


def tested(logs: Sequence[Found]) -> list[dict[str, Any]]:
    """Return a row for each test of each new log."""
    rows = []
    for found in new(logs):
        system = [log for log in logs if log[:3] == found[:3]]
        if found.board:
            rows.append(row(NEWEST_SOFTWARE, found, by_newest_software(found)))
        if estimate := by_own_scale(found, system):
            rows.append(row(OWN_SCALE if found.board else OTHER_BOARDS, found, estimate))
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the number of logs, the median error, the share inside, and the ends of the ratio."""
    ratios = [one["measured by estimated"] for one in rows]
    inside = [one["80 % from"] <= one["microjoules"] <= one["to"] for one in rows]
    return {
        "logs": len(rows),
        "systems": len({(one["submitter"], one["system"], one["round"]) for one in rows}),
        "median error": round(statistics.median(abs(1 / ratio - 1) for ratio in ratios), 3),
        "inside": sum(inside),
        "measured by estimated": [min(ratios), max(ratios)],
    }


def main() -> None:
    options = shared.parser(__doc__, rounds=[]).parse_args()
    stored = shared.read(LOGS, {"logs": []})["logs"]
    logs = [Found(**log) for log in stored]
    if options.rounds:
        logs = sorted(log for folder in options.rounds for log in logs_in(Path(folder)))
    rows = tested(logs)
    tests = (NEWEST_SOFTWARE, OWN_SCALE, OTHER_BOARDS)
    shared.write(
        LOGS,
        {
            "summary": {
                test: summary([one for one in rows if one["test"] == test]) for test in tests
            },
            "tested": rows,
            "logs": [log._asdict() for log in logs],
        },
    )


if __name__ == "__main__":
    main()
