"""Train on a Ray cluster (`--ray`).

Moritz et al. 2018, "Ray: A Distributed Framework for Emerging AI Applications".
"""

import os
import shutil
import signal
import socket
import tempfile
import textwrap
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from spikeduel.data import Prepared, loader
from spikeduel.data.events.recordings import Recordings
from spikeduel.experiment.settings import NUMERICS_VERSION
from spikeduel.system import __version__, files, hardware, load
from spikeduel.system.errors import InputError, SpikeduelError, needing_extra
from spikeduel.system.sentences import counted
from spikeduel.training.contenders import Trial
from spikeduel.training.jobs import Job, Message, Pool, finish
from spikeduel.training.store import RECORD, Store, TrialRecord

VERSIONS = f"spikeduel {__version__}, numbers of version {NUMERICS_VERSION}"
SHARE = 0.5
"""Largest share of a Ray node's shared memory for data; larger data are read from the cache."""
PATIENCE, TIMEOUT = 0.5, 10
"""Seconds to wait for Ray's messages, and for an address to answer."""


class Cluster(Pool):
    """Workers of a Ray cluster (`--ray ADDRESS`). A trial on a lost node begins again.

    Parameters
    ----------
    address : str
        Address of the cluster, "auto" (one that runs here), or "local" (started by `with`).
    threads : int
        Threads of a trial.

    Raises
    ------
    MissingExtra
        If Ray is not installed.
    InputError
        If Ray does not respond.

    Examples
    --------
    >>> import spikeduel as sd
    >>> with sd.Cluster("local") as workers:  # doctest: +SKIP
    ...     sd.compare(sd.recipes.strong("digits"), workers=workers)
    """

    worker_name = "its worker"

    def __init__(self, address: str, threads: int = 1) -> None:
        """Train each trial with `threads` threads. Raises `MissingExtra`, `InputError`."""
        super().__init__()
        with needing_extra(("ray",), "cluster"):
            import ray
        if threads < 1:
            raise InputError(f"--threads {threads}: give 1 or more.")
        self.ray, self.address, self.num_threads = ray, address, threads
        self._running: dict[Any, tuple[str, Store]] = {}

    def __enter__(self) -> Self:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray, options = self.ray, {"log_to_driver": False, "logging_level": "ERROR"}
        remedy = (
            "Start a cluster with `ray start --head`, set RAY_AUTH_MODE=token if it asks for a "
            "token, or give --ray local."
        )
        if self.address == "local":
            options |= {"num_cpus": len(load.cores()), "include_dashboard": False}
            remedy = "Try again, or give --jobs."
        try:
            _require_response(self.address)
            with keeping_sigterm_handler():
                ray.init(self.address, **options)
        except Exception as error:  # Ray raises plain ones if its processes do not start
            reason = textwrap.shorten(str(error), 200, placeholder=" …")
            raise InputError(
                f"--ray {self.address}: Ray does not answer ({reason}). {remedy}"
            ) from None
        self.at_once = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.num_threads)
        # The driver's node outlives the nodes that write to its queue.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        return self

    def __exit__(self, *error: Any) -> None:
        for task in self._running:
            self.ray.cancel(task, force=True)
        self._running.clear()
        self.ray.shutdown()
        super().__exit__(*error)

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Pool.run`. Raises `SpikeduelError` if the whole cluster has ended."""
        try:
            return super().run(jobs, store)
        except self.ray.exceptions.RayError as error:
            raise SpikeduelError(
                f"--ray {self.address}: the cluster does not answer any more "
                f"({type(error).__name__}). Finished trials are saved: the same command trains the "
                "others."
            ) from None

    def begin(self, job: Job, store: Store) -> None:
        """See `Pool.begin`. Raises `InputError` if no node has what the job needs."""
        device = job.trial.settings["device"]
        needs = {"CPU": self.num_threads, "GPU": int(device == "cuda")}
        nodes = self._nodes()
        if not any(all(node.get(name, 0) >= needs[name] for name in needs) for node in nodes):
            most = {name: max(node.get(name, 0) for node in nodes) for name in needs}
            raise InputError(  # Ray would wait for such a node
                f"--ray {self.address}: a trial needs {_worded(needs)}, and no node of the "
                f"cluster has all of that. The most that one has is {_worded(most)}. Give "
                "fewer --threads or --device cpu, or start nodes with more (`ray start "
                "--num-gpus`)."
            )
        work = self.ray.remote(_work_on_node).options(
            name=job.trial.card.title,
            num_cpus=needs["CPU"],
            num_gpus=needs["GPU"],
            max_retries=0,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(self.num_threads)}},
        )
        # Ray shows a trial its own GPU as the first.
        planned = replace(job.trial, experiment=replace(job.trial.experiment, device=device))
        packed = PackedTrial.of(store, job.key) if store.folder(job.key).is_dir() else None
        # Ray puts its own references in place of arguments alone.
        task = work.remote(
            planned,
            self.place_of_data(job),
            job.test,
            VERSIONS,
            packed,
            self.num_threads,
            self._mailbox,
        )
        self._running[task] = job.key, store

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def messages(self) -> Iterable[Message]:
        done, _ = self.ray.wait(list(self._running), timeout=PATIENCE)
        received = list(self._mailbox.get_nowait_batch(self._mailbox.qsize()))
        keys = {key for key, _ in self._running.values()}
        for task in done:
            key, store = self._running.pop(task)
            try:
                message, packed = self.ray.get(task)
                if packed is not None:
                    packed.write_to(store)
            except self.ray.exceptions.RayTaskError as error:
                message = Message(key, "ended", (RuntimeError(str(error)),))
            except self.ray.exceptions.RayError as error:
                message = Message(key, "lost", (type(error).__name__,))
            received.append(message)
        # A lost worker's last messages may come later.
        return [message for message in received if message.key in keys]

    def put(self, prepared: Prepared) -> Any:
        """See `Pool.place`: a reference to an object of Ray."""
        images = prepared.images
        if images.nbytes > SHARE * min(
            node.get("object_store_memory", 0) for node in self._nodes()
        ):
            return self.ray.put(super().put(prepared))
        # Processes of a node share the memory of arrays, if these are no maps of files.
        if isinstance(images, Recordings):
            images = replace(images, packed=np.asarray(images.packed))
        else:
            images = np.asarray(images)
        return self.ray.put(replace(prepared, images=images))


