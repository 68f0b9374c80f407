from dataclasses import replace

import pytest
from msgspec import structs

from factories import FOUR, MACHINE, dataset, latency, pair, results, scored, trial
from made_audits import audit_with
from spikeduel.analysis.recommending import decide
from spikeduel.analysis.run_findings import (
    RunContext,
    find_caveats,
    search_option,
)
from spikeduel.auditing.audit_results import Counts
from spikeduel.engine.networks.cards import CallConvention
from spikeduel.experiment.recipes import baseline, chip, strong
from spikeduel.results.findings import finding, with_id
from spikeduel.results.power import power
from spikeduel.results.run import Budget
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import Epoch, has_converged
from spikeduel.statistics import Variability

EXPERIMENT = baseline(seeds=3)
SEARCH = search_option()
UNTUNED = finding("untuned", remedy=SEARCH)


def caveats_of(experiment, about, trials, budget=None):
    return find_caveats(RunContext(experiment, about, trials, budget=budget))


def caveats(trials=(), experiment=EXPERIMENT, **about):
    """The caveats beside the one that settings were tuned for no contender, which always holds here."""
    every = caveats_of(experiment, dataset(**about), [trial("snn", 0.9), *trials])
    assert with_id(every, "untuned")
    return [caveat for caveat in every if caveat.id != "untuned"]


def at_chance(chance_level=0.2, remedy=SEARCH, balanced=False):
    """At chance; without a remedy of longer training or more images, training stopped early."""
    return finding(
        "at_chance",
        contenders=["snn"],
        chance=chance_level,
        balanced=balanced,
        stopped_early=remedy == SEARCH,
        longer=remedy is not None and remedy.startswith("--epochs"),
        remedy=remedy,
    )


def few_groups(tested, known, smallest_p=None, effective=None, remedy=None):
    values = {"some_untested": tested < known, "effective": effective, "smallest_p": smallest_p}
    return finding("few_groups", tested=tested, known=known, remedy=remedy, **values)


def more_seeds(needed, margin=0.005):
    remedy = f"--seeds {needed}" if needed else None
    known = needed is not None
    return finding(
        "more_seeds", is_known=known, needed=needed, most=100, margin=margin, remedy=remedy
    )


def leakage(shared, official=False):
    remedy = "divide the data anew" if official else "take the data set socofing"
    return finding("leakage", shared=shared, official=official, remedy=remedy)


def few_images(remedy=None):
    return finding("few_test_images", num_test=499, worth=1 / 499, remedy=remedy)


FIVE_FOLDS = [Counts(train=1, val=1, test=400)] * 5
PROBLEM = finding("conflicting_labels", count=2, images=9, share=0.02, names=None)
NOTE = finding("validation_copies", count=1)
TESTED_GROUPS = {"groups_tested": 5, "groups": 48}
NEIGHBOUR = audit_with(probe={"accuracy": 0.91})
BELOW_NEIGHBOUR = finding(
    "below_nearest_neighbour",
    contenders=["snn"],
    accuracy=0.91,
    balanced=False,
    first_fold=False,
)


# ---- caveats


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, []),
        ({"shared_groups": 0.0}, []),
        ({"shared_groups": 0.87}, [leakage(0.87)]),
        ({"shared_groups": 0.0012}, [leakage(0.0012)]),
        ({"shared_groups": 0.01, "split": "official"}, [leakage(0.01, official=True)]),
        ({"shared_groups": 0.0012, "split": "official"}, []),
        ({"folds": FIVE_FOLDS}, [finding("in_folds", folds=5)]),
        ({"num_test": 499, "can_fold": True}, [few_images("--folds 5")]),
        # Neither a data set's own test images nor those of all folds can become more.
        ({"num_test": 499, "split": "official"}, [few_images()]),
        (
            {"num_test": 499, "folds": FIVE_FOLDS},
            [few_images(), finding("in_folds", folds=5)],
        ),
        ({"num_test": 499, "own_validation": True}, [few_images("rename val to test")]),
        ({"num_test": 500}, []),
        (
            {"notes": ["The raw images are transposed."]},
            [finding("data_note", text="The raw images are transposed.")],
        ),
        (
            {"audit": audit_with(probe={"accuracy": 0.5}, conclusions=(PROBLEM, NOTE))},
            [PROBLEM],
        ),
        ({"test_uses": 1}, []),
        ({"test_uses": 0}, []),
        ({"test_uses": 5}, [finding("test_uses", uses=5, here=1)]),
        # Variants are models too.
        ({"test_uses": 5, "test_uses_here": 5}, []),
        ({"test_uses": 5, "test_uses_here": 4}, [finding("test_uses", uses=5, here=4)]),
    ],
    ids=str,
)
def test_what_the_data_gives_to_object(about, expected):
    assert caveats(**about) == expected


