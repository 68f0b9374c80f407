"""Tables of results as lists of `Column`s, the same for terminal, page and LaTeX."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np

from spikeduel.engine.counting.operations import Counts, Layer, Operations, Ways
from spikeduel.engine.networks.shipped import Origin
from spikeduel.results.accuracy import pooled
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Difference
from spikeduel.results.trials import (
    AddedMeasure,
    ClassScores,
    Score,
    Trial,
)
from spikeduel.sentences.verdict import interval, pair_conclusion
from spikeduel.system.errors import visible
from spikeduel.system.grouped import grouped
from spikeduel.system.numbers import hundredths, p_number, signed
from spikeduel.system.sentences import counted

Row = TypeVar("Row")
tenths = partial(hundredths, digits=1)
"""Write a share in per cent with one digit."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """Column of a table of `Row`s: `value` reads a row (None: unknown), `form` writes it."""

    title: str
    value: Callable[[Row], Any]
    form: Callable[[Any], Any] = str
    definition: str = ""
    is_text: bool = False
    unknown: str = ""

    def cell(self, row: Row) -> Any:
        value = self.value(row)
        return self.unknown if value is None else self.form(value)


def text_rows(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> list[dict[str, str]]:
    return [{column.title: str(column.cell(row)) for column in columns} for row in rows]


def render(rows: Sequence[Mapping[str, str]], gap: int | None = None) -> str:
    """Return rows as a table; with `gap`, without lines and `gap` spaces apart."""
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
    # Jupyter would show the table twice. A class may be called [red] or :smile:.
    plain: dict[str, Any] = {"color_system": None, "force_terminal": False, "force_jupyter": False}
    console = Console(width=220, markup=False, emoji=False, **plain)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def to_latex(columns: Sequence[Column[Row]], rows: Iterable[Row], note: str = "") -> str:
    """Return a LaTeX table (booktabs) with `note` as a comment."""

    def line(cells: Iterable[str]) -> str:
        escaped = ["".join(rf"\{c}" if c in "&%$#_{}" else c for c in cell) for cell in cells]
        return " & ".join(escaped) + r" \\"

    body = [line(row.values()) for row in text_rows(columns, rows)]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        line(column.title for column in columns),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *([f"% {note}"] if note else []),
    ]
    return "\n".join(lines).replace("±", r"$\pm$")


class Averaged(NamedTuple):
    """A mean and standard deviation as text; "" for a single value."""

    mean: str
    deviation: str = ""

    def __str__(self) -> str:
        return f"{self.mean} ± {self.deviation}" if self.deviation else self.mean


def thousands(number: float) -> str:
    return f"{number:,.0f}"


def whole(number: float | None) -> str:
    return f"{number:,.0f}" if number else ""


def span(values: Sequence[int]) -> str:
    """Return the range, "4 to 10", or its one value."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def averaged(
    values: Sequence[float], form: Callable[[float], str] = hundredths, mean: float | None = None
) -> Averaged | None:
    """Return the mean, or a given `mean`, and standard deviation; None without values."""
    if not values:
        return None
    deviation = form(statistics.stdev(values)) if len(values) > 1 else ""
    return Averaged(form(statistics.fmean(values) if mean is None else mean), deviation)


ScoreName = Literal["accuracy", "balanced_accuracy", "precision", "recall", "f1"]


def score(tested: Sequence[Trial], name: ScoreName) -> Averaged | None:
    """Return a contender's score in per cent."""
    tests = [trial.test for trial in tested if trial.test]
    scores = [getattr(test, name) for test in tests]
    if not scores or name not in ("accuracy", "balanced_accuracy"):
        return averaged(scores)
    return averaged(scores, mean=pooled(tests, name))


def validation_accuracy(validation: Score | None) -> str:
    return hundredths(validation.accuracy) if validation else "failed"


class ContenderRow(NamedTuple):
    """A contender's trials, those `tested` for its numbers, and a twin's name."""

    name: str
    trials: Sequence[Trial]
    tested: Sequence[Trial]
    twin: str = ""

    @property
    def seconds(self) -> float | None:
        """Mean seconds of a training; None if untrained."""
        seconds = [sum(trial.epoch_seconds) for trial in self.tested if trial.epoch_seconds]
        return statistics.fmean(seconds) if seconds else None


def contender_rows(results: Results) -> list[ContenderRow]:
    twins = {**dict(results.twins), **{other: spiking for spiking, other in results.twins}}
    return [
        ContenderRow(name, results.of(name, tested=False), results.of(name), twins.get(name, ""))
        for name in results.contenders
    ]


def _score_column(title: str, name: ScoreName, definition: str) -> Column[ContenderRow]:
    return Column(
        title, lambda row: score(row.tested, name), definition=definition, unknown="failed"
    )


