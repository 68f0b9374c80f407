from bench_fakes import Fake
from spikeduel.measuring.bench.scaling import BASE, measured, points


def test_every_axis_changes_one_thing():
    found = points(threads=4)
    values = {axis: [point.value for point in found if point.axis == axis] for axis in {p.axis for p in found}}
    assert values == {
        "num_steps": [5, 25, 50, 100, 200],
        "batch_size": [1, 32, 128, 512],
        "hidden": [256, 1024, 4096],
        "threads": [1, 2, 4],
    }
    for point in found:
        if point.axis == "threads":
            assert (point.workload, point.threads) == (BASE, point.value)
        else:
            changed = {name for name in vars(BASE) if getattr(BASE, name) != getattr(point.workload, name)}
            assert changed <= {point.axis}
            assert getattr(point.workload, point.axis) == point.value
            assert point.threads == 4
    assert [point.value for point in points(threads=1) if point.axis == "threads"] == [1]


def test_a_point_is_measured_by_a_fresh_runner_of_each():
    started, ticks = [], []

    def start(contender, workload, threads):
        started.append((contender.name, workload, threads))
        return Fake(contender.name, [], fails_at=None if contender.own else 0)

    (point,) = [point for point in points(threads=2) if (point.axis, point.value) == ("num_steps", 200)]
    entries = measured(point, rounds=2, visit_ms=100, start=start, tick=lambda: ticks.append(1))
    assert started == [(name, point.workload, 2) for name in ("spikeduel", "spikingjelly-hoisted-bf16")]
    ours, peer = entries
    assert (ours["axis"], ours["value"], ours["contender"]) == ("num_steps", 200, "spikeduel")
    assert (ours["ms"]["median"], ours["peak_memory_bytes"], ours["error"]) == (100.0, 1000, None)
    assert (peer["ms"], peer["error"]) == (None, "spikingjelly-hoisted-bf16 broke")
    assert len(ticks) == 2 * 3
