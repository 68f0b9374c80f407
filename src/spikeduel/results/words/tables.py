"""Results as tables of text: rows of cells, and how they are printed."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spikeduel.counting.operations import WAYS, Layer, Operations, Totals, Ways
from spikeduel.networks.shipped import Origin
from spikeduel.results.costs import Memory, Range, TableEnergy
from spikeduel.results.run import Results
from spikeduel.results.trials import AddedMeasure, ClassScores, Robustness, Scores, Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.results.words.findings import assigned
from spikeduel.results.words.numbers import hundredths
from spikeduel.system.errors import visible
from spikeduel.system.sentences import counted, listed

TWO_WAYS = (
    "Hoisted: what is the same at every time step (the first layer under direct encoding) counts "
    "once. Per step: it counts at every step, as in a plain loop."
)
"""What the two ways of counting are, wherever both are shown."""
SCORES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1"}


def contender_rows(results: Results) -> list[dict[str, str]]:
    """One row a contender, every cell as text; with a column for the twin of each where there are
    some.
    """
    partners = {**dict(results.twins), **{other: spiking for spiking, other in results.twins}}
    measures = added_measures(results.trials)
    rows = []
    for contender in results.contenders:
        every, tested = results.of(contender, tested=False), results.of(contender)
        row = {
            "model": contender,
            "family": every[0].family.upper(),
            "encoding": every[0].encoding or "analogue",
            **({"same weights as": partners.get(contender, "")} if partners else {}),
            **{title: str(score(tested, name) or "failed") for name, title in SCORES.items()},
        }
        seconds = [second for trial in tested for second in trial.epoch_seconds]
        row["s/epoch"] = (
            f"{statistics.median(seconds):.1f}" if seconds else "converted" if tested else "failed"
        )
        row["epochs"] = ", ".join(str(trial.epochs) for trial in every)
        row["parameters"] = f"{every[0].parameters:,}"
        row |= {each.title: str(added(tested, name) or "") for name, each in measures.items()}
        rows.append(row)
    return rows


def added_measures(trials: Sequence[Trial]) -> dict[str, AddedMeasure]:
    """The measures from outside the package that some trial has, by name."""
    return {name: measure for trial in trials for name, measure in trial.measures.items()}


class Averaged(NamedTuple):
    """A mean as text, and the standard deviation over several values; empty for a single one."""

    mean: str
    spread: str = ""

    def __str__(self) -> str:
        return f"{self.mean} ± {self.spread}" if self.spread else self.mean


def percent(share: float) -> str:
    """A share in per cent, without the sign: "91.23"."""
    return hundredths(share)


def averaged(
    values: Sequence[float],
    form: Callable[[float], str] = percent,
    weights: Sequence[int] | None = None,
) -> Averaged | None:
    """The mean, weighted if asked for, and the standard deviation, written by `form`; None of no
    values.
    """
    if not values:
        return None
    spread = form(statistics.stdev(values)) if len(values) > 1 else ""
    return Averaged(form(statistics.fmean(values, weights)), spread)


def score(tested: Sequence[Trial], name: str) -> Averaged | None:
    """A score in per cent over trials."""
    tests = [trial.test for trial in tested if trial.test]
    # Folds may differ in size, and an accuracy is one of images, as in the verdict.
    weights = [test.n for test in tests] if name == "accuracy" else None
    return averaged([getattr(test, name) for test in tests], weights=weights)


def added(tested: Sequence[Trial], name: str) -> Averaged | None:
    """What a measure from outside the package shows over trials, in its own form; None where it is
    not known.
    """
    found = [trial.measures[name] for trial in tested if name in trial.measures]
    return (
        averaged([each.value for each in found if each.value is not None], found[0].form.format)
        if found
        else None
    )


def spread_note(trials: Sequence[Trial]) -> str:
    """Over what the ± of `contender_rows` is taken, as a line; empty where there is none."""
    found = {
        name: {getattr(trial, name) for trial in trials if trial.test} - {None}
        for name in ("seed", "fold")
    }
    over = [f"{len(values)} {name}s" for name, values in found.items() if len(values) > 1]
    every = "all trainings: " if len(over) > 1 else ""
    return f"± is the standard deviation over {every}{' and '.join(over)}." if over else ""


def shipped_rows(origins: Sequence[Origin]) -> list[dict[str, str]]:
    """A row for each network that comes with the package."""
    return [
        {
            "name": each.name,
            "trained on": each.dataset,
            "recipe": each.recipe,
            "accuracy": f"{percent(each.accuracy)} ({percent(each.low)} to {percent(each.high)})",
            "T": str(each.num_steps or ""),
            "parameters": f"{each.parameters:,}",
        }
        for each in origins
    ]


def render(rows: Sequence[Mapping[str, str]], gap: int | None = None) -> str:
    """Rows as a plain-text table; with `gap` without lines, columns so many spaces apart."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    if gap is not None:
        table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for title in rows[0]:
        numeric = all(row[title][:1].isdigit() or not row[title] for row in rows)
        table.add_column(title, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(visible, row.values()))
    # Jupyter would show the table at once, and again where the text is printed. A class may be
    # called [red] or :smile:.
    plain: dict[str, Any] = {"color_system": None, "force_terminal": False, "force_jupyter": False}
    console = Console(width=220, markup=False, emoji=False, **plain)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def class_means(tested: Sequence[Trial]) -> list[ClassScores]:
    """Scores of each class, averaged over the trials; its support in all folds of a seed."""
    num_seeds = len({trial.seed for trial in tested})
    classes = []
    for row in zip(*(trial.test.per_class for trial in tested if trial.test), strict=True):
        means = {
            name: float(np.mean([getattr(each, name) for each in row]))
            for name in ("precision", "recall", "f1")
        }
        support = round(sum(scores.support for scores in row) / num_seeds)
        classes.append(ClassScores(name=row[0].name, support=support, **means))
    return classes


