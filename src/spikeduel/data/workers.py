"""Many files read in a few threads or processes: in order, never far ahead, each that cannot be
read named.
"""

import os
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from spikeduel.system.errors import InputError, UnreadableFiles

AHEAD = 4
"""Files read ahead of their use, by each thread."""
FEWEST = 5_000
"""Files from which on processes are started, which takes a second or so."""
IDLE_SECONDS = 30
"""A process that has nothing to do for so long gives its memory back."""

Task = TypeVar("Task")
Result = TypeVar("Result")
Chunk = TypeVar("Chunk", bound=Sized)
Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]
"""Shows the progress of a long loop: (items, description, total) -> items. See `Progress.track`."""


def over_files(
    look: Callable[[int], Result],
    sources: Sequence[Path | zipfile.Path | str],
    track: Track,
    description: str,
    noun: str = "an image",
    keep: Callable[[Result], Any] = lambda result: result,
) -> list[Any]:
    """What `keep` makes of what `look` makes of each source's number, in order; `look` runs in a
    few threads.

    Raises `UnreadableFiles` with all for which `look` fails.
    """
    reasons: dict[int, str] = {}

    def attempt(row: int) -> Result | None:
        try:
            return look(row)
        # Decoders raise whatever a broken file makes them stumble on.
        except Exception as error:
            reasons[row] = reason(error, noun)
            return None

    with warnings_ignored(), closing(_in_turn(attempt, len(sources))) as made:
        tracked = track(made, description, len(sources))
        results = [keep(result) for result in tracked if result is not None or not reasons]
    if reasons:
        raise UnreadableFiles({str(sources[row]): reasons[row] for row in sorted(reasons)})
    return results


def in_chunks(
    work: Callable[[Task], Chunk],
    tasks: Iterable[Task],
    count: int,
    track: Track,
    description: str,
    threads: bool = False,
) -> Iterator[Chunk]:
    """What `work` makes of each task, in order, a part of `count` files each; where these are many,
    in processes.

    In processes, `work` and tasks are pickled. With `threads` always in threads.
    """
    from joblib import Parallel, delayed

    cores, backend = num_cores(), "loky"
    idle: dict[str, float] = {"idle_worker_timeout": IDLE_SECONDS}
    if threads or count < FEWEST or cores == 1:
        backend, idle = "threading", {}
    parallel = Parallel(
        n_jobs=cores, backend=backend, return_as="generator", batch_size=1, max_nbytes=None, **idle
    )

    def each_file() -> Generator[Chunk | None, None, None]:
        """A chunk, and nothing for each further file of it: progress is counted in files."""
        with closing(parallel(delayed(work)(task) for task in tasks)) as made:
            for chunk in made:
                yield chunk
                yield from [None] * (len(chunk) - 1)

    with closing(each_file()) as numbered:
        yield from (chunk for chunk in track(numbered, description, count) if chunk is not None)


def num_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Within, what Pillow warns of is not told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _in_turn(look: Callable[[int], Result], count: int) -> Generator[Result, None, None]:
    """What `look` makes of 0 … `count` − 1, in order; in a few threads that are never far ahead, so
    that little waits in memory, and little has to be waited for when the consumer stops.
    """
    workers = min(8, os.cpu_count() or 1)
    pool, rows = ThreadPoolExecutor(workers), iter(range(count))
    try:
        coming = deque(pool.submit(look, row) for row in islice(rows, AHEAD * workers))
        while coming:
            result = coming.popleft().result()
            coming.extend(pool.submit(look, row) for row in islice(rows, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def reason(error: Exception, noun: str = "an image") -> str:
    """Why a file could not be decoded, in words that follow its name."""
    text = str(error).rstrip(".")
    if isinstance(error, InputError):
        return text
    known = isinstance(error, Image.UnidentifiedImageError)
    return f"cannot be read as {noun}" + ("" if known else f" ({text or type(error).__name__})")
