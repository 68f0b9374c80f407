"""Trials on a Ray cluster (`--ray`): data go there once, and what is trained comes back; this
process writes the store.

Ray (Moritz et al. 2018, "Ray: A Distributed Framework for Emerging AI Applications") finds nodes
with free cores and memory, starts processes there, and shares arrays between those of a node.
"""

import os
import shutil
import socket
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data import loader
from spikeduel.data.transfer import SharedPayload
from spikeduel.system import files, hardware, signals
from spikeduel.system.errors import InputError, MissingExtra, SpikeduelError
from spikeduel.system.sentences import counted
from spikeduel.trials.jobs import Job
from spikeduel.trials.packing import Packed
from spikeduel.trials.pools import News, Outcome, Pool, Task
from spikeduel.trials.store import Store, TrialRecord

PROCESS_BYTES = 1 << 30
"""Memory that a trial takes beside its data; the cluster is told, so that no node gets more trials
than fit.
"""
REMEDIES = {
    "CPU": "Give fewer --threads.",
    "GPU": "Give --device cpu, or start nodes with `ray start --num-gpus`.",
    "memory": "Start nodes with more memory.",
}
"""What to do where no node has so much of what Ray calls so."""
SHARE = 0.5
"""Data that would take more than this of the memory that a node shares are read from the cache's
files, which must lie where all nodes see them.
"""
PATIENCE = 0.5
"""Seconds until the news are asked for again."""
SECONDS = 10
"""So long an address is tried."""


