"""Joules of an answer, measured: windows of a counter or meter, and the conclusion from them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from msgspec import structs

from spikeduel.results.costs import Range
from spikeduel.results.findings import Finding, Values, find, finds
from spikeduel.results.trials import Machine
from spikeduel.results.uncertainty import student
from spikeduel.system.load import is_busy
from spikeduel.system.typed import Amount, Count, Frozen, Positive

MOST_SPREAD = 0.05
"""Limit of (largest − smallest) / mean of a network's net joules over the repeats."""
MOST_DRIFT = 0.05
"""Limit of the change of idle power within a repeat, as a share of a network's net power."""
MOST_OF_RANGE = 0.5
"""Share of a counter's range between two reads from which a wrap could be missed."""


class EnergyWindow(Frozen):
    """Gross joules between two moments in which `network` answered; None: the machine was idle.

    `begins`: seconds since 1970; `others`: cores that other processes used.
    """

    network: str | None
    begins: float
    seconds: Amount
    joules: float
    answers: Count = 0
    others: Amount = 0.0

    @property
    def watts(self) -> float:
        return self.joules / self.seconds


class NetworkJoules(Frozen):
    """Net joules of an answer: the mean of `repeats`, and its 95 % `interval`, which includes the
    counter's step. `ratio`: to the first network, repeat by repeat, with the same interval.
    """

    joules: float
    interval: Range
    repeats: list[float]
    net_watts: float
    ratio: float
    ratio_interval: Range


class MeasuredJoules(Frozen):
    """Windows in the order of measurement (idle, A, B, A, idle, A, B, A, …, idle), and by network
    the energy of an answer; none if the measurement is `refused`.

    `source`: "rapl", "nvml" or a meter's log; `domains`: parts of the machine that it counts;
    `step_seconds`: time between its new values; `range_share`: largest share of a counter's range
    between two reads. Every window follows `settle_seconds` of the same work.
    """

    source: str
    domains: list[str]
    step_seconds: Amount
    range_share: Amount
    settle_seconds: Amount
    images: Positive
    batch_size: Positive
    machine: Machine
    windows: list[EnergyWindow]
    refused: list[Finding] = []
    networks: dict[str, NetworkJoules] = {}


def concluded(measured: MeasuredJoules) -> MeasuredJoules:
    """Return the measurement with the joules of an answer, or with the reasons to refuse them."""
    if refused := find("joules", measured):
        return structs.replace(measured, refused=refused)
    nets = net(measured)
    (first, _), unsure_first = next(iter(nets.values())), None
    networks: dict[str, NetworkJoules] = {}
    for name, (joules, watts) in nets.items():
        windows = [window for window in measured.windows if window.network == name]
        # A step of the counter that is missing in a window, as a share of its net joules.
        gross = max(window.watts / window.seconds for window in windows)
        unsure = measured.step_seconds * gross / watts.mean()
        unsure_first = unsure if unsure_first is None else unsure_first
        ratios = joules / first
        networks[name] = NetworkJoules(
            joules=float(joules.mean()),
            interval=_interval(joules, unsure),
            repeats=joules.tolist(),
            net_watts=float(watts.mean()),
            ratio=float(ratios.mean()),
            ratio_interval=_interval(ratios, unsure + unsure_first if networks else 0.0),
        )
    return structs.replace(measured, networks=networks)


def net(measured: MeasuredJoules) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return net joules of an answer and net watts by network, `[R]` each.

    The idle power in a window lies on the line between the idle windows before and after it.
    """
    idle = [window for window in measured.windows if window.network is None]
    rows: dict[str, list[tuple[float, float]]] = {}
    for before, after in pairwise(idle):
        middles = [window.begins + window.seconds / 2 for window in (before, after)]
        sums: dict[str, np.ndarray] = {}
        for window in measured.windows:
            if window.network and before.begins < window.begins < after.begins:
                middle = window.begins + window.seconds / 2
                idle_watts = np.interp(middle, middles, [before.watts, after.watts])
                amounts = (
                    window.joules - window.seconds * idle_watts,
                    window.answers,
                    window.seconds,
                )
                sums[window.network] = sums.get(window.network, 0) + np.array(amounts, float)
        for name, (joules, answers, seconds) in sums.items():
            rows.setdefault(name, []).append((joules / answers, joules / seconds))
    return {name: tuple(np.array(values).T) for name, values in rows.items()}


def _interval(values: np.ndarray, unsure_share: float) -> Range:
    by_chance = student(0.025, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    half = float(by_chance + unsure_share * values.mean())
    return Range(low=float(values.mean()) - half, high=float(values.mean()) + half)


@finds("joules_wrapped")
def joules_wrapped(measured: MeasuredJoules) -> Iterator[Values]:
    if measured.range_share >= MOST_OF_RANGE:
        yield {"share": measured.range_share, "most": MOST_OF_RANGE}


@finds("joules_busy")
def joules_busy(measured: MeasuredJoules) -> Iterator[Values]:
    others, cores = max(window.others for window in measured.windows), measured.machine.cores or 1
    if is_busy(others, cores):
        yield {"others": others, "cores": cores}


@finds("joules_drift")
def joules_drift(measured: MeasuredJoules) -> Iterator[Values]:
    idle = [window.watts for window in measured.windows if window.network is None]
    drift = float(np.abs(np.diff(idle)).max(initial=0.0))
    for network, (_, watts) in net(measured).items():
        # Also where the network takes nothing above idle.
        if drift >= MOST_DRIFT * watts.min():
            yield {
                "network": network,
                "drift": drift,
                "net": float(watts.min()),
                "most": MOST_DRIFT,
            }


@finds("joules_noisy")
def joules_noisy(measured: MeasuredJoules) -> Iterator[Values]:
    for network, (joules, _) in net(measured).items():
        spread = float(np.ptp(joules) / max(joules.mean(), 1e-300))
        if joules.min() > 0 and spread > MOST_SPREAD:
            yield {
                "network": network,
                "repeats": len(joules),
                "spread": spread,
                "most": MOST_SPREAD,
            }
