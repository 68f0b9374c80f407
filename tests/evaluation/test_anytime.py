import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from made_models import card, make
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import MeanReadout
from spikeduel.evaluation.correctness import (
    CONFIDENCE,
    anytime,
    chosen_threshold,
    classification,
    early_exit,
    most_lost,
    thresholds,
)
from spikeduel.evaluation.predictions_of_model import Running, predict_batches
from spikeduel.results.trials import Anytime, ExitChoice
from spikeduel.system.negligible import MAX_EXIT_LOSS

pytestmark = pytest.mark.numeric


def batches(num_images=40, size=16, shape=(1, 10, 10), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (num_images, *shape), dtype=torch.uint8, generator=generator)
    labels, indices = torch.arange(num_images) % 3, np.arange(num_images)
    parts = [slice(start, start + size) for start in range(0, num_images, size)]
    return [(images[part], labels[part], indices[part]) for part in parts]


class Scripted(nn.Module):
    """Says at each step what it was told to: scores `[T, K]` for the image whose only pixel is its
    number.
    """

    kind = "snn"
    readout = MeanReadout()

    def __init__(self, scores):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.scores = torch.tensor(scores, dtype=torch.float32)

    def forward(self, x):
        which = (x.value.flatten() * 255).round().long()
        return self.scores[which].transpose(0, 1)


def model_of(scores):
    return Model(Scripted(scores), card("told", (1, 1, 1), "ab", len(scores[0])))


def asked(labels, times=1):
    numbers = np.tile(np.arange(len(labels)), times)
    labels = torch.tensor(labels).repeat(times)
    return [
        (torch.tensor(numbers, dtype=torch.uint8).view(-1, 1, 1, 1), labels, np.arange(len(labels)))
    ]


def log_odds(*probabilities_of_b):
    """Scores whose running mean has these probabilities for class b."""
    wanted = [np.log(p / (1 - p)) * (t + 1) for t, p in enumerate(probabilities_of_b)]
    return [[0, now - before] for before, now in zip([0, *wanted], wanted, strict=False)]


# Two classes and three steps. b at once; a, then b; b, then surely a.
SCORES = [log_odds(0.9, 0.95, 0.99), log_odds(0.42, 0.6, 0.8), log_odds(0.7, 0.45, 0.1)]


def test_by_hand():
    chosen = anytime(model_of(SCORES), asked([1, 1, 0]), asked([1, 1, 0], 600))
    assert chosen.n == 3
    assert chosen.accuracies == pytest.approx([1 / 3, 1, 1])
    # The confidences so far: 0.9, 0.95, 0.99; 0.58, 0.6, 0.8; 0.7, 0.7, 0.9. At 0.7 the third image
    # leaves at once and is wrong, so that 0.9 is the earliest: the first leaves at once, and the
    # others at the end.
    exits = chosen.early_exit
    assert exits.threshold == pytest.approx(0.9)
    assert exits.exit_steps == [1, 0, 2]
    assert exits.mean_steps == pytest.approx(7 / 3)
    assert exits.accuracy == 1
    # With no loss among 1,800, that share x is still possible for which (1 - x)^1800 is 5 %.
    none_lost = pytest.approx(1 - 0.05 ** (1 / 1800))
    assert exits.validation == ExitChoice(
        n=1800,
        mean_steps=pytest.approx(7 / 3),
        accuracy=1,
        most_lost=none_lost,
        fewest=1497,
    )
    assert (exits.tolerance, exits.confidence) == (MAX_EXIT_LOSS, CONFIDENCE)
    curve = [
        (leaving.threshold and round(leaving.threshold, 4), leaving.exit_steps, leaving.accuracy)
        for leaving in exits.curve
    ]
    assert curve == [
        (0.58, [3, 0, 0], pytest.approx(1 / 3)),
        (0.6, [2, 1, 0], pytest.approx(2 / 3)),
        (0.7, [2, 0, 1], pytest.approx(2 / 3)),
        (0.9, [1, 0, 2], 1),
        (0.95, [0, 1, 2], 1),
        (None, [0, 0, 3], 1),
    ]


def test_the_threshold_is_chosen_on_validation_and_applied_to_test():
    # On validation whoever is sure at once is right; on test that same image is of the other class.
    chosen = anytime(model_of(SCORES), asked([0, 1, 0]), asked([1, 1, 0], 600)).early_exit
    assert chosen.threshold == pytest.approx(0.9)
    assert chosen.accuracy == pytest.approx(2 / 3)
    assert chosen.validation.accuracy == 1


def test_where_leaving_early_costs_too_much_nobody_does():
    # Each is sure and wrong at first, and right in the end.
    turning = [log_odds(0.99, 0.98, 0.01), log_odds(0.01, 0.02, 0.99)]
    chosen = anytime(model_of(turning), asked([0, 1]), asked([0, 1], 1000)).early_exit
    assert (chosen.threshold, chosen.exit_steps, chosen.mean_steps) == (None, [0, 0, 2], 3)


def test_with_too_few_images_to_show_it_nobody_leaves():
    # Nothing is lost at 0.9, as above; 1,494 images do not show that it is at most 0.2 %.
    few, enough = (
        anytime(model_of(SCORES), asked([1, 1, 0]), asked([1, 1, 0], times)).early_exit
        for times in (498, 499)
    )
    assert (few.threshold, few.validation.most_lost, few.validation.fewest) == (None, 0, 1497)
    assert enough.threshold == pytest.approx(0.9)


