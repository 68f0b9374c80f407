"""Verify a run: recompute what follows from its predictions, split, counts and settings."""

import glob
import html
import itertools
import math
import re
import statistics
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel.concluding import crate, kit
from spikeduel.concluding.conclusions import Answers, concluded, of_split, rows_of
from spikeduel.data.grouping import numbered
from spikeduel.data.splits import PlacedImage, read_splits
from spikeduel.results import predictions, study
from spikeduel.results.accuracy import of_seeds
from spikeduel.results.audit import SIDES
from spikeduel.results.columns import (
    CONTENDER,
    PAIRS,
    TRAINING,
    contender_rows,
    control_columns,
    score_columns,
    text_rows,
)
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.power import ASSUMED_SPREADS
from spikeduel.results.predictions import FILE, PredictionsFile
from spikeduel.results.run import Dataset, Results
from spikeduel.results.study import Duel, StudyResults
from spikeduel.results.trials import Classification, Trial
from spikeduel.results.verification import Discrepancy, TrainedAgain, Verification
from spikeduel.results.words import answer, verdict
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError

RESULTS, STUDY, PAGE = "results.json", "study.json", "report.html"
COMPUTED = re.compile(
    r"comparison|energy_accountings|dataset\.(counts|folds|group|effective|shared)"
    r"|trials\[\d+\]\.(energy|validation|converged|optimism|robustness\.(area|mean)"
    r"|test\.(n|accuracy|precision|recall|f1|per_class|confusion)"
    r"|controls\.\w+\.(energy|accuracy|by_class|n)\b)"
)
"""Places of results.json that `concluded` computes; the others were measured or set."""
CLOSE = 1e-9
"""Relative difference of numbers that other versions of libraries may make."""
NOISE = 3
"""Standard deviations over seeds within which a training elsewhere must end."""
DECIDING = ("cpu", "torch", "device", "precision")
"""Parts of the environment that decide a training's last bits, with the threads."""
MOST_BYTES = 1 << 30
"""Limit of an unpacked archive."""


class Check:
    """Comparison of what a folder's files hold with what follows."""

    def __init__(self) -> None:
        self.checked: dict[str, int] = {}
        self.discrepancies: list[Discrepancy] = []

    def compare(self, file: str, stored: Any, computed: Any, place: str = "") -> None:
        """Compare JSON trees; numbers may differ by a share of `CLOSE`."""
        if isinstance(stored, dict) and isinstance(computed, dict):
            for name in stored.keys() | computed.keys():
                inner = f"{place}.{name}" if place else name
                self.compare(file, stored.get(name), computed.get(name), inner)
        elif _are_lists(stored, computed) and len(stored) == len(computed):
            for index, both in enumerate(zip(stored, computed, strict=True)):
                self.compare(file, *both, f"{place}[{index}]")
        else:
            if file != RESULTS or COMPUTED.match(place):
                self.checked[file] = self.checked.get(file, 0) + 1
            if not _are_equal(stored, computed):
                self.discrepancies.append(
                    Discrepancy(file=file, place=place, stored=stored, computed=computed)
                )


def _are_lists(*values: Any) -> bool:
    return all(isinstance(value, list) for value in values)


def _are_equal(stored: Any, computed: Any) -> bool:
    numbers = (int, float)
    if isinstance(stored, numbers) and isinstance(computed, numbers):
        if isinstance(stored, bool) or isinstance(computed, bool):
            return stored is computed
        return math.isclose(stored, computed, rel_tol=CLOSE, abs_tol=1e-12)
    return bool(stored == computed)


def verify(place: Path | str) -> list[Verification]:
    """Verify a run's folder, a kit (a zip file) or a study's folder, whose runs come first.

    Nothing is trained, and torch is not needed. Raises `InputError` if a file is missing or cannot
    be read.
    """
    with unpacked(Path(place)) as folder:
        if (folder / STUDY).is_file():
            return [*_of_study(folder, folder.name)]
        return [_of_run(folder, Path(place).name)]


@contextmanager
def unpacked(place: Path) -> Iterator[Path]:
    """Yield the folder `place`, or one with the content of the zip file `place`."""
    if not place.is_file():
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(place) as archive:
                if sum(part.file_size for part in archive.infolist()) > MOST_BYTES:
                    raise InputError(f"{place}: larger than a gigabyte, which no kit is.")
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise InputError(f"{place}: not a whole zip file ({error}).") from None
        try:
            yield Path(folder)
        except InputError as error:
            raise InputError(str(error).replace(folder, str(place))) from None


def _of_study(folder: Path, name: str) -> Iterator[Verification]:
    stored = typed.read_json(folder / STUDY, StudyResults)
    duels = []
    for duel in stored.duels:
        yield _of_run(folder / duel.folder, f"{name}/{duel.folder}")
        results = load_run(folder / duel.folder).results
        family = stored.families.get(duel.dataset)
        duels.append(Duel(duel.folder, duel.dataset, duel.settings, results, family))
    computed = study.conclude(stored.name, duels, stored.margin)
    check = Check()
    check.compare(STUDY, files.read_json(folder / STUDY), typed.plain(computed))
    yield Verification(name=name, checked=check.checked, discrepancies=check.discrepancies)


