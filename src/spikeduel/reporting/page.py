"""report.html: the whole comparison on one page that needs nothing else, not even a network."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split, auditing
from spikeduel.data.auditing import Audit
from spikeduel.measuring import costing, energy
from spikeduel.networks.model_files import load_model
from spikeduel.networks.models import Model
from spikeduel.reporting import audited, conditions, costs, figures, gains, gallery, reliability, style
from spikeduel.reporting.style import Shown
from spikeduel.reporting.template import template
from spikeduel.reporting.tuning import section
from spikeduel.results.caveats import Leakage
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.run import Results, TuningRecord
from spikeduel.results.trials import AddedMeasure, ClassScores, Trial
from spikeduel.results.words import caveats, tables, verdict
from spikeduel.results.words import report as words
from spikeduel.system import files
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress


@dataclass(frozen=True)
class Held:
    """The data of a run: prepared images, their split (or that of each fold), and the audit of the first one."""

    prepared: Prepared
    splits: Sequence[Split]
    audit: Audit | None = None


@dataclass(frozen=True)
class Contender:
    """One contender of the page: all its trials, and its colour in tables and figures."""

    name: str
    colour: str
    trials: list[Trial]

    @cached_property
    def tested(self) -> list[Trial]:
        """The trials with a test result."""
        return [trial for trial in self.trials if trial.test]

    @property
    def spiking(self) -> bool:
        """Whether it is a spiking network."""
        return self.trials[0].spiking

    @property
    def per_class(self) -> list[ClassScores]:
        """Scores of each class, averaged over the trials; its support in all folds of a seed."""
        num_seeds = len({trial.seed for trial in self.tested})
        rows = zip(*(trial.test.per_class for trial in self.tested if trial.test), strict=True)
        return [
            ClassScores(
                name=row[0].name,
                precision=float(np.mean([scores.precision for scores in row])),
                recall=float(np.mean([scores.recall for scores in row])),
                f1=float(np.mean([scores.f1 for scores in row])),
                support=round(sum(scores.support for scores in row) / num_seeds),
            )
            for row in rows
        ]

    @property
    def confusion(self) -> list[list[int]]:
        """The sum of the trials' confusion matrices."""
        return np.sum([trial.test.confusion for trial in self.tested if trial.test], axis=0).tolist()


def contenders_of(results: Results) -> list[Contender]:
    """The contenders of a run, in order."""
    colours = style.contender_colours(results.trials)
    return [Contender(name, colour, results.of(name, tested=False)) for name, colour in colours.items()]


def report(
    comparison: Comparison,
    path: Path | str | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    table: energy.Table | None = None,
    held: Held | None = None,
) -> Path:
    """Writes the page to `path` (the run's `report.html`) and its figures to the run's `figures/`; returns `path`.

    Energies lead with those of `table`, which are in the results. `held` is the run's data where it is at hand; else it
    is loaded and audited again. Where data or a model is missing, the page says so and goes without those figures; so
    it does for models and data of one's own code unless `own_code` allows it (see `load_model`). Raises `InputError`
    where it cannot write.
    """
    path = Path(path) if path else comparison.out / "report.html"
    results, folder = comparison.results, comparison.out / "figures"
    missing: list[str] = []
    contenders = contenders_of(results)
    models = _load_models(comparison, contenders, missing, own_code)
    held = held or _load_data(comparison, progress or Progress(), missing, own_code)
    audit = held.audit if held else results.dataset.audit
    found = results.comparison.caveats
    page = {
        "results": results,
        "run": comparison.out,
        "own_code": comparison.experiment.own_code,
        "title": words.title(results),
        "verdict": comparison.verdict(),
        "leakage": [caveats.sentence(each, results.dataset.audit) for each in found if isinstance(each, Leakage)],
        "caveats": [caveats.sentence(each, results.dataset.audit) for each in found if not isinstance(each, Leakage)],
        "contenders": contenders,
        "spread_note": tables.spread_note(results.trials),
        "added": added_measures(results.trials),
        "differences": _differences(results, folder),
        "controls": verdict,
        "controlled": _controlled(results, folder),
        "costs": costs.section(results, folder, table),
        "audited": audit and audited.section(audit, held.prepared if held else None, folder, results.trials),
        "tuning": section(results.tuning, folder),
        "curves": _curves(results, folder),
        "confusions": {each.name: _confusion(each, results, folder) for each in contenders if each.tested},
        "calibration": reliability.section(results, models, folder),
        **_of_data(results, models, held, folder),
        "missing": missing,
    }
    files.write_text(path, template().render(page))
    return path


def report_again(
    run: Path,
    path: Path | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    tables: Sequence[energy.Table] = (),
) -> Path:
    """`report` for the run in a folder, its energies by `tables` first; returns the page's path.

    What the folder holds may be damaged, or written by somebody else. Raises `InputError` where no page can be made.
    """
    comparison = load_run(run)
    try:
        if tables:
            comparison = replace(comparison, results=costing.with_energy(comparison.results, tables))
        return report(comparison, path, progress, own_code, tables[0] if tables else None)
    except SpikeduelError:
        raise
    # What is read has its types; what only a figure asks of its values is found out by drawing it.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(run) / 'results.json'}: no report can be made of it ({type(error).__name__}: {error}). The file is "
            "damaged or was written by something else. The comparison's own command writes it again, without training."
        ) from error