CONTENDER: Column[ContenderRow] = Column("contender", lambda row: row.name, is_text=True)
KIND: list[Column[ContenderRow]] = [
    Column("kind", lambda row: row.trials[0].kind.upper(), is_text=True),
    Column("encoding", lambda row: row.trials[0].encoding or "analogue", is_text=True),
    Column("same layers as", lambda row: row.twin, is_text=True),
]
OVER_CLASSES = "mean over classes (macro average)."
SCORES: list[Column[ContenderRow]] = [
    _score_column(
        "accuracy %",
        "accuracy",
        "Share of the test images that are classified correctly, over the seeds that every "
        "contender finished; ± standard deviation.",
    ),
    _score_column(
        "precision %",
        "precision",
        f"Share of the predictions of a class that are correct; {OVER_CLASSES}",
    ),
    _score_column(
        "recall %",
        "recall",
        f"Share of a class's images that are classified correctly; {OVER_CLASSES}",
    ),
    _score_column("F1 %", "f1", f"The harmonic mean of precision and recall; {OVER_CLASSES}"),
]
BALANCED = _score_column(
    "balanced accuracy %",
    "balanced_accuracy",
    "Mean of the recalls of the classes, so that each class counts alike. Contenders are compared "
    "by it if the largest class has more than five times the test images of the smallest, and that "
    "has at least ten.",
)
TRAINING: list[Column[ContenderRow]] = [
    Column(
        "training s",
        lambda row: row.seconds,
        "{:,.1f}".format,
        "Mean seconds of a training run with all its epochs, on the machine named under Reproduce. "
        "A converted network has the seconds of its source.",
        unknown="–",
    ),
    Column(
        "epochs",
        lambda row: span([trial.epochs for trial in row.trials]),
        definition="All epochs of a training run, including epochs with ReLU.",
    ),
    Column(
        "converged",
        lambda row: (
            [trial.converged for trial in row.trials if trial.converged is not None] or None
        ),
        lambda converged: f"{sum(converged)} of {len(converged)}",
        "Training runs that reached a plateau better than chance, of all finished ones. In the "
        "last quarter of the epochs (at least four), validation accuracy rose by less than a point "
        "and validation loss fell by less than 0.05, or the stopping rule ended training.",
        is_text=True,
        unknown="–",
    ),
    Column("parameters", lambda row: row.trials[0].parameters, thousands, unknown="–"),
]


def score_columns(results: Results) -> list[Column[ContenderRow]]:
    """Return the scores, with the one by which contenders are compared first."""
    by_measure = {"accuracy": SCORES[0], "balanced_accuracy": BALANCED}
    return [*(by_measure[measure] for measure in results.measures), *SCORES[1:]]


def contender_columns(results: Results) -> list[Column[ContenderRow]]:
    """Return the columns of the table of contenders: kind, scores, training, additional measures.
    The column of twins is left out where there are none.
    """
    kind = KIND if results.twins else KIND[:-1]
    scores = score_columns(results)
    return [CONTENDER, *kind, *scores, *TRAINING, *measure_columns(results.trials)]


def measure_columns(trials: Sequence[Trial]) -> list[Column[ContenderRow]]:
    measures = {name: measure for trial in trials for name, measure in trial.measures.items()}
    return [
        Column(
            measure.title,
            lambda row, name=name, measure=measure: _added(row.tested, name, measure),  # type: ignore[misc]
            definition=measure.meaning,
        )
        for name, measure in measures.items()
    ]


def _added(tested: Sequence[Trial], name: str, measure: AddedMeasure) -> Averaged | None:
    values = [trial.measures[name].value for trial in tested if name in trial.measures]
    return averaged([value for value in values if value is not None], measure.form.format)


def trained_on(tested: Sequence[Trial]) -> str:
    """Return the trainings behind a mean: "6 seeds and 5 folds"."""
    seeds, folds = ({getattr(trial, name) for trial in tested} for name in ("seed", "fold"))
    counts = [counted(len(seeds), "seed")] if len(seeds) > 1 or len(folds) < 2 else []
    return " and ".join(counts + [counted(len(folds), "fold")] * (len(folds) > 1))


def spread_note(trials: Sequence[Trial]) -> str:
    """Return a sentence on what ± means; empty without a ±."""
    over = trained_on([trial for trial in trials if trial.test])
    return "" if over in ("1 seed", "0 seeds") else f"± is the standard deviation over {over}."


PAIRS: list[Column[Pair]] = [
    Column("pair", lambda pair: f"{pair.a} − {pair.b}", is_text=True),
    Column(
        "points",
        lambda pair: pair.difference,
        signed,
        "The first contender minus the second, in points of accuracy (balanced accuracy if classes "
        "are unbalanced). The contender with the higher accuracy stands first.",
    ),
    Column(
        "95 % interval",
        interval,
        definition="Where the true difference lies, with 95 % confidence.",
    ),
    Column(
        "p",
        lambda pair: pair.p_value,
        p_number,
        "Probability of a difference at least this large if there is no true difference. A p of 1 "
        "is evidence neither of a difference nor of equality.",
    ),
    Column("test images", lambda pair: pair.n, thousands),
    Column("seeds", lambda pair: pair.seeds),
    Column("conclusion", pair_conclusion, is_text=True),
]