@pytest.mark.parametrize(
    ("trials", "about", "expected"),
    [
        ([trial("snn2", 0.9)], {}, []),
        ([trial("cnn", 0.5)], {}, [finding("confounded")]),
        (
            [trial("snn2", 0.5, relu_epochs=1)],
            {},
            [finding("starts_with_relu", epochs={"snn2": 1})],
        ),
        (
            [trial("snn2", 0.5, converged=False), trial("snn2", 0.5, converged=True, seed=1)],
            {},
            [finding("epoch_limit", contenders=["snn2"])],
        ),
        ([trial("snn2", 0.5, converged=True)], {}, []),
        (
            [trial("snn2", seed=4, fold=1)],
            {},
            [finding("failed_trials", titles=["snn2, seed 4, fold 1"])],
        ),
        (
            [trial("snn2", 0.9, failed_measures={"calibration": "it broke."})],
            {},
            [
                finding(
                    "failed_measure",
                    measure="calibration",
                    trial="snn2, seed 0",
                    reason="it broke",
                )
            ],
        ),
        (
            [trial("snn2", 0.9, not_counted="it is odd.", seed=seed) for seed in (0, 1)],
            {},
            [finding("not_counted", contender="snn2", reason="it is odd.")],
        ),
        ([], {"experiment": replace(EXPERIMENT, seeds=1)}, [finding("one_seed")]),
        ([], {"experiment": replace(EXPERIMENT, limit=9)}, [finding("limited", limit=9)]),
        ([trial("snn2", 0.95)], {"audit": NEIGHBOUR}, [BELOW_NEIGHBOUR]),
        # The mean over seeds counts.
        ([trial("snn2", 0.95), trial("snn", 0.93, seed=1)], {"audit": NEIGHBOUR}, []),
        ([trial("snn2", 0.5)], {"audit": audit_with(probe=None)}, []),
    ],
)
def test_what_the_trials_give_to_object(trials, about, expected):
    assert caveats(trials, **about) == expected


def test_networks_of_other_libraries():
    looping = trial(
        "net:Net", 0.9, foreign=CallConvention(way="loop", num_steps=7), num_steps=7, precision="32"
    )
    stepping = trial("net:wide", 0.9, foreign=CallConvention(way="step"), precision="bf16")
    # Beside others in bf16, who computes in float32 is slower; alone, it is not.
    mixed = caveats_of(
        EXPERIMENT, dataset(), [looping, stepping, trial("snn", 0.9, precision="bf16")]
    )
    assert finding("in_float32", contenders=["net:Net"]) in mixed


def test_with_unbalanced_classes_the_nearest_neighbour_is_compared_by_balanced_accuracy():
    # Recalls of .99 and .2 on 900 and 100 images: 91.1 % right, and 59.5 % balanced.
    trained = with_confusion([[891, 9], [80, 20]])
    neighbour = audit_with(probe={"accuracy": 0.9, "balanced_accuracy": 0.6})
    below = caveats_of(EXPERIMENT, dataset(audit=neighbour), [trained])
    about = {"contenders": ["snn"], "balanced": True, "first_fold": False}
    assert finding("below_nearest_neighbour", accuracy=0.6, **about) in below
    above = audit_with(probe={"accuracy": 0.95, "balanced_accuracy": 0.59})
    assert not with_id(
        caveats_of(EXPERIMENT, dataset(audit=above), [trained]), "below_nearest_neighbour"
    )