def confusion(tested: Sequence[Trial]) -> list[list[int]]:
    """The sum of the trials' confusion matrices."""
    return np.sum([trial.test.confusion for trial in tested if trial.test], axis=0).tolist()


def class_rows(test: Scores) -> list[dict[str, str]]:
    """A per-class report: one row a class, the macro average, and the accuracy."""
    classes = [(row.name, row.precision, row.recall, row.f1, row.support) for row in test.per_class]
    rows = [
        (name, percent(precision), percent(recall), percent(f1), f"{images:,}")
        for name, precision, recall, f1, images in [
            *classes,
            ("macro average", test.precision, test.recall, test.f1, test.n),
        ]
    ]
    titles = ("class", "precision", "recall", "f1", "images")
    return [
        dict(zip(titles, row, strict=True))
        for row in [*rows, ("accuracy", "", "", percent(test.accuracy), "")]
    ]


def robustness_rows(found: Robustness) -> list[dict[str, str]]:
    """A model's accuracies on corrupted images, in per cent: one row a corruption."""
    return [
        {
            "corruption": name,
            **dict(
                zip(
                    "12345",
                    map(percent, accuracies) if len(accuracies) > 1 else [""] * 5,
                    strict=True,
                )
            ),
            "mean": percent(found.area[name]),
            "images": f"{found.images[name]:,}",
        }
        for name, accuracies in found.corruptions.items()
    ]


def tuning_rows(record: TuningRecord) -> list[dict[str, str]]:
    """Every trial of every contender; a star marks the chosen ones."""
    return [
        {
            "contender": each.contender,
            "trial": str(trial.number + 1),
            "validation %": percent(trial.validation.accuracy) if trial.validation else "failed",
            "chosen": "*" if trial.number == each.best else "",
            "epochs": str(trial.epochs),
            "seconds": f"{trial.training_seconds:.1f}",
            "settings": assigned(trial.settings),
        }
        for each in record.contenders
        for trial in each.trials
    ]


