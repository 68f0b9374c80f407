"""Finish trials in this process, in several (`--jobs`), or on a Ray cluster (`--ray`; Moritz et al.
2018, "Ray: A Distributed Framework for Emerging AI Applications").
"""

import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import tempfile
import textwrap
import threading
import traceback
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from spikeduel.data import Prepared, loader
from spikeduel.data.disk_arrays import pickled
from spikeduel.data.events.recordings import Recordings
from spikeduel.settings import NUMERICS_VERSION
from spikeduel.system import __version__, files, hardware, load, signals
from spikeduel.system.errors import InputError, SpikeduelError, needing_extra
from spikeduel.system.progress import Progress, Relayed
from spikeduel.system.sentences import counted
from spikeduel.system.typed import digest
from spikeduel.trials import trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.store import RECORD, Store, TrialRecord

MOST_LOSSES = 3
"""Losses of a trial's worker after which the trial has failed."""
VERSIONS = f"spikeduel {__version__}, numbers of version {NUMERICS_VERSION}"
SHARE = 0.5
"""Largest share of a Ray node's shared memory for data; larger data are read from the cache."""
PATIENCE, TIMEOUT = 0.5, 10
"""Seconds to wait for Ray's messages, and for an address to answer."""


@dataclass(frozen=True, eq=False)
class Job:
    """A trial to be finished (`trial.run`) on `prepared`."""

    trial: Trial
    prepared: Prepared
    progress: Progress
    test: bool = True

    @property
    def key(self) -> str:
        return self.trial.key


class Workers(AbstractContextManager[Any]):
    """Finish jobs in this process, one after another. Subclasses are opened by `with`."""

    at_once = 1
    threads: int | None = None

    def __init__(self, threads: int | None = None) -> None:
        """Compute with `threads` threads within `with`. Raises `InputError` if there are fewer
        cores.
        """
        self.threads = threads
        if threads is not None:
            require_threads(threads, len(load.cores()))

    def __enter__(self) -> Self:
        if self.threads is not None:
            hardware.compute_on(self.threads)
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """Return the record of each job, finished."""
        records, before = {}, None
        for job in {job.key: job for job in jobs}.values():
            if before is not None and before is not job.prepared:
                before.let_go()
            before = job.prepared
            records[job.key] = trial.run(job.trial, job.prepared, store, job.progress, job.test)
        return [records[job.key] for job in jobs]


def require_threads(threads: int, cores: int) -> None:
    """Raise `InputError` unless there are as many cores."""
    if not 1 <= threads <= cores:
        raise InputError(
            f"--threads {threads}: there {'is 1 core' if cores == 1 else f'are {cores} cores'} for "
            f"a trial."
        )


class Message(NamedTuple):
    """A message from the worker of job `key`.

    `event` is a method of `Progress`, "ended" (with a record or an error to raise) or "lost" (with
    the reason).
    """

    key: str
    event: str
    arguments: tuple[Any, ...]


Task = tuple[Trial, Prepared | bytes, bool]
"""A job as a worker gets it: trial, data (or pickled), `Job.test`."""


def finish(task: Task, store: Store, send: Callable[[Message], None]) -> Message:
    """Finish the task in `store`; return the last message."""
    planned, data, test = task
    progress = Relayed(lambda name, arguments: send(Message(planned.key, name, arguments)))
    end: TrialRecord | Exception
    try:
        prepared = pickle.loads(data) if isinstance(data, bytes) else data
        end = trial.run(planned, prepared, store, progress, test)
    except SpikeduelError as error:
        end = error
    except Exception:  # which may not survive the way to another process
        end = RuntimeError(f"{planned.card.title}:\n{traceback.format_exc()}")
    return Message(planned.key, "ended", (end,))


