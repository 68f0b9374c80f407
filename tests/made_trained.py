"""A contender that was trained on data of its own, and folders of pictures of noise."""

from dataclasses import replace

import numpy as np
from PIL import Image

from factories import small_experiment
from spikeduel import data
from spikeduel.results.trials import Classification
from spikeduel.system.progress import Progress
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store

EXPERIMENT = small_experiment()


def train(experiment, root, fold=0):
    """The model file of the only contender of `experiment`, what it answered, and its split."""
    store, prepared = Store(root), data.load(experiment)
    split = data.splits(prepared, experiment)[fold]
    (planned,) = contenders.trials_of(experiment, prepared, split)
    record = trial.run(planned, prepared, store, Progress())
    predictions = store.measure(record.key, "classification", Classification)
    return store.model_path(record.key), predictions, split


def write_folder(root, names, count=4):
    """An experiment on pictures of noise, 8×8, `count` of each class."""
    random = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return replace(EXPERIMENT, dataset=str(root))
