"""Show the inside of networks for one image, as a page with a time slider or in a report."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

import numpy as np

from spikeduel.analysis.predicted import Predictions
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.features.inspection.inside_measurement import look_inside
from spikeduel.reporting import rendering
from spikeduel.reporting.sections import Page, Section
from spikeduel.system import files
from spikeduel.system.sentences import listed

MAX_MODELS = 4


def inspect(
    models: Model | Mapping[str, Model],
    image: np.ndarray | Mapping[str, np.ndarray],
    out: Path | str,
    truth: str | None = None,
    *,
    calibrated: bool = True,
) -> Path:
    """Write a page that shows what happens inside models for one image.

    Parameters
    ----------
    models
        One model, or several by name.
    image
        The prepared image, uint8 `[C, H, W]`: one for all models, or one for each name.
    out
        The folder to write to.
    truth
        The name of the image's class, if known.
    calibrated
        True for probabilities with the temperature that was fitted on validation images.

    Returns
    -------
    Path
        The page, `out`/inside.html.

    Raises
    ------
    InputError
        If a model cannot take the image, the models know different classes, or `out` cannot be
        written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import spikeduel as sd
    >>> model = sd.load_model("fashion-mnist-vgg-relu")
    >>> image = np.zeros(model.card.image_shape, dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sd.inspect(model, image, folder).name
    'inside.html'
    """
    folder = Path(out)
    named = models if isinstance(models, Mapping) else {models.card.contender: models}
    inside = look_inside(named, image, truth, calibrated=calibrated)
    files.require_writable(folder)
    page = {
        "title": f"Inside {listed([seen.name for seen in inside.models])}",
        "inside": inside,
        "scripts": ["inside.js"],
    }
    return rendering.write(folder / "inside.html", "inside.html.j2", page, inside.noun)


def section(page: Page, conclusion: None) -> Section | None:
    """Return the inside of the first `MAX_MODELS` models for one test image, disputed if possible.

    None without data, models, or an image that all models were tested on.
    """
    models, run_data = dict(list(page.models.items())[:MAX_MODELS]), page.run_data
    if not models or run_data is None:
        return None
    folds = [model.card.trained_on.get("fold") or 0 for model in models.values()]
    common = reduce(np.intersect1d, [run_data.splits[fold].test for fold in folds]).tolist()
    if page.predictions_file and len(models) > 1:
        a, b = list(models)[:2]
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
        content={"inside": look_inside(models, image, truth, keys, table=page.table)},
        style="inside.css",
        script="inside.js",
    )
