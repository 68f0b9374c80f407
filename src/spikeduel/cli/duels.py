"""Commands that train networks and compare them, and those on what such runs leave."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeduel.cli.given import Given, command, print_json, wrapped
from spikeduel.system import typed
from spikeduel.system.errors import InputError

if TYPE_CHECKING:
    from spikeduel.results.comparison import Comparison
    from spikeduel.settings import Experiment
    from spikeduel.trials.jobs import Workers
    from spikeduel.trials.tuning import Tuning

OUTPUT = ("out", "store", "own_code", "as_json", "quiet", "verbose")
MACHINE = ("device", "precision")
DATA = ("limit", "split", "folds", "data_dir", "group_by", "image_size", "bin_ms")
TUNED_DATA = tuple(name for name in DATA if name != "folds")
WORKERS = ("jobs", "ray", "threads")
LENGTH = ("epochs", "minutes", "budget_by")


@command(
    *(
        "dataset",
        "recipe",
        "contenders",
        "pretrained",
        "encoding",
        "num_steps",
        "seeds",
        *LENGTH,
    ),
    *("controls", "convert"),
    *("robustness", "optimism", "experiment_file", "assignments", "tune", "ranges"),
    *(*DATA, "strict", *MACHINE, *WORKERS, "loggers", *OUTPUT),
    epilog="Examples: spikeduel compare · spikeduel compare fashion-mnist --seeds 6",
)
def compare(
    given: Given, tune: int | None = None, ranges: Path | None = None, strict: bool = False
) -> None:
    """Train a spiking network and a CNN under the same rules, and report which is better.

    Prints a table and a conclusion, and writes a report with figures, the results as JSON and the trained models. What
    was trained before is not trained again: the same command after an interruption continues where it stopped.

    Args:
        tune (--tune N, Duel): First tune every contender with N trials, judged on validation images only, and compare
            them at their best settings.
        strict (--strict, Data): Train nothing and exit with 1 if the audit finds a problem that would invalidate a
            result.
    """
    start = given.experiment()
    if tune is not None:
        tuned = _tune(start, tune, ranges, given, given.out)
        _compare(tuned.experiment, given, strict, tuned)
        return
    from spikeduel.settings.reading import read_experiment
    from spikeduel.trials.tuning import read_tuning

    if ranges is not None:
        raise InputError("--ranges says what --tune draws: give --tune N as well.")
    if (file := given.experiment_file) is None:
        _compare(start, given, strict)
        return
    folder = file if file.is_dir() else file.parent
    if (
        given.out is None
        and (folder / "results.json").is_file()
        and start == read_experiment(folder)
    ):
        given = replace(given, out=folder)  # the same run again
    _compare(start, given, strict, read_tuning(folder / "tuning.json", start))


@command(
    *("dataset", "recipe", "contenders", "pretrained", "encoding", "num_steps", *LENGTH),
    *("experiment_file", "assignments"),
    *(*TUNED_DATA, *MACHINE, *WORKERS, *OUTPUT),
    epilog="Example: spikeduel tune fashion-mnist --trials 20 --out tuned/",
)
def tune(
    given: Given, trials: int = 10, ranges: Path | None = None, out: Path | None = None
) -> None:
    """Find each contender's best learning rate and spiking settings, with equally many trials for each.

    Trials are judged on validation images; the test set is not touched. Prints every trial and the expected best of
    fewer trials, and writes an experiment.toml for `spikeduel compare --experiment`. What was trained before is
    not trained again.

    Args:
        trials (--trials N): Trials of each contender, the first at the given settings.
        out (--out DIR, Output): The run's folder: experiment.toml, tuning.json, tuning.html. (Default:
            runs/DATASET-RECIPE-…-tuning)
    """
    from spikeduel.comparing import write_tuning

    tuned = _tune(given.experiment(), trials, ranges, given, out)
    folder = write_tuning(tuned, out)
    if given.as_json:
        print_json(tuned.record)
    else:
        from spikeduel.results.run_findings import tuning_limits
        from spikeduel.results.words.findings import sentence

        typer.echo(f"\n{tuned.table()}\n")
        for caveat in tuning_limits(tuned.record):
            typer.echo(wrapped(sentence(caveat), "  · "))
        typer.echo(f"\nreport: {folder / 'tuning.html'}")
        typer.echo(
            f"compare them at their best: spikeduel compare --experiment {folder / 'experiment.toml'}"
        )


@command(
    *(
        "dataset",
        "contenders",
        "pretrained",
        "recipe",
        "encoding",
        "num_steps",
        "seeds",
        *LENGTH,
    ),
    *("experiment_file", "assignments"),
    *(*DATA, *MACHINE, *WORKERS, "loggers", *OUTPUT),
    required=("dataset", "contenders"),
    epilog="Example: spikeduel train fashion-mnist --contender dense-snn --encoding direct",
)
def train(given: Given) -> None:
    """Train one network (or several) and keep the model; `compare` without the duel."""
    _compare(given.experiment(), given)


@command(
    *("strict", *WORKERS, "loggers", *OUTPUT),
    epilog="Examples: spikeduel study study.toml --dry-run · spikeduel study study.toml --jobs 8",
)
def study(
    given: Given, file: Path, dry_run: bool = False, out: Path | None = None, strict: bool = False
) -> None:
    """Run every duel of a grid (data sets, contenders, any setting), and say what holds over all data sets.

    FILE.toml has the values of the [grid], the [settings] that all duels share, and what to [[exclude]]. For example:

    ```toml
    name = "encodings"
    [grid]
    dataset = ["digits", "my_images/"]
    encoding = ["direct", "rate"]
    [settings]
    contenders = ["vgg-lif", "vgg-relu"]
    ```

    Every name is checked and all data are looked at before anything is trained. What the
    store has is not trained again: the same command continues where it stopped. Writes a report above the duels, and
    one for each.

    Args:
        file (FILE.toml): The study.
        dry_run (--dry-run): Train nothing: say how many trials there are, how long they take, how much of the disk, and
            how large a difference they can show.
        out (--out DIR, Output): The study's folder: study.html, study.json, and the duels' runs. (Default:
            runs/study-NAME)
        strict (--strict, Data): Train nothing and exit with 1 if the audit of a data set finds a problem that would
            invalidate a result.
    """
    from spikeduel import studying
    from spikeduel.cli import answers

    planned = studying.read_study(file)
    given.require_trusted(planned.own_code, file)
    with _workers(given) as workers:
        if dry_run:
            found = studying.plan(
                planned, given.store, given.progress(on_stderr=True), workers, strict
            )
        else:
            results, page = studying.study(
                planned, out, given.store, given.progress(), workers, strict, given.loggers or ()
            )
    if dry_run:
        print_json(found) if given.as_json else answers.print_study_plan(found)
        return
    print_json(results) if given.as_json else answers.print_study(results, page)
    if any(duel.failed for duel in results.duels):
        raise typer.Exit(3)


@command(
    *("dataset", "recipe", "contenders", "pretrained", "encoding", "num_steps", *LENGTH),
    *("experiment_file", "assignments"),
    *(*DATA, *MACHINE),
    *("store", "own_code", "as_json", "quiet"),
    epilog="Examples: spikeduel plan my_images/ · spikeduel plan fashion-mnist --difference 0.5 --from runs/…",
    when_stopped="Nothing was trained.",
)
def plan(
    given: Given, difference: float = 1.0, spread: float | None = None, run: Path | None = None
) -> None:
    """Say before training how many seeds a difference takes to be found, and how long they will train.

    Trains nothing. How much accuracy varies over seeds is taken from --spread, else from the run of --from, else from
    seeds of the same comparison in the store, else a range is assumed that was measured on Fashion-MNIST.

    Args:
        difference (--difference POINTS, Duel): The true lead in accuracy that is to be found.
        spread (--spread POINTS, Duel): The standard deviation of accuracy over seeds, on an unlimited test set.
        run (--from RUN, Duel): An earlier run with two seeds or more, whose predictions show the spread.
    """
    from spikeduel.results.columns import render
    from spikeduel.results.words import power
    from spikeduel.trials.forecast import forecast

    share = None if spread is None else spread / 100
    found = forecast(
        given.experiment(),
        difference / 100,
        share,
        run,
        given.store,
        given.progress(on_stderr=True),
    )
    if given.as_json:
        print_json(found)
        return
    title, *rest = power.sentences(found)
    typer.echo(f"{wrapped(title)}\n\n{render(power.rows(found))}\n")
    for text in rest:
        typer.echo(wrapped(text))


@command(
    *("quiet", "model_code"),
    when_stopped="The page is the old one.",
)
def report(
    given: Given,
    run: Path,
    out: Path | None = None,
    energy_table: list[str] | None = None,
    accounting: list[str] | None = None,
    figures: bool = False,
) -> None:
    """Write a run's report again, without training anything.

    Args:
        out (--out FILE.html): The page. (Default: report.html in the run)
        figures (--figures): Also write each chart as PNG and SVG into figures/ of the run.
        energy_table (--energy-table NAME|FILE.toml): Energy per operation: 45nm-fp32, 45nm-fp16, 45nm-int8,
            45nm-int8-sums8, loihi, or a table of your own (see docs/energy-tables.md); repeatable.
        accounting (--accounting FILE.toml): A way of counting energy of your own, beside the published ones (see
            docs/energy-tables.md#accountings-of-your-own); repeatable.
    """
    from spikeduel.measuring import energy
    from spikeduel.measuring.energy import accounting as accountings
    from spikeduel.reporting import report_again

    tables = [energy.read(table) for table in energy_table or ()]
    laws = [accountings.read(each) for each in accounting or ()]
    page = report_again(run, out, given.progress(), given.model_code or (), tables, laws, figures)
    typer.echo(page)


@command(
    "as_json",
    epilog="Examples: spikeduel test runs/… · spikeduel test runs/A --a small-cnn --against runs/B",
)
def test(
    given: Given,
    run: Path,
    a: str | None = None,
    b: str | None = None,
    against: Path | None = None,
    margin: float | None = None,
    second: Annotated[
        str | None, typer.Argument(metavar="--against OTHER_RUN", hidden=True)
    ] = None,
) -> None:
    """Test whether one contender is better than another, from the predictions that runs keep.

    Two contenders of one run, or of two runs on the same test images. Prints the difference in accuracy with its
    interval, the p-value, and what may be concluded. It is one comparison: choosing it among many after seeing the
    results makes its p-value too small.

    Args:
        a (--a NAME): A contender of the run; may be omitted if the run has two contenders.
        b (--b NAME): The contender to compare it with; may be omitted likewise.
        against (--against OTHER_RUN): Take the second contender from this run, on the same test images.
        margin (--margin POINTS): Differences in accuracy within ± so many percentage points count as equivalent.
            (Default: the run's equivalence_margin; 0.5 points, unless it set another)
    """
    from spikeduel.results import predictions
    from spikeduel.results.words.verdict import difference_line

    if second is not None:
        raise InputError(
            f"name two contenders by --a and --b, and another run by --against, not as {second}."
        )
    share = None if margin is None else _fraction("--margin", margin)
    a, b = predictions.names(run, a, b, against)
    difference = predictions.compare_runs(run, a, b, against, share)
    if given.as_json:
        print_json({"a": a, "b": b, "measure": "accuracy", **typed.plain(difference)})
    else:
        names = (a, b) if a != b else (f"{a} of {run}", f"{b} of {against}")
        typer.echo(
            wrapped(difference_line(difference, *names, num_folds=predictions.num_folds(run)))
        )


FEWEST_POINTS = 0.05
"""A smaller margin is most likely a fraction, as this option once took it: 0.005 for half a point."""


def _fraction(option: str, points: float) -> float:
    """`points` in accuracy, as an option takes them, as a fraction of one. Raises `InputError`."""
    if 0 < points < FEWEST_POINTS:
        raise InputError(
            f"{option} {points:g}: give it in percentage points, such as 0.5 for half a point, and at least "
            f"{FEWEST_POINTS:g}. As a fraction, {points:g} is {100 * points:g} points."
        )
    if not 0 <= points <= 100:
        raise InputError(
            f"{option} must be percentage points from 0 to 100, such as 0.5, not {points:g}."
        )
    return points / 100


@contextmanager
def _workers(given: Given) -> "Iterator[Workers]":
    """Who trains. What Ray itself prints meanwhile is no result: with --json it goes to stderr."""
    with redirect_stdout(sys.stderr) if given.as_json else nullcontext(), _asked(given) as workers:
        yield workers


def _asked(given: Given) -> "Workers":
    """This process, several, or a cluster."""
    if given.ray is not None and given.jobs is not None:
        raise InputError(
            "--jobs is for this machine, and --ray for a cluster, which says itself how many train at once."
        )
    if given.ray is not None:
        from spikeduel.trials.clusters import Cluster

        return Cluster(given.ray, 1 if given.threads is None else given.threads)
    if given.jobs is not None:
        from spikeduel.trials.processes import Processes

        return Processes(given.jobs, given.threads)
    from spikeduel.trials.jobs import ThisProcess, Workers

    return Workers() if given.threads is None else ThisProcess(given.threads)


def _tune(
    start: "Experiment", num_trials: int, ranges: Path | None, given: Given, out: Path | None
) -> "Tuning":
    from spikeduel.comparing import tune
    from spikeduel.trials import run_folder
    from spikeduel.trials.tuning import read_ranges

    # Before the trials, which may take hours.
    run_folder.require_writable(out)
    with _workers(given) as workers:
        return tune(
            start,
            num_trials,
            read_ranges(ranges) if ranges else None,
            given.store,
            given.progress(),
            workers,
        )


def _compare(
    experiment: "Experiment", given: Given, strict: bool = False, tuned: "Tuning | None" = None
) -> None:
    from spikeduel.cli import answers
    from spikeduel.comparing import compare

    def answered(comparison: "Comparison") -> None:
        if not given.as_json:
            answers.told(comparison, given.verbose)

    with _workers(given) as workers:
        found = compare(
            experiment,
            given.out,
            given.store,
            given.progress(),
            strict,
            tuned,
            workers,
            given.loggers or (),
            answered,
        )
    if given.as_json:
        print_json(found.document())
    if found.failed:
        raise typer.Exit(3)