# ---- chance


def test_who_learned_nothing_in_minutes_is_to_have_more_of_them():
    budget = Budget(minutes=1.5, given=False, epoch_seconds={}, epochs={})
    trials = [fold(0.2, None, stopped="limit")]
    caveats_found = find_caveats(RunContext(EXPERIMENT, dataset(), trials, budget=budget))
    assert with_id(caveats_found, "at_chance")[0].remedy == "--minutes 6"


def epoch(accuracy, loss, train_accuracy=0.5):
    return Epoch(
        train_loss=1.0, train_accuracy=train_accuracy, val_loss=loss, val_accuracy=accuracy
    )


def with_confusion(confusion):
    supports = [sum(row) for row in confusion]
    right = sum(row[k] for k, row in enumerate(confusion))
    return trial("snn", 0.5, test=scored(right / sum(supports), supports, confusion))


def fold(accuracy, number, supports=(20,) * 5, **changes):
    return trial("snn", accuracy, fold=number, **{"test": scored(accuracy, supports), **changes})


def test_pretrained_weights_and_their_lack_are_caveats():
    a = trial("torchvision:a", 0.9, pretrained="W")
    b, cnn = trial("timm:b", 0.9), trial("cnn", 0.9)
    caveats_found = caveats([a, b, cnn])
    assert finding("pretrained", weights={"torchvision:a": "W"}, alone=False) in caveats_found
    assert finding("from_nothing", contenders=["timm:b"]) in caveats_found
    asked = caveats([b, cnn], replace(EXPERIMENT, pretrained="no"))
    assert with_id(asked, "from_nothing", "pretrained") == []
    # What a converted network started from is its source's to say.
    converted = structs.replace(b, derived_from="timm:b", contender="timm:b-converted")
    assert finding("from_nothing", contenders=["timm:b"]) in caveats([b, converted])


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        # 10 classes alike: chance is 10 %, and two standard errors of 2,000 guesses are 1.3 points.
        ([trial("snn", 0.112)], at_chance(0.1)),
        ([trial("snn", 0.115)], None),
        # A constant prediction, and one for every tenth image, are of no use, however frequent the
        # class is; nine in ten of the rare class, among as many predictions, are.
        ([with_confusion([[80, 0], [20, 0]])], at_chance(0.8)),
        ([with_confusion([[72, 8], [18, 2]])], at_chance(0.8)),
        ([with_confusion([[64, 16], [2, 18]])], None),
        # 1 % positives: all are found among 3 % of the others; one alone may be by chance.
        ([with_confusion([[960, 30], [0, 10]])], None),
        ([with_confusion([[280, 19], [0, 1]])], at_chance(299 / 300)),
        # All trainings judge together: 0.27 of 100 images is within two standard errors (8 points)
        # of 20 %; 0.29 of 500 (3.6 points) is not.
        (
            [fold(accuracy, k) for k, accuracy in enumerate((0.27, 0.3, 0.29, 0.29, 0.3))],
            finding("sometimes_at_chance", contender="snn", num=1, of=5),
        ),
        (
            [fold(accuracy, k) for k, accuracy in enumerate((0.16, 0.28, 0.2, 0.2, 0.22))],
            at_chance(),
        ),
        # Seeds predict the same images: six at 0.27 are still within two standard errors of 100.
        ([fold(0.27, None, seed=seed) for seed in range(6)], at_chance()),
        # One stopped early, and the other reached the limit of epochs.
        (
            [fold(0.2, None), fold(0.2, None, stopped="limit", seed=1)],
            at_chance(remedy="--epochs 16"),
        ),
        # It fits its training images: longer training does not help.
        (
            [fold(0.2, None, stopped="limit", history=[epoch(0.2, 1.6, train_accuracy=0.95)])],
            at_chance(remedy="add images"),
        ),
        # A constant prediction is right as often.
        (
            [
                structs.replace(
                    with_confusion([[190, 0], [10, 0]]),
                    stopped="limit",
                    best_epoch=0,
                    history=[epoch(0.95, 0.2, train_accuracy=0.95)],
                )
            ],
            at_chance(0.5, remedy="--epochs 16", balanced=True),
        ),
    ],
)
def test_chance_is_judged_by_all_trainings_within_two_standard_errors(trials, expected):
    caveats_found = caveats_of(EXPERIMENT, dataset(), trials)
    expected = [expected] if expected else []
    assert with_id(caveats_found, "at_chance", "sometimes_at_chance") == expected