def expected_best_rows(record: TuningRecord) -> list[dict[str, str]]:
    """The expected best validation accuracy of 1, 2, 4, … and of all trials, ± its standard
    deviation, in per cent.
    """
    shown = sorted(
        {2**power for power in range(record.num_trials.bit_length())} | {record.num_trials}
    )
    rows = []
    for each in record.contenders:
        points = {
            p.trials: f"{percent(p.mean)} ± {percent(p.standard_deviation)}"
            for p in each.expected_best
        }
        cells = {f"of {n}": points[n] for n in shown}
        rows.append({"expected best of so many trials, %": each.contender, **cells})
    return rows


def network_text(operations: Operations, energy: TableEnergy, table: str) -> str:
    """One network's operations layer by layer, and its estimated energy by the table of this
    name.
    """
    images, steps = counted(operations.images, "image"), counted(operations.num_steps, "time step")
    lines = [
        f"Operations of one image, means over {images}, {steps}",
        render(layer_rows(operations)),
        "MACs: multiply-accumulates; effective: those whose input is not 0. ACs: additions that "
        "spikes cause.",
    ]
    if any(layer.passes.per_step != layer.passes.hoisted for layer in operations.layers):
        lines.append(f"MACs are per step, hoisted in brackets. {TWO_WAYS}")
    return "\n".join([*lines, energy_text(energy, f"table {table} ({energy.title})")])


def layer_rows(operations: Operations) -> list[dict[str, str]]:
    """One network's operations, a row for each layer, and one for all."""
    rows = [
        _layer_row(each.name or each.type, each.type if each.name else "", each)
        for each in operations.layers
    ]
    return [*rows, _layer_row("total", "", operations.totals)]


def energy_text(energy: TableEnergy, table: str | None = None) -> str:
    """A network's estimated energy by a `table`, whose title is taken where it is not given."""
    lines = [
        f"Energy of one image, an ESTIMATE by {table or energy.title}, from the cheapest to the "
        f"dearest way to compute "
        "each layer:"
    ]
    for memory, title in _NETWORK_MEMORIES.items():
        per_step, hoisted = (_microjoules(energy.of(memory, way=way).range) for way in WAYS)
        number = per_step if per_step == hoisted else f"{per_step} per step, {hoisted} hoisted"
        lines.append(f"  {title + ':':<30} {number}")
    if energy.unknown:
        lines.append(f"  It has no energy for {listed(energy.unknown)}.")
    return "\n".join(lines)


_NETWORK_MEMORIES: dict[Memory, str] = {
    "compute": "arithmetic of synapses alone",
    "on_chip": "with memory, all on the chip",
    "off_chip": "with memory, weights outside",
}


def _layer_row(name: str, kind: str, counts: Layer | Totals) -> dict[str, str]:
    layer = counts if isinstance(counts, Layer) else None
    rate = counts.spikes_per_neuron_and_step
    other = {
        what: getattr(counts, what).hoisted
        for what in ("additions", "multiplications", "functions")
    }
    told = ", ".join(f"{whole(number)} {what}" for what, number in other.items() if number)
    return {
        "layer": name,
        "type": kind,
        "takes": (layer and layer.input) or "",
        "passes": _both(layer.passes) if layer else "",
        "MACs": _both(counts.macs.dense),
        "effective": _both(counts.macs.effective),
        "ACs": whole(counts.acs.total),
        "neurons": whole(counts.neurons or 0),
        "spikes/neuron/step": f"{rate:.4f}" if rate is not None else "",
        "weights": whole(layer.weights) if layer else "",
        "other": f"folded into {layer.folded_into}" if layer and layer.folded_into else told,
    }


def _both(amounts: Ways) -> str:
    """Per step, and where it differs hoisted."""
    each, once = whole(amounts.per_step), whole(amounts.hoisted)
    return each if each == once else f"{each} ({once})"


def whole(number: float | None) -> str:
    """A count in all its digits; "" of none."""
    return f"{number:,.0f}" if number else ""


def _microjoules(joules: Range | None) -> str:
    if joules is None:
        return "not known"
    low, high = (
        f"{1e6 * end:,.0f}" if 1e6 * end >= 1000 else f"{1e6 * end:.3g}"
        for end in (joules.low, joules.high)
    )
    return f"{low} µJ" if low == high else f"{low} to {high} µJ"
