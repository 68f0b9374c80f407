"""Print the results of `compare`; with `--verbose` everything that the report says."""

import shutil
from collections.abc import Mapping
from typing import Any

import typer

from spikeduel.cli.inputs import print_bullets, wrapped
from spikeduel.features import providing
from spikeduel.sentences import (
    cost_sentences as costs,
    recommendation_sentences as recommendation,
)
from spikeduel.sentences.columns import (
    render,
    text_rows,
)
from spikeduel.sentences.comparison import Comparison
from spikeduel.sentences.verdict import power_of_pairs
from spikeduel.system.sentences import counted


def print_comparison(comparison: Comparison, verbose: bool = False) -> None:
    """Print the recommendation, a small table, what would settle it, and where the rest is."""
    for leak in comparison.leaks():
        typer.secho(wrapped(f"Do not trust the following scores. {leak}"), fg="red")
    if verbose:
        _everything(comparison)
    typer.echo(f"\n{wrapped(comparison.headline())}")
    texts = [*comparison.summaries().values()]
    texts += [recommendation.energy(comparison.results, not verbose)]
    if text := " ".join(filter(None, dict.fromkeys(texts))):
        typer.echo(wrapped(comparison.with_noun(text)))
    table = render(recommendation.rows(comparison.results), gap=2)
    if len(max(table.splitlines(), key=len)) > shutil.get_terminal_size().columns:
        table = render(recommendation.rows(comparison.results), gap=1)
    typer.echo(f"\n{table}")
    if len(comparison.results.contenders) > 1:
        typer.echo(recommendation.LEGEND)
    typer.echo(wrapped(recommendation.training(comparison.results)))
    if steps := recommendation.settling(comparison.results):
        command = f"spikeduel compare --experiment {comparison.out}"
        typer.echo(f"\n{wrapped(f'What would settle it: {command}')}")
        widths = [max(len(step[column]) for step in steps) for column in (0, 1)]
        for options, minutes, shows in steps:
            typer.echo(
                wrapped(
                    comparison.with_noun(shows),
                    f"  {options:<{widths[0]}}  {minutes:<{widths[1]}}  " if options else "  ",
                )
            )
    more = counted(len(comparison.results.comparison.caveats), "caveat")
    where = "" if verbose else "; --verbose prints them"
    typer.echo(f"{more} and all numbers are in the report{where}.")


def _everything(comparison: Comparison) -> None:
    typer.echo(f"\n{comparison.table()}\n\n{wrapped(comparison.verdict())}\n")
    if rows := costs.rows(comparison.results):
        legend = wrapped(comparison.with_noun(costs.LEGEND))
        typer.echo(f"{comparison.with_noun(render(rows))}\n{legend}\n")
    words = (
        costs.events(comparison.results),
        *map(
            costs.summary,
            costs.main_pairs(comparison.results.energy_accountings),
        ),
        power_of_pairs(comparison.results),
    )
    for text in words:
        if text:
            typer.echo(f"{wrapped(comparison.with_noun(text))}\n")
    for text in feature_tables(comparison.results.features):
        typer.echo(f"{text}\n")
    leaks = comparison.leaks()
    print_bullets([caveat for caveat in comparison.caveats() if caveat not in leaks])
    print_bullets(
        [*map(comparison.with_noun, recommendation.RULE)], "\nHow a network is recommended:"
    )
    typer.echo(f"\nmodels: {comparison.out / 'models'}/")


def feature_tables(conclusions: Mapping[str, Any]) -> list[str]:
    """Return the tables of features with a conclusion, each below its title."""
    return [
        f"{title}\n{render(text_rows(columns, rows))}"
        for feature, tables in providing("tables").items()
        if feature in conclusions
        for title, (columns, rows) in tables(conclusions[feature]).items()
    ]
