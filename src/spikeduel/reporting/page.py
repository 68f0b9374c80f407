"""report.html: the whole comparison on one page that needs nothing else, not even a network."""

import base64
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from spikeduel import data
from spikeduel.data import Prepared, Split, auditing
from spikeduel.measuring import energy
from spikeduel.networks.model_files import load_model
from spikeduel.networks.models import Model
from spikeduel.reporting import (
    audited,
    conditions,
    costs,
    differences,
    figures,
    gains,
    gallery,
    reliability,
    style,
    summary,
)
from spikeduel.reporting.gallery import Shown
from spikeduel.reporting.tuning import section
from spikeduel.results.comparison import Comparison
from spikeduel.results.significance.reservations import reservation
from spikeduel.results.words.tables import spread_note
from spikeduel.system import files
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.system.visible import visible

SCREEN_DPI = 107
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def report(
    comparison: Comparison,
    path: Path | str | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
    table: energy.Table | None = None,
) -> Path:
    """Writes the page to `path` (the run's `report.html`) and its figures to the run's `figures/`; returns `path`.

    Energies lead with those of `table`, which are in the results. Where the data or a model is no longer at hand, the
    page says so and goes without those figures; so it does for models and data of one's own code unless `own_code`
    allows it (see `load_model`). Raises `InputError` where it cannot write.
    """
    progress = progress or Progress()
    path = Path(path) if path else comparison.out / "report.html"
    results, folder = comparison.results, comparison.out / "figures"
    missing: list[str] = []
    contenders = summary.contenders(results)
    models = _load_models(comparison, contenders, missing, own_code)
    prepared, splits = _load_data(comparison, progress, missing, own_code)
    tests = {name: splits[model.card.trained_on.get("fold") or 0].test for name, model in models.items() if splits}

    checked = _audited(comparison, prepared, folder, progress)

    page = {
        "results": results,
        "run": comparison.out,
        "own_code": comparison.experiment.own_code,
        "title": f"{' against '.join(c['name'] for c in contenders)} on {results['dataset']['name']}",
        "verdict": (results.get("comparison") or {}).get("verdict"),
        "caveats": summary.caveats(results),
        "leakage": summary.leakage(results),
        "contenders": contenders,
        "spread_note": spread_note(results["trials"]),
        "pairs": summary.pairs(results),
        "how_compared": summary.how_compared(results),
        "differences": _differences(results, folder),
        "failures": summary.failures(results),
        "rules": summary.rules(results),
        "dynamics": summary.dynamics(results),
        "audit": [] if checked else summary.audit(results),
        "audited": checked,
        "first_fold": summary.first_fold(results),
        "environment": summary.settings(results.get("environment") or {}),
        "settings": summary.settings(results.get("experiment") or {}),
        "tuning": section(results.get("tuning"), folder),
        "curves": _curves(results, folder),
        "confusions": {c["name"]: _confusion(c, results, folder) for c in contenders if c["confusion"]},
        "controls": gains.contenders(results),
        "costs": costs.section(results, folder, table),
        "control_accuracies": _control_accuracies(results, folder),
        "samples": gallery.of_data(prepared, folder) if prepared is not None else None,
        "inside": _inside(models, contenders, prepared, tests, folder),
        "examples": _examples(models, prepared, tests, folder),
        "calibration": reliability.section(results, models, folder),
        "robustness": conditions.section(results, prepared, splits[0].test if splits else None, folder),
        "missing": missing,
    }
    files.write_text(path, template().render(page))
    return path


def report_tuning(tuning: Mapping[str, Any], folder: Path) -> Path:
    """Writes `folder`/tuning.html and its figure, from the content of tuning.json; returns the page's path.

    Raises `InputError` where it cannot write.
    """
    page = {
        "title": f"Tuning {' and '.join(c['contender'] for c in tuning['contenders'])} on {tuning['dataset']['name']}",
        "run": folder,
        "tuning": section(tuning, folder / "figures"),
        "results": {name: tuning[name] for name in ("spikeduel", "created", "dataset")},
        "environment": summary.settings(tuning["environment"]),
        "settings": summary.settings(tuning["experiment"]),
    }
    files.write_text(folder / "tuning.html", template("tuning.html.j2").render(page))
    return folder / "tuning.html"


