"""Trained models on data: evaluate, label files, export and import."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel import data
from spikeduel.auditing.audit_results import Counts
from spikeduel.data import Prepared, Split, catalogue, pictures
from spikeduel.data.events.recording_files import of_lines
from spikeduel.data.inventory import pictures_left_out
from spikeduel.data.loader import EVALUATION_BATCH, EvaluationBatches
from spikeduel.data.splits import evenly
from spikeduel.engine.kernels import unfused
from spikeduel.engine.networks import models, shipped
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model, alike
from spikeduel.engine.random_keys import seeded
from spikeduel.experiment import effects
from spikeduel.experiment.settings import Experiment, read_experiment
from spikeduel.exporters import exporting
from spikeduel.exporters.exporting import ExportCheck
from spikeduel.features import providing
from spikeduel.results.trials import Test
from spikeduel.system.errors import InputError, needing_extra, unknown, visible
from spikeduel.system.progress import Progress
from spikeduel.training.store import Place, images_digest, opened

PARTS = ("test", "all")
NUM_EXPORTED = 1000
MAX_UNFUSED = 16
"""Images that are labelled without compiled kernels."""
_NAME_IT = (
    "Name the data, or where they are now: evaluate MODEL DATA, export … --dataset DATA (in "
    "Python: experiment=Experiment(dataset=…))."
)


class Evaluation(Test):
    """Measures of a model on images; `seen` counts them by the side on which its training had them.

    It is None if nothing says on which side an image was. `features`: the conclusion of each
    feature that measured the model.
    """

    seen: Counts | None = None
    features: dict[str, Any] = {}  # noqa: RUF012 (msgspec copies it)


def evaluate(
    model: Model,
    experiment: Experiment,
    part: str = "test",
    progress: Progress | None = None,
    store: Place = None,
) -> Evaluation:
    """Measure `model` on the test part (or all) of `experiment.dataset`, in its precision.

    Its own data are split and grouped as in training; the use of the test part is noted in `store`.
    Raises `InputError` if images, classes or split do not match.
    """
    # To label one image, none of this is loaded.
    from spikeduel.evaluation import correctness
    from spikeduel.evaluation.measures import MEASURES, measures_of
    from spikeduel.evaluation.predictions_of_model import CachedPredictions

    progress, card = progress or Progress(), model.card
    if part not in PARTS:
        raise unknown("part", part, PARTS)
    if part == "all":
        prepared, nothing = _prepared(card, experiment, progress), np.arange(0)
        split = Split(nothing, nothing, np.arange(len(prepared)), "all")
    else:
        prepared, split = _test_part(card, experiment, progress, store)
    seen = _seen(model, prepared, experiment, split.test)
    if seen is None or seen.test < len(split.test):
        few = f" {len(split.test):,} of {len(prepared):,} are tested; --part all tests all."
        progress.say(
            _on_seen(seen, card.contender, len(split.test))
            + few * (len(split.test) < len(prepared))
        )
    batches = EvaluationBatches(*prepared.arrays, split.test)
    tracked = CachedPredictions(
        progress.track(batches, "evaluating", -(-len(split.test) // EVALUATION_BATCH))
    )
    with seeded(card.seed):
        predictions = correctness.classification(model, tracked)
    with seeded(card.seed):
        deviation = correctness.encoding_deviation(model, batches)
    # Further passes are shown by the measures that take them.
    tracked.batches, measured = batches, {}
    for name, measure in measures_of(experiment, progress, card.contender).items():
        if name not in MEASURES:
            with seeded(card.seed):
                measured[name] = measure.take(model, tracked)
    scores = predictions.scores()
    features = {
        name: conclusion
        for name, conclude in providing("conclude_model").items()
        if (conclusion := conclude(card.contender, scores, measured)) is not None
    }
    return Evaluation(
        **structs.asdict(scores),
        encoding_deviation=deviation,
        seen=seen,
        features=features,
    )


def _seen(
    model: Model, prepared: Prepared, experiment: Experiment, tested: np.ndarray
) -> Counts | None:
    split_of: dict[str, str] | None = None
    with suppress(InputError):  # a file of groups may be gone
        if split := _split_as_then(model.card, prepared, experiment):
            parts = ("test", split.test), ("val", split.val), ("train", split.train)
            split_of = {
                image: split_name
                for split_name, part in parts
                for image in prepared.hashes_of(part)
            }
    with suppress(InputError):  # no split.csv, or not one of a run
        if split_of is None and model.file:
            run, fold = model.file.resolve().parent.parent, model.card.trained_on.get("fold")
            # Of a copy, the first place counts.
            placed = reversed(data.read_splits(run / "split.csv"))
            split_of = {row.image: row.split for row in placed if row.fold in (None, str(fold))}
    if split_of is None:
        return None
    counts = Counter(map(split_of.get, prepared.hashes_of(tested)))
    return Counts(train=counts["train"], val=counts["val"], test=counts["test"])


def _on_seen(seen: Counts | None, name: str, tested: int) -> str:
    if seen is None:
        return (
            f"note: it is not known which images {name} was trained on (split.csv of its run says "
            "so, for a model in the run's folder models/). If some are among these, accuracy is "
            "too high."
        )
    if not seen.train + seen.val:
        return f"note: {name} was trained and validated on none of these {tested:,} images."
    return (
        f"warning: {name} was trained on {seen.train:,} of these {tested:,} images, and validated "
        f"on {seen.val:,}. Accuracy on such images does not carry over to new ones: use --part "
        "test on the data that it was trained on."
    )


def test_images(
    model: Model,
    experiment: Experiment | None,
    most: int,
    progress: Progress | None = None,
    store: Place = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return at most `most` test images, evenly spread: uint8 `[N, C, H, W]`, int64 `[N]`, and the
    data set's name (default: that of the training). The use is noted in `store`. Raises
    `InputError`.
    """
    progress = progress or Progress()
    if experiment is None:
        experiment = trained_on(model)
        require_the_same(model.card, experiment, progress)
    prepared, split = _test_part(model.card, experiment, progress, store)
    return *_some(prepared, evenly(split.test, most)), prepared.name


