"""Write a kit: all of a run that a reviewer needs to check it, in one zip file."""

import zipfile
from pathlib import Path

from spikeduel.concluding import crate, kit
from spikeduel.concluding.verifying import verify
from spikeduel.results.comparison import load_run
from spikeduel.system import files
from spikeduel.system.errors import InputError

PARTS = (*(part for part in crate.PARTS if not part.startswith("models/")), "figures/*.svg")
"""Files of the run that a kit holds; models stay with the run."""


def write_kit(run: Path, path: Path) -> Path:
    """Write the kit of a run whose report and figures are drawn, and return `path`. Raises
    `InputError`, also if the run does not hold.
    """
    comparison = load_run(run)
    if not all(verification.holds for verification in verify(run)):
        raise InputError(
            f"{run}: does not hold, and a kit must: `spikeduel verify {run}` says why."
        )
    created = comparison.results.created
    moment = (int(created[:4]), int(created[5:7]), int(created[8:10]), 0, 0, 0)
    content = {part: files.read_bytes(run / part) for part in crate.found(run, PARTS)}
    content |= dict(kit.made(comparison))
    content[crate.FILE] = crate.written(comparison, content)
    with files.atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, moment)
            archive.writestr(entry, content[name], zipfile.ZIP_DEFLATED)
    return path
