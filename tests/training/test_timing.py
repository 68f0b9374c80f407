import pytest
import torch

from factories import planned, small_twins
from spikeduel.engine.networks.models import Model, WithoutSpikes
from spikeduel.system.progress import Progress
from spikeduel.training import timing
from spikeduel.training.store import Store
from spikeduel.training.trial import run


def trials(epochs=1, **changes):
    """vgg-lif and vgg-relu on 133 training and 17 validation images, 32 a step."""
    settings = {"limit": 150, "num_steps": 4, "batch_size": 32, "dropout": 0.0, **changes}
    return planned(small_twins(**settings, epochs=epochs))


@pytest.fixture
def num_steps(monkeypatch):
    """Contender and `max_steps` of each timing of steps; a step takes 6 s, with ReLU 2 s."""
    num_steps = []

    def step_seconds(trial, prepared, kind=Model, max_steps=9):
        num_steps.append((trial.card.contender, max_steps))
        timing._WARM.add(timing._network_key(trial))
        return {Model: 6.0, WithoutSpikes: 2.0}[kind]

    monkeypatch.setattr(timing, "_WARM", set())
    monkeypatch.setattr(timing, "step_seconds", step_seconds)
    return num_steps


def test_an_epoch_is_its_steps_and_the_predictions_of_validation_images(num_steps):
    prepared, (spiking, plain) = trials()
    assert (len(spiking.split.train), len(spiking.split.val)) == (133, 17)
    # Five steps, and a third of one for 32 images: those of validation, and those of training, of
    # which few steps make the statistics of batch norm.
    steps = 5 + (17 + 133) / 32 / 3
    assert timing.seconds_of_an_epoch(plain, prepared) == pytest.approx(6 * steps)
    # A quarter of the spiking network's epochs have ReLU.
    assert timing.seconds_of_an_epoch(spiking, prepared) == pytest.approx(5 * steps)


def test_a_training_begins_after_one_step_of_its_network_with_the_threads_that_are_free(
    num_steps, machine, tmp_path
):
    torch.set_num_threads(2)
    prepared, (_, plain) = trials()
    for _ in range(2):
        record = run(plain, prepared, Store(tmp_path), Progress(), test=False)
        assert record.environment["threads"] == 2
    assert num_steps == [("vgg-relu", 1)]


def test_a_network_that_takes_no_step_fails_in_its_training(monkeypatch):
    def step_seconds(*given, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(timing, "step_seconds", step_seconds)
    prepared, (_, plain) = trials()
    with timing.ready_to_train(plain, prepared, print):
        pass


def test_two_steps_are_taken_before_those_that_are_timed(monkeypatch):
    taken = []

    class Counting(timing.TrainingStep):
        def __call__(self, images, labels, keys):
            taken.append((self.model.card.num_steps, len(images)))
            return super().__call__(images, labels, keys)

    monkeypatch.setattr(timing, "TrainingStep", Counting)
    monkeypatch.setattr(timing, "TIMED_SECONDS", 0)
    prepared, (spiking, _) = trials()
    assert 0 < timing.step_seconds(spiking, prepared) < 60
    assert taken == [(4, 32)] * 3
