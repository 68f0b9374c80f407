"""Section of the report on the energy per inference by device."""

from spikeduel.features.device_energy.device_conclusion import (
    Conclusion,
    OnDevice,
    by_device,
    columns,
)
from spikeduel.features.device_energy.device_models import devices
from spikeduel.features.device_energy.targets import NEWEST
from spikeduel.reporting import charts
from spikeduel.reporting.charts import Axis, Chart, Look, Marks, Name, Panel, Row
from spikeduel.reporting.sections import Page, Section

ENERGY, LOW, HIGH = "energy per inference, J", "80 % interval from, J", "to, J"
APART = 0.3
"""Height between two contenders of a device, in rows."""


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the chart and the table of devices."""
    colours = charts.contender_colours(page.results.trials)
    return Section(
        heading="Energy per inference by device",
        after="accountings",
        charts=[chart(conclusion, colours)],
        content={
            "columns": columns(conclusion),
            "rows": by_device(conclusion),
            "devices": [devices()[name] for name in NEWEST.values()],
            "fixed": fixed_shares(conclusion),
        },
    )


def chart(conclusion: Conclusion, colours: dict[str, str]) -> Chart:
    """Return the energies of all contenders, a row for each device."""
    contenders = list(dict.fromkeys(row.contender for row in conclusion.rows))
    marks, names = [], []
    for number, device in enumerate(NEWEST.values()):
        names.append(Name(devices()[device].title))
        for row in conclusion.rows:
            if row.energy.device == device and row.energy.joules:
                above = contenders.index(row.contender) - (len(contenders) - 1) / 2
                place = number + APART * above / max(len(contenders) - 1, 1)
                marks += _marks(row, Look(colours[row.contender]), place)
    x = Axis(ENERGY, "energy per inference, J (bar: 80 % interval)", "log")
    panel = Panel(x, Axis(""), marks, names=names, row_height=0.42)
    return Chart("device-energy", [panel], charts.contender_keys(colours), abreast=1)


def fixed_shares(conclusion: Conclusion) -> dict[str, str]:
    """Return the shares of the energy that are the same for every network, by device and
    contender.
    """
    return {
        f"{row.contender} on {devices()[row.energy.device].title}": f"{row.energy.fixed_share:.0%}"
        for row in conclusion.rows
        if row.energy.fixed_share > 0
    }


def _marks(row: OnDevice, look: Look, place: float) -> list[Marks]:
    interval = row.energy.interval
    assert interval
    shown: Row = {
        "device": devices()[row.energy.device].title,
        "contender": row.contender,
        ENERGY: row.energy.joules,
        LOW: interval.low,
        HIGH: interval.high,
    }
    return [
        Marks("spans", [shown], look, (LOW, HIGH), place),
        Marks("points", [shown], look, place=place, listed=False),
    ]