def training_images(
    model: Model, experiment: Experiment | None, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return `NUM_EXAMPLES` training images, or all of fewer, evenly spread: uint8 `[N, C, H, W]`,
    int64 `[N]`. Raises `InputError`.
    """
    prepared, split = _split(model.card, experiment or trained_on(model), progress)
    return _some(prepared, evenly(split.train, exporting.NUM_EXAMPLES))


def examples(
    model: Model, most: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` test images of the training's data, evenly over the classes: uint8 `[N,
    C, H, W]`, int64 `[N]`; none if the data are absent. Nothing is scored, so no use is noted.
    """
    progress, card = progress or Progress(), model.card
    origin = shipped.origin_of(model.file) if model.file else None
    try:
        experiment = Experiment(dataset=origin.checked.dataset) if origin else trained_on(model)
        if not data.is_at_hand(experiment.dataset):
            raise InputError(f"{visible(experiment.dataset)[:80]} is not on this machine.")
        prepared, split = _split(card, experiment, progress)
    except InputError as error:
        progress.say(f"note: no sample images are at hand ({error}) Upload one, or draw.")
        return np.empty((0, *card.image_shape), np.uint8), np.empty(0, np.int64)
    labels = np.asarray(prepared.labels)[split.test]
    # The first of each class, then the second of each, and so on.
    places = np.zeros_like(labels)
    for label in np.unique(labels):
        places[labels == label] = np.arange((labels == label).sum())
    chosen = np.sort(np.lexsort((labels, places))[:most])
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    return _some(prepared, split.test[chosen])


def _some(prepared: Prepared, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.array(prepared.images[indices]), np.array(prepared.labels[indices], np.int64)


def trained_on(model: Model, settings: Mapping[str, Any] | None = None) -> Experiment:
    """Return an experiment with `settings` on the data of the model's run or card.

    Raises `InputError` for absent data or user code: opening a file must never run code.
    """
    experiment, source_note = Experiment(dataset=model.card.dataset), ""
    of_run = model.file and model.file.resolve().parent.parent / "experiment.toml"
    if of_run and of_run.is_file():
        # The card says how images are grouped.
        experiment = replace(read_experiment(of_run).without_features(), group_by=None)
        source_note = f" ({of_run} says so)"
    experiment = replace(experiment, **(settings or {}))
    name, folder = experiment.dataset, experiment.data_dir
    of = f"{model.card.contender} was trained on {visible(name)[:300] or 'data without a name'}"
    if name not in data.datasets() and data.home(name) is None and not data.is_packed(name):
        raise InputError(f"{of}, which cannot be found here{source_note}. {_NAME_IT}")
    if folder is not None and not Path(folder).expanduser().exists():
        raise InputError(
            f"{of} from {visible(folder)[:300]}, where nothing is now{source_note}. Say where "
            f"its files are now: --data-dir."
        )
    return experiment


def require_the_same(card: ModelCard, experiment: Experiment, progress: Progress) -> None:
    """Raise `InputError` unless `experiment` has the data that the card names."""
    prepared = data.load(experiment, progress.track, card.preprocessing, progress.say)
    names = ("fingerprint", "ungrouped")
    then = [mark for name in names if (mark := card.trained_on.get(name))]
    if then and prepared.fingerprint not in then:
        raise InputError(
            f"{card.contender} was trained on {visible(card.dataset)[:80]} with the fingerprint "
            f"{then[-1][:12]}, and {experiment.dataset} has the fingerprint "
            f"{prepared.fingerprint[:12]}: these are other data. {_NAME_IT}"
        )


def _prepared(card: ModelCard, experiment: Experiment, progress: Progress) -> Prepared:
    from spikeduel.data.audited import file_counts

    prepared = data.load(experiment, progress.track, card.preprocessing, progress.say)
    if counted := file_counts(experiment, prepared):
        for ignored in counted.ignored:
            progress.say(f"note: {prepared.name}: ignored {ignored}")
        for line in pictures_left_out(counted):
            progress.say(f"warning: {prepared.name}: {line}")
    binning = card.preprocessing.binning
    if binning and catalogue.binned(prepared, experiment, None).preprocessing != card.preprocessing:
        why = f"{card.contender} takes its own {binning.num_frames} frames of a recording"
        names = effects.chosen(experiment) & {"num_steps", "bin_ms", "image_size"}
        effects.refuse(dict.fromkeys(sorted(names), why))
    if prepared.image_shape != card.image_shape:
        raise InputError(
            f"{card.contender} takes images of shape {list(card.image_shape)} (channels, height, "
            f"width), and {prepared.name} has {list(prepared.image_shape)}."
        )
    if prepared.classes != card.classes:
        raise InputError(
            f"{card.contender} knows the classes {', '.join(card.classes)}; {prepared.name} has "
            f"{', '.join(prepared.classes)}. They must be the same."
        )
    return prepared


def _test_part(
    card: ModelCard, experiment: Experiment, progress: Progress, store: Place
) -> tuple[Prepared, Split]:
    prepared, split = _split(card, experiment, progress)
    try:
        opened(store).note_test_use(images_digest(prepared, split.test))
    except InputError as error:
        progress.say(f"this use of the test images is not counted: {error}")
    return prepared, split


def _split(card: ModelCard, experiment: Experiment, progress: Progress) -> tuple[Prepared, Split]:
    prepared = _prepared(card, experiment, progress)
    split = _split_as_then(card, prepared, experiment)
    return prepared, data.split(prepared, experiment) if split is None else split


def _split_as_then(card: ModelCard, prepared: Prepared, experiment: Experiment) -> Split | None:
    """Return the split of the training of `card`, None if it was of other data."""
    grouped, then = prepared, card.trained_on
    if then.get("group_by") is not None and prepared.fingerprint == then["ungrouped"]:
        grouped = data.regrouped(prepared, then["group_by"])
        if grouped.fingerprint != then["fingerprint"]:
            raise InputError(
                f"group_by {then['group_by']}: no longer groups these images as when "
                f"{card.contender} was trained. Restore the file, or train again."
            )
    if grouped.fingerprint != then.get("fingerprint"):
        return None
    as_then = {name: then[name] for name in ("limit", "folds")}
    fold = then.get("fold") or 0
    return data.split(grouped, replace(experiment, **as_then), fold)


def predict_files(
    model: Model,
    paths: Sequence[Path],
    progress: Progress | None = None,
    calibrated: bool = True,
    exit_threshold: float | None = None,
    fallback: Model | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Label image files or recordings, also in folders: a row for each, and a line for each
    unusable path.

    `exit_threshold` is a calibrated probability: a spiking network stops at the first step that
    reaches it (`Model.predict_with_early_exit`), or `fallback` labels the images for which `model`
    does not.
    Raises `InputError`.
    """
    progress, card, rows = progress or Progress(), model.card, []
    is_recorded = card.preprocessing.binning is not None
    files, unreadable = data.files_to_predict(paths, is_recorded, progress.say)
    named = alike([model, fallback] if fallback else [model])
    for name, labeller in named.items():
        if calibrated and labeller.card.temperature is None:
            progress.say(
                f"note: no temperature was fitted for {name}, so that its probabilities are as it "
                "gives them. They rank the classes, and are not calibrated."
            )
    if model.precision == "bf16":
        progress.say(
            "note: answers are in bf16; reports and exports are about float32. A few labels can "
            "differ."
        )
    for start in range(0, len(files), EVALUATION_BATCH):
        names, images = [], []
        for path in progress.track(files[start : start + EVALUATION_BATCH], "reading images"):
            try:
                images.append(data.prepared_picture(path, card.preprocessing))
                names.append(str(path))
            except InputError as error:
                unreadable.append(str(error))
        if images:
            # Equal bit for bit; to load or compile kernels takes longer than a few answers.
            with unfused() if len(images) <= MAX_UNFUSED else nullcontext():
                predicted = _predicted(named, np.stack(images), calibrated, exit_threshold)
            for name, label, shares, early in zip(names, *predicted, strict=True):
                predicting_model = named.get(early.get("predicted_by", ""), model).card
                how = {
                    "calibrated": calibrated and predicting_model.temperature is not None,
                    "computed_in": model.precision,
                }
                rows.append(
                    {"file": name, **_prediction(card.classes, label, shares), **early, **how}
                )
    return rows, unreadable


def _predicted(
    named: Mapping[str, Model],
    images: np.ndarray,
    calibrated: bool,
    exit_threshold: float | None,
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Return class indices `[N]`, probabilities `[N, K]`, and for each image what an early exit
    took; a second model labels the images for which the first one's confidence is below
    `exit_threshold`.
    """
    (name, model), *second = named.items()
    if exit_threshold is not None and not second:
        exits = [
            model.predict_with_early_exit(image, exit_threshold, calibrated) for image in images
        ]
        shares = np.stack([probabilities for probabilities, _ in exits])
        return shares.argmax(1), shares, [{"num_steps": num_steps} for _, num_steps in exits]
    scores = model.scores(images)
    labels, shares = scores.argmax(1).numpy(), model.probabilities(scores, calibrated).numpy()
    took: list[dict[str, Any]] = [{} for _ in images]
    for fallback_name, fallback in second:
        unsure = model.confidence(scores).numpy() < exit_threshold
        labels[unsure], shares[unsure] = fallback.predict(images[unsure], calibrated=calibrated)
        took = [{"predicted_by": fallback_name if asked else name} for asked in unsure]
    return labels, shares, took


def _prediction(classes: Sequence[str], label: int, shares: Any) -> dict[str, Any]:
    probabilities = {name: float(share) for name, share in zip(classes, shares, strict=True)}
    best = classes[label]
    return {"label": best, "probability": probabilities[best], "probabilities": probabilities}


def follow(model: Model, path: Path, calibrated: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the answer after each frame of a recording.

    `path` "-" reads events "t x y p" from standard input, t in microseconds. Raises `InputError`.
    """
    if str(path) == "-":
        predictions = models.predict_stream(model, of_lines(sys.stdin), calibrated=calibrated)
    else:
        predictions = models.predict_recording(model, pictures.events_in(path), calibrated)
    for prediction in predictions:
        yield {
            "file": str(path),
            "milliseconds": prediction.milliseconds,
            "events": prediction.events,
            **_prediction(
                model.card.classes,
                int(np.argmax(prediction.probabilities)),
                prediction.probabilities,
            ),
        }


def export(
    model: Model,
    path: Path | str,
    to: str = "onnx",
    *,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    examples: tuple[np.ndarray, np.ndarray] | None = None,
    experiment: Experiment | None = None,
    num_images: int = NUM_EXPORTED,
    progress: Progress | None = None,
    store: Place = None,
) -> ExportCheck:
    """Write a model in the format of other programs, and check the file on test images.

    In float32, every program that reads the file must give 99.9 % of the labels, scores within 1e-4
    where no spike flipped, and at most 0.1 % other spikes. The outcome goes to `path`.check.json.

    Parameters
    ----------
    model : Model
        Model to export.
    path : Path or str
        File to write, or a folder for "c".
    to : {"onnx", "nir", "c"}
        Format.
    images, labels : ndarray, optional
        Test images, uint8 `[N, C, H, W]`, and their labels `[N]`. Default: `num_images` of the test
        part of the training data.
    examples : tuple of ndarray, optional
        Training images and labels, from which "c" takes the ranges of int8 numbers. Default: those
        of the training data.
    experiment : Experiment, optional
        Where to find the data. Default: the card's `trained_on`.
    num_images : int
        Number of test images.
    progress : Progress, optional
        Where to show progress.
    store : Store, Path or str, optional
        Where trained networks are kept.

    Returns
    -------
    ExportCheck
        Agreement of each program.

    Raises
    ------
    InputError
        If the format cannot express the model.
    ExportDisagrees
        If the check fails. Then nothing is written.

    Examples
    --------
    >>> import numpy as np
    >>> import spikeduel as sd
    >>> images, labels = np.zeros((4, 1, 28, 28), np.uint8), np.zeros(4, int)
    >>> model = sd.load_model("mnist-vgg-lif")
    >>> sd.export(model, "model.onnx", images=images, labels=labels).n
    4
    """
    progress = progress or Progress()

    def labelled_images() -> tuple[np.ndarray, np.ndarray, str]:
        if images is None or labels is None:
            return test_images(model, experiment, num_images, progress, store)
        return images, labels, model.card.dataset

    if (images is None) != (labels is None):
        raise InputError("images and labels go together: give both, or neither.")
    return exporting.export(
        model,
        Path(path),
        labelled_images,
        to,
        progress,
        examples=lambda: examples or training_images(model, experiment, progress),
    )


def import_model(
    path: Path | str,
    experiment: Experiment | None = None,
    *,
    encoding: str | None = None,
    num_steps: int | None = None,
    dt: float | None = None,
    progress: Progress | None = None,
) -> Model:
    """Read a network from a NIR file as a model. No code of the file runs.

    Parameters
    ----------
    path : Path or str
        NIR file.
    experiment : Experiment, optional
        Training data, for class names and preprocessing. Default: those in the file, or numbered
        classes and grey square images.
    encoding : str, optional
        Encoding, unless the file names one. Default: direct.
    num_steps : int, optional
        Number of time steps, unless the file names it. Default: 25; for recordings, as many as the
        longest one has.
    dt : float, optional
        Seconds per time step, unless the file names it. Default: 1e-4.
    progress : Progress, optional
        Where to show progress.

    Returns
    -------
    Model
        The network as a model.

    Raises
    ------
    InputError
        If the file is no network that spikeduel can run.

    Examples
    --------
    >>> import spikeduel as sd
    >>> model = sd.import_model("lava.nir", num_steps=16)  # doctest: +SKIP
    """
    progress = progress or Progress()
    with needing_extra(("h5py", "nir"), "export"):
        from spikeduel.exporters import nir

    def trained_on() -> nir.TrainedOn:
        assert experiment is not None
        names = effects.chosen(experiment) | ({"encoding"} if encoding else set())
        if num_steps is None and "num_steps" not in names:
            prepared = data.load(replace(experiment, bin_ms=None), progress.track, say=progress.say)
            prepared = catalogue.covering(prepared, experiment)
        else:
            frames = replace(experiment, num_steps=num_steps or experiment.num_steps)
            prepared = data.load(frames, progress.track, say=progress.say)
        needs = "images" if prepared.preprocessing.binning else "recordings"
        effects.refuse(effects.idle(names, {needs: f"{prepared.name} has other data"}))
        return nir.TrainedOn(prepared.name, prepared.classes, prepared.preprocessing)

    data_of = None if experiment is None else trained_on
    return nir.import_model(Path(path), data_of, encoding, num_steps, dt)
