"""Commands on data sets."""

import typer

from spikeduel.cli import options, showing
from spikeduel.cli.given import Given, command
from spikeduel.cli.terminal import print_json


@command(
    *("dataset", "near_duplicate_ratio", "experiment_file", "assignments"),
    *("limit", "split", "data_dir", "group_by", "image_size", "out", "as_json", "quiet"),
    required=("dataset",),
    epilog="Examples: spikeduel audit my_images/ --out audit/ · spikeduel audit fashion-mnist --json",
    when_stopped="Nothing is kept.",
)
def audit(given: Given, out: options.AuditOut = None) -> None:
    """Check whether a result on this data can be trusted: leaks, duplicates, labels, broken files.

    Looks for exact and near-duplicates within and across the sides of the split, equal images with different labels,
    groups that the split cuts, unreadable files, and formats that reveal the class; and measures the accuracy of an
    untrained nearest neighbour, with and without relatives in training. Exits with 1 if it finds what would
    invalidate a result.
    """
    from spikeduel.data import auditing
    from spikeduel.results.words.audit import document

    audited, prepared = auditing.audited(given.experiment(), progress=given.progress())
    page = None
    if out is not None:
        from spikeduel.reporting import audit_page

        page = audit_page(audited, prepared, out)
    if given.as_json:
        print_json(document(audited))
    else:
        showing.audit(audited, page)
    if not audited.ok:
        raise typer.Exit(1)


@command("as_json", name="list")
def data_list(given: Given) -> None:
    """List the known data sets, and which of them are prepared on this machine."""
    from spikeduel import data

    rows = data.listing()
    if given.as_json:
        print_json(rows)
    else:
        showing.data_sets(rows)


@command(
    *("dataset", "data_dir", "image_size", "assignments", "quiet"),
    name="prepare",
    required=("dataset",),
    when_stopped="Sets that were prepared and files that were downloaded whole are kept.",
)
def data_prepare(given: Given) -> None:
    """Download and decode a data set now, so that later commands start at once."""
    from spikeduel import data

    progress = given.progress()
    prepared = data.load(given.experiment(), progress.track, say=progress.say)
    channels, height, width = prepared.image_shape
    typer.echo(
        f"{prepared.name}: {len(prepared):,} images of {height}×{width}, {channels} channel"
        f"{'s' if channels > 1 else ''}, {len(prepared.classes)} classes, ready."
    )
