"""Times that nobody took."""

from spikeduel.measuring.latency import machine


def untimed(path, images, device, own_code=()):
    """Made-up times in place of `measuring.latency.latency`, which starts a process and takes seconds."""
    one = {"median_ms": 2.0, "p95_ms": 3.0, "min_ms": 1.5, "n": 20}
    batch = {"batch_size": 1, "images_per_second": 500.0, **one}
    return {
        "machine": machine(device),
        "precision": "32",
        "one_image": one,
        "throughput": {"1": batch},
        "start_up": {"total_seconds": 1.0},
        "peak_memory_bytes": {"first_answer": 1 << 28},
        "joules_per_image": None,
        "joules_source": None,
        "stream_ms": None,
        "reasons": {},
    }
