"""Sentences and the table of measured joules."""

from spikeduel.results.columns import Column, render, text_rows
from spikeduel.results.joules import MeasuredJoules, NetworkJoules
from spikeduel.results.words.costs import energy_in_words, range_in_words, ratio
from spikeduel.results.words.numbers import duration, listed

COLUMNS: list[Column[tuple[str, NetworkJoules]]] = [
    Column("network", lambda row: row[0], is_text=True),
    Column("energy, measured", lambda row: row[1].joules, energy_in_words),
    Column("95 % interval", lambda row: row[1].interval, range_in_words),
    Column("power above idle", lambda row: row[1].net_watts, "{:.3g} W".format),
    Column("times the first", lambda row: row[1].ratio, "{:.3g}".format),
    Column("95 % interval of that", lambda row: row[1].ratio_interval, ratio),
]


def table(measured: MeasuredJoules) -> str:
    """Return the joules of an answer by network; not of a refused measurement."""
    return render(text_rows(COLUMNS, measured.networks.items()))


def method(measured: MeasuredJoules) -> str:
    """Say how it was measured."""
    order = [window.network or "idle" for window in measured.windows]
    one_repeat = order[: order.index("idle", 1) + 1]
    repeats, shortest = order.count("idle") - 1, min(w.seconds for w in measured.windows)
    return (
        f"Net energy of an answer, measured by {measured.source} ({listed(measured.domains)}), "
        f"which has a new value every {duration(measured.step_seconds)}: {repeats} repeats of "
        f"{', '.join(one_repeat)}, in windows of {duration(shortest)} or more, each after "
        f"{duration(measured.settle_seconds)} of the same work, and the idle power subtracted. All "
        f"answered the same {measured.images:,} test images in batches of {measured.batch_size}. "
        f"The intervals hold the repeats and the counter's step, not errors of the counter itself."
    )
