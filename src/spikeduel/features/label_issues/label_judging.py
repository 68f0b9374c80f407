"""Judge labels by networks that did not train on their images."""

from collections.abc import Sequence

import numpy as np

from spikeduel.auditing.audit_results import SPLITS, AuditedImage, LabelCheck, SuspectLabel
from spikeduel.auditing.labels import suspects
from spikeduel.data.audited import indices_of
from spikeduel.features.label_issues.label_issues_conclusion import Conclusion
from spikeduel.reporting import RunData
from spikeduel.training.outcomes import TrialOutcome

MAX_SHARE_BY_NETWORKS = 0.08
"""Part of its class's threshold below which a label looks wrong."""


def conclude_outcomes(outcomes: Sequence[TrialOutcome], run_data: RunData) -> Conclusion | None:
    """Count suspect labels by their mean probability over all trainings, and list them, surest
    first: with folds of all images, else of validation and test. Nearest neighbours of the audit
    count as much as all networks; networks blind to time in recordings do not count. Return None
    if nothing was measured.
    """
    prepared, splits = run_data.prepared, run_data.splits
    labels = np.asarray(prepared.labels)
    predictions, agreeing, probability, surest, probability_there = np.zeros((5, len(labels)))
    suggested = labels.copy()
    for outcome in outcomes:
        confidences = outcome.measured.get("label_confidences")
        is_derived = outcome.record.settings.get("derived")
        if confidences is None or is_derived or outcome.sees_no_time:
            continue
        split = splits[outcome.record.fold or 0]
        split_names = [(split.test, confidences.test)]
        if outcome.record.fold is None:
            split_names.append((split.val, confidences.validation))
        for images, split_name in split_names:
            best, highest, of_label = map(
                np.array, (split_name.best, split_name.highest, split_name.given)
            )
            predictions[images] += 1
            agreeing[images] += best == labels[images]
            probability[images] += of_label
            # The suggested label comes from the training surest of another class.
            is_surer = (best != labels[images]) & (highest > surest[images])
            rows = images[is_surer]
            suggested[rows], surest[rows] = best[is_surer], highest[is_surer]
            probability_there[rows] = of_label[is_surer]
    examined = np.flatnonzero(predictions)
    if not len(examined):
        return None
    mean = probability[examined] / predictions[examined]
    if run_data.audit and run_data.audit.details.label_shares:
        # NaN where --limit left the image out of the audited split.
        shares = np.array(run_data.audit.details.label_shares, dtype=float)[examined]
        mean = np.where(np.isnan(shares), mean, (mean + shares) / 2)
    split_name = indices_of(splits[0]).codes(len(prepared))
    judged = labels[examined], mean, suggested[examined], surest[examined]
    listed = [
        SuspectLabel(
            image=AuditedImage(
                index=image,
                split="test" if len(splits) > 1 else SPLITS[split_name[image]],
                label=prepared.classes[labels[image]],
                file=prepared.names[image] if prepared.names else None,
            ),
            suggested=prepared.classes[suggested[image]],
            given_probability=float(probability_there[image]),
            suggested_probability=float(surest[image]),
        )
        for image in examined[suspects(*judged, MAX_SHARE_BY_NETWORKS)].tolist()
    ]
    agreement = float(agreeing.sum() / predictions.sum())
    check = LabelCheck(examined=len(examined), agreement=agreement, suspects=len(listed))
    return Conclusion(check=check, suspects=listed)
