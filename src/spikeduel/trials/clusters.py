"""Train trials on a Ray cluster (`--ray`; Moritz et al. 2018, "Ray: A Distributed Framework for
Emerging AI Applications").
"""

import os
import pickle
import shutil
import socket
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import spikeduel.system
from spikeduel.data import Prepared, loader
from spikeduel.data.disk_arrays import pickled
from spikeduel.data.events.recordings import Recordings
from spikeduel.settings import NUMERICS_VERSION
from spikeduel.system import files, hardware, signals
from spikeduel.system.errors import InputError, MissingExtra, SpikeduelError
from spikeduel.system.sentences import counted
from spikeduel.trials.jobs import Job, Message, Pool, Task
from spikeduel.trials.store import RECORD, Store, TrialRecord

VERSIONS = f"spikeduel {spikeduel.system.__version__}, numbers of version {NUMERICS_VERSION}"
PROCESS_BYTES = 1 << 30
"""Memory of a trial without its data, in bytes."""
SHARE = 0.5
"""Largest share of a node's shared memory for data; nodes read larger data from the cache's
files.
"""
PATIENCE = 0.5
"""Seconds to wait for messages."""
TIMEOUT = 10
"""Seconds to wait for an address to answer."""


class Cluster(Pool):
    """A Ray cluster: `auto` (one that runs here), an address, or `local` (started by `with`).

    A trial on a lost node begins again.
    """

    worker_name = "its worker"

    def __init__(self, address: str, threads: int = 1) -> None:
        """Train each trial with `threads` threads. Raises `MissingExtra`, `InputError`."""
        super().__init__()
        try:
            import ray
        except ImportError:
            raise MissingExtra("Ray", "cluster") from None
        if threads < 1:
            raise InputError(f"--threads {threads}: give 1 or more.")
        self.ray, self.address, self.num_threads = ray, address, threads
        self._running: dict[Any, tuple[str, Store]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Cluster":
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray, options = self.ray, {"log_to_driver": False, "logging_level": "ERROR"}
        if self.address == "local":
            options |= {"num_cpus": len(hardware.cores()), "include_dashboard": False}
        try:
            _require_answer(self.address)
            with signals.kept():
                ray.init(self.address, **options)
        except Exception as error:  # Ray raises plain ones if its processes do not start
            reason = textwrap.shorten(str(error), 200, placeholder=" …")
            text = f"no Ray cluster was found ({reason}). Start one with `ray start --head`, set "
            text += "RAY_AUTH_MODE=token if it asks for a token, or give --ray local."
            if self.address == "local":
                text = f"Ray did not start ({reason}). Try again, or give --jobs."
            raise InputError(f"--ray {self.address}: {text}") from None
        self.at_once = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.num_threads)
        # The driver's node outlives the nodes that write to its queue.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        return self

    def __exit__(self, *error: Any) -> None:
        for task in self._running:
            self.ray.cancel(task, force=True)
        self._running.clear()
        self._places.clear()
        self.ray.shutdown()
        if self._folder is not None:
            self._folder.cleanup()

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

    def has_room(self) -> bool:
        """Return True: Ray queues jobs itself."""
        return True

    def begin(self, job: Job, store: Store) -> None:
        """See `Pool.begin`. Raises `InputError` if no node has what the job needs."""
        needs = self._needs(job)
        options = {
            "num_cpus": needs["CPU"],
            "num_gpus": needs["GPU"],
            "memory": needs["memory"],
            "max_retries": 0,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(self.num_threads)}},
        }
        # Trials of a node all see its memory as free: only one may hold large data.
        sharing = self.at_once if needs["memory"] == PROCESS_BYTES else 1
        # Ray shows a trial its own GPU as the first.
        experiment = replace(job.trial.experiment, device=job.trial.settings["device"])
        task = Task(replace(job.trial, experiment=experiment), job.test)
        packed = [
            PackedTrial.of(store, key)
            for key in (job.key, job.trial.twin)
            if key and store.folder(key).is_dir()
        ]
        limits, data = (self.num_threads, sharing), self.place_of_data(job)
        work = self.ray.remote(_work).options(name=job.trial.card.title, **options)
        running = work.remote(task, VERSIONS, data, packed, limits, self._mailbox)
        self._running[running] = job.key, store

    def _needs(self, job: Job) -> dict[str, int]:
        """Return a trial's cores, GPUs and bytes in Ray's names.

        Raises `InputError` if no node has them: Ray would wait for one.
        """
        needs = {
            "CPU": self.num_threads,
            "GPU": int(job.trial.settings["device"] == "cuda"),
            "memory": PROCESS_BYTES,
        }
        nodes = [{name: node.get(name, 0) for name in needs} for node in self._living()]
        memory = [
            node["memory"] for node in nodes if all(node[name] >= needs[name] for name in needs)
        ]
        if not memory:
            most = {name: max(node[name] for node in nodes) for name in needs}
            raise InputError(
                f"--ray {self.address}: a trial needs {_said(needs)}, and no node of the cluster "
                f"has all of that. The most that one has is {_said(most)}. Give fewer --threads or "
                "--device cpu, or start nodes with more (`ray start --num-gpus`)."
            )
        # A loader leaves larger data in their file.
        size = job.prepared.images.nbytes
        if size <= min(loader.SHARE * max(memory), max(memory) - PROCESS_BYTES):
            needs["memory"] += size
        return needs

    def _living(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def messages(self) -> Sequence[Message]:
        done, _ = self.ray.wait(list(self._running), timeout=PATIENCE)
        received = list(self._mailbox.get_nowait_batch(self._mailbox.qsize()))
        known = {key for key, _ in self._running.values()}
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
        return [message for message in received if message.key in known]

    def place(self, prepared: Prepared) -> Any:
        """See `Pool.place`: return a reference to an object that Ray holds."""
        room = [node.get("object_store_memory", 0) for node in self._living()]
        images = prepared.images
        if images.nbytes <= SHARE * min(room):
            # Processes of a node share the memory of arrays, if these are no maps of files.
            if isinstance(images, Recordings):
                images = replace(images, packed=np.asarray(images.packed))
            else:
                images = np.asarray(images)
            return self.ray.put(replace(prepared, images=images))
        if self._folder is None:
            self._folder = files.scratch_folder()
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        return self.ray.put(pickled(prepared, folder))


def _require_answer(address: str) -> None:
    """Raise `OSError` if nobody listens at an address: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), TIMEOUT).close()


def _said(amounts: Mapping[str, float]) -> str:
    cores, gpus = counted(int(amounts["CPU"]), "core"), counted(int(amounts["GPU"]), "GPU")
    return f"{cores}, {gpus} and {amounts['memory'] / 1e9:.1f} GB of memory"


@dataclass(frozen=True)
class PackedTrial:
    """A trial on its way between stores: its files by path, and its uses of test images."""

    key: str
    files: dict[str, bytes]
    uses: list[tuple[str, bool]]

    @classmethod
    def of(cls, store: Store, key: str) -> "PackedTrial":
        """Pack everything that a store keeps of a trial."""
        content = {name: path.read_bytes() for name, path in _kept(store.folder(key)).items()}
        return cls(key, content, store.uses_by(key))

    def write_to(self, store: Store) -> None:
        """Unpack the trial into `store`, replacing any copy. Raises `InputError`."""
        folder = store.folder(self.key)
        with store.locked(self.key), files.writing_to(folder):
            for name in sorted(self.files, key=lambda name: name == RECORD):
                with files.atomic_path(folder / name) as temporary:
                    temporary.write_bytes(self.files[name])
            for name, path in _kept(folder).items():
                if name not in self.files:
                    path.unlink()
        for images, every_epoch in self.uses:
            store.note_test_use(images, self.key, every_epoch)


def _kept(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("[!.]*")
        if path.is_file()
    }


def _work(
    task: Task,
    versions: str,
    data: Prepared | bytes,
    packed: list[PackedTrial],
    limits: tuple[int, int],
    mailbox: Any,
) -> tuple[Message, PackedTrial | None]:
    """Run a task in a temporary store; return its last message and the finished trial.

    `limits`: threads, and trials that share the node's memory.
    """
    key, (threads, sharing) = task.trial.key, limits
    if versions != VERSIONS:
        reason = f"a worker has {VERSIONS}, and this is {versions}. Install the same there."
        return Message(key, "ended", (InputError(reason),)), None
    hardware.compute_on(threads)
    loader.share_memory(sharing)
    root = tempfile.mkdtemp(prefix="spikeduel-")
    try:
        store = Store(root)
        for trial in packed:
            trial.write_to(store)
        found = (lambda: pickle.loads(data)) if isinstance(data, bytes) else (lambda: data)
        message = task.run(found, store, mailbox.put)
        is_finished = isinstance(message.arguments[0], TrialRecord)
        return message, PackedTrial.of(store, key) if is_finished else None
    finally:
        shutil.rmtree(root, ignore_errors=True)
