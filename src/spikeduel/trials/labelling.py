"""Labels that the trained networks doubt: of images that they were not trained on, by all trainings
together.
"""

from collections.abc import Sequence

import numpy as np

from spikeduel.auditing import labels as judging
from spikeduel.auditing.duplicates import SIDES, sides_of
from spikeduel.data import Prepared, Split
from spikeduel.results.audit import Audit, AuditedImage, LabelCheck, SuspectLabel
from spikeduel.trials.runs import Finished
from spikeduel.trials.timeless import sees_no_time

Checked = tuple[LabelCheck | None, list[SuspectLabel]]
"""How many labels were examined and look wrong, and those that do, the surest first."""


def check(
    prepared: Prepared, splits: Sequence[Split], finished: Sequence[Finished], audit: Audit
) -> Checked:
    """The labels that look wrong by the mean of what all trainings (contender and seed) find them
    probable.

    Of a comparison with folds all images are examined, each by networks that were trained on other
    folds; else those for validation and test. The image's nearest neighbours count as much as all
    networks, where the `audit` asked them: networks that learn from wrong labels are sure of none.
    Of recordings, who sees no time is not asked. None where nothing was measured.
    """
    labels = np.asarray(prepared.labels)
    answers, agreeing, given, surest, given_there = np.zeros((5, len(labels)))
    suggested = labels.copy()
    for each in finished:
        found = each.measured.get("label_confidences")
        if found is None or each.record.settings.get("converted") or sees_no_time(each):
            continue
        split = splits[each.record.fold or 0]
        sides = [(split.test, found.test)]
        if each.record.fold is None:
            sides.append((split.val, found.validation))
        for images, part in sides:
            best, highest, its_given = (
                np.array(part.best),
                np.array(part.highest),
                np.array(part.given),
            )
            answers[images] += 1
            agreeing[images] += best == labels[images]
            given[images] += its_given
            # What is suggested instead comes from the training that is surest of another class.
            is_surer = (best != labels[images]) & (highest > surest[images])
            rows = images[is_surer]
            suggested[rows], surest[rows], given_there[rows] = (
                best[is_surer],
                highest[is_surer],
                its_given[is_surer],
            )
    examined = np.flatnonzero(answers)
    if not len(examined):
        return None, []
    mean = given[examined] / answers[examined]
    if audit.details.label_shares:
        # NaN where --limit left the image out of the audited split.
        shares = np.array(audit.details.label_shares, dtype=float)[examined]
        mean = np.where(np.isnan(shares), mean, (mean + shares) / 2)
    side = sides_of(splits[0], len(prepared))
    judged = labels[examined], mean, suggested[examined], surest[examined]
    rows = judging.suspects(*judged, judging.MOST_BY_NETWORKS)
    listed = [
        SuspectLabel(
            image=AuditedImage(
                index=image,
                side="test" if len(splits) > 1 else SIDES[side[image]],
                label=prepared.classes[labels[image]],
                file=prepared.names[image] if prepared.names else None,
            ),
            suggested=prepared.classes[suggested[image]],
            given_probability=float(given_there[image]),
            suggested_probability=float(surest[image]),
        )
        for image in examined[rows].tolist()
    ]
    agreement = float(agreeing.sum() / answers.sum())
    return LabelCheck(examined=len(examined), agreement=agreement, suspects=len(listed)), listed
