"""Section of the report on the best test accuracy over all epochs."""

from spikeduel.features.optimism.optimism_conclusion import COLUMNS, Conclusion
from spikeduel.reporting import charts
from spikeduel.reporting.charts import INK, Axis, Chart, Key, Look, Marks, Panel, rows_of
from spikeduel.reporting.sections import Page, Section
from spikeduel.results.run import Results

TEST = "test accuracy, %"
EPOCHS = Axis("epoch", ticks="whole")
BEST = Look(INK, size=8, width=1.1, filled=False)


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the chart of test accuracies by epoch, and the table of contenders."""
    return Section(
        heading="Optimism meter",
        after="curves",
        charts=[chart(page.results, conclusion)],
        content={"columns": COLUMNS, "rows": conclusion.contenders},
    )


def chart(results: Results, conclusion: Conclusion) -> Chart:
    """Return test accuracy after each epoch; a dot marks the chosen epoch, a ring the best for the
    test.
    """
    gains = [100 * (training.best - training.chosen) for training in conclusion.trainings]
    y = Axis(TEST, most=4 * max(*gains, charts.MIN_RANGE))
    marks: dict[str, list[Marks]] = {}
    colours = charts.contender_colours(results.trials)
    for training in conclusion.trainings:
        epochs, colour = range(1, len(training.accuracies) + 1), colours[training.contender]
        columns = {
            "epoch": epochs,
            TEST: [100 * share for share in training.accuracies],
            "chosen": ["chosen" if k == training.chosen_epoch + 1 else None for k in epochs],
        }
        listed: dict[str, charts.Value] = {"contender": training.contender, "seed": training.seed}
        rows = rows_of(
            columns, listed if training.fold is None else listed | {"fold": training.fold}
        )
        line = Look(colour, "none", width=1.2, opacity=0.5)
        marks.setdefault(training.contender, []).extend(
            [
                Marks("line", rows, line),
                Marks("points", [rows[training.best_epoch]], BEST, listed=False),
                Marks("points", [rows[training.chosen_epoch]], Look(colour, size=5), listed=False),
            ]
        )
    panels = [
        Panel(EPOCHS, y, marks[name], charts.shortened(name, 30))
        for name in colours
        if name in marks
    ]
    keys = [Key("chosen", "points", Look(size=5)), Key("best for the test", "points", BEST)]
    return Chart("optimism", panels, keys)