@pytest.mark.parametrize(
    ("accuracies", "losses", "converged"),
    [
        ([0.5, 0.6, 0.7], [0.9] * 3, False),
        ([0.5, 0.6, 0.7, 0.8], [0.9] * 4, False),
        ([0.5, 0.6, 0.7, 0.705], [0.9] * 4, True),
        ([0.7, 0.6, 0.5, 0.6], [0.9] * 4, True),
        # Two of eight epochs are the last quarter.
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7], [0.9] * 8, False),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.7, 0.7], [0.9] * 8, True),
        # On few images accuracy stands still by chance; the loss says that it learns.
        ([0.7, 0.7, 0.7, 0.7], [0.9, 0.8, 0.7, 0.6], False),
        ([0.7, 0.7, 0.7, 0.7], [0.9, 0.8, 0.7, 0.66], True),
        ([0.7, 0.7, 0.7, 0.7], [0.9, 0.7, 0.9, 1.2], True),
        # Equal probabilities of three classes have a loss of 1.0986.
        ([0.33, 0.33, 0.33, 0.33], [1.2, 1.11, 1.1, 1.1], False),
    ],
    ids=str,
)
def test_a_training_has_converged_at_a_plateau_that_is_better_than_chance(
    accuracies, losses, converged
):
    history = [epoch(*both) for both in zip(accuracies, losses, strict=True)]
    assert has_converged(history, 3) is converged


LONGER = finding("longer_training", contender="snn", other="cnn", times=2.0, by_time=False)


@pytest.mark.parametrize(
    ("snn", "cnn", "expected"),
    [
        ({"epochs": 4}, {"epochs": 2}, LONGER),
        # Whoever is behind may have trained for longer.
        ({"epochs": 2}, {"epochs": 4}, None),
        ({"epochs": 11}, {"epochs": 10}, None),
        # Nothing was to be gained by more.
        ({"epochs": 4}, {"epochs": 2, "stopped": "early"}, None),
        # Seconds do not count where epochs were set.
        ({"epochs": 4, "seconds": [9.0]}, {"epochs": 4, "seconds": [1.0]}, None),
    ],
    ids=str,
)
def test_a_lead_after_longer_training_is_not_shown(snn, cnn, expected):
    trials = [
        trial("snn", 0.9, **{"stopped": "limit", **snn}),
        trial("cnn", 0.8, **{"stopped": "limit", **cnn}),
    ]
    better = pair(0.1, conclusion=Conclusion.A_BETTER)
    run = RunContext(EXPERIMENT, dataset(), trials, [better])
    (concluded,) = run.reserved()
    found = [caveat for caveat in find_caveats(run) if caveat.id == "longer_training"]
    assert found == ([expected] if expected else [])
    if expected:
        assert concluded.conclusion is Conclusion.INCONCLUSIVE
        assert concluded.reservation is Reservation.LONGER_TRAINING
        assert decide(results(trials, [concluded], caveats=found)).reason == "longer_training"
    else:
        assert concluded == better


