"""Times that nobody took."""

from spikeduel.measuring.latency import machine
from spikeduel.results.trials import Latency, Throughput, Times


def untimed(path, images, device, own_code=()):
    """Made-up times in place of `measuring.latency.latency`, which starts a process and takes
    seconds.
    """
    one = {"median_ms": 2.0, "p95_ms": 3.0, "n": 20}
    return Latency(
        machine=machine(device),
        precision="32",
        one_image=Times(**one),
        throughput={"1": Throughput(batch_size=1, images_per_second=500.0, **one)},
        start_up_seconds=1.0,
        peak_memory_bytes=1 << 28,
    )
