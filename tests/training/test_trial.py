import io
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from factories import export, planned
from spikeduel import data
from spikeduel.engine.counting.operations import Ways
from spikeduel.engine.networks import building, models
from spikeduel.evaluation.correctness import best_temperature
from spikeduel.evaluation.measures import MEASURES, Measure
from spikeduel.evaluation.predictions_of_model import predict_batches
from spikeduel.experiment.recipes import baseline
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Classification,
    EncodingDeviation,
)
from spikeduel.system import hardware, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress, TerminalProgress
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store
from synthetic_files import write_pictures
from telling import Telling


def plan(experiment):
    return planned(experiment)[1]


def keys(experiment):
    """Each contender's key with seed 0."""
    return {trial.card.contender: trial.key for trial in plan(experiment) if trial.card.seed == 0}


def run(experiment, store, progress=None):
    """The records of all trials of `experiment`, in order."""
    prepared, trials = planned(experiment)
    store = store if isinstance(store, Store) else Store(store)
    return [trial.run(training, prepared, store, progress or Progress()) for training in trials]


@pytest.fixture
def quick(small):
    """A quarter of a second: few images, one epoch, the spiking contender alone."""
    return replace(small, contenders=("dense-snn",), epochs=1, limit=300)


@pytest.fixture
def write(tmp_path):
    """Writes a module of the user's into the current folder."""

    def module(name, source):
        (tmp_path / f"{name}.py").write_text(source)

    yield module
    for name in [name for name in sys.modules if name.split("_")[0] == "own"]:
        del sys.modules[name]


def as_stored(record):
    """Tuples become lists on disk."""
    return json.loads(json.dumps(typed.plain(record)))


def classification_of(store, record):
    return store.measure(record.key, "classification", Classification)


# ---- keys


def test_one_trial_a_seed_and_contender_each_with_its_own_key(small):
    trials = plan(replace(small, seeds=3))
    assert [(trial.card.seed, trial.card.contender) for trial in trials] == [
        (seed, name) for seed in range(3) for name in ("dense-snn", "small-cnn")
    ]
    assert len({trial.key for trial in trials}) == 6
    assert all(len(trial.key) == 16 and int(trial.key, 16) >= 0 for trial in trials)


NOBODY, SPIKING, ALL = [], ["dense-snn"], ["dense-snn", "small-cnn"]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"seeds": 4}, NOBODY),
        ({"contenders": ("small-cnn", "dense-snn")}, NOBODY),
        ({"recipe": "another"}, NOBODY),
        ({"precision": hardware.resolve().precision}, NOBODY),
        ({"limit": 10_000}, NOBODY),
        ({"minutes": 3.0}, NOBODY),
        ({"width": 7}, NOBODY),
        ({"dropout": 0.5}, NOBODY),
        ({"encoding": "direct"}, SPIKING),
        ({"encoding": "latency"}, SPIKING),
        ({"num_steps": 5}, SPIKING),
        ({"beta": 0.9}, SPIKING),
        ({"threshold": 0.5}, SPIKING),
        ({"reset_mechanism": "zero"}, SPIKING),
        ({"surrogate": "sigmoid"}, SPIKING),
        ({"per_contender": {"dense-snn": {"learning_rate": 1e-3}}}, SPIKING),
        ({"learning_rate": 6e-3}, ALL),
        ({"epochs": 3}, ALL),
        ({"batch_size": 65}, ALL),
        ({"augmentation": "flip"}, ALL),
        ({"patience": 4}, ALL),
        ({"hidden": 33}, ALL),
        ({"limit": 400}, ALL),
        ({"precision": "32" if hardware.has_bf16("cpu") else "bf16"}, ALL),
        ({"optimizer": "adamw"}, ALL),
        ({"weight_decay": 0.1}, ALL),
    ],
    ids=str,
)
def test_a_key_changes_with_what_changes_its_contenders_numbers(changes, changed, small):
    before, after = keys(small), keys(replace(small, **changes))
    assert sorted(name for name in before if before[name] != after[name]) == changed


