import pytest

from made_trials import planned, small_twins
from spikeduel.networks.models import Model, WithoutSpikes
from spikeduel.trials import auto_settings


def trials():
    """vgg-lif and vgg-relu on 133 training and 17 validation images, 32 a step."""
    settings = {"limit": 150, "num_steps": 4, "batch_size": 32, "epochs": 1, "dropout": 0.0}
    return planned(small_twins(**settings))


def test_an_epoch_is_its_steps_and_the_answers_to_the_validation_images(monkeypatch):
    asked = []

    def seconds_of_a_step(trial, prepared, kind=Model):
        asked.append((trial.card.contender, kind))
        return {Model: 6, WithoutSpikes: 2}[kind]

    monkeypatch.setattr(auto_settings, "seconds_of_a_step", seconds_of_a_step)
    prepared, (spiking, plain) = trials()
    assert (len(spiking.split.train), len(spiking.split.val)) == (133, 17)
    # Five steps, and 17/32 of the third of one.
    steps = 5 + 17 / 32 / 3
    assert auto_settings.seconds_of_an_epoch(spiking, prepared) == pytest.approx(5 * steps)
    assert auto_settings.seconds_of_an_epoch(plain, prepared) == pytest.approx(6 * steps)
    # A quarter of the spiking network's epochs have ReLU.
    assert asked == [("vgg-lif", Model), ("vgg-lif", WithoutSpikes), ("vgg-relu", Model)]


def test_three_steps_are_taken_before_those_that_are_timed(monkeypatch):
    taken = []

    class Counting(auto_settings.TrainingStep):
        def __call__(self, images, labels, keys):
            taken.append((self.model.card.num_steps, len(images)))
            return super().__call__(images, labels, keys)

    monkeypatch.setattr(auto_settings, "TrainingStep", Counting)
    monkeypatch.setattr(auto_settings, "TIMED_SECONDS", 0)
    prepared, both = trials()
    for trial in both:
        assert 0 < auto_settings.seconds_of_a_step(trial, prepared) < 60
    # Three that are not timed, then at least one.
    assert taken == [(4, 32)] * 4 + [(None, 32)] * 4
