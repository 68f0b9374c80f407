import pytest

import made_recordings as made
from made_pages import without_pages
from spikeduel import comparing
from spikeduel.experiment.recipes import events
from spikeduel.results.accuracy import no_better_than_chance


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Contenders on movements and the same ones backwards, each pair on one side: only the order of
    events tells.
    """
    folder = tmp_path_factory.mktemp("recordings")
    made.directions(folder / "bars" / "train", 24)
    made.directions(folder / "bars" / "test", 8, seed=1)
    duel = events(
        str(folder / "bars"),
        contenders=("vgg-lif", "vgg-sum"),
        epochs=8,
        width=8,
        batch_size=12,
        image_size=12,
        augmentation="none",
    )
    with without_pages():
        return comparing.compare(duel, folder / "out", folder / "store")


@pytest.fixture
def trials(comparison):
    return {trial.contender: trial for trial in comparison.results.trials}


def test_only_those_that_use_time_tell_a_movement_from_the_same_one_backwards(trials):
    assert trials["vgg-sum"].test.accuracy == 0.5  # each pair has the same sum
    assert trials["vgg-lif"].test.accuracy >= 0.95
    # Additions by events in every layer, multiplications in none.
    assert trials["vgg-lif"].operations.totals.macs.dense.per_step == 0


def test_without_time_nobody_tells_them_apart_and_polarity_is_not_needed(trials):
    for name, trial in trials.items():
        accuracy = {ablation: result.accuracy for ablation, result in trial.variants.items()}
        assert list(accuracy) == ["collapsed", "redrawn", "shuffled_frames", "reversed", "merged"]
        assert no_better_than_chance([trial], "collapsed"), name
        if name == "vgg-sum":
            assert {
                accuracy[ablation] for ablation in ("redrawn", "shuffled_frames", "reversed")
            } == {trial.test.accuracy}
        else:
            assert accuracy["merged"] > 0.9
            assert accuracy["reversed"] < 0.1  # backwards, each is one of the other class


def test_that_everything_is_lost_is_concluded(comparison):
    found = comparison.results.features["ablations"].without_time
    assert found.lost == "everything"
    assert found.contender != "vgg-sum"
    assert found.comparison.difference == pytest.approx(found.accuracy - found.accuracy_without)
