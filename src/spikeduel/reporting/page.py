"""report.html: the whole comparison on one page that needs nothing else, not even a network."""

import base64
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from spikeduel import data, files
from spikeduel.analysis import Comparison
from spikeduel.data import Prepared
from spikeduel.errors import SpikeduelError
from spikeduel.models import Model, load_model
from spikeduel.progress import Progress
from spikeduel.reporting import conditions, figures, gallery, reliability, style, summary
from spikeduel.reporting.gallery import Shown

SCREEN_DPI = 107
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def report(
    comparison: Comparison,
    path: Path | str | None = None,
    progress: Progress | None = None,
    own_code: Collection[str] = (),
) -> Path:
    """Writes the page to `path` (the run's `report.html`) and its figures to the run's `figures/`; returns `path`.

    Where the data or a model is no longer at hand, the page says so and goes without those figures; so it does for
    models of one's own code unless `own_code` allows it (see `load_model`). Raises `InputError` where it cannot write.
    """
    progress = progress or Progress()
    path = Path(path) if path else comparison.out / "report.html"
    results, folder = comparison.results, comparison.out / "figures"
    missing: list[str] = []
    contenders = summary.contenders(results)
    models = _load_models(comparison, contenders, missing, own_code)
    prepared, test = _load_data(comparison, progress, missing)

    page = {
        "results": results,
        "run": comparison.out,
        "title": f"{' against '.join(c['name'] for c in contenders)} on {results['dataset']['name']}",
        "verdict": (results.get("comparison") or {}).get("verdict"),
        "caveats": summary.caveats(results),
        "leakage": summary.leakage(results),
        "contenders": contenders,
        "pairs": summary.pairs(results),
        "failures": summary.failures(results),
        "rules": summary.rules(results),
        "dynamics": summary.dynamics(results),
        "audit": summary.audit(results),
        "environment": summary.settings(results.get("environment") or {}),
        "settings": summary.settings(results.get("experiment") or {}),
        "curves": _curves(results, folder),
        "confusions": {c["name"]: _confusion(c, results, folder) for c in contenders if c["confusion"]},
        "samples": gallery.of_data(prepared, folder) if prepared is not None else None,
        "inside": _inside(models, contenders, prepared, test, folder),
        "examples": _examples(models, prepared, test, folder),
        "calibration": reliability.section(results, models, folder),
        "robustness": conditions.section(results, prepared, test, folder),
        "missing": missing,
    }
    files.write_text(path, _template().render(page))
    return path


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
    comparison: Comparison, progress: Progress, missing: list[str]
) -> tuple[Prepared | None, np.ndarray | None]:
    """The data and the indices of its test images; None where it is not what the trials saw."""
    try:
        prepared = data.load(comparison.experiment, progress.track)
        test = data.split(prepared, comparison.experiment).test
    except SpikeduelError as error:
        missing.append(f"The data is not at hand, so no image is shown: {error}")
        return None, None
    if prepared.fingerprint != comparison.results["dataset"]["fingerprint"]:
        missing.append("The data is no longer what these models were trained on, so no image is shown.")
        return None, None
    return prepared, test


def _curves(results: dict[str, Any], folder: Path) -> Shown | None:
    if not any(trial["history"] for trial in results["trials"]):
        return None
    several = any(trial["seed"] for trial in results["trials"])
    seeds = " Thin lines are single seeds, thick ones their mean for as long as all of them train." if several else ""
    return Shown(
        style.save(figures.learning_curves(results), folder / "learning-curves.png"),
        "loss and accuracy of every contender after each epoch, on training and validation images",
        "Solid: on validation images, which the network does not train on; dashed: on training images. A dashed line "
        "that goes on improving while the solid one does not shows overfitting. The dot marks the epoch whose "
        f"weights were kept.{seeds} Training numbers are averages over an epoch, validation numbers are taken at its "
        "end, so that training can look worse at first. A spiking network's loss is a mean over its time steps: "
        "compare its course with the others', not its height.",
    )


def _confusion(contender: dict[str, Any], results: dict[str, Any], folder: Path) -> Shown:
    classes = results["dataset"]["classes"]
    figure = figures.confusion_matrix(contender["confusion"], classes, contender["colour"])
    pooled = f" Counts of {contender['seeds']} seeds are added up." if contender["seeds"] > 1 else ""
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
    test: np.ndarray | None,
    folder: Path,
) -> list[Shown]:
    spiking = [models[c["name"]] for c in contenders if c["name"] in models and models[c["name"]].card.encoding]
    if prepared is None or test is None or not spiking or not len(test):
        return []
    index = gallery.telling_image(prepared, test)
    image = np.asarray(prepared.images[index])
    return [
        *gallery.of_rate_encoding(prepared, index, folder, spiking[0].card.encoding),
        *gallery.of_neuron(spiking[0], image, folder),
    ]


def _examples(
    models: dict[str, Model], prepared: Prepared | None, test: np.ndarray | None, folder: Path
) -> dict[str, list[Shown | str]]:
    """For each contender, a figure of a right and of a wrong answer, or a sentence in its place."""
    if prepared is None or test is None:
        return {}
    shown: dict[str, list[Shown | str]] = {}
    searched = min(len(test), gallery.MOST_SEARCHED)
    for name, model in models.items():
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


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeduel", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["width"] = shown_width
    return environment.get_template("report.html.j2")


def shown_width(path: Path) -> int:
    """How wide a picture is to stand on the page, in CSS pixels: all at one scale, so that their text has one size."""
    with Image.open(path) as picture:
        return round(picture.width * (SCREEN_DPI / style.DPI if path.suffix == ".png" else 1))


def data_uri(path: Path) -> str:
    """A picture file as the address of itself."""
    content = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f"data:{_MEDIA_TYPES[Path(path).suffix]};base64,{content}"
