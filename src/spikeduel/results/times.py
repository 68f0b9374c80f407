"""What an answer takes on this machine: times and memory, measured."""

from spikeduel.system.load import is_busy
from spikeduel.system.typed import Amount, Count, Frozen, Positive


class Times(Frozen):
    """Milliseconds of `n` answers; `p95_ms` is None of few."""

    median_ms: Amount
    p95_ms: Amount | None
    min_ms: Amount
    n: Count


class Throughput(Times):
    """The same for batches of `batch_size`."""

    batch_size: Positive
    images_per_second: Amount


class StartUp(Frozen):
    """Seconds of a fresh process until its first answer."""

    import_seconds: Amount
    load_seconds: Amount
    first_answer_seconds: Amount
    total_seconds: Amount


class PeakMemory(Frozen):
    """Bytes that the process held at most: after its first answer, after the largest batches, on
    the GPU.
    """

    first_answer: Count | None = None
    batch_256: Count | None = None
    gpu: Count | None = None


class Machine(Frozen):
    """Where times were taken, and how busy that was: `load_average` over the last minute, or of the
    own threads and the others that ran just then, if that was less.
    """

    cpu: str
    cores: int | None
    threads: int
    device: str
    gpu: str | None
    torch: str
    python: str
    platform: str
    load_average: float | None

    @property
    def busy(self) -> bool:
        """Return True if other work used more than a quarter of the cores, see `is_busy`."""
        return is_busy(self.load_average, self.cores or 1, self.threads)


class Latency(Frozen):
    """What a model takes to start and to answer on this machine; `reasons` says why something is
    None.

    `throughput` is by batch size ("1", "32", "256"); `stream_ms` `[T]` are milliseconds until there
    are scores after each step of one image's stream.
    """

    machine: Machine
    precision: str | None = None
    one_image: Times | None = None
    throughput: dict[str, Throughput] | None = None
    joules_per_image: Amount | None = None
    joules_source: str | None = None
    stream_ms: list[Amount] | None = None
    start_up: StartUp | None = None
    peak_memory_bytes: PeakMemory | None = None
    reasons: dict[str, str] = {}
