"""Summarise the calibration of trained models over trials."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spikeduel.engine.networks.cards import Temperature
from spikeduel.results.means import by_contender
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.trials import Scores
from spikeduel.sentences.columns import Column, averaged, tenths
from spikeduel.system import typed
from spikeduel.system.typed import Amount, Count, Frozen, Share

MEASURE = "calibration"
"""Name under which a trial stores its `Calibration`."""


class CalibrationBin(Frozen):
    """Images whose confidence lies between `low` and `high`, with their mean `confidence`."""

    low: Share
    high: Share
    count: Count
    confidence: Share | None
    accuracy: Share | None


class Calibrated(Frozen):
    """Expected calibration error, negative log-likelihood, Brier score, bins.

    `ece_of_perfect`, `ece_of_perfect_95`: mean and 95th percentile of the error of a perfectly
    calibrated model on as many images.
    """

    ece: Share
    ece_of_perfect: Share
    ece_of_perfect_95: Share
    nll: Amount
    brier: Amount
    bins: list[CalibrationBin]


class Calibration(Calibrated):
    """Calibration of raw probabilities, and `scaled` by the best `temperature` on validation."""

    temperature: Temperature | None = None
    scaled: Calibrated | None = None


class Conclusion(Frozen):
    """The calibration of every tested model, by contender."""

    contenders: dict[str, list[Calibration]]


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Return the calibration of the trials behind the contenders' accuracies; None without any."""
    contenders = by_contender(results, lambda trial: _calibration(trial.measured))
    return Conclusion(contenders=contenders) if contenders else None


def conclude_model(name: str, test: Scores, measured: Mapping[str, Any]) -> Conclusion | None:
    """Return the calibration of one model; None if it was not measured."""
    calibration = _calibration(measured)
    return Conclusion(contenders={name: [calibration]}) if calibration else None


def _calibration(measured: Mapping[str, Any]) -> Calibration | None:
    """Return the calibration among the measures of one model; None without one."""
    return typed.converted(measured[MEASURE], Calibration) if MEASURE in measured else None


def pooled_bins(models: Sequence[Calibrated]) -> list[CalibrationBin]:
    """Return the bins with the images of all models."""
    return [_bin_of_all(bins) for bins in zip(*(model.bins for model in models), strict=True)]


def _bin_of_all(bins: Sequence[CalibrationBin]) -> CalibrationBin:
    """Return one bin with the images of `bins`, which have the same ends."""
    count = sum(part.count for part in bins)

    def mean(name: str) -> float | None:
        total = sum(part.count * (getattr(part, name) or 0.0) for part in bins)
        return min(total / count, 1.0) if count else None

    return CalibrationBin(
        low=bins[0].low,
        high=bins[0].high,
        count=count,
        confidence=mean("confidence"),
        accuracy=mean("accuracy"),
    )


class Row(NamedTuple):
    """Calibration of the models of a contender: raw, or after their `temperatures`."""

    contender: str
    temperatures: Sequence[float]
    models: Sequence[Calibrated]


COLUMNS: list[Column[Row]] = [
    Column("contender", lambda row: row.contender, is_text=True),
    Column(
        "temperature",
        lambda row: averaged(row.temperatures, "{:.2f}".format),
        definition="Divides all scores before the softmax. It is chosen on validation images and "
        "changes no prediction; predict, the API and ONNX exports use it.",
        is_text=True,
        unknown="none",
    ),
    Column(
        "ECE, points",
        lambda row: averaged([model.ece for model in row.models], tenths),
        definition="Expected calibration error: the gap between confidence and accuracy, averaged "
        "over the images in 15 bins of equal width (Guo et al. 2017).",
    ),
    Column(
        "by chance",
        lambda row: averaged([model.ece_of_perfect for model in row.models], tenths),
        definition="The ECE that a perfectly calibrated network with the same confidences has on "
        "average, on the same number of images.",
        unknown="–",
    ),
    Column(
        "NLL",
        lambda row: averaged([model.nll for model in row.models], "{:.3f}".format),
        definition="Negative log-likelihood: the mean of −log of the true class's probability.",
    ),
    Column(
        "Brier",
        lambda row: averaged([model.brier for model in row.models], "{:.3f}".format),
        definition="The mean squared distance of the probabilities from the truth, 0 to 2.",
    ),
]


def rows(conclusion: Conclusion) -> list[Row]:
    """Return each contender's raw row, and one after the temperatures if all models have one."""
    made = []
    for name, models in conclusion.contenders.items():
        made.append(Row(name, [], models))
        if scaled := scaled_models(models):
            made.append(Row(name, [model.temperature or 1.0 for model in models], scaled))
    return made


def scaled_models(models: Sequence[Calibration]) -> list[Calibrated]:
    """Return the calibration after the temperatures; empty if a model has none."""
    scaled = [model.scaled for model in models if model.scaled]
    return scaled if len(scaled) == len(models) else []