def test_own_settings_are_as_good_as_common_ones(small):
    own = {"learning_rate": 1e-3, "beta": 0.5, "num_steps": 3}
    alone = keys(replace(small, per_contender={"dense-snn": own}))
    assert alone["dense-snn"] == keys(replace(small, **own))["dense-snn"]


def test_which_gpu_of_several_it_is_changes_no_key(small, monkeypatch):
    monkeypatch.setattr(hardware, "num_gpus", lambda kind: 2)
    small = replace(small, precision="32")
    on = {
        name: keys(replace(small, device=name))
        for name in ("cpu", "cuda", "cuda:1", "xpu", "xpu:0", "mps")
    }
    assert on["cuda"] == on["cuda:1"]
    assert on["xpu"] == on["xpu:0"]
    assert len({tuple(by_name.values()) for by_name in on.values()}) == 4
    first, _ = plan(replace(small, device="cuda:1"))
    assert (first.device, first.settings["device"]) == ("cuda:1", "cuda")


@pytest.mark.parametrize("weights", [None, "those of a library"])
def test_a_first_layer_is_whitened_unless_it_is_pretrained(weights, quick, tmp_path, monkeypatch):
    experiment = replace(quick, contenders=("small-cnn",), whitening=True)
    whitened = []
    monkeypatch.setattr(trial, "whiten", lambda module, images: whitened.append(module))
    (training,) = plan(experiment)
    module = building.started(training.card)
    monkeypatch.setattr(building, "started", lambda card: module)
    training = replace(
        training, card=replace(training.card, network={**training.card.network, "weights": weights})
    )
    trial.run(training, data.load(experiment), Store(tmp_path), Progress(), test=False)
    assert len(whitened) == (weights is None)


def test_a_new_version_of_the_numerics_changes_every_key(small, monkeypatch):
    before = keys(small)
    monkeypatch.setattr(contenders, "NUMERICS_VERSION", contenders.NUMERICS_VERSION + 1)
    assert all(before[name] != key for name, key in keys(small).items())


def test_the_folder_may_move_and_the_pixels_may_not_change(tmp_path, small):
    here, there = tmp_path / "here" / "pets", tmp_path / "there" / "animals"
    for seed, name in enumerate(("cat", "dog")):
        write_pictures(here / name, 5, seed, (12, 12))
    before = keys(replace(small, dataset=str(here)))
    shutil.copytree(here, there)
    moved = replace(small, dataset=str(there))
    assert keys(moved) == before
    Image.new("L", (12, 12)).save(there / "dog" / "003.png")
    after = keys(moved)
    assert all(before[name] != after[name] for name in before)


ARCHITECTURE = """
from torch import nn

def build(image_shape, num_classes, num_steps, *, hidden, **settings):
    channels, height, width = image_shape
    inputs = channels * height * width
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, num_classes))
"""


# ---- running


def test_run_twice_trains_once_and_then_needs_no_data_in_memory(quick, tmp_path, monkeypatch):
    log = Telling()
    (first,) = run(quick, tmp_path / "s", log)
    assert first.status == "done"
    assert any("epoch 1/1" in line for line in log.lines)
    log.lines.clear()
    prepared = data.load(quick)
    monkeypatch.setattr(data, "load", lambda experiment: prepared)
    (second,) = run(quick, tmp_path / "s", log)
    assert as_stored(second) == as_stored(first)
    assert log.lines == ["  dense-snn, seed 0: found in the store, not trained again"]
    assert "held" not in vars(prepared)


