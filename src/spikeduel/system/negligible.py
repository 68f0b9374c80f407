"""Differences that do not matter: the largest ones that count as none.

Accuracies, and losses of accuracy, are fractions. A ratio is the larger of two times, sizes or
amounts divided by the smaller. A limit without a source is a choice that was not measured.
"""

MAX_ROUNDING = 1e-9
"""Difference in accuracy that is only rounding, a fraction: 1 − 0.999 is more than 0.001."""
MAX_MARGIN = 0.005
"""Difference in accuracy within which two contenders are equivalent, a fraction.

It is about what a network gains or loses by its seed: the standard deviation over seeds is 0.3 to
0.55 points on Fashion-MNIST (`benchmarks/results/precision-*.json`).
"""
MAX_SHARE_OF_ERRORS = 0.25
"""The same, as a share of the better contender's errors, which is the smaller limit above 98 %:
99.60 beside 98.70 % is three times the errors.
"""
MAX_DEFICIT = 0.01
"""Deficit in accuracy for which a cheaper contender may be recommended if no `tolerance` is set, a
fraction; a report states the power to find such a difference.

It is twice `MAX_MARGIN`, and what six seeds find in 72 to 94 % of cases
(`benchmarks/statistics/significance.py`).
"""
MAX_DEFICIT_IMAGES = 2
"""Test images that the same deficit may have beyond a quarter of the errors, which near 100 % are
less than one image (`benchmarks/statistics/choice.py`).
"""
MAX_DEFICIT_RATIO = 3
"""Ratio of the end of the deficit's 90 % interval to the tolerated deficit.

A ratio of 1 would ask for a proof of equivalence, for which most test sets are too small.
"""
MAX_DETECTABLE = 0.05
"""True difference in accuracy that test images may just be able to show, a fraction; with images
that show only larger ones, no contender is recommended.

If networks disagree as on Fashion-MNIST, these are fewer than 117 images. Without this limit, the
worse of two networks that are 2 points apart was recommended in 21 to 39 % of cases with 50 and 100
images and two or three seeds (`benchmarks/statistics/choice.py`).
"""
MAX_UNNAMED_DETECTABLE = 0.03
"""The same, up to which too few test images are not named first among the caveats, a fraction:
three times `MAX_DEFICIT`.
"""
MAX_EXIT_LOSS = 0.002
"""Loss of accuracy that early exits may cost, a fraction.

It is less than half of `MAX_MARGIN`. To show it takes 1,497 validation images.
"""
MAX_RETRAINING_DIFFERENCE = 0.03
"""Difference in accuracy that the same training may have on another machine, a fraction."""
MAX_RISE = 0.01
"""Rise of validation accuracy that more epochs, or more tuning trials, brought last and that does
not ask for more of them, a fraction.

Half a point is luck: validation accuracy varies as much over seeds (see `MAX_MARGIN`). One point is
`MAX_DEFICIT`, which can change a recommendation.
"""
MAX_LOSS_FALL = 0.05
"""Fall of the validation loss (cross-entropy, nats) that the last epochs brought and that does not
ask for more of them.
"""
MAX_COST_RATIO = 1.1
"""Ratio of two inference times, energies or sizes with which neither contender is cheaper:
measurements of one network differ as much.
"""
MAX_TRAINING_RATIO = 1.1
"""Ratio of two trainings, in epochs or seconds, with which they count as equally long: whole
epochs that fit into the same minutes differ as much.
"""
MAX_EPOCHS_RATIO = 1.5
"""Ratio of the mean seconds of a contender's epochs to those timed before training that is not put
down to other work.

Beside one busy process a training step takes 1.4 times as long (`benchmarks/speed/busy.py`).
"""


def max_margin(*accuracies: float) -> float:
    """Return the margin of equivalence of contenders with these accuracies (fractions)."""
    return min(MAX_MARGIN, MAX_SHARE_OF_ERRORS * (1 - max(accuracies)))


def max_deficit(accuracy: float, num_images: float) -> float:
    """Return the tolerated deficit beside a contender with this `accuracy` on `num_images` test
    images, fractions.
    """
    of_errors = MAX_SHARE_OF_ERRORS * (1 - accuracy) + MAX_DEFICIT_IMAGES / num_images
    return min(MAX_DEFICIT, of_errors)
