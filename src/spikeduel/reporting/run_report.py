"""Build report.html: the page of a comparison, a section a row of `SECTIONS`."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import auditing, data
from spikeduel.auditing import Audit
from spikeduel.data import Prepared, Split
from spikeduel.measuring import costing, energy
from spikeduel.measuring.energy.accounting import Accounting
from spikeduel.measuring.inside import look_inside
from spikeduel.networks.models import Model, load_model
from spikeduel.reporting import (
    anytime,
    audit_report,
    costs,
    differences,
    drawing,
    encoded,
    learning,
    pictures,
    reliability,
    thumbnails,
)
from spikeduel.reporting.charts import Chart, contender_colours
from spikeduel.reporting.rendering import write
from spikeduel.results import means, predictions
from spikeduel.results.columns import calibrations, robustness_of
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.findings import is_leak
from spikeduel.results.inside import Inside
from spikeduel.results.run import Results
from spikeduel.results.words import costs as cost_words
from spikeduel.results.words import energy_accountings as accounting_words
from spikeduel.results.words import report as words
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikeCountReadout
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress

MOST_INSIDE = 4
"""Models that are looked into."""


@dataclass(frozen=True)
class RunData:
    """The data of a run: prepared images, their split (or that of each fold), and the audit of the
    first split.
    """

    prepared: Prepared
    splits: Sequence[Split]
    audit: Audit | None = None


@dataclass(frozen=True)
class Page:
    """All that the sections of a page are made from; `missing` says what the page goes without."""

    comparison: Comparison
    table: energy.Table
    models: dict[str, Model]
    held: RunData | None
    missing: list[str]
    drawn: dict[str, Chart] = field(default_factory=dict)
    galleries: dict[str, list[pictures.Picture]] = field(default_factory=dict)

    @property
    def results(self) -> Results:
        """Return the results of the comparison."""
        return self.comparison.results

    @property
    def audit(self) -> Audit | None:
        """Return the audit, with all details where the data is at hand."""
        return self.held.audit if self.held else self.results.dataset.audit

    @property
    def tests(self) -> dict[str, np.ndarray]:
        """Return the indices of the test images of each model."""
        splits = self.held.splits if self.held else []
        return {
            name: splits[model.card.trained_on.get("fold") or 0].test
            for name, model in self.models.items()
        }


@dataclass(frozen=True)
class Section:
    """A section of the page, in the template `id`_section.html.j2: its charts, and whether the page
    has it, asked when all charts are made.
    """

    id: str
    heading: str
    is_shown: Callable[[Page], Any] = lambda page: True
    charts: Callable[[Page], Iterator[Chart | None]] = lambda page: iter(())


def report(
    comparison: Comparison,
    path: Path | str | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    table: energy.Table | None = None,
    held: RunData | None = None,
    figures: bool = False,
) -> Path:
    """Write the page to `path` (the run's report.html), and return `path`.

    With `figures`, also write each chart as PNG and SVG into the run's figures/. Energies lead with
    those of `table`, which are in the results. `held` is the run's data where it is at hand; else
    the data is loaded and audited again. Where data or a model is missing, the page says so; so it
    does for models and data of the user's own code unless `own_code` allows it (see `load_model`).
    Raises `InputError` where it cannot write.
    """
    missing = list[str]()
    models = _load_models(comparison, missing, own_code)
    held = held or _load_data(comparison, progress or Progress(), missing, own_code)
    table = table or energy.read(energy.HEADLINE)
    page = Page(comparison, table, models, held, missing)
    for section in SECTIONS:
        page.drawn.update({chart.name: chart for chart in section.charts(page) if chart})
    path = Path(path or comparison.out / "report.html")
    write(path, "report.html.j2", _context(page), comparison.results.dataset.noun)
    if figures:
        for chart in page.drawn.values():
            drawing.save(chart, comparison.out / "figures")
    return path


def report_again(
    run: Path,
    path: Path | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    tables: Sequence[energy.Table] = (),
    accountings: Sequence[Accounting] = (),
    figures: bool = False,
) -> Path:
    """Write the page of the run in a folder, with energies by the user's `tables` and `accountings`
    first; return the page's path.

    The folder may be damaged, or written by somebody else. Raises `InputError` where no page can be
    made.
    """
    comparison = load_run(run)
    try:
        # Stored counts are weighed again, so that runs of earlier versions are shown by the
        # accountings of this version.
        results = costing.with_energy(comparison.results, tables)
        comparison = replace(comparison, results=costing.with_accountings(results, accountings))
        table = tables[0] if tables else None
        return report(comparison, path, progress, own_code, table, figures=figures)
    except SpikeduelError:
        raise
    # Types are checked when a run is read; values that no chart can have are found by drawing.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(run) / 'results.json'}: no report can be made of it ({type(error).__name__}: "
            f"{error}). The file is "
            "damaged or was written by something else. The comparison's own command writes it "
            "again, without training."
        ) from error


def _context(page: Page) -> dict[str, Any]:
    """Return the names that the templates use."""
    results, comparison, held = page.results, page.comparison, page.held
    prepared = held.prepared if held else None
    page.galleries.update(audit_report.galleries(page.audit, prepared))
    context = {"inside": None, "encoded": None, "corruptions": None}
    if held:
        context |= _of_data(page, held)
    sentences = zip(results.comparison.caveats, comparison.caveats(), strict=True)
    return context | {
        "title": words.title(results),
        "results": results,
        "run": comparison.out,
        "own_code": comparison.experiment.own_code,
        "verdict": comparison.verdict(),
        "leakage": comparison.leaks(),
        "caveats": [sentence for caveat, sentence in sentences if not is_leak(caveat)],
        "contenders": [
            {
                "name": name,
                "colour": colour,
                "trials": results.of(name, tested=False),
                "tested": results.of(name),
            }
            for name, colour in contender_colours(results.trials).items()
        ],
        "drawn": page.drawn,
        "galleries": page.galleries,
        "table": page.table.title,
        "prepared": prepared,
        "pictured": _behind_numbers(page),
        "most_of_one": thumbnails.MOST_OF_ONE,
        "audit": page.audit,
        "counting": [
            name
            for name, model in page.models.items()
            if isinstance(model.readout, SpikeCountReadout)
        ],
        "tuning": results.tuning,
        "missing": page.missing,
        "sections": [section for section in SECTIONS if section.is_shown(page)],
    }


def _of_data(page: Page, held: RunData) -> dict[str, Any]:
    """Return what the page shows of single images."""
    prepared, test = held.prepared, held.splits[0].test
    page.galleries["samples"] = pictures.samples(prepared)
    if suspect := page.results.dataset.suspect_labels:
        page.galleries["labels"] = pictures.labels(suspect, prepared)
    corrupted = None
    if robustness_of(page.results) and len(test):
        index = encoded.telling_image(prepared, test)
        corrupted = pictures.corruptions(np.asarray(prepared.images[index]), index)
    return {
        "inside": _look_inside(page, prepared),
        "encoded": _encoded(page, prepared),
        "corruptions": corrupted,
    }


def _behind_numbers(page: Page) -> thumbnails.Thumbnails | None:
    """Return the test images behind the numbers of a run; None without the answers to them."""
    try:
        kept = predictions.read(page.comparison.out)
    except InputError as error:
        page.missing.append(f"The answers to single images are missing: {error}")
        return None
    prepared = page.held.prepared if page.held else None
    return thumbnails.of_run(page.results, kept, prepared)


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
) -> RunData | None:
    """Return the data, its splits, and its audit where the run has one; None where the data is
    missing or is not what the trials were trained on.
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
    return RunData(prepared, splits, audit)


def _look_inside(page: Page, prepared: Prepared) -> Inside | None:
    """Return what happens inside the first `MOST_INSIDE` models for one test image of all of them;
    None without such an image.
    """
    shown = dict(list(page.models.items())[:MOST_INSIDE])
    index = encoded.differing_image(shown, prepared, page.tests) if shown else None
    if index is None:
        return None
    truth = prepared.classes[int(prepared.labels[index])]
    keys = RandomKeys.for_evaluation(np.array([index]))
    return look_inside(shown, np.asarray(prepared.images[index]), truth, keys)


def _encoded(page: Page, prepared: Prepared) -> dict[str, Any] | None:
    """Return pictures of a rate encoding; None for recordings and without a spiking model."""
    tests = page.tests
    spiking = [
        name for name, model in page.models.items() if model.card.encoding and len(tests[name])
    ]
    if not spiking or page.models[spiking[0]].card.preprocessing.binning:
        return None
    index = encoded.telling_image(prepared, tests[spiking[0]])
    animation, still, diagonal = encoded.rate_encoding(np.asarray(prepared.images[index]))
    return {
        "animation": animation,
        "still": still,
        "diagonal": diagonal,
        "label": prepared.classes[int(prepared.labels[index])],
        "encoding": page.models[spiking[0]].card.encoding,
    }


# ---- sections


def _answer(page: Page) -> Iterator[Chart | None]:
    yield costs.at_a_glance(page.results)


def _results(page: Page) -> Iterator[Chart | None]:
    if pairs := page.results.comparison.pairs:
        yield differences.pair_differences([pair.led for pair in pairs])


def _costs(page: Page) -> Iterator[Chart | None]:
    results = page.results
    colours = contender_colours(results.trials)
    yield costs.pareto(results, page.table)
    for name, counted in means.counted_operations(results).items():
        if counted.totals.neurons and results.of(name, tested=False)[0].spiking:
            twin = means.trained_twin(results, name)
            yield costs.break_even(counted, name, colours[name], twin)
    if anytime.followed(results):
        yield anytime.curves(results, page.table)
    yield anytime.while_it_happens(results)
    if anytime.sources(results):
        yield anytime.conversion(results)


def _accountings(page: Page) -> Iterator[Chart | None]:
    if accountings := page.results.energy_accountings:
        colours = contender_colours(page.results.trials)
        for accounted in accounting_words.shown(accountings):
            yield differences.energy_accountings(accounted, accountings, colours)


def _controls(page: Page) -> Iterator[Chart | None]:
    if page.results.comparison.controls:
        draw = differences.time_controls if _of_recordings(page) else differences.controls
        yield draw(page.results)


def _of_recordings(page: Page) -> bool:
    controls = page.results.comparison.controls
    return bool(controls and controls[0].of_recordings)


def _curves(page: Page) -> Iterator[Chart | None]:
    # A single epoch is no curve.
    if any(len(trial.history) > 1 for trial in page.results.trials):
        yield learning.learning_curves(page.results)
        yield learning.accuracy_over_time(page.results)


def _optimism(page: Page) -> Iterator[Chart | None]:
    if any(trial.optimism for trial in page.results.trials):
        yield learning.optimism(page.results)


def _calibration(page: Page) -> Iterator[Chart | None]:
    if measured := calibrations(page.results):
        yield reliability.diagrams(measured, contender_colours(page.results.trials))


def _robustness(page: Page) -> Iterator[Chart | None]:
    if robustness_of(page.results):
        yield reliability.robustness(page.results)


def _audit(page: Page) -> Iterator[Chart | None]:
    yield audit_report.distances(page.audit)


def _tuning(page: Page) -> Iterator[Chart | None]:
    if page.results.tuning:
        yield learning.tuning_trials(page.results.tuning)


SECTIONS = (
    Section("answer", "Answer", charts=_answer),
    Section("results", "Results", charts=_results),
    Section("caveats", "Caveats", lambda page: page.results.comparison.caveats or page.missing),
    Section("disagreement", "Where they disagree", lambda page: page.results.comparison.pairs),
    Section("classes", "By class"),
    Section("costs", "Cost of an answer", lambda page: cost_words.rows(page.results), _costs),
    Section(
        "accountings",
        "Energy accountings",
        lambda page: page.results.energy_accountings,
        _accountings,
    ),
    Section(
        "controls",
        "What spiking adds",
        lambda page: page.results.comparison.controls and not _of_recordings(page),
        _controls,
    ),
    Section(
        "time",
        "What time adds",
        lambda page: page.results.comparison.without_time or _of_recordings(page),
    ),
    Section("curves", "Learning curves", lambda page: "learning-curves" in page.drawn, _curves),
    Section("optimism", "Optimism meter", lambda page: page.results.comparison.optimism, _optimism),
    Section("calibration", "Calibration", lambda page: "reliability" in page.drawn, _calibration),
    Section("robustness", "Corrupted images", lambda page: "robustness" in page.drawn, _robustness),
    Section("audit", "Data audit", lambda page: page.audit, _audit),
    Section("tuning", "Tuning", lambda page: page.results.tuning, _tuning),
    Section("looking", "Looking inside", lambda page: page.held),
    Section("method", "Method"),
    Section("reproduce", "Reproduce"),
    Section("spikes", "What spikes and encodings are"),
)
"""The sections of the page, from the top; the first one is not in a heading of its own."""
