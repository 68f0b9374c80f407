"""Commands on what runs leave behind: which there are, what sets them apart, and what is needed no
more.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeduel.cli.inputs import CommandInput, command, option, print_json, wrapped
from spikeduel.system.errors import InputError

if TYPE_CHECKING:
    from spikeduel.results.run_diff import RunsCompared
    from spikeduel.trials.cleaning import Found

RUNS = Path("runs")


@command(
    "as_json",
    examples=(
        "spikeduel runs",
        "spikeduel runs my-images-strong-85 my-images-strong-3f",
    ),
)
def runs(
    inputs: CommandInput,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN OTHER]", help="Two runs to compare; or a folder of runs."),
    ] = None,
    folder: Annotated[
        Path,
        option(
            "--runs FOLDER",
            "The folder that holds the runs. (Default: runs)",
        ),
    ] = RUNS,
) -> None:
    """List the runs at hand, newest first, with the settings that set them apart; or compare two.

    Of two runs it says in which settings they differ, what each contender got, and, where both were
    tested on the same images, what may be concluded.
    """
    from spikeduel.results import run_diff

    names = chosen or []
    if len(names) > 2 or (len(names) == 1 and not Path(names[0]).is_dir()):
        raise InputError("name two runs to compare, or a folder of runs, or nothing.")
    if len(names) == 2:
        _compared(inputs, run_diff.compare(*(run_diff.named(name, folder) for name in names)))
        return
    folder = Path(names[0]) if names else folder
    rows = run_diff.list_runs(folder, lambda text: typer.echo(text, err=True))
    if inputs.as_json:
        print_json(rows)
    elif rows:
        table, others = run_diff.table(rows)
        typer.echo(f"In {folder}/\n\n{table}" + (f"\n\n{wrapped(others)}" if others else ""))
    else:
        typer.echo(f"no runs in {folder}/. Make one: spikeduel compare")


def _compared(inputs: CommandInput, compared: "RunsCompared") -> None:
    from spikeduel.results import run_diff
    from spikeduel.results.columns import render

    if inputs.as_json:
        print_json(compared)
        return
    for side, run, created in zip("AB", (compared.a, compared.b), compared.created, strict=True):
        typer.echo(f"{side}: {run} ({run_diff.moment(created)})")
    rows = run_diff.setting_rows(compared)
    typer.echo(f"\n{render(rows) if rows else 'All settings are the same.'}\n")
    if rows := run_diff.contender_rows(compared):
        typer.echo(f"{render(rows)}\n")
    for text in run_diff.sentences(compared):
        typer.echo(wrapped(text, "  · "))


@command(
    *("store", "as_json"),
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
        typer.Option(
            "--days",
            metavar="N",
            min=0,
            help="Keep prepared data that was used in the last N days.",
        ),
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

    That is, in the store, trained networks that no run refers to (other settings, interrupted
    trainings, trials of a run that was removed or not finished); prepared data that nothing used
    for 30 days; and what interrupted writes left. Runs keep their models and results. Nothing is
    removed from a store that another process is using.
    """
    from spikeduel.trials import cleaning
    from spikeduel.trials.store import Store

    if inputs.as_json and not (yes or dry_run):
        raise InputError("--json asks nothing: add --yes, or --dry-run to see what could go.")
    places, store = folders or [RUNS], Store(inputs.store)
    if absent := [place for place in folders or () if not place.is_dir()]:
        raise InputError(f"{absent[0]}: no such folder. --runs names folders that hold runs.")
    found = cleaning.find(places, store, days)
    if not inputs.as_json:
        _show(found, days)
        if not found.unneeded or dry_run:
            return
        if not yes:
            typer.confirm(f"Free {_size(found.bytes)}?", abort=True)
    freed = found if dry_run else cleaning.remove(found, places, store, days)
    if inputs.as_json:
        print_json(
            {
                "dry_run": dry_run,
                "bytes": freed.bytes,
                "removed": freed.unneeded,
                "kept": found.kept,
            }
        )
        return
    left = len(found.unneeded) - len(freed.unneeded)
    typer.echo(
        f"Freed {_size(freed.bytes)}." + (f" {left:,} stayed: in use by now." if left else "")
    )


def _show(found: "Found", days: float) -> None:
    """Print what could go, by kind, and what stays though it may not be needed."""
    from spikeduel.results.columns import render

    titles = {
        "trained": "trained networks that no run refers to",
        "unfinished": "trainings that were not finished",
        "prepared": f"prepared data not used for {days:g} days",
        "left_behind": "leftovers of interrupted writes",
    }
    by_kind = {
        title: [each for each in found.unneeded if each.kind == kind]
        for kind, title in titles.items()
    }
    rows = [
        {"what": title, "number": f"{len(some):,}", "size": _size(sum(each.bytes for each in some))}
        for title, some in by_kind.items()
        if some
    ]
    nothing = (
        "Nothing to remove." if found.kept else "Nothing to remove: all that is here is needed."
    )
    typer.echo(render(rows) if rows else nothing)
    if rows:
        told = (
            "Runs keep their models and results. The same command as before would train, or "
            "prepare, these anew"
        )
        goes_on = (
            "; an interrupted training would begin again" if by_kind[titles["unfinished"]] else ""
        )
        typer.echo(f"\n{wrapped(f'{told}{goes_on}.')}\n")
    for text in found.kept:
        typer.echo(wrapped(f"Left alone: {text}"))


def _size(num_bytes: int) -> str:
    """Bytes in three digits: "1.62 GB"."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}"
    return f"{num_bytes} bytes"
