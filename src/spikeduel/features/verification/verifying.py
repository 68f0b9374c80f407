"""Verify a run: recompute what follows from its predictions, split, counts and settings."""

import glob
import lzma
import math
import re
import struct
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, product
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel.analysis import hashes
from spikeduel.analysis.conclusions import concluded, of_split
from spikeduel.auditing.audit_results import SPLITS, Audit
from spikeduel.data.splits import PlacedImage, read_splits
from spikeduel.engine.counting.operations import totals
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.features.verification.verification_results import Discrepancy, Verification
from spikeduel.results import predictions
from spikeduel.results.predictions import FILE, PredictionsFile
from spikeduel.results.run import Dataset, Results
from spikeduel.results.trials import Trial, is_inside
from spikeduel.sentences.comparison import load_run
from spikeduel.statistics import numbered
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming, visible
from spikeduel.system.grouped import grouped

RESULTS, SPLIT = "results.json", "split.csv"
COMPUTED = re.compile(
    r"comparison|features|energy_accountings|rules\.chosen|dataset\.(counts|folds|group|effective|shared)"
    r"|dataset\.audit\.(dataset|fingerprint|split|counts)"
    r"|trials\.key|dataset\.audit\.exact_duplicates\.(across|test_in_training)"
    r"|trials\[\d+\]\.(energy|validation|converged"
    r"|num_steps|parameters|epochs|operations\.(num_steps|totals)|anytime\.(n\b|num_steps)"
    r"|test\.(n|accuracy|precision|recall|f1|per_class|confusion)"
    r"|variants\.\w+\.(energy|accuracy|by_class|n)\b)"
)
"""Places of results.json that `concluded` computes; the others were measured or set."""
CLOSE = 1e-9
"""Relative difference of numbers that other versions of libraries may make."""
MAX_BYTES = 1 << 30
"""Limit of an unpacked archive."""
MAX_FILES = 10_000
"""Limit of the files of an archive."""
DAMAGED = (
    *(OSError, ValueError, LookupError, EOFError, RuntimeError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""Errors of `zipfile` for a damaged archive."""
STATISTICS = ("running_mean", "running_var")
"""Ends of the names of arrays of a network that are no parameters."""


@dataclass
class Check:
    """Comparison of what a folder's files hold with what follows; `checked`: places, by file or
    folder of files.
    """

    checked: Counter[str] = field(default_factory=Counter)
    discrepancies: list[Discrepancy] = field(default_factory=list)

    def verification(self, name: str) -> Verification:
        return Verification(name=name, checked=self.checked, discrepancies=self.discrepancies)

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
        # A forged integer can be larger than any float.
        if max(abs(stored), abs(computed)) > sys.float_info.max:
            return bool(stored == computed)
        return math.isclose(stored, computed, rel_tol=CLOSE, abs_tol=1e-12)
    return type(stored) is type(computed) and bool(stored == computed)


def verify(path: Path | str) -> list[Verification]:
    """Verify a run's folder, a run's zip file, or a folder of several runs with the file that a
    feature derived from them, which comes last.

    Nothing is trained, and torch is not needed. Raises `InputError` if a file is missing or cannot
    be read.
    """
    is_archive = files.is_file(path)
    with unpacked(Path(path)) as folder:
        for derived_from_runs in () if is_archive else providing("derived_from_runs").values():
            if (derived := derived_from_runs(folder)) is not None:
                runs, file, content = derived
                names = {run: f"{folder.name}/{run.relative_to(folder)}" for run in runs}
                check = Check()
                check.compare(file, typed.read_json(folder / file, dict), typed.plain(content))
                return [
                    *(verify_run(run, name) for run, name in names.items()),
                    check.verification(folder.name),
                ]
        return [verify_run(folder, Path(path).name, is_archive)]


def holds(run: Path) -> bool:
    """Return True if all of a run that can be computed follows from the rest."""
    return all(verification.holds for verification in verify(run))


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the folder `path`, or one with the content of the zip file `path`."""
    if not files.is_file(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with naming(path), zipfile.ZipFile(path) as archive:
                _require_harmless(archive.infolist())
                archive.extractall(folder)
        except DAMAGED as error:
            raise InputError(
                f"{path}: not a whole zip file ({error}). Copy or download it again."
            ) from None
        try:
            yield Path(folder)
        except InputError as error:
            raise InputError(str(error).replace(folder, str(path))) from None


def _require_harmless(entries: Sequence[zipfile.ZipInfo]) -> None:
    """Raise `InputError` for an archive that holds no run."""
    if len(entries) > MAX_FILES or sum(file_entry.file_size for file_entry in entries) > MAX_BYTES:
        raise InputError(f"more than {MAX_FILES:,} files, or than a gigabyte, which no run has.")
    # A system that ignores case has one file for "A" and "a".
    times = Counter(file_entry.filename.casefold() for file_entry in entries)
    for name in (file_entry.filename for file_entry in entries):
        if not is_inside(name):
            raise InputError(f"{visible(name)[:80]!r} leads out of its folder: no run has that.")
        if times[name.casefold()] > 1:
            raise InputError(f"{visible(name)[:80]!r} occurs twice there: no run has that.")


def verify_run(folder: Path, name: str, is_archive: bool = False) -> Verification:
    comparison, predictions_file = load_run(folder), predictions.read(folder)
    results, check = comparison.results, Check()
    check.compare(
        "experiment.toml", typed.plain(comparison.experiment), typed.plain(results.experiment)
    )
    contenders = {
        *results.experiment.contenders,
        *(trial.contender for trial in results.trials if trial.derived_from),
    }
    folds = range(results.experiment.folds) if results.experiment.folds else [None]
    planned = product(sorted(contenders), range(results.experiment.seeds), folds)
    trained = [(trial.contender, trial.seed, trial.fold) for trial in results.trials]
    check.compare(RESULTS, sorted(trained, key=str), sorted(planned, key=str), "trials")
    with predictions.remedied(folder):
        placed = read_splits(folder / SPLIT)
    dataset = _compare_split(check, placed, predictions_file, results)
    _compare_trainings(check, predictions_file, results.trials)
    follows = structs.replace(
        results,
        dataset=dataset,
        trials=[_derived(trial, results.experiment) for trial in results.trials],
    )
    computed = replace(comparison, results=concluded(follows, predictions_file))
    check.compare(RESULTS, typed.read_json(folder / RESULTS, dict), computed.document())
    chosen = results.rules.chosen if results.rules else {}
    settings = {name: getattr(results.experiment, name, None) for name in chosen}
    check.compare(RESULTS, chosen, settings, "rules.chosen")
    made = dict(chain.from_iterable(of(computed) for of in providing("derived_files").values()))
    is_archive = is_archive or any((folder / part).exists() for part in made if part != "README.md")
    if is_archive:
        needed = {*made, hashes.PAGE}
        _compare_archive(check, folder, made)
    else:
        needed = {
            model
            for trial in results.trials
            for model in (trial.model, *(variant.model for variant in trial.variants.values()))
            if model is not None
        }
    _compare_hashes(check, folder, needed)
    return check.verification(name)


def _derived(trial: Trial, experiment: Experiment) -> Trial:
    """Return `trial` with what follows from the settings and from other parts of it."""
    num_steps, parameters = trial.num_steps, trial.parameters
    operations, anytime = trial.operations, trial.anytime
    is_own = trial.contender in experiment.own_code or trial.foreign is not None
    if trial.derived_from is not None:
        for adds in providing("adds").values():
            num_steps = adds(experiment).get(trial.kind, num_steps)
    elif not is_own:
        if trial.spiking or num_steps is not None:
            num_steps = experiment.for_contender(trial.contender).num_steps
        if trial.weight_shapes and parameters is not None and trial.pretrained is None:
            shapes = trial.weight_shapes.items()
            sizes = [math.prod(shape) for name, shape in shapes if not name.endswith(STATISTICS)]
            # `weight_shapes` has no single numbers, of which an array may have one besides.
            parameters = min(max(parameters, sum(sizes)), sum(sizes) + len(sizes))
    if operations is not None:
        operations = structs.replace(
            operations,
            num_steps=num_steps or operations.num_steps,
            totals=totals(operations.layers, operations.num_steps),
        )
    if anytime is not None and anytime.accuracies and trial.test is not None:
        anytime = structs.replace(
            anytime,
            num_steps=num_steps or anytime.num_steps,
            n=trial.test.n,
            accuracies=[*anytime.accuracies[:-1], trial.test.accuracy],
        )
    return structs.replace(
        trial,
        num_steps=num_steps,
        parameters=parameters,
        epochs=len(trial.history) if trial.derived_from is None else trial.epochs,
        operations=operations,
        anytime=anytime,
    )


def _compare_trainings(
    check: Check, predictions_file: PredictionsFile, trials: Sequence[Trial]
) -> None:
    """Compare whose predictions there are, and the keys of their trainings, with the trials. A
    converted network has its source's keys.
    """
    by_fold = sorted(trials, key=lambda trial: trial.fold or 0)
    of_seeds = grouped(((trial.contender, trial.seed), trial) for trial in by_fold)
    keys, tested = {}, []
    for (contender, seed), of_seed in of_seeds.items():
        source = of_seed[0].derived_from or contender
        keys[contender, seed] = [trial.key for trial in of_seeds.get((source, seed), ())]
        if all(trial.test for trial in of_seed):
            tested += [(contender, seed, name) for name in (None, *of_seed[0].variants)]
    listed = [
        (seed_predictions.contender, seed_predictions.seed, seed_predictions.variant)
        for seed_predictions in predictions_file.trials
    ]
    check.compare(FILE, sorted(listed, key=str), sorted(tested, key=str), "trials")
    for index, seed_predictions in enumerate(predictions_file.trials):
        follows = keys.get((seed_predictions.contender, seed_predictions.seed))
        check.compare(FILE, seed_predictions.trainings, follows, f"trials[{index}].trainings")


def lines_of(path: Path) -> list[str]:
    return files.read_bytes(path).decode("utf-8", "replace").splitlines()


def _compare_split(
    check: Check, placed: Sequence[PlacedImage], predictions_file: PredictionsFile, results: Results
) -> Dataset:
    """Compare the split with the predictions, and return the data set with what the split
    decides.
    """
    dataset, experiment = results.dataset, results.experiment
    folds = [
        [row for row in placed if row.fold == fold]
        for fold in dict.fromkeys(row.fold for row in placed)
    ]
    splits_of_folds = [
        {split_name: [row.name for row in rows if row.split == split_name] for split_name in SPLITS}
        for rows in folds
    ]
    tested = [row for rows in folds for row in rows if row.split == "test"]
    check.compare(FILE, predictions_file.images, [row.image for row in tested], "images")
    groups = None
    if any(row.group is not None for row in placed):
        groups = {row.name: row.group for row in placed}
        check.compare(
            FILE,
            predictions_file.groups and numbered(predictions_file.groups).tolist(),
            numbered([row.group for row in tested]).tolist(),
            "groups",
        )
    check.compare(
        FILE,
        {
            "name": predictions_file.dataset,
            "fingerprint": predictions_file.fingerprint,
            "classes": predictions_file.classes,
        },
        {part: getattr(dataset, part) for part in ("name", "fingerprint", "classes")},
    )
    audit = dataset.audit and structs.replace(
        dataset.audit,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        split=dataset.split,
        counts=of_split(splits_of_folds[:1], None)["counts"],
    )
    # Code of a user's own may give its images any hashes.
    if audit and experiment.dataset not in experiment.own_code:
        audit = _with_copies(audit, folds[0])
    return structs.replace(dataset, **of_split(splits_of_folds, groups), audit=audit)


def _with_copies(audit: Audit, placed: Sequence[PlacedImage]) -> Audit:
    """Return `audit` with at least as many exact copies between sides as equal files are `placed`
    there; other files may hold the same pixels.
    """
    images = {
        split_name: {row.image for row in placed if row.split == split_name}
        for split_name in SPLITS
    }
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


def _compare_archive(check: Check, folder: Path, made: Mapping[str, bytes]) -> None:
    """Compare the files `made` of the results, and name files that spikeduel does not write."""
    for name, content in made.items():
        if (folder / name).is_file():
            check.compare(name, lines_of(folder / name), content.decode().splitlines())
    if not made:
        return
    expected = {*made, *hashes.of_files(folder, [*hashes.ARCHIVED, hashes.FILE, hashes.LICENSE])}
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and (name := path.relative_to(folder).as_posix()) not in expected:
            check.discrepancies.append(
                Discrepancy(file=name, place="", stored=None, computed=None, unknown=True)
            )


def _compare_hashes(check: Check, folder: Path, needed: Collection[str]) -> None:
    """Compare the hashes of all files; those stated and those `needed` must be there."""
    stated = hashes.read(folder)
    there = hashes.of_files(folder, [*hashes.PARTS, *map(glob.escape, {*stated, *needed})])
    for name in sorted({*stated, *needed, *there}):
        if name in there:
            check.compare(hashes.FILE, stated.get(name), there[name], name)
        else:
            check.discrepancies.append(
                Discrepancy(file=name, place="", stored=None, computed=None, missing=True)
            )
