"""A run's page made again from what its folder holds, which may be damaged, or written by somebody else."""

from collections.abc import Collection
from pathlib import Path

from spikeduel.analysis import read_comparison
from spikeduel.errors import InputError, SpikeduelError
from spikeduel.progress import Progress
from spikeduel.reporting.page import report


def report_again(
    run: Path, path: Path | None = None, progress: Progress | None = None, own_code: Collection[str] = ()
) -> Path:
    """`report` for the run in a folder; returns the page's path. Raises `InputError` where none can be made."""
    comparison = read_comparison(run)
    try:
        return report(comparison, path, progress, own_code)
    except SpikeduelError:
        raise
    # What is read has a shape (`schema.py`); what only a figure asks of its values is found out by drawing it.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(run) / 'results.json'}: no report can be made of it ({type(error).__name__}: {error}): it is "
            "damaged, or was written by something else. The comparison's own command writes it again, and trains "
            "nothing anew."
        ) from error
