"""Compare the test accuracy of the chosen epoch with that of the best epoch for the test."""

from collections.abc import Iterator, Sequence

from spikeduel.analysis.run_findings import RunContext
from spikeduel.results.findings import Values, finds
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.sentences.columns import Column, averaged
from spikeduel.system.grouped import grouped
from spikeduel.system.typed import Count, Frozen, Share

MEASURE = "optimism"
"""Name under which a trial stores the right test images after each epoch."""


class TrainingOptimism(Frozen):
    """Test accuracies of one training on `n` images after each epoch; nothing was chosen by them.

    `chosen` is the accuracy of the epoch whose weights were kept, `best` the highest.
    """

    contender: str
    seed: Count
    fold: Count | None
    n: Count
    accuracies: list[Share]
    chosen_epoch: Count
    chosen: Share
    best_epoch: Count
    best: Share


class ContenderOptimism(Frozen):
    """Accuracies by seed, folds pooled: at the chosen epochs, and at the best for the test."""

    contender: str
    seeds: list[Count]
    chosen: list[Share]
    best: list[Share]

    @property
    def gains(self) -> list[float]:
        """Gains of the best epoch by seed."""
        return [best - chosen for best, chosen in zip(self.best, self.chosen, strict=True)]


class Conclusion(Frozen):
    """The optimism of every training, and of the contenders over seeds."""

    trainings: list[TrainingOptimism]
    contenders: list[ContenderOptimism]


@finds("tested_every_epoch")
def tested_every_epoch(run: RunContext) -> Iterator[Values]:
    if run.dataset.tested_every_epoch:
        yield {"trainings": run.dataset.tested_every_epoch}


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Return the optimism of the trainings that were tested after every epoch; None without any."""
    trainings = list(filter(None, map(_of_training, results.trials)))
    if not trainings:
        return None
    num_folds = len({trial.fold for trial in results.trials})
    return Conclusion(trainings=trainings, contenders=_contenders(trainings, num_folds))


def _of_training(trial: Trial) -> TrainingOptimism | None:
    """Return the optimism of one training; None if it was not tested after each epoch."""
    if trial.test is None or trial.best_epoch is None or MEASURE not in trial.measured:
        return None
    accuracies = [right / trial.test.n for right in trial.measured[MEASURE]]
    best = max(accuracies)
    return TrainingOptimism(
        contender=trial.contender,
        seed=trial.seed,
        fold=trial.fold,
        n=trial.test.n,
        accuracies=accuracies,
        chosen_epoch=trial.best_epoch,
        chosen=accuracies[trial.best_epoch],
        best_epoch=accuracies.index(best),
        best=best,
    )


def _contenders(trainings: Sequence[TrainingOptimism], num_folds: int) -> list[ContenderOptimism]:
    """Pool the folds of each seed, without seeds that lack a fold."""
    by_seed = grouped(((training.contender, training.seed), training) for training in trainings)
    complete = grouped(
        (name, (seed, folds)) for (name, seed), folds in by_seed.items() if len(folds) == num_folds
    )
    return [
        ContenderOptimism(
            contender=name,
            seeds=[seed for seed, _ in seeds],
            chosen=[_pooled(folds, "chosen") for _, folds in seeds],
            best=[_pooled(folds, "best") for _, folds in seeds],
        )
        for name, seeds in complete.items()
    ]


def _pooled(folds: Sequence[TrainingOptimism], epoch: str) -> float:
    """Return the accuracy over the images of all folds at the epoch "chosen" or "best"."""
    return sum(getattr(fold, epoch) * fold.n for fold in folds) / sum(fold.n for fold in folds)


COLUMNS: list[Column[ContenderOptimism]] = [
    Column("contender", lambda row: row.contender, is_text=True),
    Column("chosen epoch, %", lambda row: averaged(row.chosen)),
    Column("best epoch, %", lambda row: averaged(row.best)),
    Column("optimism, points", lambda row: averaged(row.gains)),
    Column("best seed, %", lambda row: averaged([max(row.best)])),
]


def tables(
    conclusion: Conclusion,
) -> dict[str, tuple[list[Column[ContenderOptimism]], list[ContenderOptimism]]]:
    """Return the table of accuracies, by title."""
    return {"Test accuracy, %": (COLUMNS, conclusion.contenders)}
