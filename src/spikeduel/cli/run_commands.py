"""Commands `runs`, `verify` and `clean`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

import spikeduel as sd
from spikeduel.cli.inputs import CommandInput, command, option, print_bullets, print_json, wrapped
from spikeduel.system.errors import InputError
from spikeduel.system.grouped import grouped
from spikeduel.system.sentences import listed

RUNS = Path("runs")
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
    "as_json",
    examples=("spikeduel runs", "spikeduel runs runs/my-images-strong-85 runs/my-images-strong-3f"),
)
def runs(
    inputs: CommandInput,
    places: Annotated[
        list[Path] | None,
        option("[FOLDER | RUN OTHER]", "A folder of runs (default: runs), or two to compare."),
    ] = None,
) -> None:
    """List the runs at hand, newest first, with the settings that set them apart; or compare two.

    Of two runs it says in which settings they differ, what each contender got, and, where both were
    tested on the same images, what may be concluded.
    """
    from spikeduel.sentences import answer_sentences as answer, run_diff
    from spikeduel.sentences.columns import render

    folder, *others = places or [RUNS]
    if len(others) == 1:
        compared = run_diff.compare(folder, *others)
        if inputs.printed_json(compared):
            return
        for side, run in zip("AB", (folder, *others), strict=True):
            typer.echo(f"{side}: {run}\n\n{render(answer.rows(sd.load_run(run).results), gap=2)}\n")
        differing = run_diff.setting_rows(compared)
        typer.echo(f"{render(differing) if differing else 'All settings are the same.'}\n")
        print_bullets(run_diff.sentences(compared))
        return
    if others or (places and not folder.is_dir()):
        raise InputError("name two runs to compare, or a folder of runs, or nothing.")
    rows = run_diff.list_runs(folder, lambda text: typer.echo(text, err=True))
    if inputs.printed_json(rows):
        return
    if rows:
        table, note = run_diff.table(rows)
        typer.echo(f"In {folder}/\n\n{table}" + (f"\n\n{wrapped(note)}" if note else ""))
    else:
        typer.echo(f"no runs in {folder}/. Make one: spikeduel compare")


@command(
    *("as_json", "quiet"),
    examples=(
        "spikeduel verify runs/my-images-strong-85",
        "spikeduel verify kit.zip",
        "spikeduel verify kit.zip --rerun 2",
    ),
)
def verify(
    inputs: CommandInput,
    place: Annotated[
        Path, option("RUN | KIT.zip", "The run or kit to verify, or a folder above runs.")
    ],
    rerun: Annotated[
        int, option("--rerun N", "Also train N of the run's trials again, and compare.", min=0)
    ] = 0,
) -> None:
    """Recompute all that follows from predictions, split, counts and settings, and say what
    differs.

    Every score, interval, test, energy and sentence of results.json is computed again, without
    training and without torch, and so are the README, checklist and tables of a kit. Every file is
    compared with its hash. Predictions, labels and measured values (times, memory, counts of
    operations, calibration, the audit) are taken on trust, and report.html is checked by its hash
    only. With --rerun, labels, images and split are compared with the data set, and N trials, drawn
    at random, are trained again: on the same processor with the same versions every prediction must
    be the same, elsewhere nearly every one.
    """
    from spikeduel.results.verification import TrainedAgain
    from spikeduel.sentences import verified
    from spikeduel.verifying import unpacked, verify

    verifications, again = verify(place), list[TrainedAgain]()
    if rerun:
        from spikeduel.comparing import train_again

        with unpacked(place) as run:
            if not (run / "experiment.toml").is_file():
                raise InputError(f"{place}: --rerun takes a run or its kit.")
            if own_code := sd.read_experiment(run).own_code:
                raise InputError(
                    f"{place}: trains code of its own ({', '.join(own_code)}), which --rerun does "
                    f"not run. Unzip a kit; `spikeduel compare --experiment FOLDER --store NEW` "
                    f"trains all of it again, if the code is there."
                )
            of_data, again = train_again(run, rerun, inputs.progress())
            verifications.append(of_data)
    if not inputs.printed_json({"verified": verifications, "trained_again": again}):
        for text in verified.lines(verifications, again):
            typer.echo(wrapped(text))
    if not verified.hold(verifications, again):
        raise typer.Exit(1)


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
    if absent := [place for place in folders or () if not place.is_dir()]:
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
        if rows or not unneeded.kept:
            typer.echo(f"{render(rows)}\n{STAYS}" if rows else "Nothing to remove.")
        for text in unneeded.kept:
            typer.echo(wrapped(f"Left alone: {text}"))
        if not unneeded.unneeded or dry_run:
            return
        if not yes:
            typer.confirm(f"Free {decimal(unneeded.bytes)}?", abort=True)
    freed = unneeded if dry_run else cleaning.remove(unneeded, places, store, days)
    if inputs.as_json:
        numbers = {"bytes": freed.bytes, "removed": freed.unneeded, "kept": unneeded.kept}
        print_json({"dry_run": dry_run, **numbers})
        return
    left = len(unneeded.unneeded) - len(freed.unneeded)
    stayed = f" {left:,} stayed: in use by now." if left else ""
    typer.echo(f"Freed {decimal(freed.bytes)}.{stayed}")
