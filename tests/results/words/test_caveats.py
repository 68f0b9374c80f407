from typing import get_args

import pytest

from made_audits import audit_with
from spikeduel.results import caveats as c
from spikeduel.results.audit import Finding
from spikeduel.results.words.audit import problems
from spikeduel.results.words.caveats import assigned, reason, sentence

EXAMPLES = [
    (
        c.Leakage(shared=0.87, official=False),
        "Leakage: 87 % of the test images have relatives in training (same person, or "
        "duplicates). The scores measure memory as much as recognition. Use --split default, "
        "which keeps groups whole.",
    ),
    (
        c.FewShared(shared=0.0012),
        "0.12 % of the test images have copies in training: at most that share of a score is "
        "memory.",
    ),
    (c.OneSeed(), "One seed: a difference of a point or more can be chance. Use --seeds 6."),
    (
        c.FewTestImages(num_test=50, folds_help=True),
        "50 test images: one image is worth 2.0 points. --folds 5 tests all images.",
    ),
    (
        c.FewGroups(tested=5, known=48, one_seed=True, folds_help=True),
        "The test images come from 5 groups of 48: what is special to these groups weighs "
        "heavily, and more seeds do not help. With one seed, p cannot fall below 0.062. Use "
        "--folds 5 to test all groups.",
    ),
    (
        c.AtChance(contenders=["snn"], chance=0.354, stopped_early=True),
        "snn: not shown to be better than always naming the test images' most frequent class "
        "(35.4 %). The stopping rule ended training, so --epochs changes nothing. Try other "
        "settings (--tune 10).",
    ),
    (
        c.SometimesAtChance(contender="snn", num=1, of=5),
        "snn: in 1 of 5 trainings not shown to be better than always naming the test images' most "
        "frequent class.",
    ),
    (
        c.ControlAtChance(contender="snn", control="one time step"),
        "The control one time step of snn learned nothing: it is not shown to be better than "
        "always naming the test images' most frequent class, and shows no cause. Train longer "
        "(--epochs).",
    ),
    (
        c.BelowNearestNeighbour(contenders=["snn", "cnn"], accuracy=0.91, first_fold=True),
        "A nearest-neighbour baseline on small grey images scores 91.0 % of the first fold, above "
        "snn and cnn. Add images, tune (--tune 10), or look for leaks (the data audit).",
    ),
    (
        c.SameWeights(pairs=[("a", "b")], only=True),
        "Same weights, shape for shape: a and b. Their shape explains no difference.",
    ),
    (
        c.StartsFromTwin(sources={"a": "b"}),
        "a started from the trained weights of b, and trained on: part of a lead can come from the "
        "longer training. --set start=fresh trains each from nothing.",
    ),
    (
        c.Confounded(),
        "The networks differ in shape as well as in spiking: a difference cannot be put down to "
        "spikes alone. --recipe strong, or events on recordings, compares equal weights.",
    ),
    (
        c.InFolds(folds=5),
        "Scores are means over 5 folds. Folds share training images: they are not independent "
        "data.",
    ),
    (
        c.Untuned(),
        "Settings are the same for all contenders and tuned for none. --tune 10 tunes each "
        "equally.",
    ),
    (
        c.OwnSettings(settings={"a": {"beta": 0.5, "num_steps": 4}, "b": {"beta": 0.25}}),
        "Contenders have settings of their own (a: beta 0.5, num_steps 4; b: beta 0.25). No "
        "tuning shows that each was tuned equally.",
    ),
    (
        c.Tuned(num_trials=8, most_epochs=6),
        "Each contender was tuned with 8 trials of at most 6 epochs, on validation images and "
        "with one seed; all other settings are common.",
    ),
    (
        c.StillRising(gains={"a": 0.012, "b": 0.02}, num_trials=5),
        "From 2 to 5 trials the expected best still rose: a by 1.2 points and b by 2.0 points. "
        "Try more trials.",
    ),
    (
        c.CloseSettings(close={"a": 2}, num_trials=8, num_val=207, error=0.0209),
        "207 validation images: an accuracy on them is uncertain by 2.1 points (standard error). "
        "Within that of the best lie 2 others of a of 8 settings: choosing the best is partly "
        "luck.",
    ),
    (
        c.UnevenTuning(settings={"a": 2, "b": 1}),
        "The same number of trials covers more settings more thinly. Settings tuned: a 2, b 1.",
    ),
    (c.FailedTuning(contender="a", failed=3, num_trials=8), "3 of 8 tuning trials of a failed."),
    (
        c.KeepsSettings(contender="a"),
        "a keeps the settings it had: none of its tuning trials was finished.",
    ),
    (
        c.OwnSteps(contender="net:Net", num_steps=1, encoding="rate"),
        "net:Net makes its own 1 time step (direct encoding): encoding rate does not reach it.",
    ),
    (
        c.InFloat32(contenders=["a"]),
        "a trained in float32, the others in bf16. --precision 32 makes epoch times comparable.",
    ),
    (
        c.BusyBudget(minutes=1.0),
        "The machine was busy when training steps were timed: the contenders may have got fewer "
        "epochs than fit into 1 minute. Train again when it is idle, or give --epochs.",
    ),
    (
        c.BusyMachine(load=5.25, cores=2),
        "The machine was busy when answers were timed (load 5.2 on 2 cores): its times are "
        "unreliable.",
    ),
    (
        c.NotTrained(sources={"a-converted": "a"}, num_steps=32, percentile=99.9),
        "Converted, not trained: a-converted from a, over 32 steps, each layer scaled by "
        "percentile 99.9 of its activations. More steps (--set conversion_steps=N) come nearer to "
        "the source.",
    ),
    (
        c.Pretrained(weights={"torchvision:a": "A_Weights.V1", "timm:b": "b.c"}, alone=False),
        "Pretrained on other images: torchvision:a (A_Weights.V1) and timm:b (b.c). The others "
        "learned from these images alone. If test images were among those, the score is too high.",
    ),
    (
        c.FromNothing(contenders=["timm:b"]),
        "timm:b started from nothing: pretrained weights, which such networks mostly gain from, "
        "could not be had. --pretrained yes says why, and what to do.",
    ),
    (
        c.NotConverted(contender="a", reason="1 (SiLU) has no counterpart."),
        "a could not be converted to a spiking network: 1 (SiLU) has no counterpart.",
    ),
    (
        c.DifferentEpochs(),
        "The contenders trained for different numbers of epochs, by the same stopping rule.",
    ),
    (
        c.DifferentEpochs(equal_time=True),
        "The contenders trained for different numbers of epochs, in the same time.",
    ),
    (
        c.EpochLimit(contenders=["a", "b"], epochs=10),
        "a and b improved until the limit of 10 epochs: more (--epochs) might help.",
    ),
    (c.Limited(limit=1234), "Training and validation were limited to 1,234 images (--limit)."),
    (
        c.FailedTrials(titles=["a, seed 0", "b, seed 1"]),
        "Failed and left out: a, seed 0; b, seed 1.",
    ),
    (
        c.FailedMeasure(measure="calibration", trial="a, seed 0", reason="it broke."),
        "Not measured: calibration of a, seed 0 (it broke). The same command tries again.",
    ),
    (
        c.NotCounted(contender="a", reason="it is odd."),
        "Operations and energy of a are not known: it is odd.",
    ),
    (
        c.TestUses(uses=1205, here=4),
        "1,205 models were tested on these images from this store, 4 of them in this run. "
        "Choosing models by test score inflates it: choose on validation.",
    ),
    (
        c.TestedEveryEpoch(trainings=12),
        "The test images were also asked after every epoch of 12 trainings (--optimism), for the "
        "report only: nothing was chosen by the answers.",
    ),
    (
        c.AuditProblem(finding=Finding(kind="conflicting_labels", is_problem=True)),
        "Data audit: conflicting labels",
    ),
    (
        c.LabelsToCheck(suspects=12, examined=900),
        (
            "12 labels of 900 may be wrong: networks that had not seen these images find another "
            "class far more probable. Look at them (labels.csv in the run's folder); none was "
            "changed or left out."
        ),
    ),
    (c.DataNote(text="The raw images are transposed."), "The raw images are transposed."),
]
REASONS = [
    (
        c.RelativesApart(shared=0.87),
        "a split that keeps relatives together (87 % of test images have some in training)",
    ),
    (
        c.FewGroups(tested=5, known=48, one_seed=False, folds_help=True),
        "more groups of test images (5 of 48 tested; --folds 5 tests them all)",
    ),
    (
        c.AnotherTraining(),
        "another training (one seed cannot show the variance over seeds; use --seeds 6)",
    ),
    (
        c.EnoughSeeds(fewest=4),
        "more seeds (fewer than 4 cannot make a lead conclusive; use --seeds 6)",
    ),
    (
        c.MoreSeeds(needed=14, most=100, margin=0.005),
        "more seeds (about 14 would show a difference of 0.5 points, if there is one)",
    ),
    (
        c.MoreImages(detectable=0.0061),
        "more test images (these show differences from 0.61 points up, with any number of seeds)",
    ),
    (c.MoreTuning(), "more trials of tuning, or wider ranges for it"),
    (c.OtherSettings(), "other settings, which were tuned for none of them"),
]


