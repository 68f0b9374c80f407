from dataclasses import replace

import numpy as np

from browser import opened
from factories import run_predictions, run_results
from spikeduel.analysis.predicted import Predictions
from spikeduel.data import Split
from spikeduel.experiment.recipes import baseline
from spikeduel.features.disagreement.thumbnails import rows_by_cell
from spikeduel.reporting import RunData, report
from spikeduel.sentences.comparison import Comparison
from spikeduel.system import typed


def test_a_cell_of_a_matrix_shows_its_pictures(running, tmp_path, make_prepared):
    prepared, experiment = make_prepared(num_images=100), baseline("digits")
    experiment = replace(experiment, contenders=("dense-snn", "small-cnn"))
    results, numbers = run_results(prepared, experiment), np.arange(100)
    predictions = run_predictions(prepared, results, numbers[40:])
    typed.write_json(tmp_path / "predictions.json", predictions)
    split = Split(numbers[:30], numbers[30:40], numbers[40:], "stratified")
    path = report(Comparison(experiment, results, tmp_path), run_data=RunData(prepared, [split]))
    cells = rows_by_cell(Predictions(predictions), "dense-snn")
    (truth, predicted), rows = next(
        (cell, rows) for cell, rows in cells.items() if cell[0] != cell[1]
    )
    title = (
        f"{predictions.classes[truth]}, predicted as {predictions.classes[predicted]} by dense-snn"
    )
    with opened(running, path, java_script_enabled=False) as page:
        assert page.locator("#disagreement .thumb").count() > 0
        assert page.locator("button:visible:not([popovertarget])").count() == 0
    with opened(running, path) as page:
        page.locator(f'.confusion [data-title="{title}"] button').click()
        dialog = page.get_by_role("dialog")
        assert title in dialog.inner_text()
        shown = dialog.locator("li")
        assert shown.count() == len(rows)
        assert all(predictions.classes[truth] in text for text in shown.all_inner_texts())
        # A picture of its own for each, out of the one that the page holds.
        places = shown.locator(".thumb").evaluate_all(
            "all => all.map((one) => getComputedStyle(one).backgroundPosition)"
        )
        assert len(set(places)) == len(rows)
        assert page.evaluate(
            "getComputedStyle(document.querySelector('dialog .thumb')).backgroundImage"
        ).startswith('url("data:image/webp')
        # Twice as large as beside a table.
        widths = [
            page.locator(f"{place} .thumb").first.bounding_box()["width"]
            for place in ("#disagreement", "dialog")
        ]
        assert widths == [64, 128]
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
