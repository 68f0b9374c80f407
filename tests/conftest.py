"""Fixtures that every part of the tests may use. Nothing here or below touches the network or the
user's cache.
"""

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

# First, for it sets the number of threads.
from engine_fixtures import _own_folders, generator, numpy_generator  # noqa: F401

# isort: split
import numpy as np
import pytest
import torch


def pytest_addoption(parser):
    parser.addoption(
        "--rounding", action="store_true", help="let the last bits of products depend on batch size"
    )
    parser.addoption(
        "--write-golden", action="store_true", help="accept the sentences of the tests that run"
    )


def pytest_configure(config):
    if config.getoption("--rounding"):
        import rounding

        rounding.depends_on_batch_size()


def pytest_collection_modifyitems(items):
    """Files that take longest first: processes that share the tests shall end together."""
    here = Path(__file__).parent
    first = [here / "training", here, here / "cli"]
    items.sort(key=lambda item: [*first, item.path.parent].index(item.path.parent))


@pytest.fixture(scope="session", autouse=True)
def _common_cache(tmp_path_factory):
    """A cache for fixtures that serve many tests, and for tests with `known_data`; the processes of
    pytest-xdist share it.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared-cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKEDUEL_CACHE", str(folder))
        yield folder


@pytest.fixture
def known_data(_own_folders, _common_cache, monkeypatch):  # noqa: F811
    """Data that another test has prepared and audited is found in the cache, for its audit takes
    seconds.
    """
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(_common_cache))


@pytest.fixture(scope="session", autouse=True)
def _untimed():
    """Comparisons take made-up times, on a machine that is idle; `tests/evaluation/test_latency.py`
    starts real processes.
    """
    from factories import untimed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikeduel.evaluation.latency.latency", untimed)
        patch.setattr("spikeduel.system.load.load_average", lambda own_threads=0: 0.5)
        patch.setattr("spikeduel.system.load.used_by_others", lambda cores: 0.0)
        yield


@pytest.fixture
def unreported():
    """Comparisons write an empty page: figures take seconds, and other tests look at them."""
    import made_pages

    with made_pages.without_pages():
        yield


@pytest.fixture
def machine(monkeypatch):
    """The machine as a test sets it: its number of `cores`, how many of them others have in `use`, and
    the mean `load`. Nobody has chosen a number of threads.
    """
    from spikeduel.system import hardware, load

    made, before = SimpleNamespace(cores=2, use=0.0, load=0.1), torch.get_num_threads()
    monkeypatch.setattr(load, "cores", lambda: list(range(made.cores)))
    monkeypatch.setattr(load, "used_by_others", lambda cores: made.use)
    monkeypatch.setattr(load, "load_average", lambda own_threads=0: made.load)
    monkeypatch.setattr(hardware, "_chosen_threads", [])
    yield made
    torch.set_num_threads(before)


@pytest.fixture
def unpainted(monkeypatch):
    """Charts are declared and not drawn: drawing takes most of a page's time."""
    import made_pages

    monkeypatch.setattr("spikeduel.reporting.drawing.panels", made_pages.unpainted)


@pytest.fixture(scope="session")
def _golden_file(pytestconfig):
    from golden import Golden

    writing = pytestconfig.getoption("--write-golden")
    if writing and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("--write-golden takes one process")
    made = Golden(writing)
    yield made
    if writing:
        made.save()


@pytest.fixture
def golden(_golden_file, request):
    """Compares texts with those that `golden_sentences.txt` has for the test."""
    return partial(_golden_file.check, request.node.name)


@pytest.fixture
def small():
    """An experiment that is real but takes a second."""
    from factories import small_experiment

    return small_experiment()


@pytest.fixture(scope="session")
def make_prepared():
    """Makes a data set of random images, whose classes differ in brightness."""

    import factories
    from spikeduel.data import Preprocessing

    def make(num_classes=3, shape=(1, 8, 8), num_images=60, classes=None, samples=True):
        random = np.random.default_rng(7)
        labels = np.arange(num_images) % num_classes
        brightest = (labels + 1) * 255 // num_classes
        images = (random.random((num_images, *shape)) * brightest.reshape(-1, 1, 1, 1)).astype(
            np.uint8
        )
        channels, height, width = shape
        original = random.integers(
            0, 256, (height + 4, width + 2) + ((3,) if channels == 3 else ()), dtype=np.uint8
        )
        return factories.prepared(
            images,
            labels,
            name="made-up",
            classes=tuple(classes or (f"class {k}" for k in range(num_classes))),
            preprocessing=Preprocessing(channels, height, width, crop=(1, 2, 1, 2), invert=True),
            samples=[(k, original) for k in range(num_classes)] if samples else [],
        )

    return make


@pytest.fixture(scope="module")
def running():
    """A browser."""
    from browser import browser

    with browser() as started:
        yield started


@pytest.fixture
def results():
    """A spiking network and a CNN, zeros skipped to nothing skipped: 4 to 10 µJ, or 30 to 40 per
    step, against 5 to 8; with memory 1 to 3 mJ against 2 to 4.
    """
    import factories
    from made_operations import plain, spiking

    snn = factories.energy_of((4e-6, 10e-6), (30e-6, 40e-6), (1e-3, 3e-3))
    cnn = factories.energy_of((5e-6, 8e-6), None, (2e-3, 4e-3))
    trials = [
        factories.trial("dense-snn", 0.5, operations=spiking(), energy=snn),
        factories.trial("small-cnn", 0.5, operations=plain(), energy=cnn),
    ]
    return factories.results(trials)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The user's current folder: empty, and the store where it is by default."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SPIKEDUEL_STORE")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder, and what the command printed."""
    from made_commands import FAST, spikeduel
    from made_pages import without_pages

    folder = tmp_path_factory.mktemp("finished")
    arguments = [*FAST, "--epochs", 2, "--json", "--verbose", "--store", folder / "store"]
    with without_pages():
        return folder / "run", spikeduel("compare", "digits", *arguments, "--out", folder / "run")


@pytest.fixture
def picture(tmp_path):
    from synthetic_files import write_pictures

    return write_pictures(tmp_path, 1, size=(30, 20), mode="RGB")[0]
