"""Judge labels by networks that did not train on their images."""

from collections.abc import Iterator, Sequence

import numpy as np

from spikeduel.auditing.audit_results import SPLITS, AuditedImage, LabelCheck, SuspectLabel
from spikeduel.auditing.labels import suspects
from spikeduel.data import Split
from spikeduel.data.audited import indices_of
from spikeduel.features.label_issues.label_issues_conclusion import Conclusion
from spikeduel.reporting import RunData
from spikeduel.training.outcomes import TrialOutcome

MAX_SHARE_BY_NETWORKS = 0.08
"""Part of its class's threshold below which a label looks wrong."""


def conclude_outcomes(outcomes: Sequence[TrialOutcome], run_data: RunData) -> Conclusion | None:
    """Count suspect labels by their mean probability over all trainings, and list them, surest
    first: with folds of all images, else of validation and test. Return None if nothing was
    measured.
    """
    prepared, splits = run_data.prepared, run_data.splits
    judgements = [entry for outcome in outcomes for entry in _judgements(outcome, splits)]
    if not judgements:
        return None
    labels = np.asarray(prepared.labels)
    # An entry for each prediction: image, predicted class, its probability, that of the label.
    image, best, highest, of_label = map(np.concatenate, zip(*judgements, strict=True))
    is_other = best != labels[image]
    examined, number = np.unique(image, return_counts=True)
    mean = np.bincount(image, of_label)[examined] / number
    # The surest prediction of another class for each image, the first of equal ones.
    order = np.flatnonzero(is_other)[np.argsort(-highest[is_other], kind="stable")]
    suggesting, first = np.unique(image[order], return_index=True)
    suggested, surest, given_there = labels.copy(), np.zeros(len(labels)), np.zeros(len(labels))
    for array, values in ((suggested, best), (surest, highest), (given_there, of_label)):
        array[suggesting] = values[order[first]]
    is_suspect = suspects(
        labels[examined],
        _with_neighbours(mean, examined, run_data),
        suggested[examined],
        surest[examined],
        MAX_SHARE_BY_NETWORKS,
    )
    split_codes = indices_of(splits[0]).codes(len(prepared))
    listed = [
        SuspectLabel(
            image=AuditedImage(
                index=index,
                split="test" if len(splits) > 1 else SPLITS[split_codes[index]],
                label=prepared.classes[labels[index]],
                file=prepared.names[index] if prepared.names else None,
            ),
            suggested=prepared.classes[suggested[index]],
            given_probability=float(given_there[index]),
            suggested_probability=float(surest[index]),
        )
        for index in examined[is_suspect].tolist()
    ]
    agreement = float((~is_other).mean())
    check = LabelCheck(examined=len(examined), agreement=agreement, suspects=len(listed))
    return Conclusion(check=check, suspects=listed)


def _judgements(outcome: TrialOutcome, splits: Sequence[Split]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield images that a trained network did not learn from, its predicted classes, their
    probabilities, and those of the labels. Networks blind to time in recordings do not count.
    """
    confidences, record = outcome.measured.get("label_confidences"), outcome.record
    if confidences is None or record.settings.get("derived") or outcome.sees_no_time:
        return
    split = splits[record.fold or 0]
    judged = [(split.test, confidences.test)]
    if record.fold is None:
        judged.append((split.val, confidences.validation))
    for images, by_image in judged:
        yield images, np.array(by_image.best), np.array(by_image.highest), np.array(by_image.given)


def _with_neighbours(mean: np.ndarray, examined: np.ndarray, run_data: RunData) -> np.ndarray:
    """Return the `mean` probability of each examined label by all networks, averaged with that by
    the nearest neighbours of the audit.
    """
    if not (run_data.audit and run_data.audit.details.label_shares):
        return mean
    # NaN where --limit left the image out of the audited split.
    shares = np.array(run_data.audit.details.label_shares, dtype=float)[examined]
    return np.where(np.isnan(shares), mean, (mean + shares) / 2)