class Cluster(Pool):
    """A Ray cluster: `auto` (one that runs here), an address, or `local` (one that is started for
    as long as it takes).

    Workers have a store of their own for each trial; what becomes of it is sent back whole. What
    was trained in epochs that a lost node has not finished is trained again.
    """

    what = "its worker"

    def __init__(self, address: str, threads: int = 1) -> None:
        """Each trial with so many `threads`. Raises `MissingExtra`."""
        super().__init__()
        try:
            import ray
        except ImportError:
            raise MissingExtra("Ray", "cluster") from None
        if threads < 1:
            raise InputError(f"--threads {threads}: give 1 or more.")
        self.ray, self.address, self.threads = ray, address, threads
        self._running: dict[Any, tuple[str, Store]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Cluster":
        # Nobody is told who uses it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray, quiet = self.ray, {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            _require_answer(self.address)
            with signals.kept():
                if self.address == "local":
                    ray.init(
                        "local", num_cpus=len(hardware.cores()), include_dashboard=False, **quiet
                    )
                else:
                    ray.init(self.address, **quiet)
        # Ray raises plain ones where its processes do not start.
        except Exception as error:
            reason = textwrap.shorten(str(error), 200, placeholder=" …")
            if self.address == "local":
                raise InputError(
                    f"--ray local: Ray did not start ({reason}). Try again, or give --jobs."
                ) from None
            raise InputError(
                f"--ray {self.address}: no Ray cluster was found ({reason}). Start one with `ray "
                f"start --head`, set "
                "RAY_AUTH_MODE=token if it asks for a token, or give --ray local."
            ) from None
        self.at_once = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
        here = ray.get_runtime_context().get_node_id()
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        self._mailbox = (
            ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=strategy).remote()
        )
        return self

    def __exit__(self, *error: Any) -> None:
        for task in self._running:
            self.ray.cancel(task, force=True)
        self._running.clear()
        self._handed.clear()
        self.ray.shutdown()
        if self._folder is not None:
            self._folder.cleanup()

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Pool.run`. Raises `SpikeduelError` where the whole cluster has ended."""
        try:
            return super().run(jobs, store)
        except self.ray.exceptions.RayError as error:
            raise SpikeduelError(
                f"--ray {self.address}: the cluster does not answer any more "
                f"({type(error).__name__}). Trials that are "
                "finished are saved: the same command trains the others."
            ) from None

    def has_room(self) -> bool:
        """Ray has all that may begin, and says itself what does."""
        return True

    def begin(self, job: Job, store: Store) -> None:
        """See `Pool.begin`."""
        needs = self._needs(job)
        cpus, gpus, memory = needs.values()
        # What a node has too little memory for must not be held by all its trials, each of which
        # sees it free.
        sharing = self.at_once if memory == PROCESS_BYTES else 1
        options: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "memory": memory,
            "max_retries": 0,
        }
        options["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": str(self.threads)}}
        given = [
            Packed.of(store, key)
            for key in (job.key, job.trial.twin)
            if key and store.folder(key).is_dir()
        ]
        work = self.ray.remote(_work).options(name=job.trial.card.title, **options)
        # Ray shows a task the GPU that is its own, whatever its number is.
        experiment = replace(job.trial.experiment, device=job.trial.settings["device"])
        data, task = self.data_of(job), Task(replace(job.trial, experiment=experiment), job.test)
        begun = work.remote(job.key, task, data, given, (self.threads, sharing), self._mailbox)
        self._running[begun] = job.key, store

    def _needs(self, job: Job) -> dict[str, int]:
        """The cores, GPUs and bytes that a trial needs, as Ray names them. Raises `InputError`
        where no node has them: Ray would wait for one.
        """
        needs = {
            "CPU": self.threads,
            "GPU": int(job.trial.settings["device"] == "cuda"),
            "memory": PROCESS_BYTES,
        }
        nodes = [{name: node.get(name, 0) for name in needs} for node in self._living()]
        rooms = [
            node["memory"] for node in nodes if all(node[name] >= needs[name] for name in needs)
        ]
        if not rooms:
            most = {name: max(node[name] for node in nodes) for name in needs}
            lacking = [name for name in needs if most[name] < needs[name]] or [
                name for name in needs if needs[name]
            ]
            raise InputError(
                f"--ray {self.address}: a trial needs {_told(needs)}, and no node of the cluster "
                f"has all of that. The most that one has is {_told(most)}. "
                f"{' '.join(REMEDIES[name] for name in lacking)}"
            )
        # What does not fit, a loader leaves in its file.
        size = job.prepared.images.nbytes
        if size <= min(loader.SHARE * max(rooms), max(rooms) - PROCESS_BYTES):
            needs["memory"] += size
        return needs

    def _living(self) -> list[dict[str, float]]:
        """What each node has."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def news(self) -> Sequence[News]:
        """See `Pool.news`."""
        done, _ = self.ray.wait(list(self._running), timeout=PATIENCE)
        told: list[News] = list(self.ray.get(self._mailbox.take.remote()))
        for task in done:
            key, store = self._running.pop(task)
            try:
                outcome, packed = self.ray.get(task)
                if packed is not None:
                    packed.into(store)
            except self.ray.exceptions.RayTaskError as error:
                outcome = Outcome(broken=str(error))
            except self.ray.exceptions.RayError as error:
                outcome = Outcome(lost=type(error).__name__)
            told.append(News(key, outcome))
        # What a worker told before it was lost may come in later.
        known = {key for key, _ in self._running.values()} | {
            each.key for each in told if each.outcome
        }
        return [each for each in told if each.key in known]

    def hand(self, taken: SharedPayload) -> Any:
        """See `Pool.hand`: a reference to what Ray holds."""
        room = [node.get("object_store_memory", 0) for node in self._living()]
        if sum(np.asarray(array).nbytes for array in taken.arrays) > SHARE * min(room):
            return self.ray.put(taken.in_files(self._shared_folder()))
        # As arrays, Ray has them in memory that all processes of a node share.
        return self.ray.put(
            SharedPayload(taken.pickled, [np.asarray(array) for array in taken.arrays])
        )

    def _shared_folder(self) -> Path:
        """A new folder where the cache is, for what does not lie there as a file."""
        if self._folder is None:
            files.cache_dir().mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(
                prefix=".handed.", suffix=".part", dir=files.cache_dir()
            )
        return Path(tempfile.mkdtemp(dir=self._folder.name))


class _Mailbox:
    """An actor on the driver's node, which outlives the nodes that write to it."""

    def __init__(self) -> None:
        self.letters: list[News] = []

    def put(self, news: News) -> None:
        self.letters.append(news)

    def take(self) -> list[News]:
        taken, self.letters = self.letters, []
        return taken


def _require_answer(address: str) -> None:
    """Raises `OSError` where nobody listens at a host and port: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()


def _told(amounts: Mapping[str, float]) -> str:
    cores, gpus = counted(int(amounts["CPU"]), "core"), counted(int(amounts["GPU"]), "GPU")
    return f"{cores}, {gpus} and {amounts['memory'] / 1e9:.1f} GB of memory"


def _work(
    key: str,
    task: Task,
    data: SharedPayload,
    given: list[Packed],
    limits: tuple[int, int],
    mailbox: Any,
) -> tuple[Outcome, Packed | None]:
    """What a worker does: the task, in a store that is removed afterwards. `limits`: its threads,
    and how many share the memory that it sees.
    """
    threads, sharing = limits
    hardware.compute_on(threads)
    loader.share_memory(sharing)
    root = tempfile.mkdtemp(prefix="spikeduel-")
    try:
        store = Store(root)
        for each in given:
            each.into(store)

        def tell(method: str, arguments: tuple[Any, ...]) -> None:
            mailbox.put.remote(News(key, method=method, arguments=arguments))

        outcome = task.finish(data.load, store, tell)
        return outcome, Packed.of(store, key) if outcome.record else None
    finally:
        shutil.rmtree(root, ignore_errors=True)
