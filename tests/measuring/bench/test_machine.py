import pytest
import torch

from spikeduel.measuring.bench import machine
from spikeduel.measuring.bench.machine import Limits, busy, describe, last_level_cache_bytes, measure_limits


def test_limits_are_rates_of_the_shortest_time(monkeypatch):
    monkeypatch.setattr(machine, "SQUARE", (64, 64, 64))
    monkeypatch.setattr(machine, "TALL", (100, 30, 20))
    monkeypatch.setattr(machine, "_SMALLEST_COPY", 1 << 20)
    monkeypatch.setattr(machine, "last_level_cache_bytes", lambda: None)

    def one_millisecond(work, seconds):
        work()
        return 1e-3

    monkeypatch.setattr(machine, "_shortest", one_millisecond)
    limits = measure_limits(threads=1, seconds=0.01)
    assert limits.float32_gflops == limits.bf16_gflops == pytest.approx(2 * 64**3 / 1e-3 / 1e9)
    assert limits.bandwidth_gbs == pytest.approx(3 * (1 << 20) / 1e-3 / 1e9)


def test_the_shortest_of_at_least_three_after_one():
    calls = []
    shortest = machine._shortest(lambda: calls.append(1), seconds=0)
    assert len(calls) == 4
    assert 0 <= shortest < 1


def test_the_faster_precision_sets_rate_and_size():
    bf16, plain = Limits(300, 100, 10), Limits(20, 100, 10)
    assert (bf16.faster, bf16.gflops, bf16.operand_bytes) == ("bf16", 300, 2)
    assert (plain.faster, plain.gflops, plain.operand_bytes) == ("float32", 100, 4)


def test_a_description_names_hardware_versions_and_load():
    described = describe(threads=3)
    assert described.threads == 3
    assert described.torch == torch.__version__
    assert set(described.peers) == {"snntorch", "spikingjelly"}
    assert described.load_average == pytest.approx(machine.load_average(), abs=0.5)


def test_the_largest_cache(tmp_path):
    for index, size in enumerate(["32K", "1024K", "32768K"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert last_level_cache_bytes(tmp_path) == 32 << 20
    assert last_level_cache_bytes(tmp_path / "none") is None


def test_a_busy_machine_is_warned_of(monkeypatch):
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    assert busy(2.0, "at the start") == busy(None, "at the start") == busy(4.0, "at the end", own_threads=2) == ()
    (warning,) = busy(2.1, "at the start")
    assert "at the start (load 2.1 on 8 cores)" in warning
    assert busy(4.1, "at the end", own_threads=2)
