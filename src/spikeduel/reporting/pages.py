"""Build the pages of a comparison and an audit."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeduel import data, energy
from spikeduel.analysis import hashes
from spikeduel.analysis.conclusions import with_energy
from spikeduel.auditing import audit_sentences as audit_words
from spikeduel.auditing.audit_results import Audit
from spikeduel.auditing.labels import write_csv
from spikeduel.data import Prepared
from spikeduel.data.audited import examine
from spikeduel.energy import Prices
from spikeduel.engine.kernels import unfused
from spikeduel.engine.networks.models import Model, load_model
from spikeduel.features import providing
from spikeduel.reporting import accuracies, cost_figures as costs, drawing, images as pictures
from spikeduel.reporting.charts import Chart, contender_colours
from spikeduel.reporting.rendering import DEFINITIONS, write
from spikeduel.reporting.sections import Page, RunData, Section
from spikeduel.results import predictions
from spikeduel.results.findings import is_leak
from spikeduel.sentences import cost_sentences as cost_words
from spikeduel.sentences.comparison import Comparison, load_run
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import listed

NO_PRICES = Prices()


SECTIONS = {
    "recommendation": "Recommendation",
    "results": "Results",
    "caveats": "Caveats",
    "classes": "By class",
    "costs": "Cost per inference",
    "accountings": "Energy accountings",
    "curves": "Learning curves",
    "audit": "Data audit",
    "data": "The data",
    "method": "Method",
    "reproduce": "Reproduce",
    "spikes": "What spikes and encodings are",
}
"""Headings of the sections by id, without those of features; each is `id`_section.html.j2."""


def report(
    comparison: Comparison,
    path: Path | str | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    prices: Prices = NO_PRICES,
    run_data: RunData | None = None,
    figures: bool = False,
) -> Path:
    """Write the report of a comparison as one HTML page.

    Parameters
    ----------
    comparison : Comparison
        Comparison to report.
    path : Path or str, optional
        File to write. Default: report.html in the run's folder.
    progress : Progress, optional
        Where to show progress.
    own_code : collection of str
        Names `module:attribute` of your own code that may run.
    prices : Prices
        Energy tables and accountings of your own. Charts show them first.
    run_data : RunData, optional
        Data of the run. Default: they are loaded and audited again.
    figures : bool
        Whether to write each chart into figures/, too.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the page cannot be written.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.report(sd.load_run("runs/digits"), "page.html").name
    'page.html'
    """
    missing = list[str]()
    models = _load_models(comparison, missing, own_code)
    run_data = run_data or _load_data(comparison, progress or Progress(), missing, own_code)
    predictions_file = None
    try:
        predictions_file = predictions.read(comparison.out)
    except InputError as error:
        missing.append(f"The predictions of single images are missing: {error}")
    table = next(iter(prices.tables), energy.read(energy.HEADLINE))
    page = Page(comparison, table, models, run_data, predictions_file, missing)
    path = Path(path or comparison.out / hashes.PAGE)
    # Of single images, which are shown sooner than kernels for them are compiled.
    with unfused():
        sections = _of_features(page)
        of_sections = [chart for section in sections.values() for chart in section.charts]
        drawn = {chart.name: chart for chart in (*_charts(page), *of_sections) if chart}
        content = _context(page, drawn, sections)
    write(path, "report.html.j2", content, comparison.results.dataset.noun)
    if figures:
        for chart in drawn.values():
            drawing.save(chart, comparison.out / "figures")
    hashes.renew_page(comparison.out)
    return path


def report_again(
    run: Path,
    path: Path | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    prices: Prices = NO_PRICES,
    figures: bool = False,
) -> Path:
    """Write the page of the run in a folder, perhaps damaged, with energies by `prices` first;
    return its path. Raises `InputError`.
    """
    comparison = load_run(run)
    try:
        # Runs of earlier versions get this version's accountings.
        comparison = replace(comparison, results=with_energy(comparison.results, prices))
        return report(comparison, path, progress, own_code, prices, figures=figures)
    except SpikeduelError:
        raise
    # Drawing finds values that no chart can have.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(run) / 'results.json'}: no report can be made of it ({type(error).__name__}: "
            f"{error}). The file is "
            "damaged or was written by something else. The comparison's own command writes it "
            "again, without training."
        ) from error


def audit_page(audit: Audit, prepared: Prepared, out: Path | str) -> Path:
    """Write audit.html, audit.json, labels.csv and groups.csv into `out`; return the page's path.
    Raises `InputError`.
    """
    out = Path(out)
    files.require_writable(out)
    typed.write_json(out / "audit.json", audit_words.document(audit))
    write_csv(out / "labels.csv", audit.details.labels)
    if audit.details.groups and prepared.names:
        rows = zip(prepared.names, audit.details.groups, strict=True)
        files.write_csv(out / "groups.csv", [("path", "group"), *rows])
    page = {
        "title": f"Audit of {audit.dataset}",
        "audit": audit,
        "drawn": {},
        "galleries": _galleries(audit, prepared),
    }
    return write(out / "audit.html", "audit.html.j2", page, audit.noun)


def _galleries(audit: Audit | None, prepared: Prepared | None) -> dict[str, list[pictures.Picture]]:
    if audit is None or prepared is None:
        return {}
    galleries = {
        "audit-pairs": pictures.pairs(audit.details.pairs, prepared),
        "audit-labels": pictures.labels(audit.details.labels, prepared),
    }
    return {name: gallery for name, gallery in galleries.items() if gallery}


def _charts(page: Page) -> Iterator[Chart | None]:
    results, colours = page.results, contender_colours(page.results.trials)
    yield costs.at_a_glance(results)
    if results.comparison.pairs:
        yield accuracies.pair_differences([pair.leader_first for pair in results.comparison.pairs])
    yield costs.pareto(results, page.table)
    if accountings := results.energy_accountings:
        for accounted in cost_words.main_pairs(accountings):
            yield costs.energy_accountings(accounted, accountings, colours)
    # A single epoch is no curve.
    if any(len(trial.history) > 1 for trial in results.trials):
        yield accuracies.learning_curves(results)


def _of_features(page: Page) -> dict[str, Section]:
    """Return the sections of features, without those whose feature concluded nothing."""
    concluded, concluding = page.results.features, providing("Conclusion")
    sections = {
        name: section(page, concluded.get(name))
        for name, section in providing("section").items()
        if name in concluded or name not in concluding
    }
    return {name: section for name, section in sections.items() if section}


def _sections(
    page: Page, drawn: Collection[str], of_features: Mapping[str, Section]
) -> dict[str, Section]:
    """Return the sections in order: those of features after the ones of the core that they name."""
    compared = page.results.comparison
    there = {
        "caveats": compared.caveats or page.missing,
        "costs": cost_words.rows(page.results),
        "accountings": page.results.energy_accountings,
        "curves": "learning-curves" in drawn,
        "audit": page.audit,
        "data": page.run_data,
    }
    order = list(SECTIONS)
    for name, section in of_features.items():
        position = order.index(section.after if section.after in SECTIONS else "data") + 1
        while order[position] in of_features:
            position += 1
        order.insert(position, name)
    core = {id: Section(heading) for id, heading in SECTIONS.items() if there.get(id, True)}
    sections = {**core, **of_features}
    return {id: sections[id] for id in order if id in sections}


def _context(
    page: Page, drawn: dict[str, Chart], of_features: Mapping[str, Section]
) -> dict[str, Any]:
    results, comparison = page.results, page.comparison
    prepared = page.run_data.prepared if page.run_data else None
    sentences = zip(results.comparison.caveats, comparison.caveats(), strict=True)
    colours = contender_colours(results.trials)
    names = results.contenders
    against = " against ".join(names) if len(names) < 3 else listed(names)
    return {
        "title": f"{against} on {results.dataset.name}",
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
                "kind": results.of(name, tested=False)[0].kind.upper(),
                "trials": results.of(name, tested=False),
                "tested": results.of(name),
            }
            for name, colour in colours.items()
        ],
        "drawn": drawn,
        "table": page.table.title,
        "counted": cost_words.MEMORY_TITLES[page.table.leading_memory],
        "prepared": prepared,
        "audit": page.audit,
        "missing": page.missing,
        "sections": _sections(page, drawn, of_features),
        "definitions": {
            word: text
            for definitions in (
                DEFINITIONS,
                *(section.definitions for section in of_features.values()),
            )
            for word, text in definitions.items()
        },
        "galleries": _galleries(page.audit, prepared)
        | ({"samples": pictures.samples(prepared)} if prepared else {}),
    }


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
    """Return the data; None if missing or not the trials'."""
    experiment, dataset = comparison.experiment, comparison.results.dataset
    if experiment.dataset in experiment.own_code and experiment.dataset not in own_code:
        missing.append(
            f"The data is made by the code {experiment.dataset}, so no image is shown; --own-code "
            f"{experiment.dataset} allows it."
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
    audit = examine(experiment, prepared, splits[0], progress) if dataset.audit else None
    return RunData(prepared, splits, audit)
