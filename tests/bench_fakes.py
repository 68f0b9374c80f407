"""Contenders that do nothing, or go wrong, for real processes; and runners that need none."""

import os
import signal
import time
from functools import partial

import torch

from spikeduel.measuring.bench.contenders import ALL, Contender, Failed
from spikeduel.measuring.bench.networks import Built
from spikeduel.measuring.bench.workloads import Workload

TINY = Workload("tiny", "dense", side=4, encoding="direct", num_steps=3, batch_size=2, hidden=5)


def contender(function, **settings):
    return Contender(function.__name__, "a fake", partial(function, **settings), ALL)


def steady(workload, seconds=0.0):
    def step(images, labels):
        assert images.shape == (workload.batch_size, 1, workload.side, workload.side)
        assert images.dtype == torch.uint8
        time.sleep(seconds)
        return torch.zeros(())

    return Built(step, "float32")


def slow_at_first(workload, first_steps):
    seconds = [0.3] * first_steps + [0.0] * 9
    return Built(lambda images, labels: time.sleep(seconds.pop(0)), "float32", first_steps)


def counts_threads(workload, wanted):
    assert torch.get_num_threads() == wanted
    return steady(workload)


def output_devices():
    """The devices that standard output and standard error are."""
    return [os.fstat(stream).st_rdev for stream in (1, 2)]


def misses(workload, module):
    __import__(module)


def raises(workload, text):
    raise ValueError(text)


def fails_later(workload):
    def step(images, labels):
        raise RuntimeError("no more")

    return Built(step, "float32", first_steps=0)


def is_killed(workload):
    return Built(
        lambda images, labels: os.kill(os.getpid(), signal.SIGKILL), "float32", first_steps=0
    )


def exits(workload):
    os._exit(7)


def hoards(workload, megabytes):
    held = []

    def step(images, labels):
        held.append(torch.ones(megabytes << 18))
        return torch.zeros(())

    return Built(step, "float32", first_steps=0)


class Fake:
    """A runner whose every step takes `ms`, or the next of a list; `log` gets what is asked of
    it.
    """

    def __init__(self, name, log, ms=100.0, fails_at=None):
        self.name, self.log, self.ms, self.left = name, log, ms, fails_at
        self.precision = "float32"
        log.append((name, "start"))

    def steps(self, count):
        self.log.append((self.name, count))
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Failed(f"{self.name} broke")
        return [self.ms if isinstance(self.ms, float) else self.ms.pop(0) for _ in range(count)]

    def peak_memory_bytes(self):
        return 1000

    def close(self):
        self.log.append((self.name, "close"))