def _load_models(
    comparison: Comparison, contenders: list[dict[str, Any]], missing: list[str], own_code: Collection[str]
) -> dict[str, Model]:
    models = {}
    for contender in contenders:
        if contender["seeds"]:
            try:
                models[contender["name"]] = load_model(comparison.best(contender["name"]), own_code=own_code)
            except SpikeduelError as error:
                missing.append(f"The model of {contender['name']} could not be loaded: {error}")
    return models


def _load_data(
    comparison: Comparison, progress: Progress, missing: list[str], own_code: Collection[str]
) -> tuple[Prepared | None, tuple[Split, ...]]:
    """The data and its split, or that of each fold; nothing where it is not what the trials saw."""
    dataset = comparison.experiment.dataset
    if dataset in comparison.experiment.own_code and dataset not in own_code:
        missing.append(f"The data is made by the code {dataset}, so no image is shown; --own-code {dataset} allows it.")
        return None, ()
    try:
        prepared = data.load(comparison.experiment, progress.track, say=progress.say)
        splits = data.splits(prepared, comparison.experiment)
    except SpikeduelError as error:
        missing.append(f"The data is not at hand, so no image is shown: {error}")
        return None, ()
    if prepared.fingerprint != comparison.results["dataset"]["fingerprint"]:
        missing.append("The data is no longer what these models were trained on, so no image is shown.")
        return None, ()
    return prepared, splits


def _audited(
    comparison: Comparison, prepared: Prepared | None, folder: Path, progress: Progress
) -> dict[str, Any] | None:
    """The section on the data; None where the data is not at hand, or was not audited."""
    if prepared is None or not comparison.results["dataset"]["audit"]:
        return None
    split = data.split(prepared, comparison.experiment)
    found = auditing.examine(comparison.experiment, prepared, split, progress)
    return audited.section(found, prepared, folder, comparison.results["trials"])


def _curves(results: dict[str, Any], folder: Path) -> Shown | None:
    if not any(trial["history"] for trial in results["trials"]):
        return None
    several = any(trial["seed"] or trial.get("fold") for trial in results["trials"])
    seeds = (
        " Thin lines are single trainings, thick ones their mean for as long as all of them train." if several else ""
    )
    return Shown(
        style.save(figures.learning_curves(results), folder / "learning-curves.png"),
        "loss and accuracy of every contender after each epoch, on training and validation images",
        "Solid: on validation images, which the network does not train on; dashed: on training images. A dashed line "
        "that goes on improving while the solid one does not shows overfitting. The dot marks the epoch whose "
        f"weights were kept.{seeds} Training numbers are averages over an epoch, validation numbers are taken at its "
        "end, so that training can look worse at first. A spiking network's loss is a mean over its time steps: "
        "compare its course with the others', not its height.",
    )


def _differences(results: dict[str, Any], folder: Path) -> Shown | None:
    pairs = [pair for pair in (results.get("comparison") or {}).get("pairs") or [] if pair.get("ci95")]
    if not pairs:
        return None
    return Shown(
        style.save(differences.forest(pairs), folder / "differences.png"),
        "differences in accuracy between contenders, with their 95 % and 90 % intervals and the margin of equivalence",
        "Dot: the difference in accuracy; thin line: its 95 % interval; thick line: its 90 % interval. The shaded band "
        f"is the margin of ±{100 * pairs[0]['margin']:g} points: where the thick line lies wholly inside, the two are "
        "equivalent. Where the thin line crosses 0, neither is shown to be better."
        + (
            " A thin line that keeps clear of 0 does not show it either where seeds or groups of test images are too "
            "few, or an exact test disagrees: grey lines, with the words at their right."
            if any(map(reservation, pairs))
            else ""
        ),
        "Differences in accuracy",
    )


