"""The page of the frontier is that of its results, and its study file can be read."""

import frontier
from spikeduel.data.catalogue import DATASETS
from spikeduel.settings import studies
from spikeduel.system import typed


def test_the_page_is_made_of_the_results():
    assert frontier.PAGE.read_text() == frontier.page()
    for name in typed.read_json(frontier.RESULT, dict):
        assert (frontier.PAGE.parent / "figures" / f"frontier-{name}.png").is_file()


def test_the_study_has_a_family_for_each_contender():
    study = studies.read(
        frontier.STUDY, lambda name: name.startswith("n-mnist"), DATASETS.__contains__
    )
    assert len(study.duels) == 5
    assert all(duel.experiment.frontier for duel in study.duels)
    labels = {study.label(duel) for duel in study.duels}
    assert set(typed.read_json(frontier.RESULT, dict)) <= labels