def running(random, num_images=2000, num_steps=12):
    """Images that become surer and more often right with time."""
    confidence = np.maximum.accumulate(random.random((num_steps, num_images)), axis=0)
    right = random.random((num_steps, num_images)) < 0.5 + 0.4 * confidence
    return Running(right.astype(int), right, confidence)


def test_the_rule_holds_and_nothing_earlier_would(random):
    test, validation = running(random), running(random)
    chosen = early_exit(test, validation)

    def bound(threshold):
        right, after_all = validation.exits(threshold)[1], validation.right[-1]
        return most_lost((after_all & ~right).sum(), (right & ~after_all).sum(), len(right))

    known = thresholds(validation)
    place = known.index(chosen.threshold)
    assert 0 < place < len(known) - 1
    assert all(bound(threshold) <= MAX_EXIT_LOSS for threshold in known[place:-1])
    assert bound(known[place - 1]) > MAX_EXIT_LOSS
    assert chosen.validation.most_lost == bound(chosen.threshold)
    # One image after the other, as a device would do it.
    exits, right = [], []
    for image in range(test.right.shape[1]):
        for t in range(test.num_steps):
            if test.confidence[t, image] >= chosen.threshold or t == test.num_steps - 1:
                exits.append(t + 1)
                right.append(test.right[t, image])
                break
    assert chosen.mean_steps == np.mean(exits)
    assert chosen.accuracy == np.mean(right)
    assert chosen.exit_steps == [exits.count(t) for t in range(1, 13)]


def test_another_rule_reaches_the_report_and_not_the_oracle(monkeypatch):
    monkeypatch.setattr(chosen_threshold, "__code__", (lambda validation: (0.7, 0.0)).__code__)
    chosen = anytime(model_of(SCORES), asked([1, 1, 0]), asked([1, 1, 0], 600)).early_exit
    assert (chosen.threshold, chosen.exit_steps) == (0.7, [2, 0, 1])
    for test in (test_by_hand, test_with_too_few_images_to_show_it_nobody_leaves):
        with pytest.raises(AssertionError):
            test()


@pytest.mark.parametrize(
    ("n", "p_lost", "p_gained"),
    [(20, 0.05, 0.05), (20, 0.1, 0.02), (20, 0.02, 0.1), (20, 0.3, 0.3), (60, 0.02, 0.0)],
)
def test_the_limit_holds_as_often_as_it_says(n, p_lost, p_gained):
    # Every outcome of n images, weighed by its probability.
    coverage = 0.0
    for lost, gained in itertools.product(range(n + 1), repeat=2):
        if lost + gained <= n:
            probability = stats.multinomial.pmf(
                [lost, gained, n - lost - gained], n, [p_lost, p_gained, 1 - p_lost - p_gained]
            )
            if probability > 1e-9:
                coverage += probability * (most_lost(lost, gained, n) >= p_lost - p_gained)
    assert coverage >= CONFIDENCE - 0.02


def test_the_limit_by_hand():
    assert most_lost(0, 0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert most_lost(3, 0, 3) == 1
    # With many changes it is the usual interval of a mean of differences.
    n, lost, gained = 100_000, 3000, 2500
    deviation = np.sqrt((lost + gained) / n - ((lost - gained) / n) ** 2)
    assert most_lost(lost, gained, n) == pytest.approx(
        (lost - gained) / n + 1.6449 * deviation / n**0.5, rel=1e-3
    )
    # More lost, fewer gained, fewer images: a higher limit.
    assert most_lost(20, 10, 1000) < min(
        most_lost(21, 10, 1000), most_lost(20, 9, 1000), most_lost(20, 10, 900)
    )


def test_thresholds_spread_the_mean_number_of_steps_evenly(random):
    validation = running(random)
    known = thresholds(validation)
    steps = [validation.leaving(threshold).mean_steps for threshold in known]
    assert (steps[0], steps[-1]) == (1, 12)
    np.testing.assert_allclose(steps, np.linspace(1, 12, len(known)), atol=0.2)


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
@pytest.mark.parametrize("shape", ["dense-snn", "dense-lif"])
def test_after_all_steps_it_is_the_accuracy_and_before_it_is_a_stream(shape, encoding):
    network = {"hidden": 12, "neuron": "lif", "threshold": 0.5}
    model, images_in_batches = (
        make(shape, kind="snn", network=network, encoding=encoding, num_steps=6),
        batches(),
    )
    chosen = anytime(model, images_in_batches)
    assert chosen.accuracies[-1] == classification(model, images_in_batches).accuracy
    assert chosen.early_exit is None
    images = torch.cat([images for images, _, _ in images_in_batches])
    state, right = None, []
    for frame in model.frames(images, RandomKeys.for_evaluation(np.arange(40))):
        scores, state = model.step(frame, state)
        right.append((scores.argmax(1) == torch.arange(40) % 3).numpy())
    np.testing.assert_array_equal(predict_batches(model, images_in_batches).over_time.right, right)


def test_without_time_there_is_nothing_to_say():
    assert anytime(make("small-cnn"), batches(), batches()) == Anytime()
