"""Labels that the trained networks doubt: of images that they were not trained on, by half of the trainings or more."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.data.auditing import labels as judging
from spikeduel.data.auditing.duplicates import SIDES, sides_of
from spikeduel.results.audit import AuditedImage, LabelCheck, SuspectLabel
from spikeduel.results.trials import LabelConfidences
from spikeduel.trials.runs import Finished

Answer = tuple[bool, int, float, float]
"""Of one training about one image: whether its label is suspect, the best class, probabilities of label and best."""


Checked = tuple[LabelCheck | None, list[SuspectLabel]]
"""How many labels were examined and look wrong, and those that do, the surest first."""


def check(prepared: Prepared, splits: Sequence[Split], finished: Sequence[Finished]) -> Checked:
    """The labels that half or more of the trainings (contender and seed) doubt which answered an image, and how
    many images were examined.

    Of a comparison with folds these are all images, each answered by networks that were trained on other folds; else
    those for validation and test. None where nothing was measured.
    """
    labels = np.asarray(prepared.labels)
    answered: dict[int, list[Answer]] = {}
    by_training: dict[tuple[str, int], list[tuple[np.ndarray, LabelConfidences]]] = {}
    for each in finished:
        found = each.measured.get("label_confidences")
        if found is not None and not each.record.settings.get("converted"):
            split = splits[each.record.fold or 0]
            images = split.test if each.record.fold is not None else np.concatenate([split.val, split.test])
            by_training.setdefault((each.contender, each.record.settings["seed"]), []).append((images, found))
    for parts in by_training.values():
        images = np.concatenate([part for part, _ in parts])
        sides = [each.sides if len(splits) == 1 else [each.test] for _, each in parts]
        given, best, highest = (
            np.concatenate([getattr(side, name) for those in sides for side in those])
            for name in ("given", "best", "highest")
        )
        doubted = judging.suspects(labels[images], given, best, highest)
        for row, image in enumerate(images.tolist()):
            answer = bool(doubted[row]), int(best[row]), float(given[row]), float(highest[row])
            answered.setdefault(image, []).append(answer)
    if not answered:
        return None, []
    side = sides_of(splits[0], len(prepared))
    listed = []
    for image, answers in sorted(answered.items()):
        doubts = [answer for answer in answers if answer[0]]
        if 2 * len(doubts) < len(answers):
            continue
        suggested = Counter(answer[1] for answer in doubts).most_common(1)[0][0]
        listed.append(
            SuspectLabel(
                image=AuditedImage(
                    index=image,
                    side="test" if len(splits) > 1 else SIDES[side[image]],
                    label=prepared.classes[labels[image]],
                    file=prepared.names[image] if prepared.names else None,
                ),
                suggested=prepared.classes[suggested],
                given_probability=round(float(np.mean([answer[2] for answer in doubts])), 4),
                suggested_probability=round(float(np.mean([answer[3] for answer in doubts])), 4),
            )
        )
    listed.sort(key=lambda each: each.given_probability - each.suggested_probability)
    agree = np.mean([answer[1] == labels[image] for image, answers in answered.items() for answer in answers])
    return LabelCheck(examined=len(answered), agreement=float(agree), suspects=len(listed)), listed
