"""The command `clean`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from spikeduel.cli.inputs import CommandInput, command, option, print_json, wrapped
from spikeduel.results.predictions import RUNS
from spikeduel.system.errors import InputError
from spikeduel.system.grouped import grouped
from spikeduel.system.sentences import listed

KINDS = {
    "trained": "trained networks that no run in {places} refers to",
    "unfinished": "trainings that were not finished",
    "prepared": "prepared data not used for {days:g} days",
    "left_behind": "leftovers of interrupted writes",
}
STAYS = """
Runs keep their models and results. The same command as before would train, or prepare, these anew.
"""


@command(
    options=("store", "as_json"),
    examples=(
        "spikeduel clean --dry-run",
        "spikeduel clean --days 7",
    ),
    when_stopped="What was removed is gone, and the rest is whole.",
)
def clean(
    inputs: CommandInput,
    folders: Annotated[
        list[Path] | None,
        option(
            "--runs FOLDER",
            "A folder of runs that need the store; repeatable. (Default: runs)",
        ),
    ] = None,
    days: Annotated[
        float,
        option("--days N", "Keep prepared data that was used in the last N days.", min=0),
    ] = 30,
    dry_run: Annotated[
        bool,
        option(
            "--dry-run",
            "Only say what could go.",
        ),
    ] = False,
    yes: Annotated[
        bool,
        option(
            "--yes -y",
            "Do not ask.",
        ),
    ] = False,
) -> None:
    """Free what no run needs: it says what, how many and how large, and asks.

    That is, in the store, trained networks that no run in runs/, or in the folders of --runs,
    refers to (other settings, interrupted
    trainings, trials of a run that was removed or not finished); prepared data that nothing used
    for 30 days; and what interrupted writes left. Runs keep their models and results. Nothing is
    removed from a store that another process is using.
    """
    from spikeduel.features.cleaning import cleaning
    from spikeduel.sentences.columns import render
    from spikeduel.training.store import Store

    if inputs.as_json and not (yes or dry_run):
        raise InputError("--json asks nothing: add --yes, or --dry-run to see what could go.")
    places, store = folders or [RUNS], Store(inputs.store)
    if absent := [folder for folder in folders or () if not folder.is_dir()]:
        raise InputError(f"{absent[0]}: no such folder. --runs names folders that hold runs.")
    unneeded = cleaning.find(places, store, days)
    if not inputs.as_json:
        sizes = grouped((item.kind, item.bytes) for item in unneeded.unneeded)
        rows = [
            {
                "what": title.format(days=days, places=listed(list(map(str, places)))),
                "number": f"{len(sizes[kind]):,}",
                "size": decimal(sum(sizes[kind])),
            }
            for kind, title in KINDS.items()
            if kind in sizes
        ]
        if rows or not unneeded.in_use:
            typer.echo(f"{render(rows)}\n{STAYS}" if rows else "Nothing to remove.")
        for text in unneeded.in_use:
            typer.echo(wrapped(f"Left alone: {text}"))
        if not unneeded.unneeded or dry_run:
            return
        if not yes:
            typer.confirm(f"Free {decimal(unneeded.bytes)}?", abort=True)
    freed = unneeded if dry_run else cleaning.remove(unneeded, places, store, days)
    if inputs.as_json:
        numbers = {"bytes": freed.bytes, "removed": freed.unneeded, "kept": unneeded.in_use}
        print_json({"dry_run": dry_run, **numbers})
        return
    left = len(unneeded.unneeded) - len(freed.unneeded)
    stayed = f" {left:,} stayed: in use by now." if left else ""
    typer.echo(f"Freed {decimal(freed.bytes)}.{stayed}")


commands = (clean,)