def test_a_trial_is_stored_with_model_measures_and_environment(quick, tmp_path):
    store = Store(tmp_path / "s")
    (record,) = run(quick, store)
    assert as_stored(store.record(record.key)) == as_stored(record)
    # 64 inputs to 32 hidden, 32 hidden to 10 classes, with biases.
    assert record.parameters == 64 * 32 + 32 + 32 * 10 + 10
    precision = hardware.resolve("cpu").precision
    surroundings = {"device": "cpu", "precision": precision, "torch": torch.__version__}
    assert surroundings.items() <= record.environment.items()
    assert not store.checkpoint_path(record.key).exists()
    quality = classification_of(store, record)
    right = np.array(quality.truth) == np.array(quality.predicted)
    assert (quality.accuracy, len(right)) == (right.mean(), 179)
    assert len(store.measure(record.key, "encoding_deviation", EncodingDeviation).accuracies) == 5


def test_each_fold_is_a_trial_of_its_own_that_knows_its_fold(quick):
    trials = plan(replace(quick, folds=3))
    assert [(trial.card.trained_on["fold"], trial.card.title) for trial in trials] == [
        (fold, f"dense-snn, seed 0, fold {fold}") for fold in range(3)
    ]
    assert len({trial.key for trial in trials}) == 3
    (alone,) = plan(quick)
    assert alone.card.title == "dense-snn, seed 0"
    assert set(alone.settings["data"]) == {"fingerprint", "split"}


def test_the_temperature_of_a_trial_is_fitted_on_its_validation_images(quick, tmp_path):
    store = Store(tmp_path / "s")
    (record,) = run(quick, store)
    prepared = data.load(quick)
    split = data.split(prepared, quick)
    model = models.load_model(store.model_path(record.key))
    images, labels = prepared.arrays
    validation = [(images[split.val], labels[split.val], split.val)]
    predictions = predict_batches(model, validation)
    best = best_temperature(predictions.scores, torch.from_numpy(predictions.truth))
    assert model.card.temperature == pytest.approx(best, rel=1e-4)


# ---- failures


RAISING = """
from pathlib import Path
from torch import nn

class Net(nn.Module):
    kind = "cnn"

    def __init__(self, inputs, classes):
        super().__init__()
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        if not Path("mended").exists():
            raise RuntimeError("the flux is gone\\nand more")
        return self.linear(x.flatten(1))

def build(image_shape, num_classes, num_steps, **settings):
    return Net(image_shape[1] * image_shape[2], num_classes)
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_contender_that_raises_is_recorded_and_tried_again_and_the_others_go_on(
    terminal, quick, tmp_path, write
):
    write("own_raising", RAISING)
    progress = TerminalProgress()
    screen = progress.console = Console(
        file=io.StringIO(), force_terminal=terminal, width=200, highlight=False
    )
    store, experiment = Store(tmp_path / "s"), replace(quick, contenders=("own_raising:build",))
    failed, done = run(
        replace(quick, contenders=("own_raising:build", "small-cnn")), store, progress
    )
    error = "RuntimeError: the flux is gone"
    assert (failed.status, failed.error, failed.stopped) == ("failed", error, None)
    assert (failed.history, done.status) == ([], "done")
    assert f"own_raising:build, seed 0: failed, {error}" in screen.file.getvalue()
    assert "own_raising.py" in (store.folder(failed.key) / "error.txt").read_text()
    assert store.record(failed.key) is None
    (tmp_path / "mended").touch()
    (again,) = run(experiment, store)
    assert (again.key, again.status, again.error) == (failed.key, "done", None)


def test_nan_is_a_failure_that_says_what_to_do(quick, tmp_path):
    log, store = Telling(), Store(tmp_path / "s")
    experiment = replace(quick, contenders=("small-cnn", "dense-snn"), learning_rate=1e36, epochs=2)
    for record in run(experiment, store, log):
        assert (record.status, record.stopped) == ("failed", "nan")
        assert "NaN" in record.error
        assert "smaller learning_rate" in record.error
        assert (store.record(record.key), classification_of(store, record)) == (None, None)
    assert sum("failed" in line for line in log.lines) == 2


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "def build(*a, **k): raise ZeroDivisionError('by nothing')",
            "cannot be built .*ZeroDivisionError: by nothing",
        ),
        ("def build(shape): pass", "cannot be built .*TypeError"),
        ("def build(image_shape): pass", "must return a torch.nn.Module, not NoneType"),
        ("def build(*a, **k): return 'a network'", "must return a torch.nn.Module, not str"),
        ("build = 3", "cannot be built .*not callable"),
    ],
)
def test_what_cannot_be_built_is_refused_before_training(source, problem, small, write):
    write("own_broken", source)
    with pytest.raises(InputError, match=f"contender 'own_broken:build' {problem}"):
        plan(replace(small, contenders=("own_broken:build",)))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"dataset": "fashion-mnits"}, "data set 'fashion-mnits': did you mean 'fashion-mnist'"),
        ({"dataset": "./nowhere"}, "no such folder"),
        ({"contenders": ("dens-snn",)}, "contender 'dens-snn': did you mean 'dense-snn'"),
        ({"contenders": ("dense-snn", "nowhere:build")}, "no module 'nowhere'"),
        ({"encoding": "rat"}, "encoding 'rat': did you mean 'rate'"),
        ({"neuron": "lfi"}, "neuron 'lfi': did you mean 'lif'"),
        ({"augmentation": "flip-cutuot"}, "augmentation 'cutuot': did you mean 'cutout'"),
        ({"surrogate": "atn"}, "surrogate 'atn': did you mean 'atan'"),
    ],
)
def test_names_are_checked_before_anything_is_loaded(wrong, problem):
    contenders.check(baseline())
    for augmentation in ("auto", "translate-flip-cutout"):
        contenders.check(replace(baseline(), augmentation=augmentation))
    with pytest.raises(InputError, match=problem):
        contenders.check(replace(baseline(), **wrong))


# ---- the user's own parts


NEURON = """
import spikeduel

