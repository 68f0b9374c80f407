from made_costs import control
from made_trials import scored, trial
from spikeduel.results.accuracy import no_better_than_chance, unlearned_controls

FIVE = (12,) * 5
"""Images of each class: chance is 20 %, and two standard errors of 60 guesses are 10.3 points."""


def seeds(*accuracies, folds=1, key="k"):
    """A control's accuracies by seed; with folds, so many one after the other."""
    return [
        trial(
            "snn",
            0.9,
            seed=k // folds,
            fold=None if folds == 1 else k % folds,
            test=scored(0.9, FIVE),
            controls={"one_step": control("one time step", accuracy, key=key)},
        )
        for k, accuracy in enumerate(accuracies)
    ]


def test_a_control_at_chance_learned_nothing():
    # As six trainings of so few steps that batch-norm statistics had not settled.
    assert unlearned_controls(seeds(0.217, 0.233, 0.217, 0.333, 0.267, 0.517)) == {
        "one_step": "one time step"
    }
    assert unlearned_controls(seeds(0.35, 0.4, 0.35)) == {}


def test_a_control_that_failed_for_half_of_the_seeds_learned_nothing():
    assert unlearned_controls(seeds(0.2, 0.9, 0.2, 0.9)) == {"one_step": "one time step"}
    assert unlearned_controls(seeds(0.2, 0.9, 0.9, 0.9)) == {}


def test_folds_of_a_seed_count_together():
    # 0.3 of 60 images is within two standard errors of chance, of 180 it is not.
    assert unlearned_controls(seeds(*[0.3] * 3, folds=3)) == {}
    assert unlearned_controls(seeds(0.3)) == {"one_step": "one time step"}


def test_a_trained_network_that_loses_everything_has_not_failed_to_learn():
    assert unlearned_controls(seeds(0.2, key=None)) == {}


def test_a_contender_is_judged_by_its_own_accuracy():
    assert not no_better_than_chance(seeds(0.2))
    assert no_better_than_chance(seeds(0.2), "one_step")
