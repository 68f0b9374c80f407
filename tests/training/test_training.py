import random
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import made_recordings
from spikeduel import comparing, data
from spikeduel.data import cache, loader
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
from spikeduel.experiment.recipes import events, strong
from spikeduel.experiment.settings import Experiment
from spikeduel.system import hardware
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import contenders, training
from spikeduel.training.augmenting import AUGMENTATIONS
from spikeduel.training.training import Loop, read_checkpoint, rules_of, stopped
from telling import Interrupting, Telling


def history(*losses):
    return [{"val_loss": loss} for loss in losses]


def test_the_studys_stopping_rule(small):
    rule = replace(small, patience=3, epochs=10)
    assert stopped(history(1.0), rule) is None
    # Three epochs not at least 0.01 below the best; small improvements do not move that best.
    assert stopped(history(1.0, 0.995, 0.993), rule) is None
    assert stopped(history(1.0, 0.995, 0.993, 0.991), rule) == "early"
    # 0.9895 is 0.0105 below 1.0, although only 0.0035 below the epoch before: it counts.
    assert stopped(history(1.0, 0.996, 0.993, 0.9895), rule) is None
    assert stopped(history(*np.linspace(1, 0.1, 10)), rule) == "limit"
    assert stopped(history(1.0, 1.2, 0.9, 1.0, 1.0), rule) is None


