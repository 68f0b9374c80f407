"""Verify a study and its runs."""

from pathlib import Path

from spikeduel.features.study.study_results import FILE, Duel, StudyResults, conclude
from spikeduel.results.verification import Verification
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files, typed
from spikeduel.verifying import Check, verify_run


def verify(folder: Path) -> list[Verification] | None:
    """Verify the runs of the study in `folder`, then study.json; None without a study."""
    if not files.is_file(folder / FILE):
        return None
    stored = typed.read_json(folder / FILE, StudyResults)
    duels, verifications = [], []
    for duel in stored.duels:
        run = folder / duel.folder
        verifications.append(verify_run(run, f"{folder.name}/{duel.folder}"))
        family = stored.families.get(duel.dataset)
        results = load_run(run).results
        duels.append(Duel(duel.folder, duel.dataset, duel.settings, results, family))
    computed, check = conclude(stored.name, duels, stored.margin), Check()
    check.compare(FILE, typed.read_json(folder / FILE, dict), typed.plain(computed))
    return [*verifications, check.verification(folder.name)]
