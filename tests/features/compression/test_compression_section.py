"""Section of the report on costs at equal accuracy."""

import re
from types import SimpleNamespace

import pytest
from msgspec import structs

from spikeduel.features.compression.compression_section import chart, section
from spikeduel.features.compression.frontier_results import (
    Conclusion,
    CostKind,
    EqualAccuracy,
    FrontierPair,
    RatioAt,
)
from spikeduel.features.compression.frontier_sentences import summary
from spikeduel.reporting.charts import ACCURACY, OTHER_COLOURS, SPIKING_COLOURS
from spikeduel.reporting.rendering import write
from spikeduel.results.cost_results import Range


def test_the_line_is_the_curve_of_the_ratios(cheaper):
    """Images are shared among two networks where no single one is as good."""
    kind = CostKind(label="MACs and ACs", group="arithmetic")
    accuracies = [(0.8, 1.0), (0.78, 2.0), (0.9, 4.0)]
    variants = [
        structs.replace(cheaper("vgg-lif", accuracy, energy), val_accuracy=0.5 + energy / 10)
        for accuracy, energy in accuracies
    ]
    found = Conclusion(seeds=1, accountings={"mac-ac": kind}, variants=variants, pairs=[])
    (panel,) = chart(found, {"vgg-lif": "#a00"}).panels
    (line,) = [marks.rows for marks in panel.marks if marks.kind == "line"]
    places = [(row[panel.x.column], row[ACCURACY]) for row in line]
    first = places[0][0]
    assert places[0] == pytest.approx((first, 80))
    assert places[4] == pytest.approx((2.5 * first, 85))
    assert places[-1] == pytest.approx((4 * first, 90))


@pytest.mark.parametrize("worst", [0.85, 0.4])
def test_the_best_variant_of_each_contender_is_seen(worst, cheaper):
    kind = CostKind(label="MACs and ACs", group="arithmetic")
    variants = [cheaper("vgg-lif", worst, 2.0), cheaper("vgg-relu", 0.9, 1.0)]
    found = Conclusion(seeds=1, accountings={"mac-ac": kind}, variants=variants, pairs=[])
    (panel,) = chart(found, {"vgg-lif": "#a00", "vgg-relu": "#00a"}).panels
    points = [row for marks in panel.marks if marks.kind == "points" for row in marks.rows]
    assert {row["contender"]: row[ACCURACY] for row in points} == {
        "vgg-lif": pytest.approx(100 * worst),
        "vgg-relu": pytest.approx(90),
    }
    assert 92 - panel.y.most < 100 * worst


def test_first_spikes_have_a_colour_of_their_own(cheaper):
    kind = CostKind(label="MACs and ACs", group="arithmetic")
    names = ("vgg-lif", "vgg-relu", "vgg-relu by first spikes")
    variants = [cheaper(name, spiking=name != "vgg-relu") for name in names]
    found = Conclusion(seeds=1, accountings={"mac-ac": kind}, variants=variants, pairs=[])
    made = chart(found, {"vgg-lif": SPIKING_COLOURS[0], "vgg-relu": OTHER_COLOURS[0]})
    assert [key.label for key in made.keys[:3]] == list(names)
    assert len({key.look.colour for key in made.keys[:3]}) == 3
    assert made.keys[2].look.colour in SPIKING_COLOURS


def test_the_page_has_a_row_for_each_kind_of_cost_at_equal_accuracy(
    results, cheaper, tmp_path, unpainted
):
    def ratio(accounting, group, low, high, cheaper):
        found = Range(low=low, high=high)
        return RatioAt(
            accounting=accounting,
            group=group,
            ratio=found,
            low=low,
            high=high,
            cheaper=cheaper,
        )

    ratios = [ratio("yan", "memory", 2.0, 3.0, "other"), ratio("weights", "size", 0.5, 0.5, None)]
    at = EqualAccuracy(accuracy=0.9, ratios=ratios)
    found = Conclusion(
        seeds=4,
        accountings={
            "yan": CostKind(label="Yan", group="memory"),
            "weights": CostKind(label="bytes of weights", group="size"),
        },
        variants=[
            cheaper("dense-snn", spiking=True),
            cheaper("small-cnn"),
        ],
        pairs=[FrontierPair(spiking="dense-snn", other="small-cnn", at=[at])],
    )
    found = structs.replace(found, text=summary(results, found))
    made = section(SimpleNamespace(results=results), found)
    drawn = {chart.name: chart for chart in made.charts}
    content = {"feature": made.content, "results": results, "drawn": drawn}
    page = write(tmp_path / "page.html", "compression_section.html.j2", content).read_text()
    rows = re.findall(r"<tr><th scope=\"row\">([^<]*)</th>(.*?)</tr>", page)
    cells = {name: re.findall(r"<td[^>]*>([^<]*)</td>", row) for name, row in rows}
    assert cells["energy with memory on both sides"] == ["90.0 %", "2 to 3", "more"]
    assert cells["bytes of weights"] == ["90.0 %", "0.5", "open"]
    assert "At 90.0 % accuracy, the costs of dense-snn" in page
