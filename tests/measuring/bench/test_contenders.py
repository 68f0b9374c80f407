import importlib

import pytest

from spikeduel.measuring.bench.contenders import CONTENDERS, PEER_OF_SCALING, is_spikeduel, taking_part
from spikeduel.measuring.bench.workloads import WORKLOADS


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_can_be_found_by_its_name(name):
    contender = CONTENDERS[name]
    assert contender.name == name
    module, _, function = contender.builder.partition(":")
    if not is_spikeduel(name):
        pytest.importorskip(
            {"with_snntorch": "snntorch", "networks": "torch"}.get(module.split(".")[-1], "spikingjelly")
        )
    assert callable(getattr(importlib.import_module(module), function))


def test_the_full_run_has_everyone_spikeduel_first():
    spiking = [contender.name for contender in taking_part(WORKLOADS["snn-28-rate"], quick=False, faster="bf16")]
    assert spiking == [name for name in CONTENDERS if not name.startswith("torch-")]
    cnn = [contender.name for contender in taking_part(WORKLOADS["cnn-97"], quick=False, faster="bf16")]
    assert cnn == ["spikeduel", "spikeduel-float32", "torch-cnn", "torch-cnn-tuned"]
    assert PEER_OF_SCALING in CONTENDERS


@pytest.mark.parametrize("faster", ["bf16", "float32"])
def test_the_quick_run_has_each_peer_in_the_faster_precision_and_compiles_nothing(faster):
    suffix = "-bf16" if faster == "bf16" else ""
    quick = [contender.name for contender in taking_part(WORKLOADS["snn-28-rate"], quick=True, faster=faster)]
    assert quick == ["spikeduel", "snntorch-study", f"snntorch-fastest{suffix}", f"spikingjelly-hoisted{suffix}"]
    quick = [contender.name for contender in taking_part(WORKLOADS["cnn-28"], quick=True, faster=faster)]
    assert quick == ["spikeduel", "torch-cnn", "torch-cnn-tuned"]


def test_spikeduels_allocator_setting_is_given_to_those_that_say_so():
    kept = {name for name, contender in CONTENDERS.items() if contender.keeps_memory}
    assert kept == {name for name in CONTENDERS if name.startswith("spikeduel") or name.endswith("+memory")}