class IF(spikeduel.Neuron):
    "Integrates and fires: no leak, reset to zero, membrane above 1."

    def step(self, current, state):
        mem = state["mem"] + current
        spk = ((mem > 1).to(mem) - mem.sigmoid()).detach() + mem.sigmoid()
        return spk, {"mem": mem * (1 - spk.detach())}

class Leaky(IF):
    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def step(self, current, state):
        return super().step(current, {"mem": self.beta * state["mem"]})
"""
SURROGATE = """
def box(u, alpha):
    "1 within alpha of the threshold."
    return (u.abs() < alpha).to(u)
"""
ENCODER = """
import torch

def halves(images, num_steps, keys):
    "Bright pixels fire in the first half of the steps."
    steps = torch.arange(num_steps).view(-1, 1, 1, 1, 1)
    return ((images > 100) & (steps < num_steps // 2)).float()
"""
AUGMENTATION = """
def darker(images, keys):
    "By up to 3 levels."
    return images - images.clamp(max=keys.integers(4).to(images)[:, :, None, None])
"""


@pytest.mark.parametrize(
    ("source", "part", "changes", "network"),
    [
        (ARCHITECTURE, "build", {"contenders": ("own:build",)}, {"hidden": 32}),
        (NEURON, "IF", {"neuron": "own:IF"}, {"hidden": 32, "neuron": "own:IF"}),
        (SURROGATE, "box", {"surrogate": "own:box"}, {"surrogate": "own:box"}),
        (ENCODER, "halves", {"encoding": "own:halves"}, {"neuron": "lif"}),
        (AUGMENTATION, "darker", {"augmentation": "own:darker"}, {"neuron": "lif"}),
    ],
    ids=["architecture", "neuron", "surrogate", "encoder", "augmentation"],
)
def test_an_own_part_is_trained_with_and_its_source_is_part_of_the_key(
    source, part, changes, network, quick, tmp_path, write
):
    write("own", source)
    store, experiment = Store(tmp_path / "s"), replace(quick, **changes, epochs=4, limit=None)
    contenders.check(experiment)
    assert experiment.own_code == (f"own:{part}",)
    (record,) = run(experiment, store)
    assert (record.status, record.error) == ("done", None)
    assert record.settings["sources"].keys() == {f"own:{part}"}
    assert network.items() <= record.settings["network"].items()
    assert classification_of(store, record).accuracy > 0.5
    model = models.load_model(store.model_path(record.key), own_code=experiment.own_code)
    labels, _ = model.predict(np.asarray(data.load(experiment).images[:4]))
    assert labels.shape == (4,)
    both = replace(experiment, contenders=(*experiment.contenders, "small-cnn"))
    before = keys(both)
    del sys.modules["own"]
    assert keys(both) == before
    write("own", f"{source}# changed")
    del sys.modules["own"]
    after = keys(both)
    for_everyone = part == "darker"
    assert [before[name] != after[name] for name in both.contenders] == [True, for_everyone]


def test_an_own_architecture_is_no_spiking_one(small, write):
    write("own", ARCHITECTURE)
    (training,) = plan(replace(small, contenders=("own:build",)))
    assert (training.card.kind, training.card.encoding) == ("ann", None)


def test_an_own_neuron_is_given_the_settings_it_names(quick, write):
    write("own", NEURON)
    (leaky,) = plan(replace(quick, neuron="own:Leaky", beta=0.5))
    assert leaky.card.network == {"hidden": 32, "neuron": "own:Leaky", "beta": 0.5}
    assert building.build(leaky.card).lif1.beta == 0.5


def test_an_own_encoder_encodes(quick, write):
    write("own", ENCODER)
    experiment = replace(quick, encoding="own:halves")
    (training,) = plan(experiment)
    model = models.Model(building.build(training.card), training.card)
    trace = model.trace(np.asarray(data.load(experiment).images[:3]))
    assert trace.encoded.shape == (4, 3, 1, 8, 8)
    assert trace.encoded[:2].sum() > trace.encoded[2:].sum() == 0


def test_an_own_augmentation_changes_what_is_learned(quick, tmp_path, write):
    write("own", AUGMENTATION)
    ((plain,), (darker,)) = (
        run(replace(quick, augmentation=name), tmp_path / "s") for name in ("none", "own:darker")
    )
    assert darker.history != plain.history


def test_an_augmentation_that_returns_no_images_is_the_users_to_mend(quick, tmp_path, write):
    write("own", "def scaled(images, keys):\n    return images / 255\n")
    with pytest.raises(
        InputError,
        match=r"augmentation 'own:scaled' must return images of uint8 \[64, 1, 8, 8\]",
    ):
        run(replace(quick, augmentation="own:scaled"), tmp_path / "s")


# ---- how the data is held


def test_all_trials_of_a_comparison_share_one_copy_of_the_data(quick, tmp_path, monkeypatch):
    experiment = replace(quick, contenders=("dense-snn", "small-cnn"), seeds=2)
    prepared, used = data.load(experiment), []

    def noting(function):
        def noted(*arguments):
            used.append(next(value for value in arguments if isinstance(value, torch.Tensor)))
            return function(*arguments)

        return noted

    monkeypatch.setattr(data, "load", lambda experiment: prepared)
    for name in ("Loop", "EvaluationBatches"):
        monkeypatch.setattr(trial, name, noting(getattr(trial, name)))
    run(experiment, tmp_path / "s")
    assert len(used) >= 4 * 2
    assert {id(array) for array in used} == {id(prepared.arrays[0])}


# ---- a contender's own settings


def test_spiking_settings_of_a_network_that_does_not_spike_are_refused(small):
    with pytest.raises(
        InputError, match="per_contender: beta has no effect on small-cnn, which does not spike"
    ):
        plan(replace(small, per_contender={"small-cnn": {"beta": 0.5}}))


def test_trained_for_choosing_is_not_tested_and_later_only_tested(quick, tmp_path):
    prepared = data.load(quick)
    split, store = data.split(prepared, quick), Store(tmp_path)
    (training,) = plan(quick)
    # Whoever touched these test images would raise.
    out_of_reach = replace(training, split=replace(split, test=np.array([10**9])))
    record = trial.run(out_of_reach, prepared, store, Progress(), test=False)
    assert record.status == "done"
    assert classification_of(store, record) is None
    log = Telling()
    assert as_stored(trial.run(training, prepared, store, log)) == as_stored(record)
    assert (log.trained, log.found) == (0, 0)
    assert log.lines == [f"  {training.card.title}: trained before, tested now"]
    assert classification_of(store, record).n == len(split.test)


# ---- what fails, and what is damaged


GREEDY = """
from pathlib import Path
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.linear = nn.Linear(inputs, classes)
        self.batches = 0

    def forward(self, x):
        self.batches += 1
        if self.batches == 12 and not Path("enough").exists():
            RAISES
        return self.linear(x.flatten(1))

def build(image_shape, num_classes, num_steps, **settings):
    return Net(image_shape[1] * image_shape[2], num_classes)
"""


@pytest.mark.parametrize(
    "raises",
    [
        "raise MemoryError",
        "torch.empty(2**60, dtype=torch.uint8)",  # the allocator's own words
        "raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB.')",
    ],
)
def test_want_of_memory_is_recorded_with_a_remedy_and_later_goes_on(raises, quick, tmp_path, write):
    write("own_greedy", GREEDY.replace("RAISES", raises))
    # 270 training images are 5 batches, and 30 validation images 1: the twelfth comes at the end of
    # the second epoch.
    experiment = replace(quick, contenders=("own_greedy:build", "small-cnn"), epochs=3, patience=9)
    store, log = Store(tmp_path / "s"), Telling()
    failed, done = run(experiment, store)
    assert (failed.status, failed.stopped, done.status) == ("failed", None, "done")
    assert failed.error.startswith("out of memory (")
    assert "batch_size" in failed.error
    assert store.record(failed.key) is None
    (tmp_path / "enough").touch()
    again, _ = run(experiment, store, log)
    assert (again.status, len(again.history)) == ("done", 3)
    assert "goes on after epoch 1" in log.lines[0]
    assert not store.checkpoint_path(again.key).exists()


def test_a_failing_measure_costs_only_itself_and_is_tried_again(quick, tmp_path, monkeypatch):
    def broken(model, batches):
        raise RuntimeError("no luck\nand more")

    def not_a_number(model, batches):
        return {"value": float("nan")}

    store, log = Store(tmp_path / "s"), Telling()
    monkeypatch.setitem(MEASURES, "broken", Measure(broken))
    monkeypatch.setitem(MEASURES, "nan", Measure(not_a_number))
    (record,) = run(quick, store, log)
    assert record.status == "done"
    assert classification_of(store, record).n == 179
    failures = store.failed_measures(record.key)
    assert failures["broken"] == "RuntimeError: no luck"
    assert "JSON" in failures["nan"]
    assert "  dense-snn, seed 0: measure broken failed: RuntimeError: no luck" in log.lines
    monkeypatch.setitem(MEASURES, "broken", Measure(lambda model, batches: {"value": 1}))
    monkeypatch.delitem(MEASURES, "nan")
    (training,) = plan(quick)
    run(quick, store)
    assert trial.measured(training, store)["broken"] == {"value": 1}
    assert store.failed_measures(record.key) == {}


def test_a_measure_draws_from_a_seed_of_its_own_and_may_choose_by_the_validation_images(
    quick, tmp_path, monkeypatch
):
    def measure(model, batches, validation):
        counts = [sum(len(labels) for _, labels, _ in part) for part in (batches, validation)]
        return {"counts": counts, "drawn": torch.rand(1).item()}

    store = Store(tmp_path / "s")
    monkeypatch.setitem(MEASURES, "own", Measure(measure, on_validation=True))
    (record,) = run(quick, store)
    first = store.measure(record.key, "own", dict)
    assert first["counts"] == [179, 33]
    store.measure_path(record.key, "own").unlink()
    torch.rand(9)
    run(quick, store)
    assert store.measure(record.key, "own", dict) == first


def test_damaged_files_of_the_store_are_reported_and_made_again(quick, tmp_path):
    store = Store(tmp_path / "s")
    (first,) = run(quick, store)
    quality = classification_of(store, first)
    model = store.model_path(first.key)
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    log = Telling()
    (second,) = run(quick, store, log)
    assert "seed 0: trained again, for what the store holds is of no use" in log.lines[0]
    assert "model.safetensors: damaged" in log.lines[0]
    assert second.history == first.history
    assert model.read_bytes() == whole
    path = store.measure_path(first.key, "classification")
    path.write_bytes(path.read_bytes()[:100])
    log = Telling()
    run(quick, store, log)
    assert "measure classification is taken again" in log.lines[1]
    assert classification_of(store, first) == quality


# ---- networks that were not made for spikeduel

TUTORIAL = """
import snntorch as snn
import torch
from torch import nn

num_steps = 7

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 30), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(30, 10), snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for step in range(num_steps):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)

