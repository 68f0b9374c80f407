"""Measure a trained model on data."""

from collections import Counter
from contextlib import suppress
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel import data
from spikeduel.auditing.audit_results import Counts
from spikeduel.data import Prepared, Split
from spikeduel.data.loader import EVALUATION_BATCH, EvaluationBatches
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import seeded
from spikeduel.evaluation import correctness
from spikeduel.evaluation.measures import MEASURES, measures_of
from spikeduel.evaluation.predictions_of_model import CachedPredictions
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.results.trials import ClassScores, Scores, Test
from spikeduel.sentences.columns import CLASSES, text_rows
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import hundredths
from spikeduel.training.model_data import prepared_for, split_as_trained, tested_split
from spikeduel.training.store import Place

PARTS = ("test", "all")


class Evaluation(Test):
    """Measures of a model on images; `seen` counts them by the side on which its training had them.

    It is None if nothing says on which side an image was. `features`: the conclusion of each
    feature that measured the model.
    """

    seen: Counts | None = None
    features: dict[str, Any] = {}


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
    progress, card = progress or Progress(), model.card
    if part not in PARTS:
        raise unknown("part", part, PARTS)
    if part == "all":
        prepared, nothing = prepared_for(card, experiment, progress), np.arange(0)
        split = Split(nothing, nothing, np.arange(len(prepared)), "all")
    else:
        prepared, split = tested_split(card, experiment, progress, store)
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
        if split := split_as_trained(model.card, prepared, experiment):
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


def class_rows(test: Scores) -> list[dict[str, str]]:
    """Return the rows of a table of classes, with the macro average and the accuracy."""
    average = ClassScores(
        name="macro average",
        precision=test.precision,
        recall=test.recall,
        f1=test.f1,
        support=test.n,
    )
    rows = text_rows(CLASSES, [*test.per_class, average])
    blank = dict.fromkeys(rows[0], "")
    return [*rows, {**blank, "class": "accuracy", "F1 %": hundredths(test.accuracy)}]
