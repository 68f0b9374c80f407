"""Section of the report that looks inside the networks for one test image."""

from functools import reduce

import numpy as np

from spikeduel.analysis.predicted import Predictions
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.inside_measurement import look_inside
from spikeduel.reporting.sections import Page, Section

MAX_MODELS = 4


def section(page: Page, conclusion: None) -> Section | None:
    """Return the inside of the first `MOST_MODELS` models for one test image, disputed if possible.

    None without data, models, or an image that all models were tested on.
    """
    shown, run_data = dict(list(page.models.items())[:MAX_MODELS]), page.run_data
    if not shown or run_data is None:
        return None
    folds = [model.card.trained_on.get("fold") or 0 for model in shown.values()]
    common = reduce(np.intersect1d, [run_data.splits[fold].test for fold in folds]).tolist()
    if page.predictions_file and len(shown) > 1:
        a, b = list(shown)[:2]
        rows = Predictions(page.predictions_file).between(a, b)
        disputed = [
            page.predictions_file.indices[row] for row in (*rows["only_a"], *rows["only_b"])
        ]
        common = [*(index for index in disputed if index in common), *common]
    if not common:
        return None
    truth = run_data.prepared.classes[int(run_data.prepared.labels[common[0]])]
    keys = RandomKeys.for_evaluation(np.array(common[:1]))
    image = np.asarray(run_data.prepared.images[common[0]])
    return Section(
        heading="Looking inside",
        after="data",
        content={"inside": look_inside(shown, image, truth, keys, table=page.table)},
        style="inside.css",
    )