def holm_column(differences: Sequence[Difference | None]) -> Column[Any]:
    """Return the column that says for how many tests Holm corrected `differences`; the same pair
    has another interval in a table with another number.
    """
    return Column("tests corrected for", lambda _: sum(map(bool, differences)))


CLASSES: list[Column[ClassScores]] = [
    Column("class", lambda row: row.name, is_text=True),
    Column("precision %", lambda row: row.precision, hundredths),
    Column("recall %", lambda row: row.recall, hundredths),
    Column("F1 %", lambda row: row.f1, hundredths),
    Column("images", lambda row: row.support, thousands),
]


def class_means(tested: Sequence[Trial]) -> list[ClassScores]:
    """Return mean class scores, with images in all folds of a seed."""
    num_seeds = len({trial.seed for trial in tested})
    by_class = zip(*(trial.test.per_class for trial in tested if trial.test), strict=True)
    return [
        ClassScores(
            name=of_class[0].name,
            support=round(sum(scores.support for scores in of_class) / num_seeds),
            **{
                name: float(np.mean([getattr(scores, name) for scores in of_class]))
                for name in ("precision", "recall", "f1")
            },
        )
        for of_class in by_class
    ]


def confusion(tested: Sequence[Trial]) -> list[list[int]]:
    return np.sum([trial.test.confusion for trial in tested if trial.test], axis=0).tolist()


def errors(tested: Sequence[Trial]) -> list[tuple[int, int, int]]:
    """Return (times, true class, predicted class) of the trials' errors, most frequent first."""
    times: Counter[tuple[int, int]] = Counter()
    for trial in tested:
        for truth, prediction, images in trial.test.cells if trial.test else ():
            times[truth, prediction] += images * (truth != prediction)
    return sorted(
        ((count, *cell) for cell, count in times.items() if count), key=lambda row: (-row[0], row)
    )


def num_tested(tested: Sequence[Trial]) -> str:
    """Return the number of test images of a seed, in all folds."""
    counts = grouped((trial.seed, trial.test.n if trial.test else 0) for trial in tested)
    return span([sum(of_folds) for of_folds in counts.values()])


SHIPPED: list[Column[Origin]] = [
    Column("name", lambda origin: origin.name, is_text=True),
    Column("trained on", lambda origin: origin.dataset, is_text=True),
    Column("recipe", lambda origin: origin.recipe, is_text=True),
    Column(
        "accuracy %",
        lambda origin: (
            f"{hundredths(origin.accuracy)} ({hundredths(origin.low)} to {hundredths(origin.high)})"
        ),
    ),
    Column("T", lambda origin: origin.num_steps),
    Column("parameters", lambda origin: origin.parameters, thousands),
]


class LayerRow(NamedTuple):
    """Counts of a layer, or the totals of a network."""

    name: str
    counts: Counts

    @property
    def layer(self) -> Layer | None:
        return self.counts if isinstance(self.counts, Layer) else None

    @property
    def other(self) -> str:
        if self.layer and (self.layer.note or self.layer.folded_into):
            return self.layer.note or f"folded into {self.layer.folded_into}"
        amounts = {
            what: getattr(self.counts, what).hoisted
            for what in ("additions", "multiplications", "functions")
        }
        return ", ".join(f"{whole(number)} {what}" for what, number in amounts.items() if number)


LAYERS: list[Column[LayerRow]] = [
    Column("layer", lambda row: row.name),
    Column("type", lambda row: row.layer and row.layer.name and row.layer.type),
    Column("takes", lambda row: row.layer and row.layer.input),
    Column("passes", lambda row: row.layer and both_ways(row.layer.passes)),
    Column("MACs", lambda row: both_ways(row.counts.macs.dense)),
    Column("effective", lambda row: both_ways(row.counts.macs.effective)),
    Column("ACs", lambda row: whole(row.counts.acs.total)),
    Column("neurons", lambda row: whole(row.counts.neurons)),
    Column(
        "spikes/neuron/step", lambda row: row.counts.spikes_per_neuron_and_step, "{:.4f}".format
    ),
    Column("weights", lambda row: row.layer and whole(row.layer.weights)),
    Column("other", lambda row: row.other),
]


def layers(operations: Operations) -> list[LayerRow]:
    rows = [LayerRow(layer.name or layer.type, layer) for layer in operations.layers]
    return [*rows, LayerRow("total", operations.totals)]


def both_ways(amounts: Ways) -> str:
    """Return an amount per step, and in brackets hoisted if different."""
    per_step, hoisted = whole(amounts.per_step), whole(amounts.hoisted)
    return per_step if per_step == hoisted else f"{per_step} ({hoisted})"


TABLES: list[Sequence[Column[Any]]] = [SCORES, [BALANCED], TRAINING, PAIRS]
"""Tables whose definitions the report and the glossary give."""


def definitions(tables: Iterable[Sequence[Column[Any]]] = TABLES) -> dict[str, str]:
    return {
        column.title: column.definition for table in tables for column in table if column.definition
    }