def loop(experiment, tmp_path, contender="dense-snn", progress=None, name="c.pt", precision="32"):
    prepared = data.load(experiment)
    split = data.split(prepared, experiment)
    card = replace(contenders.describe(contender, experiment, prepared).card, precision=precision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(building.build(card), card, precision)
    images, labels = prepared.arrays
    return Loop(model, images, labels, split, experiment, tmp_path / name, progress or Progress())


def test_the_weights_are_those_of_the_best_validation_epoch(small, tmp_path):
    # A rate this high makes the last epochs worse than earlier ones.
    run = loop(replace(small, epochs=5, learning_rate=0.5, patience=5), tmp_path)
    training = run.run()
    accuracies = [epoch["val_accuracy"] for epoch in training.history]
    assert training.best_epoch == accuracies.index(max(accuracies))
    assert len(set(accuracies)) > 1
    predictions = predict_in_one_pass(
        run.model, EvaluationBatches(run.images, run.labels, run.split.val)
    )
    assert predictions.accuracy == max(accuracies)


@pytest.mark.parametrize(("optimizer", "best"), [("muon", 2), ("adam", 0)])
def test_where_the_rate_falls_to_zero_the_weights_are_the_last(
    optimizer, best, small, tmp_path, monkeypatch
):
    accuracies, after_each = iter([0.9, 0.5, 0.4]), []

    def predicting(model, batches):
        after_each.append(
            {name: value.clone() for name, value in model.module.state_dict().items()}
        )
        return SimpleNamespace(loss=1.0, accuracy=next(accuracies))

    monkeypatch.setattr(training, "predict_in_one_pass", predicting)
    run = loop(replace(small, epochs=3, limit=200, optimizer=optimizer), tmp_path)
    assert run.run().best_epoch == best
    for name, value in run.model.module.state_dict().items():
        assert [torch.equal(value, weights[name]) for weights in after_each] == [
            number == best for number in range(3)
        ]


@pytest.mark.parametrize("contender", ["vgg-lif", "vgg-relu"])
def test_everything_that_makes_networks_strong_is_resumed_to_the_same_numbers(contender, tmp_path):
    experiment = strong(
        "digits",
        epochs=3,
        batch_size=32,
        limit=100,
        width=3,
        num_steps=2,
        dropout=0.2,
        device="cpu",
        augmentation="translate-flip-cutout",
    )
    whole = loop(experiment, tmp_path, contender, name="a.pt")
    expected = whole.run()
    with pytest.raises(KeyboardInterrupt):
        # 90 training images make 3 batches of 32: in the middle of the third epoch.
        loop(experiment, tmp_path, contender, Interrupting(2 * 3 + 1), "b.pt").run()
    resumed = loop(experiment, tmp_path, contender, name="b.pt")
    again = resumed.run()
    assert again.history == expected.history
    assert (again.best_epoch, expected.best_epoch) == (2, 2)
    for name, weight in whole.model.module.state_dict().items():
        assert torch.equal(weight, resumed.model.module.state_dict()[name])


@pytest.mark.parametrize("contender", ["vgg-lif", "vgg-relu"])
def test_in_epochs_of_few_steps_batch_norm_gets_statistics_of_the_final_weights(
    contender, tmp_path, monkeypatch
):
    """Running ones are of earlier weights, with which networks that had learned answered at chance
    for epochs. Training itself is as without.
    """
    experiment = strong(
        "digits", contenders=("vgg-lif", "vgg-relu"), limit=200, epochs=2, width=4, batch_size=32
    )
    experiment = replace(experiment, augmentation="translate", device="cpu", dropout=0.0)
    states, histories = [], []
    for fewest in (contenders.MIN_STEPS_IN_EPOCH, 0):
        monkeypatch.setattr(contenders, "MIN_STEPS_IN_EPOCH", fewest)
        run = loop(experiment, tmp_path, contender, name=f"{fewest}.pt")
        histories.append(run.run().history)
        states.append(run.model.module.state_dict())
    renewed, running = states
    differs = {name for name in renewed if not torch.equal(renewed[name], running[name])}
    assert differs
    assert all("running" in name or "tracked" in name for name in differs)
    losses = [[epoch["train_loss"] for epoch in history] for history in histories]
    assert losses[0] == losses[1]
    assert [epoch["val_loss"] for epoch in histories[0]] != [
        epoch["val_loss"] for epoch in histories[1]
    ]
    # Those of the first layer, which sees the images alone: the mean over images of equal shares.
    block = run.model.module.blocks[0]
    images = run.images[run.split.train].float() / 255
    with torch.no_grad():
        means = block[:-1](images).mean((0, 2, 3))
    torch.testing.assert_close(renewed["blocks.0.1.running_mean"], means, rtol=0.02, atol=0.005)


@pytest.mark.parametrize(
    ("contender", "limit", "is_renewed"),
    [("vgg-lif", 200, True), ("vgg-lif", 1000, False), ("dense-snn", 200, False)],
)
def test_the_key_says_whether_statistics_are_renewed(contender, limit, is_renewed):
    """180 training images are 6 steps, 900 are 29; dense-snn has no batch norm."""
    experiment = strong("digits", contenders=(contender,), limit=limit, epochs=1, batch_size=32)
    experiment = replace(experiment, augmentation="none", dropout=0.0, width=8)
    prepared = data.load(experiment)
    (trial,) = contenders.trials_of(experiment, prepared, data.split(prepared, experiment))
    assert ("statistics" in trial.settings) is is_renewed


def test_the_random_state_outside_is_left_alone(small, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loop(small, tmp_path).run()
    assert torch.equal(before, torch.get_rng_state())


def test_bf16_multiplies_in_bf16_and_keeps_membranes_in_float32(small, tmp_path):
    run = loop(replace(small, epochs=1, limit=100), tmp_path, precision="bf16")
    seen = []
    module = run.model.module
    module.lif2.register_forward_hook(
        lambda neuron, inputs, output: seen.append((inputs[0], output))
    )
    run.run()
    current, (spk, mem) = seen[0]
    assert getattr(current, "value", current).dtype == torch.bfloat16
    assert spk.dtype == torch.bfloat16
    assert mem.dtype == torch.float32
    assert module.linear1.weight.dtype == torch.float32


# ---- augmentation, and data larger than memory


def test_training_images_alone_are_augmented(small, tmp_path, monkeypatch):
    # All that is trained on is white, all that is asked in validation is as it was.
    monkeypatch.setitem(AUGMENTATIONS, "white", lambda images, draw: torch.full_like(images, 255))
    run = loop(replace(small, augmentation="white", encoding="direct", epochs=1), tmp_path)
    met = {True: [], False: []}
    run.model.module.register_forward_pre_hook(
        lambda module, inputs: met[module.training].append(inputs[0].value)
    )
    run.run()
    assert len(met[True]) == 23
    assert all((images == 1).all() for images in met[True])
    assert torch.equal(torch.cat(met[False]), run.images[run.split.val] / 255)


def test_each_epoch_augments_by_seed_epoch_and_image(small, tmp_path, monkeypatch):
    keys = []

    def recorded(images, draw):
        keys.append(draw.values)
        return images

    monkeypatch.setitem(AUGMENTATIONS, "recorded", recorded)
    run = loop(replace(small, augmentation="recorded"), tmp_path)
    run.run()
    for epoch, drawn in enumerate(np.concatenate(keys).reshape(2, -1)):
        expected = RandomKeys.for_augmentation(0, epoch, run.split.train).values
        assert sorted(drawn) == sorted(expected)


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """The digits, memory-mapped and larger than what memory there is."""
    cache.write(tmp_path / "digits", data.load(Experiment(dataset="digits")))
    monkeypatch.setattr(loader, "available_memory", lambda: 0)
    return cache.read(tmp_path / "digits")


def test_interrupted_it_leaves_no_thread_behind(small, tmp_path, on_disk, monkeypatch):
    monkeypatch.setattr(data, "load", lambda experiment: on_disk)
    with pytest.raises(KeyboardInterrupt) as interruption:
        loop(small, tmp_path, progress=Interrupting(3)).run()
    # Not even while somebody still looks at the error, and so at what the loop held.
    assert interruption.value.__traceback__ is not None
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("spikeduel-batches")
    ]


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_right_predictions_are_counted_before_the_step(contender, small, tmp_path):
    run = loop(small, tmp_path, contender)
    step = TrainingStep(run.model, rules_of(replace(small, learning_rate=1e-2)), 20)
    expected = 0
    for start in range(0, 20 * 30, 30):  # more steps than are counted at once
        images, labels = run.images[start : start + 30], run.labels[start : start + 30]
        draw = RandomKeys.for_training(0, 0, np.arange(start, start + 30))
        with torch.no_grad():
            scores = run.model.readout.scores(run.model.run(run.model.encode(images, draw)))
        expected += int((scores.argmax(1) == labels).sum())
        step(images, labels, draw)
    assert step.num_right() == expected > 0
    assert step.num_right() == 0


def test_an_own_readout_may_take_what_it_likes(small, tmp_path):
    """The output need be no tensor, and is asked step by step."""

    class Named:
        def loss(self, output, labels):
            return torch.nn.functional.cross_entropy(output["scores"], labels)

        def scores(self, output):
            return output["scores"]

        def ties(self, output):
            return torch.zeros(len(output["scores"]), dtype=torch.bool)

    class Network(torch.nn.Module):
        readout = Named()

        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(64, 10)

        def forward(self, x):
            return {"scores": self.linear(x.flatten(1)).float()}

    run = loop(small, tmp_path, "small-cnn")
    run.model.module = Network()
    training = run.run()
    assert training.history[1]["train_accuracy"] > training.history[0]["train_accuracy"] > 0


# ---- what is saved, and what needs not be


class Drawing(torch.nn.Module):
    """Draws from torch's, NumPy's and Python's generators, in training and in evaluation."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 10)
        self.dropout = torch.nn.Dropout(0.3)

    def forward(self, x):
        noise = torch.from_numpy(np.random.rand(len(x), 64)).float()  # noqa: NPY002
        sign = random.choice((0.9, 1.1))
        return self.linear(self.dropout(x.flatten(1) + 0.1 * noise) * sign) + 0.05 * torch.rand(10)


def test_code_that_draws_by_itself_also_resumes_to_the_same_numbers(small, tmp_path):
    small = replace(small, epochs=4, limit=300)  # five steps an epoch

    def drawing(progress=None, name="b.pt"):
        run = loop(small, tmp_path, "small-cnn", progress, name)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            run.model.module = Drawing()
        return run

    whole = drawing(name="a.pt")
    expected = whole.run()
    for stop in (2, 5 + 3, 5 * 2 + 1):
        with pytest.raises(KeyboardInterrupt):
            drawing(Interrupting(stop)).run()
        # Whatever else was drawn in between.
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    resumed = drawing()
    assert resumed.run().history == expected.history
    for name, weight in whole.model.module.state_dict().items():
        assert torch.equal(weight, resumed.model.module.state_dict()[name])


def test_a_damaged_checkpoint_is_reported_and_not_used(small, tmp_path):
    small = replace(small, limit=200)
    expected = loop(small, tmp_path, name="a.pt").run()
    with pytest.raises(KeyboardInterrupt):
        loop(small, tmp_path, progress=Interrupting(5)).run()
    path, log = tmp_path / "c.pt", Telling()
    whole = path.read_bytes()
    numbers = np.random.default_rng(0)
    damaged = [whole[:length] for length in (0, 10, 31, 32, len(whole) // 2, len(whole) - 1)] + [
        whole + b"x"
    ]
    # A weight's last bits, in torch's own format, would go unnoticed.
    for place in numbers.integers(0, len(whole), 20):
        damaged.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        assert read_checkpoint(path) is None
    assert loop(small, tmp_path, progress=log).run().history == expected.history
    assert log.lines[0] == "  dense-snn, seed 0: its checkpoint is damaged, so it begins anew"


def test_a_checkpoint_of_another_network_is_not_used(small, tmp_path):
    loop(replace(small, hidden=16, limit=200, epochs=1), tmp_path).run()
    log = Telling()
    assert len(loop(replace(small, limit=200, epochs=1), tmp_path, progress=log).run().history) == 1
    begins = "  dense-snn, seed 0: its checkpoint is of another network, so it begins anew"
    assert log.lines[0] == begins


@pytest.fixture
def threads(machine):
    """A function that begins a process with a number of threads, on four cores."""
    machine.cores = 4
    return hardware.compute_on


@pytest.mark.parametrize("before", [1, 2])
def test_a_checkpoint_goes_on_with_its_threads(small, tmp_path, threads, before):
    small = replace(small, limit=200, epochs=3)
    threads(before)
    expected = loop(small, tmp_path, name="a.pt").run()
    with pytest.raises(KeyboardInterrupt):
        loop(small, tmp_path, progress=Interrupting(5)).run()
    threads(3 - before, chosen=False)  # another process is busy now, or no longer
    log = Telling()
    with hardware.threads_on_free_cores():
        resumed = loop(small, tmp_path, progress=log).run()
        assert torch.get_num_threads() == resumed.threads == before
    assert torch.get_num_threads() == 3 - before
    assert resumed.history == expected.history
    assert f"with {before} thread" in log.lines[0]


@pytest.mark.parametrize(("number", "chosen"), [(1, True), (2, True), (3, False)])
def test_a_checkpoint_of_other_threads_than_can_be_used_is_begun_anew(
    small, tmp_path, threads, number, chosen, machine
):
    small = replace(small, limit=200, epochs=3)
    threads(3)
    with pytest.raises(KeyboardInterrupt):
        loop(small, tmp_path, progress=Interrupting(5)).run()
    machine.cores = 2
    threads(min(number, 2), chosen=chosen)
    log = Telling()
    training = loop(small, tmp_path, progress=log).run()
    assert training.threads == min(number, 2)
    assert "computed with 3 threads" in log.lines[0]
    assert log.lines[0].endswith("so it begins anew")


@pytest.fixture
def recorded(tmp_path):
    """An experiment on recordings of two directions, and a function of an augmentation that makes
    its training.
    """
    made_recordings.directions(tmp_path / "moves", count=10)
    experiment = events(
        str(tmp_path / "moves"),
        contenders=("conv-lif",),
        num_steps=2,
        epochs=2,
        batch_size=4,
        width=4,
        image_size=12,
    )

    def training_with(augmentation, **named):
        return loop(replace(experiment, augmentation=augmentation), tmp_path, "conv-lif", **named)

    return training_with


def test_events_are_left_out_in_training_alone_and_the_same_when_it_goes_on(recorded):
    whole = recorded("eventdrop-flip", name="a.pt")
    learned, statistics, validation = [], [], []

    def meet(module, inputs):
        shown = learned if torch.is_grad_enabled() else statistics
        (shown if module.training else validation).append(inputs[0])

    whole.model.module.register_forward_pre_hook(meet)
    expected = whole.run().history
    with pytest.raises(KeyboardInterrupt):
        recorded("eventdrop-flip", progress=Interrupting(len(learned) // 2 + 1), name="b.pt").run()
    assert recorded("eventdrop-flip", name="b.pt").run().history == expected
    assert recorded("flip", name="c.pt").run().history != expected
    in_training, of_statistics, of_validation = (
        sum(float(frames.sum()) for frames in seen) for seen in (learned, statistics, validation)
    )
    train, val = (
        2 * float(whole.images[rows].sum()) for rows in (whole.split.train, whole.split.val)
    )
    assert of_validation == val
    # Few steps: batch norm gets statistics of all training recordings as they are.
    assert of_statistics == train
    assert in_training < 0.9 * train


def test_still_images_have_no_events_to_leave_out(small):
    with pytest.raises(InputError, match="augmentation: has no effect: it is for recordings"):
        comparing.compare(replace(small, augmentation="flip-eventdrop"))