def wide(hidden, num_classes, num_steps=3):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, hidden), snn.Leaky(beta=0.9, init_hidden=True),
        nn.Linear(hidden, num_classes), snn.Leaky(beta=0.9, init_hidden=True, output=True),
    )
"""


def images_tested(experiment):
    prepared = data.load(experiment)
    return torch.from_numpy(prepared.images[data.split(prepared, experiment).test])


def test_snntorchs_tutorial_network_is_tested_as_snntorch_runs_it(quick, tmp_path, write):
    write("own_tutorial", TUTORIAL)
    experiment = replace(
        quick,
        contenders=("own_tutorial:Net", "small-cnn"),
        epochs=2,
        limit=None,
        learning_rate=2e-3,
    )
    store = Store(tmp_path / "s")
    record, _ = run(experiment, store)
    assert (record.status, record.error) == ("done", None)
    stored = [
        record.settings[name] for name in ("kind", "encoding", "num_steps", "precision", "network")
    ]
    assert stored == ["snn", "direct", 7, "32", {}]
    # With snnTorch alone: its network, the weights that were saved, the counts of its spikes.
    network = sys.modules["own_tutorial"].Net().eval()
    network.load_state_dict(load_file(store.model_path(record.key)))
    images = images_tested(experiment)
    model = models.load_model(store.model_path(record.key), own_code=experiment.own_code)
    with torch.no_grad():
        spk, mem = network(images.flatten(1) / 255)
        outputs = model.run(model.encode(images, None))
    assert spk.any()
    assert torch.equal(outputs[0], spk)
    assert torch.equal(outputs[1], mem)
    # Its label is the count of its spikes, as in snnTorch; between equal counts the membrane
    # decides.
    counts = spk.sum(0)
    predicted = torch.tensor(classification_of(store, record).predicted)
    assert torch.equal(counts.gather(1, predicted[:, None])[:, 0], counts.amax(1))
    assert classification_of(store, record).accuracy > 0.5
    # 64 pixels to 30 neurons, at each of 7 steps or once.
    first = store.measure(record.key, "operations", Counted).operations.layers[0]
    assert (first.name, first.macs.dense) == ("fc1", Ways(per_step=7 * 1920, hoisted=1920))
    with pytest.raises(
        InputError, match="spiking network of another library, whose neurons export does not know"
    ):
        export(model, tmp_path / "net.onnx")


def test_a_foreign_network_that_is_killed_goes_on_to_the_same_weights(quick, tmp_path, write):
    write("own_tutorial", TUTORIAL)
    experiment = replace(quick, contenders=("own_tutorial:wide",), epochs=3, hidden=20, num_steps=4)

    class Killing(Progress):
        def detail(self, text):
            if "epoch 2/3" in text:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path / "a", Killing())
    (resumed,) = run(experiment, tmp_path / "a")
    (whole,) = run(experiment, tmp_path / "b")
    assert resumed.history == whole.history
    assert whole.settings["network"] == {"hidden": 20}
    assert (whole.settings["num_steps"], whole.settings["encoding"]) == (4, experiment.encoding)


def test_what_a_foreign_network_cannot_do_is_refused_with_a_reason(quick, tmp_path, write):
    write("own_tutorial", TUTORIAL)
    (training,) = plan(replace(quick, contenders=("own_tutorial:Net",)))
    model = trial.Model(trial.building.build(training.card), training.card)
    images = np.zeros((1, 1, 8, 8), np.uint8)
    assert model.predict(images)[1].shape == (1, 10)
    with pytest.raises(InputError, match="was not made of spikeduel's neurons: it cannot stream"):
        model.step(torch.zeros(1, 1, 8, 8))
    with pytest.raises(InputError, match="spikeduel cannot look into its layers"):
        model.trace(images)
    own = {"own_tutorial:Net": {"num_steps": 3}}
    with pytest.raises(
        InputError, match="per_contender: num_steps has no effect on own_tutorial:Net"
    ):
        plan(replace(quick, contenders=("own_tutorial:Net",), per_contender=own))
    plan(
        replace(
            quick,
            contenders=("own_tutorial:wide",),
            per_contender={"own_tutorial:wide": {"num_steps": 3}},
        )
    )


def test_what_builds_a_network_can_declare_whether_it_spikes(quick, write):
    write("own_declared", f"{TUTORIAL}\nNet.spikes = wide.spikes = False\n")
    (training,) = plan(replace(quick, contenders=("own_declared:Net",)))
    card = training.card
    assert (card.kind, card.encoding, card.num_steps) == ("ann", None, None)
    with pytest.raises(
        InputError, match="contender 'own_declared:wide': it takes its input over time"
    ):
        plan(replace(quick, contenders=("own_declared:wide",)))


JELLY = """
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

