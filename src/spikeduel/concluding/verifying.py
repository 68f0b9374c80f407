"""Verify a run: recompute what follows from its predictions, split, counts and settings."""

import glob
import html
import itertools
import math
import re
import statistics
import tempfile
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel.concluding import crate, kit
from spikeduel.concluding.conclusions import Answers, concluded, of_split, priced, rows_of
from spikeduel.data.grouping import numbered
from spikeduel.data.splits import PlacedImage, read_splits
from spikeduel.energy import Prices
from spikeduel.results import predictions, study
from spikeduel.results.accuracy import of_seeds
from spikeduel.results.audit import SIDES, Audit
from spikeduel.results.columns import (
    CONTENDER,
    EQUAL_PRECISION,
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
from spikeduel.results.words import answer, frontier, verdict
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError

RESULTS, STUDY = "results.json", "study.json"
COMPUTED = re.compile(
    r"comparison|energy_accountings|dataset\.(counts|folds|group|effective|shared)"
    r"|dataset\.audit\.exact_duplicates\.(across|test_in_training)"
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


@dataclass
class Check:
    """Comparison of what a folder's files hold with what follows; `checked`: places, by file or
    folder of files.
    """

    checked: Counter[str] = field(default_factory=Counter)
    discrepancies: list[Discrepancy] = field(default_factory=list)

    def compare(self, file: str, stored: Any, computed: Any, place: str = "") -> None:
        """Compare JSON trees; numbers may differ by a share of `CLOSE`."""
        if isinstance(stored, dict) and isinstance(computed, dict):
            for name in stored | computed:
                inner = f"{place}.{name}" if place else name
                self.compare(file, stored.get(name), computed.get(name), inner)
        elif {type(stored), type(computed)} == {list} and len(stored) == len(computed):
            for index, both in enumerate(zip(stored, computed, strict=True)):
                self.compare(file, *both, f"{place}[{index}]")
        else:
            if file != RESULTS or COMPUTED.match(place):
                self.checked[file.partition("/")[0]] += 1
            if not _are_equal(stored, computed):
                self.discrepancies.append(
                    Discrepancy(file=file, place=place, stored=stored, computed=computed)
                )


def _are_equal(stored: Any, computed: Any) -> bool:
    # A field that the file lacks, since it is newer, has an empty default.
    if stored is None:
        return computed is None or computed in (0, "", [], {})
    # Of True and 1, one is no number.
    if {type(stored), type(computed)} <= {int, float}:
        return math.isclose(stored, computed, rel_tol=CLOSE, abs_tol=1e-12)
    return type(stored) is type(computed) and bool(stored == computed)


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
    check.compare(STUDY, typed.read_json(folder / STUDY, dict), typed.plain(computed))
    yield Verification(name=name, checked=check.checked, discrepancies=check.discrepancies)


def _of_run(folder: Path, name: str) -> Verification:
    comparison, kept = load_run(folder), predictions.read(folder)
    results, check = comparison.results, Check()
    check.compare(
        "experiment.toml", typed.plain(comparison.experiment), typed.plain(results.experiment)
    )
    contenders = {
        *results.experiment.contenders,
        *(trial.contender for trial in results.trials if trial.converted_from),
    }
    planned = itertools.product(sorted(contenders), range(results.experiment.seeds))
    trained = sorted({(trial.contender, trial.seed) for trial in results.trials})
    check.compare(RESULTS, trained, list(planned), "trials")
    with predictions.remedied(folder):
        placed = read_splits(folder / "split.csv")
    dataset = _compare_split(check, placed, kept, results)
    computed = concluded(structs.replace(results, dataset=dataset), kept)
    follows = replace(comparison, results=computed)
    check.compare(RESULTS, typed.read_json(folder / RESULTS, dict), follows.document())
    if results.tuning:
        check.compare(
            "tuning.json",
            typed.read_json(folder / "tuning.json", dict),
            typed.plain(results.tuning),
        )
    made = dict(kit.made(follows)) if (folder / kit.CHECKLIST).is_file() else {}
    for part, content in made.items():
        if (folder / part).is_file():
            check.compare(part, _lines(files.read_bytes(folder / part)), _lines(content))
    _compare_parts(check, follows, made)
    if (folder / crate.PRICES).is_file():
        computed = priced(computed, typed.read_json(folder / crate.PRICES, Prices))
    if (folder / crate.PAGE).is_file():
        _compare_page(check, replace(comparison, results=computed))
    return Verification(name=name, checked=check.checked, discrepancies=check.discrepancies)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def _compare_split(
    check: Check, placed: Sequence[PlacedImage], kept: PredictionsFile, results: Results
) -> Dataset:
    """Compare the split with the predictions, and return the data set with what the split
    decides.
    """
    dataset, experiment = results.dataset, results.experiment
    folds = [
        [row for row in placed if row.fold == fold]
        for fold in dict.fromkeys(row.fold for row in placed)
    ]
    sides = [
        {side: [row.name for row in rows if row.split == side] for side in SIDES} for rows in folds
    ]
    tested = [row for rows in folds for row in rows if row.split == "test"]
    check.compare(FILE, kept.images, [row.image for row in tested], "images")
    groups = None
    if any(row.group is not None for row in placed):
        groups = {row.name: row.group for row in placed}
        check.compare(
            FILE,
            kept.groups and numbered(kept.groups).tolist(),
            numbered([row.group for row in tested]).tolist(),
            "groups",
        )
    check.compare(
        FILE,
        {"name": kept.dataset, "fingerprint": kept.fingerprint, "classes": kept.classes},
        {part: getattr(dataset, part) for part in ("name", "fingerprint", "classes")},
    )
    audit = dataset.audit
    # Code of a user's own may give its images any hashes.
    if audit and experiment.dataset not in experiment.own_code:
        audit = _with_copies(audit, folds[0])
    return structs.replace(dataset, **of_split(sides, groups), audit=audit)


def _with_copies(audit: Audit, placed: Sequence[PlacedImage]) -> Audit:
    """Return `audit` with at least as many exact copies between sides as equal files are `placed`
    there; other files may hold the same pixels.
    """
    images = {side: {row.image for row in placed if row.split == side} for side in SIDES}
    earlier = {"train": set(), "val": images["train"], "test": images["train"] | images["val"]}
    copies = [row for row in placed if row.image in earlier[row.split]]
    in_training = [row for row in copies if row.split == "test" and row.image in images["train"]]
    stated = audit.exact_duplicates
    return structs.replace(
        audit,
        exact_duplicates=structs.replace(
            stated,
            across=max(len(copies), stated.across),
            test_in_training=max(len(in_training), stated.test_in_training),
        ),
    )


def _compare_page(check: Check, follows: Comparison) -> None:
    """Look for the sentences and the rows of tables in report.html."""
    page, results = (
        _bare(files.read_bytes(follows.out / crate.PAGE).decode("utf-8", "replace")),
        follows.results,
    )
    whole, curves = results.comparison.equal_precision, results.comparison.frontier
    texts = [
        *(follows.headline(), follows.verdict(), *follows.caveats(), *follows.controls()),
        *(verdict.on_time(results), verdict.in_whole_numbers(results), answer.training(results)),
        frontier.frontier(results),
    ]
    is_duel = len(results.contenders) > 1
    for lead in results.answer.leads:
        cells = [answer.cell(results, name, lead).mean for name in results.contenders]
        texts += [answer.by(lead), lead.evidence if is_duel else "", *cells]
    tables = [
        text_rows([CONTENDER, *score_columns(results), *TRAINING], contender_rows(results)),
        text_rows(PAIRS, [pair.led for pair in results.comparison.pairs]),
        *(text_rows(control_columns(found), found.rows) for found in results.comparison.controls),
        *([text_rows(EQUAL_PRECISION, whole.rows)] if whole else []),
        *([text_rows(frontier.FRONTIER, curves.members)] if curves else []),
    ]
    texts += ["".join(row.values()) for table in tables for row in table]
    for text in filter(None, texts):
        is_there = _bare(html.escape(follows.said(text))) in page
        check.compare(crate.PAGE, text if is_there else None, text)


def _bare(page: str) -> str:
    """Return the text of a page without tags and spaces."""
    visible = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", "", page, flags=re.DOTALL)
    return re.sub(r"\s", "", html.unescape(visible))


def _compare_parts(check: Check, follows: Comparison, made: Collection[str]) -> None:
    """Compare the hashes of all files, those of a kit `made` by spikeduel among them, and the
    description itself.
    """
    folder = follows.out
    named = crate.read(folder)
    there = crate.found(folder, [*crate.PARTS, *map(glob.escape, {*named, *made})])
    for name in sorted({*named, *made, *there}):
        if name in there:
            check.compare(crate.FILE, named.get(name, (None,))[0], there[name][0], name)
        else:
            check.discrepancies.append(
                Discrepancy(file=name, place="", stored=None, computed=None, missing=True)
            )
    stored = typed.read_json(folder / crate.FILE, dict)
    check.compare(crate.FILE, stored, crate.metadata(follows, named))


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
