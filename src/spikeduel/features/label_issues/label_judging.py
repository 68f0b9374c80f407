"""Judge labels by networks that did not train on their images."""

from collections.abc import Iterator, Sequence

import numpy as np

from spikeduel.auditing.audit_results import SPLITS, AuditedImage, LabelCheck, SuspectLabel
from spikeduel.auditing.labels import suspects
from spikeduel.data import Split
from spikeduel.data.audited import indices_of
from spikeduel.features.label_issues.label_issues_conclusion import Conclusion
from spikeduel.reporting import RunData
from spikeduel.results.trials import Confidences
from spikeduel.training.outcomes import TrialOutcome

MAX_SHARE_BY_NETWORKS = 0.08
"""Part of its class's threshold below which a label looks wrong."""


def conclude_outcomes(outcomes: Sequence[TrialOutcome], run_data: RunData) -> Conclusion | None:
    """Count suspect labels by their mean probability over all trainings, and list them, surest
    first: with folds of all images, else of validation and test. Return None if nothing was
    measured.
    """
    prepared, splits = run_data.prepared, run_data.splits
    labels = np.asarray(prepared.labels)
    judgements = Judgements(labels)
    for outcome in outcomes:
        for images, confidences in _confidences(outcome, splits):
            judgements.add(images, confidences)
    examined = np.flatnonzero(judgements.number)
    if not len(examined):
        return None
    mean = _mean_probability(judgements, examined, run_data)
    suggested, surest = judgements.suggested[examined], judgements.surest[examined]
    is_suspect = suspects(labels[examined], mean, suggested, surest, MAX_SHARE_BY_NETWORKS)
    split_codes = indices_of(splits[0]).codes(len(prepared))
    listed = [
        SuspectLabel(
            image=AuditedImage(
                index=image,
                split="test" if len(splits) > 1 else SPLITS[split_codes[image]],
                label=prepared.classes[labels[image]],
                file=prepared.names[image] if prepared.names else None,
            ),
            suggested=prepared.classes[judgements.suggested[image]],
            given_probability=float(judgements.given_there[image]),
            suggested_probability=float(judgements.surest[image]),
        )
        for image in examined[is_suspect].tolist()
    ]
    agreement = float(judgements.agreeing.sum() / judgements.number.sum())
    check = LabelCheck(examined=len(examined), agreement=agreement, suspects=len(listed))
    return Conclusion(check=check, suspects=listed)


class Judgements:
    """Judgements of the labels `[N]` by trained networks: `number` of predictions, how many are
    `agreeing`, and the `total` of the label's probabilities.

    `suggested` is another class, by the training `surest` of one, and `given_there` the label's
    probability in that training.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.suggested = labels, labels.copy()
        zeros = np.zeros((5, len(labels)))
        self.number, self.agreeing, self.total, self.surest, self.given_there = zeros

    def add(self, images: np.ndarray, confidences: Confidences) -> None:
        """Add the predictions of one training for `images`."""
        best, highest, of_label = map(
            np.array, (confidences.best, confidences.highest, confidences.given)
        )
        is_other = best != self.labels[images]
        self.number[images] += 1
        self.agreeing[images] += ~is_other
        self.total[images] += of_label
        is_surer = is_other & (highest > self.surest[images])
        rows = images[is_surer]
        self.suggested[rows], self.surest[rows] = best[is_surer], highest[is_surer]
        self.given_there[rows] = of_label[is_surer]


def _confidences(
    outcome: TrialOutcome, splits: Sequence[Split]
) -> Iterator[tuple[np.ndarray, Confidences]]:
    """Yield images that a trained network did not learn from, with its confidences. Networks blind
    to time in recordings do not count.
    """
    confidences, record = outcome.measured.get("label_confidences"), outcome.record
    if confidences is None or record.settings.get("derived") or outcome.sees_no_time:
        return
    split = splits[record.fold or 0]
    yield split.test, confidences.test
    if record.fold is None:
        yield split.val, confidences.validation


def _mean_probability(
    judgements: Judgements, examined: np.ndarray, run_data: RunData
) -> np.ndarray:
    """Return the mean probability of each examined label. Nearest neighbours of the audit count as
    much as all networks.
    """
    mean: np.ndarray = judgements.total[examined] / judgements.number[examined]
    if run_data.audit and run_data.audit.details.label_shares:
        # NaN where --limit left the image out of the audited split.
        shares = np.array(run_data.audit.details.label_shares, dtype=float)[examined]
        mean = np.where(np.isnan(shares), mean, (mean + shares) / 2)
    return mean