class Pool(Workers):
    """Workers elsewhere: a subclass starts jobs (`begin`) and receives `messages`."""

    worker_name: str

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Any] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __exit__(self, *error: Any) -> None:
        self._places.clear()
        if self._folder is not None:
            self._folder.cleanup()

    @abstractmethod
    def begin(self, job: Job, store: Store) -> None:
        """Start `job` on a worker."""

    @abstractmethod
    def messages(self) -> Iterable[Message]:
        """Wait a while for new messages and return them."""

    def has_room(self) -> bool:
        return True

    def place(self, prepared: Prepared) -> Any:
        """Put data where all workers find them, here in files of the cache; return where. Raises
        `InputError`.
        """
        with files.writing_to(files.cache_dir()):
            if self._folder is None:
                self._folder = files.scratch_folder()
            return pickled(prepared, Path(tempfile.mkdtemp(dir=self._folder.name)))

    def place_of_data(self, job: Job) -> Any:
        """Return the place of the job's data, put there once for equal data."""
        # The fingerprint of recordings does not tell their binning.
        key = job.prepared.fingerprint, digest(job.prepared.preprocessing.described())
        if key not in self._places:
            self._places[key] = self.place(job.prepared)
        return self._places[key]

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Workers.run`. A trial that the store holds whole is not sent."""
        whole = [job for job in jobs if trial.is_whole(job.trial, store, job.test)]
        records = {record.key: record for record in super().run(whole, store)}
        waiting = {job.key: job for job in jobs if job.key not in records}
        running: dict[str, Job] = {}
        losses = Counter[str]()
        while waiting or running:
            for key, job in list(waiting.items()):
                if self.has_room():
                    self.begin(job, store)
                    running[key] = waiting.pop(key)
            for key, event, arguments in self.messages():
                job = running[key]
                if event not in ("ended", "lost"):
                    getattr(job.progress, event)(*arguments)
                    continue
                del running[key]
                (end,) = arguments
                if isinstance(end, Exception):
                    raise end
                if event == "ended":
                    records[key] = end
                    continue
                losses[key] += 1
                if losses[key] == MOST_LOSSES:
                    records[key] = self.give_up(job, end, store)
                    continue
                waiting = {key: job, **waiting}
                title = job.trial.card.title
                job.progress.say(f"  {title}: {self.worker_name} was lost ({end}); it begins again")
                job.progress.finished(title, "")
        return [records[job.key] for job in jobs]

    def give_up(self, job: Job, reason: str, store: Store) -> TrialRecord:
        """Record a job as failed whose worker was lost too often."""
        error = (
            f"{self.worker_name} was lost {MOST_LOSSES} times ({reason}). Is there too little "
            "memory for so many at once?"
        )
        record = trial.mark_failed(job.trial, store, error, job.test)
        outcome = "failed" if record.error else "trained, but not measured"
        job.progress.finished(job.trial.card.title, f"{outcome}, {error}")
        return record


class _Worker(NamedTuple):
    number: int
    process: BaseProcess
    pipe: Connection


class Processes(Pool):
    """Processes on their own cores (`--jobs N`), which write into the store."""

    worker_name = "its process"

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        """Run `jobs` processes of `threads` threads (None: an equal share of the cores). Raises
        `InputError` if there are fewer cores.
        """
        super().__init__()
        cores = load.cores()
        if not 1 <= jobs <= len(cores):
            raise InputError(
                f"--jobs {jobs}: {len(cores)} cores can be used here, and each trial needs one of "
                f"its own. Give 1 to {len(cores)}."
            )
        share = len(cores) // jobs
        num_threads = share if threads is None else threads
        require_threads(num_threads, share)
        self.at_once, self._are_threads_chosen = jobs, threads is not None
        self._cores = [cores[number * num_threads :][:num_threads] for number in range(jobs)]
        self._absent, self._idle = list(range(jobs)), list[_Worker]()
        self._busy: dict[Any, tuple[_Worker, str]] = {}

    def __exit__(self, *error: Any) -> None:
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.process.kill()
            worker.process.join()
        self._idle.clear()
        self._busy.clear()
        super().__exit__(*error)

    def has_room(self) -> bool:
        return bool(self._idle or self._absent)

    def begin(self, job: Job, store: Store) -> None:
        data = self.place_of_data(job)
        worker = self._idle.pop() if self._idle else self._start(job.trial.device)
        self._busy[worker.pipe] = worker, job.key
        with suppress(OSError):  # `messages` tells of a process that has just died
            worker.pipe.send(((job.trial, data, job.test), store.root.absolute()))

    def messages(self) -> Iterable[Message]:
        for pipe in wait(list(self._busy)):
            worker, key = self._busy[pipe]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                code = worker.process.exitcode or 0
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                message = Message(key, "lost", (how,))
                self._absent.append(worker.number)
            else:
                if message.event == "ended":
                    self._idle.append(worker)
            if message.event in ("ended", "lost"):
                del self._busy[pipe]
            yield message

    def _start(self, device: str) -> _Worker:
        number = self._absent.pop(0)
        cores = self._cores[number]
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = theirs, cores, self._are_threads_chosen, self.at_once
        process = context.Process(target=_work, args=arguments, daemon=True)
        # Libraries read the variables when the process loads them.
        before = dict(os.environ)
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if device == "cuda" and len(gpus := hardware.gpus()) > 1:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        try:
            with signals.hidden_from_children():
                process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        return _Worker(number, process, ours)


def _work(pipe: Connection, cores: list[int], are_chosen: bool, at_once: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hardware.compute_on(len(cores), cores, are_chosen)
    loader.share_memory(at_once)
    with suppress(EOFError):
        while True:
            task, root = pipe.recv()
            pipe.send(finish(task, Store(root), pipe.send))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class Cluster(Pool):
    """A Ray cluster: `auto` (one that runs here), an address, or `local` (started by `with`). A
    trial on a lost node begins again.
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
            _require_answer(self.address)
            with signals.kept():
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
                f"--ray {self.address}: a trial needs {_said(needs)}, and no node of the cluster "
                f"has all of that. The most that one has is {_said(most)}. Give fewer --threads or "
                "--device cpu, or start nodes with more (`ray start --num-gpus`)."
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
        """See `Pool.place`: a reference to an object of Ray."""
        images = prepared.images
        if images.nbytes > SHARE * min(
            node.get("object_store_memory", 0) for node in self._nodes()
        ):
            return self.ray.put(super().place(prepared))
        # Processes of a node share the memory of arrays, if these are no maps of files.
        if isinstance(images, Recordings):
            images = replace(images, packed=np.asarray(images.packed))
        else:
            images = np.asarray(images)
        return self.ray.put(replace(prepared, images=images))


def _require_answer(address: str) -> None:
    """Raise `OSError` if nobody listens at an address: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), TIMEOUT).close()


def _said(amounts: Mapping[str, float]) -> str:
    return f"{counted(int(amounts['CPU']), 'core')} and {counted(int(amounts['GPU']), 'GPU')}"


@dataclass(frozen=True)
class PackedTrial:
    """A trial on its way between stores: its files by path, and its uses of test images."""

    key: str
    files: dict[str, bytes]
    uses: list[tuple[str, bool]]

    @classmethod
    def of(cls, store: Store, key: str) -> "PackedTrial":
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
