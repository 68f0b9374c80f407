"""The page of the frontier is that of its results, and its study file can be read."""

import re

import pytest

from benchmarks import shared
from spikeduel.features import FEATURES
from spikeduel.sentences.columns import tenths
from spikeduel.system import typed

pytest.importorskip("spikeduel.features.compression")
from benchmarks.energy import frontier
from spikeduel.features.compression.frontier_results import Conclusion


def test_the_page_is_made_of_the_results():
    assert frontier.PAGE.read_text() == frontier.page()
    for name in shared.read(frontier.EARLIER):
        assert (frontier.PAGE.parent / "figures" / f"frontier-{name}.png").is_file()


def test_the_summary_has_every_accuracy_with_its_label():
    """Arithmetic on MNIST is open at the highest accuracy and less at the next one."""
    sets = shared.read(frontier.EARLIER)
    for entry in sets.values():
        entry["found"] = typed.converted(entry["frontier"], Conclusion)
    lines = dict(zip(frontier.TITLES, frontier.summary(sets), strict=True))
    parts = dict(part.split(": ") for part in lines["arithmetic"].split(": ", 1)[1].split("; "))
    assert "mnist at 98.5 %" in parts["less (4 of 4)"]
    assert "mnist at 99.0 %" in parts["open (0 of 4)"]
    # "Less" cannot come out there, however the networks compare.
    assert parts["not testable"].startswith("photos-ants-bees at 71.0 % and n-mnist-800 at 94.7 %")
    for name, entry in sets.items():
        for at in entry["found"].pairs[0].at:
            for group in {one.group for one in at.ratios} - {"size"}:
                every = re.findall(rf"\b{name} at ([\d., and]+) %", lines[group])
                assert tenths(at.accuracy) in " ".join(every)


def test_bytes_are_those_of_networks_that_can_be_stored():
    for entry in shared.read(frontier.EARLIER).values():
        found = typed.converted(entry["frontier"], Conclusion)
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
    assert set(shared.read(frontier.EARLIER)) <= set(experiments)