@pytest.mark.parametrize(("caveat", "text"), EXAMPLES, ids=lambda given: type(given).__name__)
def test_every_caveat_has_its_sentence(caveat, text):
    assert sentence(caveat) == text


@pytest.mark.parametrize(("given", "text"), REASONS, ids=lambda given: type(given).__name__)
def test_everything_that_could_overturn_a_conclusion_has_its_words(given, text):
    assert reason(given) == text


def test_no_kind_is_without_words():
    assert {type(caveat) for caveat, _ in EXAMPLES} == set(get_args(c.Caveat))
    assert {type(given) for given, _ in REASONS} == set(get_args(c.Overturn))


def test_a_problem_that_an_audit_found_is_put_in_its_words():
    finding = Finding(kind="cut_groups", is_problem=True, count=3, share=0.5)
    audited = audit_with(conclusions=(finding,))
    assert (
        sentence(c.AuditProblem(finding=finding), audited) == f"Data audit: {problems(audited)[0]}"
    )


# What a sentence says in one case and not in another: in each of these, a few words of it.
@pytest.mark.parametrize(
    ("caveat", "has", "lacks"),
    [
        (c.Leakage(shared=0.01, official=True), "Divide the data anew.", "--split default"),
        (
            c.FewGroups(tested=7, known=7, one_seed=False, folds_help=False),
            "from 7 groups:",
            "--folds",
        ),
        (
            c.FewGroups(tested=1, known=9, one_seed=False, folds_help=True),
            "from 1 group of 9:",
            "p cannot fall below",
        ),
        (
            c.FewGroups(tested=40, known=40, one_seed=False, folds_help=False, effective=3.93),
            "from 40 groups, so unequal that they count as 3.9:",
            "--folds",
        ),
        (
            c.AtChance(contenders=["snn"], stopped_early=False, improving=True),
            "Train longer (--epochs).",
            "tune",
        ),
        (
            c.AtChance(contenders=["snn"], stopped_early=False),
            "class. Try other settings (--tune 10).",
            "--epochs",
        ),
        (c.FewTestImages(num_test=1, folds_help=False), "1 test image:", "images"),
        (c.Tuned(num_trials=1, most_epochs=1), "1 trial of at most 1 epoch,", "epochs"),
        (c.NotTrained(sources={"b": "a"}, num_steps=1, percentile=99.9), "over 1 step,", "1 steps"),
        (c.Limited(limit=1), "to 1 image (", "images"),
        (
            c.FailedTuning(contender="a", failed=1, num_trials=1),
            "1 of 1 tuning trial of a failed.",
            "trials",
        ),
        (
            c.CloseSettings(close={"a": 1, "b": 3}, num_trials=8, num_val=207, error=0.0209),
            "lie 1 other of a and 3 others of b of 8 settings:",
            "1 others",
        ),
        (
            c.BelowNearestNeighbour(contenders=["snn"], accuracy=0.5, first_fold=False),
            "50.0 %, above",
            "fold",
        ),
        (
            c.SameWeights(pairs=[("a", "b"), ("c", "d")], only=False),
            "Same weights, shape for shape: a and b; c and d. Other pairs differ",
            "Their shape explains no difference",
        ),
        (c.EpochLimit(contenders=["a"], epochs=1), "limit of 1 epoch:", "epochs:"),
    ],
)
def test_cases_of_a_sentence(caveat, has, lacks):
    assert has in sentence(caveat)
    assert lacks not in sentence(caveat)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            c.MoreSeeds(needed=None, most=100, margin=0.005),
            "more than 100 seeds (as many as a difference of 0.5 points takes)",
        ),
        (
            c.MoreSeeds(needed=11, most=100, margin=0.02125),
            "more seeds (about 11 would show a difference of 2.13 points, if there is one)",
        ),
        (
            c.FewGroups(tested=8, known=8, one_seed=True, folds_help=False),
            "more groups of test images (8 tested)",
        ),
    ],
)
def test_cases_of_what_could_overturn_a_conclusion(given, text):
    assert reason(given) == text


def test_settings_in_words():
    assert assigned({"learning_rate": 8.5e-5, "num_steps": 25, "surrogate_alpha": None}) == (
        "learning_rate 8.5e-05, num_steps 25, surrogate_alpha customary"
    )
