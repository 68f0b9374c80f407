"""Section of the report on corrupted images."""

from collections.abc import Sequence

import numpy as np
import torch

from spikeduel.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.features.robustness.robustness_conclusion import Conclusion, Robustness, columns
from spikeduel.reporting import charts, images as pictures
from spikeduel.reporting.accuracies import ACCURACY
from spikeduel.reporting.charts import Axis, Chart, Look, Panel, Row, Rule
from spikeduel.reporting.sections import Page, Section
from spikeduel.results.accuracy import constant_accuracy
from spikeduel.results.run import Results
from spikeduel.sentences.columns import trained_on


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the chart, the table, and one test image under each corruption."""
    image = typical_image(page)
    measured = [trial for trial in page.results.trials if trial.test and trial.measured]
    return Section(
        heading="Corrupted images",
        after="curves",
        charts=[chart(page.results, conclusion)],
        content={
            "columns": columns(conclusion),
            "rows": conclusion.contenders.items(),
            "is_averaged": max(map(len, conclusion.contenders.values())) > 1,
            "seeds": trained_on(measured),
            "corruptions": _pictures(*image) if image else None,
        },
    )


def typical_image(page: Page) -> tuple[np.ndarray, int] | None:
    """Return the greyest of the first 64 test images, uint8 `[C, H, W]`, and its index; None for
    recordings, and if the data are missing. Noise and contrast show best on grey.
    """
    if page.run_data is None or page.results.dataset.noun != "image":
        return None
    images, test = page.run_data.prepared.images, page.run_data.splits[0].test
    brightness = np.asarray(images[test[:64]]) / 255
    index = int(test[(brightness * (1 - brightness)).mean((1, 2, 3)).argmax()])
    return np.asarray(images[index]), index


def _pictures(image: np.ndarray, index: int) -> dict[str, list[str]]:
    """Return the sources of a test image uint8 `[C, H, W]` under each corruption: clean, then each
    severity.
    """
    batch, number = torch.from_numpy(np.array(image))[None], np.array([index])
    return {
        name: [
            pictures.source(image),
            *(
                pictures.source(corrupt(name, batch, severity, number)[0].numpy())
                for severity in SEVERITIES
            ),
        ]
        for name in CORRUPTIONS
    }


def chart(results: Results, conclusion: Conclusion) -> Chart:
    """Return accuracy against severity for each corruption and their mean; the band is a standard
    deviation over seeds.
    """
    measured, colours = conclusion.contenders, charts.contender_colours(results.trials)
    rules = []
    if tested := [trial for trial in results.trials if trial.test]:
        share = 100 * constant_accuracy(tested)
        row: Row = {"contender": "the most frequent class alone", ACCURACY: share}
        rules = [Rule(share, "y", look=Look(width=0.9, dashes=(1.5, 1.5)), row=row)]
    panels = []
    for corruption in [*CORRUPTIONS, "mean of all"]:
        marks = []
        for number, (name, of_seeds) in enumerate(measured.items()):
            # Lines that lie on one another are all seen: the first ones are wider.
            wider = (len(measured) - 1 - number) / max(len(measured) - 1, 2)
            look = Look(colours[name], size=3 + 4 * wider, width=1.6 + 2.8 * wider)
            at = _at_severities(of_seeds, corruption)
            listed: Row = {"contender": name, "corruption": corruption}
            marks += charts.averaged("severity", range(at.shape[1]), ACCURACY, at, look, listed)
        x, y = Axis("severity", ticks="whole"), Axis(ACCURACY, low=0, high=100)
        panels.append(Panel(x, y, marks, corruption, rules, height=1.6))
    keys = charts.contender_keys({name: colours[name] for name in measured})
    return Chart("robustness", panels, keys, abreast=4)


def _at_severities(of_seeds: Sequence[Robustness], corruption: str) -> np.ndarray:
    """Return accuracies in per cent `[S, 6]` at severities 0 to 5 under `corruption`, or the mean
    over all.
    """
    curves = []
    for robust in of_seeds:
        accuracies = {name: robust.corruptions.get(name, [np.nan] * 5) for name in CORRUPTIONS}
        chosen = [accuracies[corruption]] if corruption in accuracies else list(accuracies.values())
        curves.append([robust.clean, *np.nanmean(chosen, axis=0)])
    return 100 * np.array(curves)