def test_no_pair_with_a_contender_at_chance_is_concluded():
    trials = [trial("snn", 0.1), trial("cnn", 0.9)]
    worse = pair(-0.8, conclusion=Conclusion.B_BETTER, seeds=6)
    run = RunContext(EXPERIMENT, dataset(), trials, [worse])
    (concluded,) = run.reserved()
    assert concluded.conclusion is Conclusion.INCONCLUSIVE
    assert concluded.reservation is Reservation.AT_CHANCE
    # More seeds would settle nothing.
    assert replace(run, pairs=[concluded]).inconclusive == []


def test_training_longer_is_suggested_once_for_a_contender_at_chance():
    at_chance, learned = (
        trial(name, accuracy, stopped="limit", converged=False)
        for name, accuracy in (("snn", 0.1), ("cnn", 0.9))
    )
    found = with_id(caveats_of(EXPERIMENT, dataset(), [at_chance, learned]), "epoch_limit")
    assert found == [finding("epoch_limit", contenders=["cnn"])]


def test_minutes_are_compared_by_seconds():
    budget = Budget(minutes=1.0, given=True, epoch_seconds={}, epochs={})
    limit = {"stopped": "limit"}
    trials = [
        trial("snn", 0.9, seconds=[2.0], **limit),
        trial("cnn", 0.8, seconds=[1.0], epochs=9, **limit),
    ]
    run = RunContext(EXPERIMENT, dataset(), trials, [pair(0.1)], budget=budget)
    assert run.times_as_long(run.pairs[0]) == 2.0
    # All got the same epochs: one that ended early had no less.
    assert replace(run, budget=None).times_as_long(run.pairs[0]) is None
    # Equal minutes were of other epochs, as many as the plan gave each.
    own = {"small-cnn": {"epochs": 9}}
    planned = replace(run, experiment=replace(EXPERIMENT, epochs=2, per_contender=own))
    (caveat,) = with_id(find_caveats(planned), "longer_training")
    assert caveat.remedy == "--epochs 9"
    # A converted network was trained for as long as its source.
    converted = replace(run, trials=[structs.replace(trials[0], derived_from="relu"), trials[1]])
    assert with_id(find_caveats(converted), "longer_training") == [
        finding("longer_training", contender="snn", other="cnn", times=2.0, by_time=True)
    ]
    # A failed training has no time to compare.
    failed = replace(run, trials=[trial("snn"), trials[1]])
    assert failed.times_as_long(run.pairs[0]) is None


def test_a_machine_that_did_other_things_while_it_timed():
    def timed(load):
        machine = structs.replace(MACHINE, cores=4, threads=2, load_average=load)
        return trial("snn", 0.9, latency=structs.replace(latency(0.5), machine=machine))

    assert finding("busy_machine", load=3.5, cores=4) in caveats_of(
        EXPERIMENT, dataset(), [timed(1.0), timed(3.5)]
    )
    # Its own two threads, and a quarter of the cores.
    assert caveats_of(EXPERIMENT, dataset(), [timed(3.0), timed(None)]) == [UNTUNED]


# ---- groups


@pytest.mark.parametrize(
    ("about", "seeds", "expected"),
    [
        ({**TESTED_GROUPS, "can_fold": True}, 3, few_groups(5, 48, remedy="--folds 5")),
        # With one seed, fewer than six groups reach no p-value below 5 %.
        (
            {**TESTED_GROUPS, "can_fold": True},
            1,
            few_groups(5, 48, smallest_p=0.0625, remedy="--folds 5"),
        ),
        ({"groups_tested": 6, "groups": 48}, 1, few_groups(6, 48)),
        ({**TESTED_GROUPS, "split": "official", "can_fold": True}, 3, few_groups(5, 48)),
        ({"groups_tested": 8, "groups": 8}, 3, few_groups(8, 8)),
        ({"groups_tested": 10, "groups": 48}, 1, None),
        (
            {"groups_tested": 40, "groups": 40, "effective_groups_tested": 3.9},
            6,
            few_groups(40, 40, effective=3.9),
        ),
        ({"groups_tested": 40, "groups": 40, "effective_groups_tested": 18.0}, 6, None),
        ({"groups_tested": None, "groups": None}, 1, None),
        ({}, 1, None),
    ],
    ids=str,
)
def test_few_groups_are_those_that_are_tested(about, seeds, expected):
    caveats_found = with_id(
        caveats(experiment=replace(EXPERIMENT, seeds=seeds), **about), "few_groups"
    )
    assert caveats_found == [expected] * (expected is not None)


