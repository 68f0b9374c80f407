import pytest
import torch

from factories import planned, small_twins
from spikeduel.engine.networks.models import Model, WithoutSpikes
from spikeduel.system import hardware
from spikeduel.system.progress import Progress
from spikeduel.training import timing
from spikeduel.training.store import Store
from spikeduel.training.trial import run


def trials(epochs=1, **changes):
    """vgg-lif and vgg-relu on 133 training and 17 validation images, 32 a step."""
    settings = {"limit": 150, "num_steps": 4, "batch_size": 32, "dropout": 0.0, **changes}
    return planned(small_twins(**settings, epochs=epochs))


@pytest.fixture
def two_threads(machine):
    """Two threads and as many free cores."""
    torch.set_num_threads(2)


@pytest.fixture
def seconds(monkeypatch):
    """Seconds of a step by the number of threads, which a test may change; `asked` are the calls."""
    seconds = {1: 6.0, 2: 4.0, "asked": []}

    monkeypatch.setattr(timing, "_WARM", set())

    def seconds_by_threads(trial, prepared, threads, kind=Model, turns=9):
        timing._WARM.add(timing._step_key(trial))
        seconds["asked"].append((trial.card.contender, threads, kind))
        share = {Model: 1, WithoutSpikes: 1 / 3}[kind]
        return {number: share * seconds[number] for number in threads}

    monkeypatch.setattr(timing, "seconds_by_threads", seconds_by_threads)
    return seconds


def test_an_epoch_is_its_steps_and_the_answers_to_the_validation_images(seconds, tmp_path):
    prepared, (spiking, plain) = trials()
    assert (len(spiking.split.train), len(spiking.split.val)) == (133, 17)
    # Five steps, and a third of one for 32 images: those of validation, and those of training, of
    # which few steps make the statistics of batch norm.
    steps, store = 5 + (17 + 133) / 32 / 3, Store(tmp_path)
    assert timing.seconds_of_an_epoch(spiking, prepared, store) == pytest.approx(5 * steps)
    assert timing.seconds_of_an_epoch(plain, prepared, store) == pytest.approx(6 * steps)
    # A quarter of the spiking network's epochs have ReLU.
    asked = [("vgg-lif", (1,), Model), ("vgg-lif", (1,), WithoutSpikes), ("vgg-relu", (1,), Model)]
    assert seconds["asked"] == asked


@pytest.mark.parametrize(("with_two", "kept"), [(4.0, 2), (5.9, 1), (7.0, 1)])
def test_two_threads_are_kept_where_a_step_is_faster_with_them(
    two_threads, seconds, tmp_path, with_two, kept
):
    seconds[2] = with_two
    prepared, (_, plain) = trials()
    epoch = timing.seconds_of_an_epoch(plain, prepared, Store(tmp_path))
    assert epoch == pytest.approx(min(seconds[kept], 6.0) * (5 + (17 + 133) / 32 / 3))
    # Once decided, the number stays: numbers depend on it. Augmentation is decided later.
    seconds[1], seconds[2] = seconds[2], seconds[1]
    prepared, (_, plain) = trials(augmentation="translate")
    timing.seconds_of_an_epoch(plain, prepared, Store(tmp_path))
    assert [threads for _, threads, _ in seconds["asked"]] == [(2, 1), (kept,)]
    told = []
    with timing.ready_to_train(plain, prepared, Store(tmp_path), told.append):
        assert torch.get_num_threads() == kept
    assert (told != []) == (kept == 1)
    assert torch.get_num_threads() == 2


def test_a_training_has_the_threads_that_pay(two_threads, seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "MAX_UNTIMED_STEPS", 9)
    seconds[2] = 9.0
    store = Store(tmp_path)
    for epochs, threads in ((1, 2), (2, 1)):
        # Five steps are too few to time some.
        prepared, (_, plain) = trials(epochs)
        record = run(plain, prepared, store, Progress(), test=False)
        assert record.environment["threads"] == threads
    # The first is not timed, but takes a step before it begins.
    assert [threads for _, threads, _ in seconds["asked"]] == [(2,), (2, 1)]


def test_threads_that_the_user_chose_are_not_timed(two_threads, seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "MAX_UNTIMED_STEPS", 0)
    hardware.compute_on(2)
    prepared, (_, plain) = trials()
    with timing.ready_to_train(plain, prepared, Store(tmp_path), print):
        assert torch.get_num_threads() == 2
    assert [threads for _, threads, _ in seconds["asked"]] == [(2,)]


def test_a_network_that_takes_no_step_is_trained_with_all_threads(
    two_threads, tmp_path, monkeypatch
):
    def seconds_by_threads(*given, **options):
        torch.set_num_threads(1)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(timing, "seconds_by_threads", seconds_by_threads)
    monkeypatch.setattr(timing, "MAX_UNTIMED_STEPS", 0)
    prepared, (_, plain) = trials()
    with timing.ready_to_train(plain, prepared, Store(tmp_path), print):
        assert torch.get_num_threads() == 2


def test_two_steps_are_taken_with_each_number_of_threads_before_those_that_are_timed(
    monkeypatch, tmp_path
):
    taken = []

    class Counting(timing.TrainingStep):
        def __call__(self, images, labels, keys):
            taken.append((self.model.card.num_steps, len(images), torch.get_num_threads()))
            return super().__call__(images, labels, keys)

    monkeypatch.setattr(timing, "TrainingStep", Counting)
    monkeypatch.setattr(timing, "TIMED_SECONDS", 0)
    prepared, (spiking, plain) = trials()
    before = torch.get_num_threads()
    seconds = timing.seconds_by_threads(spiking, prepared, (2, 1))
    assert list(seconds) == [2, 1]
    assert all(0 < second < 60 for second in seconds.values())
    # In turn: two that are not timed, then at least one.
    assert taken == [(4, 32, 2), (4, 32, 1)] * 3
    # One alone, so that nothing is left to load or to compile.
    taken.clear()
    monkeypatch.setattr(timing, "_WARM", set())
    for _ in range(2):
        with timing.ready_to_train(spiking, prepared, Store(tmp_path), print):
            assert taken == [(4, 32, before)]
    taken.clear()
    timing.seconds_by_threads(plain, prepared, (1,))
    assert taken == [(None, 32, 1)] * 3
    assert torch.get_num_threads() == before
