"""A given setting changes the plan, or is refused: each setting on each kind of data."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import made_recordings
from spikeduel.experiment import effects
from spikeduel.experiment.fields import setting_of
from spikeduel.experiment.recipes import asked, baseline, events, strong
from spikeduel.experiment.settings import FEATURE_SETTINGS, SETTINGS
from spikeduel.features import providing
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import auto_settings, plan
from spikeduel.training.contenders import describe_all, missing, trials_of
from spikeduel.training.store import Store
from spikeduel.training.variants import variants_of

OTHER = {
    "pretrained": "no",
    "seeds": 2,
    "target": "energy",
    "tolerance": 2.0,
    "encoding": "rate",
    "num_steps": 3,
    "neuron": "if",
    "beta": 0.7,
    "threshold": 0.7,
    "reset_mechanism": "zero",
    "surrogate": "sigmoid",
    "hidden": 7,
    "width": 5,
    "pooling": "avg",
    "dropout": 0.4,
    "minutes": 2.0,
    "batch_size": 3,
    "augmentation": "eventdrop",
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "weight_decay": 0.01,
    "weight_bits": 4,
    "spike_penalty": 1.0,
    "whitening": True,
    "patience": 2,
    "folds": 3,
    "limit": 14,
    "data_dir": "elsewhere",
    "group_by": "_(.)",
    "image_size": 6,
    "bin_ms": 10.0,
}
"""Another value of each setting of the core; of those that are not here, the test says why."""
NAMED = {"dataset", "recipe", "contenders", "per_contender", "epochs"}
"""Settings that the cases name themselves."""
OF_THE_MACHINE = {"device", "precision"}
OF_BROKEN_FILES = {"skip_unreadable"}
LATER = {
    "target": lambda resolved, trials: len(resolved.contenders) > 1,
    "tolerance": lambda resolved, trials: len(resolved.contenders) > 1,
    "robustness": lambda resolved, trials: trials[0].card.preprocessing.binning is None,
    "convert": lambda resolved, trials: all(
        check(resolved.experiment, resolved.contenders) is None
        for check in providing("check").values()
    ),
}
"""Settings of the work after training, and whether they do something there."""
TWINS = ("vgg-lif", "vgg-relu")
CASES = {
    "images, twins": strong("pictures", contenders=TWINS, epochs=4),
    "images, one network without spikes": baseline("pictures", contenders=("small-cnn",), epochs=4),
    "images with sides, one that spikes": baseline("sides", contenders=("dense-snn",), epochs=4),
    "recordings": events("bars", epochs=4),
    "recordings, none that spikes": events("bars", epochs=4, contenders=("vgg-relu",)),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for place in ("pictures", "sides/train", "sides/val", "sides/test"):
        for name in "ab":
            (folder := root / place / name).mkdir(parents=True)
            for number in range(12):
                pixels = rng.integers(0, 255, (8, 9), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"p_{number % 6}_{number}.png")
    made_recordings.directions(root / "bars", 12)
    return root


def planned(experiment, changed, store):
    """All that a setting of a comparison can change before its trainings."""
    experiment, prepared, splits = plan.loaded(experiment, Progress())
    resolved = auto_settings.resolve(experiment, prepared, splits[0], store, Progress())
    trials = trials_of(resolved.experiment, prepared, *splits, contenders=resolved.contenders)
    # Features measure or train something later, if they are not refused.
    later = LATER.get(changed, lambda resolved, trials: changed in FEATURE_SETTINGS)
    return (
        sorted(trial.key for trial in trials),
        [sorted(variants_of(trial, prepared)) for trial in trials],
        later(resolved, trials),
    )


@pytest.mark.parametrize("case", CASES)
def test_a_given_setting_changes_the_plan_or_is_refused(case, folders, known_data):
    experiment = CASES[case]
    experiment = replace(experiment, dataset=str(folders / experiment.dataset))
    store, silent, refused = Store("store"), [], set()
    before = planned(experiment, None, store)
    other = dict(OTHER)
    for name in FEATURE_SETTINGS:
        other[name] = 8 if SETTINGS[name].default is None else not getattr(experiment, name)
    if experiment.encoding == "rate":
        other["encoding"] = "direct"
    for name, value in other.items():
        try:
            if planned(replace(experiment, **{name: value}), name, store) == before:
                silent.append(name)
        except InputError:
            refused.add(name)
    assert silent == []
    assert {"minutes", "data_dir"} < refused
    assert ("bin_ms" in refused) == ("recordings" not in case)


@pytest.mark.parametrize(
    ("target", "device", "contenders", "is_idle"),
    [
        ("gpu", "cpu", TWINS, True),
        ("cpu", "cuda", TWINS, True),
        ("gpu", "cuda", TWINS, False),
        ("cpu", "cpu", TWINS, False),
    ],
)
def test_a_target_needs_its_device(target, device, contenders, is_idle, monkeypatch):
    monkeypatch.setattr("spikeduel.system.hardware.num_gpus", lambda kind: 1)
    changes = {"target": target, "device": device, "contenders": contenders, "precision": "32"}
    experiment = replace(strong("digits", width=8, dropout=0.0, minutes=1.0), **changes)
    experiment, prepared, _ = plan.loaded(experiment, Progress())
    lacking = missing(experiment, describe_all(experiment, prepared), prepared)
    assert ("target" in effects.idle(["target"], lacking)) is is_idle


def test_the_cases_know_every_setting():
    not_varied = NAMED | OF_THE_MACHINE | OF_BROKEN_FILES
    assert {*OTHER, *FEATURE_SETTINGS} | not_varied == SETTINGS.keys()


def test_a_setting_names_what_it_needs_for_an_effect():
    kinds = {name: setting_of(field_of.type) for name, field_of in SETTINGS.items()}
    assert kinds["bin_ms"].needs == ("framing", "recordings")
    assert kinds["beta"].needs == ("training",)
    assert kinds["dataset"].needs == ()


def test_given_is_what_differs_from_the_recipe():
    assert effects.chosen(strong("digits")) == set()
    assert effects.chosen(baseline("digits", hidden=7, seeds=1)) == {"hidden"}
    with_contenders = asked({"dataset": "digits", "contenders": ("small-cnn",), "beta": 0.7})
    assert effects.chosen(with_contenders) == {"contenders", "beta"}


def test_the_first_reason_is_named_and_the_value_of_the_recipe():
    experiment = baseline("digits", num_steps=3)
    reasons = effects.idle({"num_steps", "seeds"}, {"num_steps": "nothing spikes"})
    assert reasons == {"num_steps": "nothing spikes"}
    with pytest.raises(InputError) as error:
        effects.refuse(reasons, experiment)
    assert str(error.value) == (
        "num_steps: has no effect: nothing spikes. Leave it out, or give the recipe's (25)."
    )
    assert effects.without(experiment, reasons) == baseline("digits")