# ---- twins

DENSE = ("dense-snn", "dense-cnn")


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (FOUR[:2], [finding("same_shapes", pairs=[DENSE], only=True)]),
        (FOUR, [finding("same_shapes", pairs=[DENSE, ("conv-snn", "conv-cnn")], only=False)]),
        ([FOUR[0], FOUR[3]], [finding("confounded")]),
        ([FOUR[0], FOUR[2]], []),
    ],
    ids=["twins", "two pairs of twins", "no twins", "two spiking"],
)
def test_of_twins_the_difference_is_the_activations(trials, expected):
    caveats_found = caveats_of(EXPERIMENT, dataset(), trials)
    assert with_id(caveats_found, "same_shapes", "confounded") == expected


# ---- settings


OWN = {"dense-snn": {"beta": 0.5}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [(None, UNTUNED), (OWN, finding("own_settings", settings=OWN))],
    ids=["common", "by hand"],
)
def test_whose_settings_were_searched(settings, expected):
    experiment = baseline(seeds=3, per_contender=settings)
    assert caveats_of(experiment, dataset(), [trial("snn", 0.9)]) == [expected]


# ---- what seeds and images can show


VARIABILITY = Variability(seeds_a=0.0173, seeds_b=0.007, images=0.0042)
FOUND = {"difference": -0.0213, "seeds_needed": None, "power": power(VARIABILITY, 0.01, 6)}


def shown_by(pairs, **about):
    """Return what more seeds or images would show of `pairs`."""
    caveats_found = find_caveats(RunContext(EXPERIMENT, dataset(**about), [], pairs))
    return with_id(caveats_found, "more_images", "enough_seeds", "more_seeds")


@pytest.mark.parametrize(
    ("changes", "about", "expected"),
    [
        ({}, {}, [more_seeds(14)]),
        ({"seeds": 3}, {}, [finding("enough_seeds", fewest=4)]),
        ({"seeds": 4}, {}, [more_seeds(14)]),
        ({"seeds_needed": None}, {}, [more_seeds(None)]),
        (
            {"seeds_needed": None, "detectable_at_best": 0.0061},
            {},
            [finding("more_images", detectable=0.0061, assumed=False)],
        ),
        # What was found is more than the images can show with seeds enough: it is the seeds that
        # are too few.
        (
            {**FOUND, "seeds_for_difference": 9, "detectable_at_best": 0.0118},
            {},
            [more_seeds(9, 0.0213)],
        ),
        (
            {**FOUND, "seeds_for_difference": None, "detectable_at_best": 0.0118},
            {},
            [more_seeds(None, 0.0213)],
        ),
        (
            {**FOUND, "detectable_at_best": 0.0214},
            {},
            [finding("more_images", detectable=0.0214, assumed=False)],
        ),
        ({"conclusion": Conclusion.EQUIVALENT}, {}, []),
        ({"conclusion": Conclusion.A_BETTER, "seeds": 3}, {}, []),
        ({"seeds": 1, "n": 10_000}, {}, []),
        # Few groups of images, too, hide what is not shown.
        (
            {"seeds_needed": None, "detectable_at_best": 0.3},
            TESTED_GROUPS,
            [finding("more_images", detectable=0.3, assumed=False)],
        ),
    ],
    ids=str,
)
def test_what_would_show_more(changes, about, expected):
    assert shown_by([pair(**{"difference": 0.002, "seeds": 6, **changes})], **about) == expected


def found_on(num_test, seeds, at_best=0.004, **changes):
    """The smallest difference that so many images show, if it is named."""
    changes |= {"seeds": seeds, "n": num_test, "detectable_at_best": at_best}
    run = RunContext(replace(EXPERIMENT, seeds=seeds), dataset(), [], [pair(0.002, **changes)])
    found = with_id(find_caveats(run), "more_images")
    return [caveat.values["detectable"] for caveat in found]


