from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from spikeduel.comparing import compare, prepare
from spikeduel.engine.networks import models
from spikeduel.engine.networks.plain import PooledCounts
from spikeduel.experiment.recipes import matched
from spikeduel.features import FEATURES
from spikeduel.features.conversion import conversion
from spikeduel.results.findings import finding
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import trial
from spikeduel.training.store import Store

pytestmark = pytest.mark.usefixtures("known_data")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_pooled_counts_are_spikes_and_as_many_as_the_most_active_has(seed, num_steps):
    spk = (
        torch.rand(num_steps, 2, 3, 4, 6, generator=torch.Generator().manual_seed(seed)) > 0.6
    ).float()
    pooled, counts = PooledCounts()(spk)
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}
    for t in range(num_steps):
        so_far = spk[: t + 1].sum(0)
        assert torch.equal(counts[t], so_far)
        assert torch.equal(pooled[: t + 1].sum(0), torch.nn.functional.max_pool2d(so_far, 2))


# ---- in a comparison


@pytest.fixture
def experiment():
    return matched(
        "digits",
        contenders=("dense-relu",),
        epochs=2,
        limit=300,
        hidden=16,
        device="cpu",
        convert=6,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store that all tests share: what one has trained and converted, another one finds."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.skipif("optimism" not in FEATURES, reason="the feature is deleted")
def test_there_is_nothing_of_its_training_to_test_after_every_epoch(
    experiment, tmp_path, unreported
):
    store, asked = Store(tmp_path / "s"), replace(experiment, optimism=True)
    compare(asked, tmp_path / "out", store)
    ready = prepare(asked, None, store, Progress())
    made, _ = conversion.further_trials(ready.plan, ready.prepared, store, Progress())
    assert made
    assert all(trial.is_whole(converted, store) for converted in made)


def test_it_enters_the_duel_and_says_what_it_is(experiment, root, tmp_path, unreported):
    results = compare(replace(experiment, seeds=2), tmp_path / "out", root).results
    source, _, one, two = results.trials
    names = ["dense-relu"] * 2 + ["dense-relu-converted"] * 2
    assert [entry.contender for entry in results.trials] == names
    assert (one.derived_from, one.kind, one.num_steps, one.seed) == ("dense-relu", "snn", 6, 0)
    # It was trained for as long as its source.
    assert (one.epochs, one.epoch_seconds) == (source.epochs, source.epoch_seconds)
    assert len(one.epoch_seconds) == 2
    assert one.history == []
    assert source.derived_from is None
    assert one.test.n == source.test.n
    assert one.model == "models/dense-relu-converted-seed0.safetensors"
    assert (tmp_path / "out" / two.model).is_file()
    (pair,) = results.comparison.pairs
    assert (pair.a, pair.b, pair.paired) == ("dense-relu", "dense-relu-converted", True)
    caveat = finding("not_trained", sources={"dense-relu-converted": "dense-relu"}, num_steps=6)
    assert caveat in results.comparison.caveats
    # What the validation images say is measured, not taken from its source.
    model = models.load_model(tmp_path / "out" / one.model)
    assert model.card.trained_on["derived_from"] == "dense-relu"
    # It has a temperature of its own, and so has its source.
    before = models.load_model(tmp_path / "out" / source.model)
    assert model.card.temperature != before.card.temperature


def test_what_is_converted_once_is_found_again(experiment, root, tmp_path, unreported):
    first = compare(experiment, tmp_path / "a", root).results
    second = compare(experiment, tmp_path / "b", root).results
    other = compare(replace(experiment, convert=3), tmp_path / "c", root).results
    assert [t.key for t in first.trials] == [t.key for t in second.trials]
    assert first.trials[1].test == second.trials[1].test
    assert other.trials[0].key == first.trials[0].key
    assert other.trials[1].key != first.trials[1].key


def test_there_must_be_something_to_convert(tmp_path):
    spiking = matched("digits", contenders=("dense-lif",), device="cpu", convert=6)
    with pytest.raises(
        InputError, match=r"convert: none of the contenders can be converted\. All contenders spike"
    ):
        compare(spiking, tmp_path / "out", tmp_path / "s")


def test_what_cannot_be_converted_has_a_caveat_with_its_reason(
    experiment, root, tmp_path, unreported, monkeypatch
):
    (tmp_path / "smooth.py").write_text(
        "from torch import nn\n\ndef Smooth(num_classes):\n    "
        "return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.SiLU(), nn.Linear(8, "
        "num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    both = replace(experiment, contenders=("dense-relu", "smooth:Smooth"))
    results = compare(both, tmp_path / "out", root).results
    assert results.contenders == ["dense-relu", "smooth:Smooth", "dense-relu-converted"]
    (caveat,) = (c for c in results.comparison.caveats if c.id == "not_converted")
    assert caveat.values["contender"] == "smooth:Smooth"
    assert "2 (SiLU)" in caveat.values["reason"]
    with pytest.raises(
        InputError, match=r"none of the contenders can be converted\. smooth:Smooth: 2 \(SiLU\)"
    ):
        compare(replace(both, contenders=("smooth:Smooth",), hidden=256), tmp_path / "other", root)
