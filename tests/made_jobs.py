"""Trials of digits by any workers, and their numbers."""

from pathlib import Path

from factories import planned
from spikeduel.experiment.recipes import baseline
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.store import Store
from telling import Telling

EXPERIMENT = baseline(
    dataset="digits",
    contenders=("dense-lif", "dense-relu"),
    optimizer="adamw",
    hidden=16,
    num_steps=2,
    epochs=8,
    patience=None,
    batch_size=64,
    learning_rate=5e-3,
    device="cpu",
    encoding="direct",
    limit=300,
)


def run(workers: Workers, root: Path, progress=None, experiment=EXPERIMENT):
    prepared, trials = planned(experiment)
    jobs = [Job(trial, prepared, progress or Telling()) for trial in trials]
    return workers.run(jobs, Store(root))


def numbers(root: Path) -> dict[str, bytes]:
    """Return the content of all files of a store that hold no times."""
    names = [*root.glob("*/model.safetensors"), *root.glob("*/measures/*.json")]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in names
        if path.name != "latency.json"
    }