def by_number(num_test):
    """1.96 + 0.84 standard deviations, if 3.7 % of the trained differ by more than a training's
    variability.
    """
    return [pytest.approx(2.8 * (0.037 / num_test) ** 0.5)]


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 6])
def test_far_too_few_images_are_named_for_every_number_of_seeds(seeds):
    assert found_on(50, seeds) == by_number(50)
    assert found_on(116, seeds) == by_number(116)
    assert found_on(2_000, seeds) == []
    # From two seeds on, the disagreement is measured; one seed measures none.
    assert found_on(200, seeds) == (by_number(200) if seeds == 1 else [])
    assert found_on(200, seeds, at_best=0.06) == [0.06]
    assert found_on(50, seeds, at_best=0.09) == [0.09]
    # A difference that is shown needs no more images.
    assert found_on(50, seeds, ci95=(0.001, 0.2)) == []


@pytest.mark.parametrize("contenders", [("snn",), ("snn", "cnn", "other")])
def test_the_smallest_difference_does_not_depend_on_the_number_of_contenders(contenders):
    # 100 images of unbalanced classes tell as much of balanced accuracy as 39.6 of equal classes.
    supports = (11, 89)
    trials = [trial(name, 0.9, test=scored(0.9, supports)) for name in contenders]
    found = find_caveats(RunContext(EXPERIMENT, dataset(100), trials, [pair(0.002, n=100)]))
    (caveat,) = with_id(found, "more_images")
    equal_classes = 4 / (1 / 11 + 1 / 89)
    assert caveat.values["detectable"] == pytest.approx(2.8 * (0.037 / equal_classes) ** 0.5)


@pytest.mark.parametrize(
    ("supports", "expected"),
    [
        ((50, 10), None),
        ((90, 10), {"balanced": True, "least_images": 10, "most_images": 90}),
        ((90, 9), {"balanced": False, "least_images": 9, "most_images": 90}),
        ((90, 90, 0, 9), {"balanced": False, "least_images": 9, "most_images": 90}),
    ],
)
def test_the_measure_that_decides_is_named_with_the_smallest_class(supports, expected):
    trials = [trial(name, 0.9, test=scored(0.9, supports)) for name in ("snn", "cnn")]
    found = with_id(find_caveats(RunContext(EXPERIMENT, dataset(), trials)), "unbalanced")
    assert len(found) == (expected is not None)
    for caveat in found:
        assert caveat.values["least"] == f"class {len(supports) - 1}"
        assert expected.items() <= caveat.values.items()


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        # The pair that needs most seeds counts.
        (
            [
                *(pair(0.002, seeds=6, seeds_needed=number) for number in (14, 33, 8)),
                pair(0.1, seeds=6, seeds_needed=None, conclusion=Conclusion.A_BETTER),
            ],
            [more_seeds(33)],
        ),
        # Some take seeds and others images.
        (
            [
                *(
                    pair(**FOUND, seeds=6, detectable_at_best=0.01, seeds_for_difference=number)
                    for number in (9, None, 7)
                ),
                *(
                    pair(0.001, seeds=6, seeds_needed=None, detectable_at_best=at_best)
                    for at_best in (0.02, 0.03)
                ),
            ],
            [finding("more_images", detectable=0.03, assumed=False), more_seeds(None, 0.0213)],
        ),
    ],
    ids=["seeds", "seeds and images"],
)
def test_of_several_pairs_the_one_that_needs_most_counts(pairs, expected):
    assert shown_by(pairs) == expected


def test_the_recipe_for_chips_says_what_it_costs():
    (caveats_found,) = with_id(caveats(experiment=chip("digits")), "for_chips")
    assert caveats_found == finding("for_chips")
    assert with_id(caveats(experiment=strong("digits")), "for_chips") == []