def report_tuning(tuning: TuningRecord, folder: Path) -> Path:
    """Writes `folder`/tuning.html and its figure; returns the page's path. Raises `InputError`."""
    page = {
        "title": f"Tuning {' and '.join(each.contender for each in tuning.contenders)} on {tuning.dataset.name}",
        "run": folder,
        "tuning": section(tuning, folder / "figures"),
        "results": tuning,
    }
    files.write_text(folder / "tuning.html", template("tuning.html.j2").render(page))
    return folder / "tuning.html"


def added_measures(trials: Sequence[Trial]) -> dict[str, AddedMeasure]:
    """The measures from outside the package that some trial has, by name."""
    return {name: measure for trial in trials for name, measure in trial.measures.items()}


def _load_models(
    comparison: Comparison, contenders: Sequence[Contender], missing: list[str], own_code: Collection[str]
) -> dict[str, Model]:
    models = {}
    for contender in contenders:
        if contender.tested:
            try:
                models[contender.name] = load_model(comparison.best(contender.name), own_code=own_code)
            except SpikeduelError as error:
                missing.append(f"The model of {contender.name} could not be loaded: {error}")
    return models


def _load_data(
    comparison: Comparison, progress: Progress, missing: list[str], own_code: Collection[str]
) -> Held | None:
    """The data, its splits, and its audit where the run has one; None where the trials were trained on other data."""
    experiment, dataset = comparison.experiment, comparison.results.dataset
    if experiment.dataset in experiment.own_code and experiment.dataset not in own_code:
        missing.append(
            f"The data is made by the code {experiment.dataset}, so no image is shown; --own-code {experiment.dataset} "
            "allows it."
        )
        return None
    try:
        prepared = data.load(experiment, progress.track, say=progress.say)
        splits = data.splits(prepared, experiment)
    except SpikeduelError as error:
        missing.append(f"The data is missing, so no image is shown: {error}")
        return None
    if prepared.fingerprint != dataset.fingerprint:
        missing.append("The data is no longer what these models were trained on, so no image is shown.")
        return None
    audit = auditing.examine(experiment, prepared, splits[0], progress) if dataset.audit else None
    return Held(prepared, splits, audit)


def _of_data(results: Results, models: Mapping[str, Model], held: Held | None, folder: Path) -> dict[str, object]:
    """What the page shows of images, and of models that look at them."""
    if held is None:
        return {
            "samples": None,
            "inside": [],
            "examples": {},
            "robustness": conditions.section(results, None, None, folder),
        }
    prepared, splits = held.prepared, held.splits
    tests = {name: splits[model.card.trained_on.get("fold") or 0].test for name, model in models.items()}
    return {
        "samples": gallery.of_data(prepared, folder),
        "inside": gallery.inside(models, prepared, tests, folder),
        "examples": {
            name: gallery.right_and_wrong(name, model, prepared, tests[name], folder) for name, model in models.items()
        },
        "robustness": conditions.section(results, prepared, splits[0].test, folder),
    }


def _curves(results: Results, folder: Path) -> Shown | None:
    if not any(trial.history for trial in results.trials):
        return None
    several = any(trial.seed or trial.fold for trial in results.trials)
    thin = " Thin lines: single trainings; thick lines: their mean while all of them train." if several else ""
    return Shown(
        style.save(figures.learning_curves(results), folder / "learning-curves.png"),
        "loss and accuracy of every contender after each epoch, on training and validation images",
        "Solid: validation; dashed: training. A dashed line that still improves while the solid one does not shows "
        f"overfitting. The dot marks the epoch whose weights were kept.{thin} Training numbers are averages over an "
        "epoch, validation numbers are taken at its end, so training can look worse at first. A spiking network's loss "
        "is a mean over time steps: compare the course of the losses, not their heights.",
    )


def _differences(results: Results, folder: Path) -> Shown | None:
    pairs = results.comparison.pairs
    if not pairs:
        return None
    grey = (
        " Where it excludes 0 and is grey, too few seeds or groups, or an exact test, leave the pair inconclusive."
        if any(pair.reservation for pair in pairs)
        else ""
    )
    return Shown(
        style.save(figures.forest(pairs), folder / "differences.png"),
        "differences in accuracy between contenders, with their 95 % and 90 % intervals and the margin of equivalence",
        "Dot: difference in accuracy; thin line: 95 % interval; thick line: 90 % interval. Shaded: the margin of "
        f"±{100 * pairs[0].margin:g} points; a thick line inside it shows equivalence. A thin line that crosses 0 "
        f"shows no better one.{grey}",
        "Differences in accuracy",
    )


def _controlled(results: Results, folder: Path) -> Shown | None:
    if not results.comparison.controls:
        return None
    seeds = "Dots are seeds, strokes their means" if any(trial.seed for trial in results.trials) else "One seed each"
    return Shown(
        style.save(gains.accuracies(results), folder / "controls.png"),
        "accuracy of every spiking contender and of each of its controls",
        f"{seeds}; the dashed line is the contender itself. Warm colours spike, blue does not.",
    )


def _confusion(contender: Contender, results: Results, folder: Path) -> Shown:
    counts, classes = contender.confusion, results.dataset.classes
    figure = figures.confusion_matrix(counts, classes, contender.colour)
    pooled = f" Counts of {words.trained_on(contender.tested)} are added up." if len(contender.tested) > 1 else ""
    return Shown(
        style.save(figure, folder / f"confusion-{style.file_name(contender.name)}.png"),
        f"confusion matrix of {contender.name} on the test images",
        "Rows: true classes; columns: answers. Correct answers lie on the diagonal; a dark cell off it is a pair of "
        f"classes that is often confused.{pooled} {words.most_confused(counts, classes)}",
        "Confusion matrix",
    )
