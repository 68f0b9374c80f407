"""Write a kit: all of a run that a reviewer needs to check it, in one zip file."""

import hashlib
import zipfile
from pathlib import Path

from spikeduel.analysis import hashes
from spikeduel.features.kit.kit_files import derived_files
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.verifying import verify


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
    content = {part: files.read_bytes(run / part) for part in hashes.found(run, hashes.ARCHIVED)}
    content |= dict(derived_files(comparison))
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    content[hashes.FILE] = hashes.text(sums).encode()
    with files.atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, moment)
            archive.writestr(entry, content[name], zipfile.ZIP_DEFLATED)
    return path
