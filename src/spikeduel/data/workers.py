"""Read many files at once, in order, in threads or processes."""

import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from spikeduel.system import load
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.progress import Track

AHEAD = 4
"""Chunks that wait for each worker, or for the consumer behind it."""
MAX_THREADS = 8
MIN_IMAGES = 5_000
"""Fewest files for which starting processes (about a second) is worth it."""
IDLE_SECONDS = 30
"""Seconds without work after which a process ends."""

Result = TypeVar("Result")


def over_files(
    look: Callable[[int, Any], Result],
    sources: Sequence[Any],
    track: Track,
    description: str,
    *,
    rows: np.ndarray | None = None,
    noun: str = "an image",
    at_once: int = 1,
    processes: bool = False,
) -> Iterator[tuple[int, Result]]:
    """Yield (row, `look(row, sources[row])`) in the order of `rows` (default: all).

    Threads work on chunks of `at_once` sources; with `processes` and `MIN_IMAGES` sources or more,
    all cores do, by pickling. Raises `UnreadableFiles` at the end, naming each failed source.
    """
    rows = np.arange(len(sources)) if rows is None else rows
    chunks = (rows[start : start + at_once].tolist() for start in range(0, len(rows), at_once))
    tasks = (
        partial(_attempts, look, noun, [(row, sources[row]) for row in chunk]) for chunk in chunks
    )
    reasons: dict[int, str] = {}
    with (
        warnings.catch_warnings(action="ignore"),
        _workers(processes and len(rows) >= MIN_IMAGES) as (executor, num_workers),
        closing(in_turn(executor, AHEAD * num_workers, tasks)) as results,
    ):
        for row, result, problem in track(chain.from_iterable(results), description, len(rows)):
            if problem is None:
                yield row, result
            else:
                reasons[row] = problem
    if reasons:
        raise UnreadableFiles({str(sources[row]): reasons[row] for row in sorted(reasons)})


def reason(error: Exception, noun: str = "an image") -> str:
    """Return why a file could not be decoded, in words that follow its name."""
    text = str(error).rstrip(".")
    if isinstance(error, InputError):
        return text
    known = isinstance(error, Image.UnidentifiedImageError)
    return f"cannot be read as {noun}" + ("" if known else f" ({text or type(error).__name__})")


def _attempts(
    look: Callable[[int, Any], Result], noun: str, chunk: list[tuple[int, Any]]
) -> list[tuple[int, Result | None, str | None]]:
    attempts: list[tuple[int, Result | None, str | None]] = []
    for row, source in chunk:
        try:
            attempts.append((row, look(row, source), None))
        # Decoders raise many errors for broken files.
        except Exception as error:
            attempts.append((row, None, reason(error, noun)))
    return attempts


@contextmanager
def _workers(processes: bool) -> Iterator[tuple[Executor, int]]:
    num_workers = len(load.cores())
    if processes and num_workers > 1:
        from joblib.externals import loky

        executor = loky.get_reusable_executor(
            num_workers,
            timeout=IDLE_SECONDS,
            initializer=warnings.simplefilter,
            initargs=("ignore",),
        )
        try:
            yield executor, num_workers
        except BaseException:
            executor.shutdown(kill_workers=True)
            raise
    else:
        num_workers = min(MAX_THREADS, num_workers)
        threads = ThreadPoolExecutor(num_workers)
        try:
            yield threads, num_workers
        finally:
            threads.shutdown(cancel_futures=True)


def in_turn(
    executor: Executor, ahead: int, tasks: Iterator[Callable[[], Result]]
) -> Generator[Result, None, None]:
    """Yield the results of `tasks` in order, `ahead` of them begun."""
    coming = deque(executor.submit(task) for task in islice(tasks, ahead))
    while coming:
        result = coming.popleft().result()
        coming.extend(executor.submit(task) for task in islice(tasks, 1))
        yield result