def _of_run(folder: Path, name: str) -> Verification:
    comparison, kept = load_run(folder), predictions.read(folder)
    results, check = comparison.results, Check()
    check.compare(
        "experiment.toml", typed.plain(comparison.experiment), typed.plain(results.experiment)
    )
    converted = {trial.contender for trial in results.trials if trial.converted_from}
    contenders = {*results.experiment.contenders, *converted}
    planned = itertools.product(sorted(contenders), range(results.experiment.seeds))
    trained = sorted({(trial.contender, trial.seed) for trial in results.trials})
    check.compare(RESULTS, trained, list(planned), "trials")
    dataset = _compare_split(check, read_splits(folder / "split.csv"), kept, results.dataset)
    computed = concluded(structs.replace(results, dataset=dataset), kept)
    follows = replace(comparison, results=computed)
    check.compare(RESULTS, files.read_json(folder / RESULTS), follows.document())
    if results.tuning:
        tuned = files.read_json(folder / "tuning.json")
        check.compare("tuning.json", tuned, typed.plain(results.tuning))
    if (folder / PAGE).is_file():
        _compare_page(check, follows)
    if (folder / kit.CHECKLIST).is_file():
        for part, content in kit.made(follows):
            there = files.read_bytes(folder / part) if (folder / part).is_file() else b""
            check.compare(part, _lines(there), _lines(content))
    _compare_parts(check, follows)
    return Verification(name=name, checked=check.checked, discrepancies=check.discrepancies)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def _compare_split(
    check: Check, placed: Sequence[PlacedImage], kept: PredictionsFile, dataset: Dataset
) -> Dataset:
    """Compare the split with the predictions, and return `dataset` with what the split decides."""
    by_fold: dict[str | None, list[PlacedImage]] = {}
    for row in placed:
        by_fold.setdefault(row.fold, []).append(row)
    sides = [
        {side: [row.name for row in rows if row.split == side] for side in SIDES}
        for rows in by_fold.values()
    ]
    tested = [row for rows in by_fold.values() for row in rows if row.split == "test"]
    check.compare(FILE, kept.images, [row.image for row in tested], "images")
    groups = None
    if any(row.group is not None for row in placed):
        groups = {row.name: row.group for row in placed}
        of_tests = numbered([row.group for row in tested]).tolist()
        stored = None if kept.groups is None else numbered(kept.groups).tolist()
        check.compare(FILE, stored, of_tests, "groups")
    for part in ("name", "fingerprint", "classes"):
        of_file = kept.dataset if part == "name" else getattr(kept, part)
        check.compare(FILE, of_file, getattr(dataset, part), part)
    return structs.replace(dataset, **of_split(sides, groups))


def _compare_page(check: Check, follows: Comparison) -> None:
    """Look for the sentences and the rows of tables in report.html."""
    page, results = (
        _bare(files.read_bytes(follows.out / PAGE).decode("utf-8", "replace")),
        follows.results,
    )
    texts = [follows.headline(), follows.verdict(), *follows.caveats(), *follows.controls()]
    texts += [verdict.on_time(results), answer.training(results)]
    for lead in results.answer.leads:
        cells = [answer.cell(results, name, lead).mean for name in results.contenders]
        texts += [answer.by(lead), lead.evidence, *cells]
    tables = [
        text_rows([CONTENDER, *score_columns(results), *TRAINING], contender_rows(results)),
        text_rows(PAIRS, [pair.led for pair in results.comparison.pairs]),
        *(text_rows(control_columns(found), found.rows) for found in results.comparison.controls),
    ]
    texts += ["".join(row.values()) for table in tables for row in table]
    for text in filter(None, texts):
        is_there = _bare(html.escape(follows.said(text))) in page
        check.compare(PAGE, text if is_there else None, text)


def _bare(page: str) -> str:
    """Return the text of a page without tags and spaces."""
    visible = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", "", page, flags=re.DOTALL)
    return re.sub(r"\s", "", html.unescape(visible))


def _compare_parts(check: Check, follows: Comparison) -> None:
    """Compare the hashes of all files, and the description itself."""
    folder = follows.out
    named = crate.read(folder)
    there = crate.found(folder, [*crate.PARTS, *map(glob.escape, named)])
    for name in sorted(named.keys() | there.keys()):
        stored, computed = (parts[name][0] if name in parts else None for parts in (named, there))
        check.compare(crate.FILE, stored, computed, name)
    check.compare(crate.FILE, files.read_json(folder / crate.FILE), crate.metadata(follows, named))


def compare_again(
    results: Results,
    kept: PredictionsFile,
    entry: Trial,
    environment: Mapping[str, Any],
    answers: Classification | None,
) -> TrainedAgain:
    """Compare the `answers` of a trial that was trained again (None: it failed) with those kept."""
    known = Answers(kept).of(entry.contender).get(entry.seed)
    rows, then = rows_of(entry, results.dataset), results.environment or {}
    accuracies = list(of_seeds(results.of(entry.contender)).values())
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else max(ASSUMED_SPREADS)
    alike = all(environment.get(name) == then.get(name) for name in DECIDING)
    return TrainedAgain(
        trial=entry.title,
        stored=entry.test.accuracy if entry.test else 0.0,
        accuracy=answers.accuracy if answers else None,
        same=bool(answers and known is not None and answers.predicted == known[rows].tolist()),
        alike=alike and environment.get("threads") == entry.threads,
        noise=min(1.0, NOISE * spread),
    )
