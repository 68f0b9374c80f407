import sys
from types import SimpleNamespace

import pytest
import torch

from spikeduel.measuring.answering import counters


@pytest.fixture
def powercap(tmp_path):
    """Two packages, a part of one, and the whole board, as Linux shows them."""

    def put(domain, name, microjoules):
        folder = tmp_path / domain
        folder.mkdir(exist_ok=True)
        for file, text in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", 5_000_000)):
            (folder / file).write_text(f"{text}\n")

    put("intel-rapl:0", "package-0", 1_000_000)
    put("intel-rapl:1", "package-1", 4_000_000)
    put("intel-rapl:0:0", "core", 900_000)
    put("intel-rapl:2", "psys", 9_000_000)
    put.folder = tmp_path
    return put


def test_each_package_is_counted_once(powercap):
    found = counters("cpu", powercap.folder)
    assert [(each.source, each.read()) for each in found] == [("rapl", 1.0), ("rapl", 4.0)]
    powercap("intel-rapl:0", "package-0", 3_500_000)
    assert found[0].since(1.0) == 2.5
    # It has begun again from 0 after 5 J.
    powercap("intel-rapl:1", "package-1", 250_000)
    assert found[1].since(4.0) == 1.25


def test_what_one_may_not_read_or_is_not_there_is_no_counter(powercap, tmp_path):
    (powercap.folder / "intel-rapl:1" / "energy_uj").unlink()
    assert counters("cpu", powercap.folder) == []
    assert counters("cpu", tmp_path / "none") == []
    powercap("intel-rapl:1", "package-1", "<damaged>")
    assert counters("cpu", powercap.folder) == []


def test_a_gpu_is_found_by_its_identity(monkeypatch):
    readings = iter([7000, 7000, 9500])

    class NVMLError(Exception):
        pass

    def total(handle):
        assert handle == "handle of GPU-abc"
        return next(readings)

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda identity: f"handle of {identity}",
        nvmlDeviceGetTotalEnergyConsumption=total,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid="abc"))
    (found,) = counters("cuda")
    assert found.source == "nvml"
    assert found.since(found.read()) == 2.5

    def refuses(handle):
        raise NVMLError("not supported")

    fake.nvmlDeviceGetTotalEnergyConsumption = refuses
    assert counters("cuda") == []


def test_without_the_package_a_gpu_does_not_tell(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert counters("cuda") == []
