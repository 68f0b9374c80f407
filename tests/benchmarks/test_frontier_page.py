"""The page of the frontier is that of its results, and its study file can be read."""

import pytest

from benchmarks import shared
from spikeduel.features import FEATURES

pytest.importorskip("spikeduel.features.compression")
from benchmarks.energy import frontier


def test_the_page_and_its_tables_are_made_of_the_results():
    assert frontier.PAGE.read_text() == frontier.page()
    tables = frontier.csv_tables()
    assert {path: path.read_text() for path in frontier.TABLES.iterdir()} == tables
    for name, budget, _ in frontier.entries():
        drawn = f"{frontier.stem(name, budget)}.png"
        assert (frontier.PAGE.parent / "figures" / drawn).is_file()


def test_energies_on_devices_follow_from_the_ratios():
    """Both ends of a ratio are those of the two energies, to the two digits of a cell."""
    measured = list(frontier.entries())
    (_, *heads), _, *rows = frontier.device_rows(measured)
    entries = [
        entry for *_, entry in measured if "device" in frontier.highest(entry["found"].pairs[0])
    ]
    assert len(rows) >= 5
    assert len(heads) == len(entries) > 0
    for column, entry in enumerate(entries, 1):
        _, ratios = frontier.highest(entry["found"].pairs[0])["device"]
        for row, ratio in zip(rows, ratios, strict=True):
            energies, _ = row[column].split(": ")
            spiking, other = (
                [float(end.replace(",", "")) for end in one.split(" to ")]
                for one in energies.split(" / ")
            )
            assert max(spiking) / min(spiking) <= 10
            assert ratio.ratio.low == pytest.approx(min(spiking) / max(other), rel=0.05)
            assert ratio.ratio.high == pytest.approx(max(spiking) / min(other), rel=0.05)


def test_bytes_are_those_of_networks_that_can_be_stored():
    for *_, entry in frontier.entries():
        found = entry["found"]
        stored = {
            is_spiking: {
                one.amounts["weights"].low for one in found.variants if one.spiking == is_spiking
            }
            for is_spiking in (True, False)
        }
        possible = {ours / theirs for ours in stored[True] for theirs in stored[False]}
        sizes = [one for at in found.pairs[0].at for one in at.ratios if one.group == "size"]
        assert sizes
        assert all(one.ratio.low in possible for one in sizes)


@pytest.mark.skipif("ablations" not in FEATURES, reason="its study has ablations")
def test_the_study_has_a_family_for_each_contender():
    experiments = frontier.experiments()
    assert len(experiments) == 6
    assert all(experiment.frontier for experiment in experiments.values())
    assert set(shared.read(frontier.RESULT)) <= set(experiments)
