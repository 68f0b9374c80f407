"""A run's page made again from what its folder holds, which may be damaged, or written by somebody else."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from spikeduel.measuring import energy, trial_costs
from spikeduel.reporting.page import report
from spikeduel.results.comparison import load_run
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress


def report_again(
    run: Path,
    path: Path | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    tables: Sequence[energy.Table] = (),
) -> Path:
    """`report` for the run in a folder, its energies by `tables` first; returns the page's path.

    Raises `InputError` where no page can be made of it.
    """
    comparison = load_run(run)
    try:
        if tables:
            comparison = replace(comparison, results=trial_costs.with_energy(comparison.results, tables))
        return report(comparison, path, progress, own_code, tables[0] if tables else None)
    except SpikeduelError:
        raise
    # What is read has a shape (`schema.py`); what only a figure asks of its values is found out by drawing it.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(run) / 'results.json'}: no report can be made of it ({type(error).__name__}: {error}): it is "
            "damaged, or was written by something else. The comparison's own command writes it again, and trains "
            "nothing anew."
        ) from error