def _control_accuracies(results: dict[str, Any], folder: Path) -> Shown | None:
    if not gains.contenders(results):
        return None
    several = any(trial["seed"] for trial in results["trials"])
    return Shown(
        style.save(gains.accuracies(results), folder / "controls.png"),
        "accuracy of every spiking contender and of each of its controls",
        f"{'Dots are seeds, strokes their means' if several else 'One seed each'}; the dashed line is the contender "
        "itself. Warm colours spike, blue does not.",
    )


def _confusion(contender: dict[str, Any], results: dict[str, Any], folder: Path) -> Shown:
    classes = results["dataset"]["classes"]
    figure = figures.confusion_matrix(contender["confusion"], classes, contender["colour"])
    pooled = f" Counts of {contender['trained']} are added up." if contender["seeds"] > 1 else ""
    return Shown(
        style.save(figure, folder / f"confusion-{style.file_name(contender['name'])}.png"),
        f"confusion matrix of {contender['name']} on the test images",
        "Each row holds the test images of one class, each column what they were taken for. The diagonal is right; "
        f"a dark cell off it is a pair of classes that is often confused.{pooled} "
        + summary.confused(contender["confusion"], classes),
        "Confusion matrix",
    )


def _inside(
    models: dict[str, Model],
    contenders: list[dict[str, Any]],
    prepared: Prepared | None,
    tests: dict[str, np.ndarray],
    folder: Path,
) -> list[Shown]:
    spiking = [c["name"] for c in contenders if c["name"] in models and models[c["name"]].card.encoding]
    if prepared is None or not spiking or not len(tests[spiking[0]]):
        return []
    shown = next((name for name in spiking if models[name].card.foreign is None), spiking[0])
    model, test = models[shown], tests[shown]
    index = gallery.telling_image(prepared, test)
    image = np.asarray(prepared.images[index])
    return [
        *gallery.of_rate_encoding(prepared, index, folder, model.card.encoding),
        *gallery.of_neuron(model, image, folder),
    ]


def _examples(
    models: dict[str, Model], prepared: Prepared | None, tests: dict[str, np.ndarray], folder: Path
) -> dict[str, list[Shown | str]]:
    """For each contender, a figure of a right and of a wrong answer, or a sentence in its place."""
    if prepared is None:
        return {}
    shown: dict[str, list[Shown | str]] = {}
    for name, model in models.items():
        test = tests[name]
        searched = min(len(test), gallery.MOST_SEARCHED)
        shown[name] = []
        for kind, example in gallery.examples(model, prepared, test).items():
            if example is None:
                shown[name].append(f"Of the first {searched:,} test images, it gets none {kind}.")
                continue
            image = np.asarray(prepared.images[example.index])
            path = folder / f"answer-{kind}-{style.file_name(name)}.png"
            answer = gallery.of_answer(model, image, example.truth, path, example.index)
            if kind == "wrong":
                answer = replace(answer, caption="In red, what the network took it for; in green, what it is.")
            shown[name].append(replace(answer, heading=f"The first test image that it gets {kind}"))
    return shown


def template(name: str = "report.html.j2") -> jinja2.Template:
    """One of the package's pages, to be rendered."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeduel", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["width"] = shown_width
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """What is not printable in a name, such as a mark that turns the writing direction, as an escape."""
    return visible(value) if type(value) is str else value


def shown_width(path: Path) -> int:
    """How wide a picture is to stand on the page, in CSS pixels: all at one scale, so that their text has one size."""
    with Image.open(path) as picture:
        return round(picture.width * (SCREEN_DPI / style.DPI if path.suffix == ".png" else 1))


def data_uri(path: Path) -> str:
    """A picture file as the address of itself."""
    content = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f"data:{_MEDIA_TYPES[Path(path).suffix]};base64,{content}"