@contextmanager
def keeping_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which `ray.init` replaces."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _require_response(address: str) -> None:
    """Raise `OSError` if nobody listens at an address: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), TIMEOUT).close()


def _worded(amounts: Mapping[str, float]) -> str:
    return f"{counted(int(amounts['CPU']), 'core')} and {counted(int(amounts['GPU']), 'GPU')}"


@dataclass(frozen=True)
class PackedTrial:
    """A trial on its way between stores: its files by path, and its uses of test images."""

    key: str
    files: dict[str, bytes]
    uses: list[tuple[str, bool]]

    @classmethod
    def of(cls, store: Store, key: str) -> "PackedTrial":
        content = {
            name: path.read_bytes() for name, path in _stored_files(store.folder(key)).items()
        }
        return cls(key, content, store.uses_by(key))

    def write_to(self, store: Store) -> None:
        """Unpack the trial into `store`, replacing any copy. Raises `InputError`."""
        folder = store.folder(self.key)
        with store.locked(self.key), files.writing_to(folder):
            for name in sorted(self.files, key=lambda name: name == RECORD):
                with files.atomic_path(folder / name) as temporary:
                    temporary.write_bytes(self.files[name])
            for name, path in _stored_files(folder).items():
                if name not in self.files:
                    path.unlink()
        for images, every_epoch in self.uses:
            store.note_test_use(images, self.key, every_epoch)


def _stored_files(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("[!.]*")
        if path.is_file()
    }


def _work_on_node(
    planned: Trial,
    data: Prepared | bytes,
    test: bool,
    versions: str,
    packed: PackedTrial | None,
    threads: int,
    mailbox: Any,
) -> tuple[Message, PackedTrial | None]:
    """Finish a trial in a temporary store; return its last message and the finished trial."""
    if versions != VERSIONS:
        error = InputError(
            f"a worker has {VERSIONS}, and this is {versions}. Install the same there."
        )
        return Message(planned.key, "ended", (error,)), None
    hardware.compute_on(threads)
    loader.share_memory(max(1, len(load.cores()) // threads))
    root = tempfile.mkdtemp(prefix="spikeduel-")
    try:
        store = Store(root)
        if packed is not None:
            packed.write_to(store)
        message = finish((planned, data, test), store, mailbox.put)
        is_finished = isinstance(message.arguments[0], TrialRecord)
        return message, PackedTrial.of(store, planned.key) if is_finished else None
    finally:
        shutil.rmtree(root, ignore_errors=True)
