import pytest
from msgspec import structs

import factories
from factories import run_results
from made_pages import rows_in
from spikeduel.experiment.recipes import baseline
from spikeduel.features.ablations.ablation_results import (
    AblatedContender,
    AblationRow,
    Conclusion,
)
from spikeduel.features.ablations.ablation_section import chart
from spikeduel.reporting import charts
from spikeduel.results.significance import Difference

MEASURED = {"relu_twin": 0.9, "shuffled": 0.6, "of <somebody>'s": 0.45}
SPIKES = {"relu_twin": False, "one_step": True, "shuffled": True, "of <somebody>'s": False}


def row(name):
    pair = structs.asdict(factories.pair(-0.0123, seeds=2, half=0.013))
    found = Difference(**{field: pair[field] for field in Difference.__struct_fields__})
    return AblationRow(
        ablation=name,
        title=f"the {name}",
        meaning=f"what {name} is",
        spikes=SPIKES[name],
        bits=3 if name == "relu_twin" else None,
        **(
            {"accuracy": MEASURED[name], "comparison": found}
            if name in MEASURED
            else {"reason": "of a <reason>"}
        ),
    )


def test_a_row_for_each_ablation_and_a_point_for_each_that_was_measured(make_prepared):
    rows = [row(name) for name in SPIKES]
    contender = AblatedContender(
        contender="dense-snn", num_steps=6, seeds=2, accuracy=0.675, rows=rows
    )
    made = run_results(make_prepared(), baseline(seeds=2))
    (panel,) = chart(made, Conclusion(contenders=[contender])).panels
    assert [name.text for name in panel.names] == [f"the {name}" for name in SPIKES]
    difference = rows[0].comparison
    rows = rows_in(panel)
    assert [row["ablation"] for row in rows] == [f"the {name}" for name in MEASURED]
    assert rows[0]["change, points"] == pytest.approx(-100 * difference.difference)
    bounds = [rows[0][f"95 % interval {end}, points"] for end in ("from", "to")]
    assert bounds == pytest.approx([-100 * bound for bound in reversed(difference.ci95)])
    dots = [marks for marks in panel.marks if marks.kind == "points"]
    assert [marks.place for marks in dots] == [0, 2, 3]
    assert {marks.look.colour for marks in dots} == {charts.SPIKING_COLOURS[0]}
