from msgspec import structs

from made_trials import results, trial
from spikeduel.results.optimism import curve, meter
from spikeduel.results.words import optimism


def made(*rows):
    trials = [
        trial(name, 0.5, seed=seed, epochs=len(right), optimism=curve(right, 1000, chosen))
        for name, seed, right, chosen in rows
    ]
    run = results(trials)
    return structs.replace(run, comparison=structs.replace(run.comparison, optimism=meter(trials)))


SEEDS = made(
    ("snn", 0, [800, 840], 0),
    ("cnn", 0, [820, 820], 1),
    ("snn", 1, [700, 900], 1),
    ("cnn", 1, [880, 800], 1),
)


def test_several_seeds_have_a_range_and_a_best_one():
    assert optimism.sentences(SEEDS) == [
        "Reporting the best test accuracy over all epochs, as many papers do, would have added "
        "2.00 points to snn (87.00 instead of 85.00 %; 0.00 to 4.00 by seed) and 4.00 points to "
        "cnn (85.00 instead of 81.00 %; 0.00 to 8.00 by seed).",
        "snn leads cnn by 4.00 points; by the best epochs it would be +2.00, and +2.00 between "
        "the best seeds.",
    ]


def test_one_seed_has_neither_and_a_lead_may_turn():
    turned = made(("snn", 0, [800, 900], 0), ("cnn", 0, [850, 850], 0))
    assert optimism.sentences(turned) == [
        "Reporting the best test accuracy over all epochs, as many papers do, would have added "
        "10.00 points to snn (90.00 instead of 80.00 %) and 0.00 points to cnn (85.00 instead of "
        "85.00 %).",
        "cnn leads snn by 5.00 points; by the best epochs it would be −5.00.",
    ]


def test_of_many_contenders_the_leads_of_the_best_are_told():
    three = made(("snn", 0, [800], 0), ("cnn", 0, [900], 0), ("ann", 0, [850], 0))
    told = optimism.sentences(three)[1:]
    assert [text.split(" by ")[0] for text in told] == ["cnn leads snn", "cnn leads ann"]


def test_without_the_meter_nothing_is_said():
    assert optimism.sentences(results([trial("snn", 0.5)])) == []


def test_rows_for_tables():
    found = SEEDS.comparison.optimism
    rows = [(name, [str(cell) for cell in cells]) for name, cells in optimism.contender_rows(found)]
    assert rows == [
        ("snn", ["85.00 ± 7.07", "87.00 ± 4.24", "2.00 ± 2.83", "90.00"]),
        ("cnn", ["81.00 ± 1.41", "85.00 ± 4.24", "4.00 ± 5.66", "88.00"]),
    ]
    assert optimism.lead_rows(found) == [("snn − cnn", ["+4.00", "+2.00", "+2.00"])]
    pooled = "Means over 2 seeds, the 5 folds of each pooled; ± is the standard deviation over these 2 means."
    assert pooled in optimism.how_measured(found, folds=5)
    assert "±" not in optimism.how_measured(found)