class Net(nn.Module):
    step_mode = "s"

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            layer.Conv2d(1, 8, 3, padding=1), layer.BatchNorm2d(8), neuron.IFNode(), layer.MaxPool2d(2, 2),
            layer.Flatten(), layer.Linear(8 * 4 * 4, 10), neuron.LIFNode(tau=2.0),
        )
        functional.set_step_mode(self, self.step_mode)

    def forward(self, x):
        return self.layers(x)

class MultiStep(Net):
    step_mode = "m"
"""


@pytest.mark.parametrize(("name", "way"), [("Net", "step"), ("MultiStep", "sequence")])
def test_a_spikingjelly_network_is_trained_and_tested_as_spikingjelly_runs_it(
    name, way, quick, tmp_path, write
):
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    write("own_jelly", JELLY)
    experiment = replace(
        quick, contenders=(f"own_jelly:{name}",), encoding="direct", num_steps=4, learning_rate=1e-2
    )
    store = Store(tmp_path / "s")
    (record,) = run(experiment, store)
    stored = [record.settings[key] for key in ("kind", "encoding", "num_steps")]
    assert (record.error, stored, record.settings["foreign"]["way"]) == (
        None,
        ["snn", "direct", 4],
        way,
    )
    network = getattr(sys.modules["own_jelly"], name)().eval()
    network.load_state_dict(load_file(store.model_path(record.key)))
    images = images_tested(experiment) / 255
    sequence = images.expand(4, *images.shape)
    with torch.no_grad():
        spk = (
            network(sequence)
            if way == "sequence"
            else functional.multi_step_forward(sequence, network)
        )
    predicted = torch.tensor(classification_of(store, record).predicted)
    rates = spk.mean(0)
    assert spk.any()
    first = store.measure(record.key, "operations", Counted).operations.layers[0]
    # Each of 8 channels sees 3×3 of 8×8 pixels, at a border 2: what is beyond it is no operation.
    assert first.macs.dense == Ways(per_step=4 * 8 * (3 * 8 - 2) ** 2, hoisted=8 * (3 * 8 - 2) ** 2)
    # The label has the highest rate; of equal rates, any.
    assert torch.equal(rates.gather(1, predicted[:, None])[:, 0], rates.amax(1))
