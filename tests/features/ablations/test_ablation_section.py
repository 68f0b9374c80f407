import pytest
from msgspec import structs

from factories import run_results
from features.ablations.made_ablations import BETTER, UNKNOWN, ablated
from made_pages import rows_in
from spikeduel.experiment.recipes import baseline
from spikeduel.features.ablations.ablation_results import Conclusion
from spikeduel.features.ablations.ablation_section import chart
from spikeduel.reporting import charts


def test_a_row_for_each_ablation_and_a_point_for_each_that_was_measured(make_prepared):
    contender = ablated(seeds=2, relu_twin=UNKNOWN, one_step=None, shuffled=BETTER)
    contender = structs.replace(contender, contender="dense-snn")
    made = run_results(make_prepared(), baseline(seeds=2))
    (panel,) = chart(made, Conclusion(contenders=[contender])).panels
    titles = ["ReLU twin", "one time step", "shuffled in time"]
    assert [name.text for name in panel.names] == titles
    rows = rows_in(panel)
    assert [row["ablation"] for row in rows] == [titles[0], titles[2]]
    # Of the contender minus the ablation: 2 points, 1 to 3.
    assert rows[0]["change, points"] == pytest.approx(-2)
    bounds = [rows[0][f"95 % interval {end}, points"] for end in ("from", "to")]
    assert bounds == pytest.approx([-3, -1])
    dots = [marks for marks in panel.marks if marks.kind == "points"]
    assert [marks.place for marks in dots] == [0, 2]
    assert {marks.look.colour for marks in dots} == {charts.SPIKING_COLOURS[0]}
