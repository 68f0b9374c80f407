"""The HTML pages: a whole comparison, a tuning or an audit, each on one page that needs nothing
else.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from spikeduel import auditing, data
from spikeduel.auditing import Audit
from spikeduel.auditing.duplicates import write_groups
from spikeduel.auditing.labels import write_csv
from spikeduel.data import Prepared, Split
from spikeduel.measuring import costing, energy
from spikeduel.measuring.energy.accounting import Accounting
from spikeduel.measuring.inside import look_inside
from spikeduel.networks.model_files import load_model
from spikeduel.networks.models import Model
from spikeduel.reporting import (
    anytime,
    court,
    figures,
    gallery,
    learning,
    pareto,
    recorded,
    reliability,
    rendering,
    style,
    thumbnails,
)
from spikeduel.reporting.rendering import Drawings, saved, write
from spikeduel.results import predictions, rankings
from spikeduel.results.columns import calibrations
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.findings import is_leak
from spikeduel.results.inside import Inside
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.results.words import audit as audit_words
from spikeduel.results.words import court as court_words
from spikeduel.results.words import measures
from spikeduel.results.words import report as words
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikeCountReadout
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress

MOST_INSIDE = 4
"""Models that are looked into."""


@dataclass(frozen=True, eq=False)
class Held:
    """The data of a run: prepared images, their split (or that of each fold), and the audit of the
    first one.
    """

    prepared: Prepared
    splits: Sequence[Split]
    audit: Audit | None = None


def report(
    comparison: Comparison,
    path: Path | str | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    table: energy.Table | None = None,
    held: Held | None = None,
) -> Path:
    """Writes the page to `path` (the run's `report.html`) and its figures to the run's `figures/`;
    returns `path`.

    A page elsewhere has its figures in itself alone: those of the run stay as they are. Energies
    lead with those of `table`, which are in the results. `held` is the run's data where it is at
    hand; else it is loaded and audited again. Where data or a model is missing, the page says so
    and goes without those figures; so it does for models and data of one's own code unless
    `own_code` allows it (see `load_model`). Raises `InputError` where it cannot write.
    """
    its_own = comparison.out / "report.html"
    path = Path(path or its_own)
    elsewhere = path.resolve() != its_own.resolve()
    with TemporaryDirectory() if elsewhere else nullcontext(comparison.out / "figures") as folder:
        page = _page_of(comparison, Path(folder), progress, own_code, table, held)
        return write(path, "report.html.j2", page, comparison.results.dataset.noun)


def _page_of(
    comparison: Comparison,
    folder: Path,
    progress: Progress | None,
    own_code: Collection[str],
    table: energy.Table | None,
    held: Held | None,
) -> dict[str, Any]:
    """What the page of a run is rendered from; its figures are written to `folder`."""
    results, missing = comparison.results, list[str]()
    models = _load_models(comparison, missing, own_code)
    table = table or energy.read(energy.HEADLINE)
    held = held or _load_data(comparison, progress or Progress(), missing, own_code)
    audit = held.audit if held else results.dataset.audit
    drawn = {
        **saved(_of_results(results, table), folder),
        **saved(_of_audit(audit, held.prepared if held else None, results.trials), folder),
    }
    page: dict[str, Any] = {"inside": None, "encoded": None}
    if held:
        tests = {
            name: held.splits[model.card.trained_on.get("fold") or 0].test
            for name, model in models.items()
        }
        drawn |= saved(_of_data(results, held), folder)
        page["inside"] = _look_inside(models, held.prepared, tests)
        page["encoded"] = _encoded(models, held.prepared, tests, folder)
    by_caveat = zip(results.comparison.caveats, comparison.caveats(), strict=True)
    page |= {
        "title": words.title(results),
        "results": results,
        "run": comparison.out,
        "own_code": comparison.experiment.own_code,
        "verdict": comparison.verdict(),
        "leakage": comparison.leaks(),
        "caveats": [text for each, text in by_caveat if not is_leak(each)],
        "contenders": [
            {
                "name": name,
                "colour": colour,
                "trials": results.of(name, tested=False),
                "tested": results.of(name),
            }
            for name, colour in style.contender_colours(results.trials).items()
        ],
        "drawn": drawn,
        "table": table.title,
        "prepared": held.prepared if held else None,
        "pictured": _behind_numbers(comparison, held, missing),
        "audit": audit,
        "counting": [
            name for name, model in models.items() if isinstance(model.readout, SpikeCountReadout)
        ],
        "tuning": results.tuning,
        "missing": missing,
    }
    return page


def report_again(
    run: Path,
    path: Path | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    tables: Sequence[energy.Table] = (),
    accountings: Sequence[Accounting] = (),
) -> Path:
    """`report` for the run in a folder, by `tables` and `accountings` of one's own first; returns
    the page's path.

    What the folder holds may be damaged, or written by somebody else. Raises `InputError` where no
    page can be made.
    """
    comparison = load_run(run)
    try:
        # From the stored counts, so that runs of earlier versions are shown by the accounting of
        # this one.
        comparison = replace(comparison, results=costing.with_energy(comparison.results, tables))
        comparison = replace(
            comparison, results=costing.with_court(comparison.results, accountings)
        )
        return report(comparison, path, progress, own_code, tables[0] if tables else None)
    except SpikeduelError:
        raise
    # What is read has its types; what only a figure asks of its values is found out by drawing it.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(run) / 'results.json'}: no report can be made of it ({type(error).__name__}: "
            f"{error}). The file is "
            "damaged or was written by something else. The comparison's own command writes it "
            "again, without training."
        ) from error


def report_tuning(tuning: TuningRecord, folder: Path) -> Path:
    """Writes `folder`/tuning.html and its figure; returns the page's path. Raises `InputError`."""
    title = f"Tuning {' and '.join(each.contender for each in tuning.contenders)} on {tuning.dataset.name}"
    drawn = saved([("tuning", partial(learning.tuning_trials, tuning))], folder / "figures")
    page = {
        "title": title,
        "pictured": None,
        "run": folder,
        "results": tuning,
        "drawn": drawn,
        "tuning": tuning,
    }
    return write(folder / "tuning.html", "tuning.html.j2", page)


def audit_page(audit: Audit, prepared: Prepared, out: Path | str) -> Path:
    """Writes `audit.html`, `audit.json` and the figures into `out`; returns the page. Raises
    `InputError`.
    """
    out = Path(out)
    files.require_writable(out)
    drawn = saved(_of_audit(audit, prepared, []), out / "figures")
    typed.write_json(out / "audit.json", audit_words.document(audit))
    write_csv(out / "labels.csv", audit.details.labels)
    if audit.details.groups and prepared.names:
        write_groups(out / "groups.csv", prepared.names, audit.details.groups)
    page = {"pictured": None, "title": f"Audit of {audit.dataset}", "audit": audit, "drawn": drawn}
    return write(out / "audit.html", "audit.html.j2", page, audit.noun)


def _behind_numbers(
    comparison: Comparison, held: Held | None, missing: list[str]
) -> thumbnails.Thumbnails | None:
    """The test images behind the numbers of a run; None where it does not hold its answers to
    them.
    """
    try:
        kept = predictions.read(comparison.out)
    except InputError as error:
        missing.append(f"The answers to single images are missing: {error}")
        return None
    return thumbnails.of_run(comparison.results, kept, held.prepared if held else None)


def _load_models(
    comparison: Comparison, missing: list[str], own_code: Collection[str]
) -> dict[str, Model]:
    models = {}
    for name in comparison.results.contenders:
        if comparison.results.of(name):
            try:
                models[name] = load_model(comparison.best(name), own_code=own_code)
            except SpikeduelError as error:
                missing.append(f"The model of {name} could not be loaded: {error}")
    return models


def _load_data(
    comparison: Comparison, progress: Progress, missing: list[str], own_code: Collection[str]
) -> Held | None:
    """The data, its splits, and its audit where the run has one; None where the trials were trained
    on other data.
    """
    experiment, dataset = comparison.experiment, comparison.results.dataset
    if experiment.dataset in experiment.own_code and experiment.dataset not in own_code:
        missing.append(
            f"The data is made by the code {experiment.dataset}, so no image is shown; --own-code "
            f"{experiment.dataset} "
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
        missing.append(
            "The data is no longer what these models were trained on, so no image is shown."
        )
        return None
    audit = auditing.examine(experiment, prepared, splits[0], progress) if dataset.audit else None
    return Held(prepared, splits, audit)


def _of_results(results: Results, table: energy.Table) -> Drawings:
    colours = style.contender_colours(results.trials)
    # Of a single epoch there is no curve.
    if any(len(trial.history) > 1 for trial in results.trials):
        yield "learning-curves", partial(learning.learning_curves, results)
        yield "accuracy-over-time", partial(learning.accuracy_over_time, results)
    if any(trial.optimism for trial in results.trials):
        yield "optimism", partial(learning.optimism, results)
    if pairs := results.comparison.pairs:
        yield "differences", partial(figures.forest, [pair.led for pair in pairs])
    if results.comparison.controls:
        recordings = results.comparison.controls[0].of_recordings
        yield (
            "controls",
            partial(recorded.time_controls if recordings else figures.controls, results),
        )
    yield "pareto", partial(pareto.pareto, results, table)
    yield "answer", partial(pareto.at_a_glance, results)
    if results.court:
        for case in court_words.shown(results.court):
            yield court_words.figure_name(case), partial(court.chart, case, results.court, colours)
    for name, counted in rankings.counted_operations(results).items():
        if counted.totals.neurons and results.of(name, tested=False)[0].spiking:
            twin = rankings.trained_twin(results, name)
            yield (
                f"break-even-{style.file_name(name)}",
                partial(pareto.break_even, counted, name, colours[name], twin),
            )
    if anytime.followed(results):
        yield "anytime", partial(anytime.curves, results, table)
    yield "recorded", partial(recorded.while_it_happens, results)
    if anytime.sources(results):
        yield "conversion", partial(anytime.conversion, results)
    if measured := calibrations(results):
        yield "reliability", partial(reliability.diagrams, measured, colours)
    if measures.robustness_by_contender(results):
        yield "robustness", partial(reliability.robustness, results)
    if results.tuning:
        yield "tuning", partial(learning.tuning_trials, results.tuning)


def _of_audit(audit: Audit | None, prepared: Prepared | None, trials: Sequence[Trial]) -> Drawings:
    if audit is None:
        return
    if prepared is not None and audit.details.pairs:
        yield (
            "audit-pairs",
            partial(reliability.pairs, audit.details.pairs[: rendering.MOST_PICTURED], prepared),
        )
    if prepared is not None and audit.details.labels:
        yield (
            "audit-labels",
            partial(reliability.labels, audit.details.labels[: rendering.MOST_PICTURED], prepared),
        )
    if audit.details.within_quantiles and audit.distances.test_to_train:
        yield "audit-distances", partial(reliability.distances, audit)
    if any(trial.test and trial.test.by_distance for trial in trials):
        yield "audit-accuracy-by-distance", partial(reliability.accuracy_by_distance, trials)


def _of_data(results: Results, held: Held) -> Drawings:
    yield "samples", partial(figures.samples, held.prepared)
    if suspect := results.dataset.suspect_labels:
        yield (
            "labels",
            partial(reliability.labels, suspect[: rendering.MOST_PICTURED], held.prepared),
        )
    test = held.splits[0].test
    if measures.robustness_by_contender(results) and len(test):
        index = gallery.telling_image(held.prepared, test)
        yield (
            "corruptions",
            partial(reliability.corruptions, np.asarray(held.prepared.images[index]), index),
        )


def _look_inside(
    models: Mapping[str, Model], prepared: Prepared, tests: Mapping[str, np.ndarray]
) -> Inside | None:
    """What happens inside the first `MOST_INSIDE` models for one image that is a test image of all;
    None without one.

    `tests` has the indices of each model's test images.
    """
    shown = dict(list(models.items())[:MOST_INSIDE])
    index = gallery.differing_image(shown, prepared, tests) if shown else None
    if index is None:
        return None
    truth, keys = (
        prepared.classes[int(prepared.labels[index])],
        RandomKeys.for_evaluation(np.array([index])),
    )
    return look_inside(shown, np.asarray(prepared.images[index]), truth, keys)


def _encoded(
    models: Mapping[str, Model], prepared: Prepared, tests: Mapping[str, np.ndarray], folder: Path
) -> dict[str, Any] | None:
    """Figures of an image's rate encoding, and what they show; None of recordings, and where no
    model spikes.
    """
    spiking = [name for name, model in models.items() if model.card.encoding and len(tests[name])]
    if not spiking or models[spiking[0]].card.preprocessing.binning:
        return None
    index = gallery.telling_image(prepared, tests[spiking[0]])
    animation, diagonal = gallery.of_rate_encoding(np.asarray(prepared.images[index]), folder)
    label = prepared.classes[int(prepared.labels[index])]
    encoding = models[spiking[0]].card.encoding
    return {"animation": animation, "diagonal": diagonal, "label": label, "encoding": encoding}
