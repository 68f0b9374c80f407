"""What does spiking add? Each spiking trial beside controls without spikes, time or timing, under the same rules."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, Split
from spikeduel.data.auditing.neighbours import nearest
from spikeduel.measuring.correctness import classified, shuffled_classification
from spikeduel.measuring.costing import cost_entry
from spikeduel.networks import model_files, models
from spikeduel.networks.models import Model, ModelCard
from spikeduel.results.costs import Counted
from spikeduel.results.run import ControlledContender, ControlRow
from spikeduel.results.significance import difference
from spikeduel.results.trials import Classification, ControlResult, WeightShapes
from spikeduel.settings import Experiment, digest
from spikeduel.spiking.neurons import LIF, Neuron, ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Item, Progress
from spikeduel.trials import planning, trial
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store
from spikeduel.trials.training import EvaluationBatches


@dataclass(frozen=True)
class Given:
    """What a control is told: a finished spiking trial, its data and split, where results are kept, whom to tell."""

    trial: Trial
    prepared: Prepared
    split: Split
    store: Store
    progress: Progress

    def model(self) -> Model:
        """The trained model, in the precision of its trial."""
        path, experiment = self.store.model_path(self.trial.key), self.trial.experiment
        model = model_files.load_model(path, self.trial.settings["device"], experiment.own_code)
        model.precision = self.trial.card.precision
        return model

    @property
    def num_steps(self) -> int:
        """Time steps of the trial."""
        return self.trial.card.num_steps or self.trial.experiment.num_steps

    def kept(self, key: str, name: str, ask: Callable[[], Classification]) -> Classification:
        """What the store holds under `key` and `name`, else what `ask` gives, kept there."""
        with self.store.locked(key):
            found = self.store.measure(key, name, Classification)
            if found is None:
                found = ask()
                self.store.save_measure(key, name, found)
        return found


@dataclass(frozen=True)
class Control:
    """A control of a spiking network: its short title, what it is, and whether it spikes (which decides its colour).

    Either `train` says what changes in the experiment, and it is trained like any trial; or `ask` gives its answers to
    the test images. Entered in `CONTROLS`, it runs, is stored, and reaches results, table and report.
    """

    title: str
    meaning: str
    spikes: bool
    train: Callable[[Experiment], Experiment] | None = None
    ask: Callable[[Given], Classification] | None = None


def bits_of(num_steps: int) -> int:
    """⌈log2(T + 1)⌉: the bits that tell apart the numbers of spikes, 0 … T, of which a neuron has one in T steps."""
    return num_steps.bit_length()


def _shuffled(given: Given) -> Classification:
    def ask() -> Classification:
        model = given.model()
        if not any(isinstance(layer, Neuron) and not _never_spikes(layer) for layer in model.module.modules()):
            raise InputError(
                f"{given.trial.card.contender} has no layer of spikeduel's neurons, so its spikes cannot be reached."
            )
        given.progress.say(f"  {given.trial.card.title}: evaluated on {len(given.split.test):,} test images")
        return shuffled_classification(model, EvaluationBatches(*given.prepared.held, given.split.test))

    return given.kept(given.trial.key, "shuffled", ask)


def _nearest_neighbour(given: Given) -> Classification:
    def ask() -> Classification:
        test, train = given.split.test, given.split.train
        given.progress.say(f"{len(test):,} test images among {len(train):,} training images")
        images, labels = given.prepared.images, np.asarray(given.prepared.labels)
        index = nearest(np.asarray(images[test]), np.asarray(images[train]))
        return classified(given.prepared.classes, labels[test], labels[train][index])

    # It is the same for every contender and seed.
    key = digest(["nearest neighbour", given.trial.settings["data"]])[:16]
    return given.kept(key, "nearest-neighbour", ask)


CONTROLS: dict[str, Control] = {
    "relu_twin": Control(
        "ReLU twin",
        "the same network with ReLU for its neurons: one pass, no spikes, no time",
        spikes=False,
        train=lambda given: replace(given, neuron="relu", encoding="direct", num_steps=1),
    ),
    "quantised_twin": Control(
        "quantised twin",
        "the ReLU twin, trained with activations as coarse as a count of spikes",
        spikes=False,
        train=lambda given: replace(
            given, neuron="quantised-relu", activation_bits=bits_of(given.num_steps), encoding="direct", num_steps=1
        ),
    ),
    "one_step": Control(
        "one time step",
        "the same neurons, trained and used with T = 1: spikes without time",
        spikes=True,
        train=lambda given: replace(given, num_steps=1),
    ),
    "shuffled": Control(
        "shuffled in time",
        "the trained network, each neuron's spikes in random order, as many as before",
        spikes=True,
        ask=_shuffled,
    ),
    "nearest_neighbour": Control(
        "nearest neighbour",
        "the label of the training image whose pixels differ least, in full size (the audit's looks at small grey "
        "versions): nothing is trained",
        spikes=False,
        ask=_nearest_neighbour,
    ),
}
"""In the order in which people read them: those that need no spikes, no time, no timing, no training."""


@dataclass(frozen=True)
class Controlled:
    """What the controls of one spiking trial gave, by name; `reasons` says why one is missing."""

    results: dict[str, ControlResult]
    answers: dict[str, Classification]
    reasons: dict[str, str]

    @property
    def keys(self) -> list[str]:
        """The keys of the trials that it took."""
        return [result.key for result in self.results.values() if result.key]


def run(
    trials: Sequence[tuple[Trial, Split]], prepared: Prepared, store: Store, progress: Progress
) -> list[Controlled | None]:
    """The controls of each of `trials` that has time steps and is finished; None for the others.

    Each comes with the split that it was trained on. Those that need a training are trials like any other: stored by
    their key, found again, never trained twice.
    """
    for line in _trained_twice(trials, store):
        progress.say(line)
    return [_of_trial(Given(each, prepared, split, store, progress)) for each, split in trials]


def _trained_twice(trials: Sequence[tuple[Trial, Split]], store: Store) -> list[str]:
    """Says of which contenders a ReLU twin is the likeness: their code differs, so that only training shows it."""
    shapes: dict[str, tuple[bool, WeightShapes]] = {}
    for each, _ in trials:
        if (found := store.measure(each.key, "weight_shapes", WeightShapes)) is not None:
            shapes.setdefault(each.card.contender, (each.card.num_steps is not None, found))
    return [
        f"  control, relu twin: {spiking} has the same weights as {other}, shape for shape. Its twin is trained all "
        "the same, since their code could differ; expect equal numbers."
        for spiking, (spikes, weights) in shapes.items()
        if spikes
        for other, (also_spikes, others) in shapes.items()
        if not also_spikes and weights == others
    ]


def _of_trial(given: Given) -> Controlled | None:
    planned = given.trial
    # A converted network's twin is its source, which has been trained.
    if planned.card.num_steps is None or "converted" in planned.settings or given.store.record(planned.key) is None:
        return None
    found = Controlled({}, {}, {})
    for name, control in CONTROLS.items():
        labelled = _Labelled(given.progress, name.replace("_", " "))
        try:
            result, answered = _controlled(control, replace(given, progress=labelled))
        except InputError as error:
            found.reasons[name] = str(error)
            labelled.say(f"  {planned.card.title}: left out, {error}")
        else:
            found.results[name], found.answers[name] = result, answered
    return found


def _controlled(control: Control, given: Given) -> tuple[ControlResult, Classification]:
    if control.ask is None:
        answered, found = _trained(control, given)
    else:
        answered, found = control.ask(given), {"num_steps": given.num_steps if control.spikes else None}
    return ControlResult(
        title=control.title,
        meaning=control.meaning,
        spikes=control.spikes,
        n=answered.n,
        accuracy=answered.accuracy,
        **found,
    ), answered


def _trained(control: Control, given: Given) -> tuple[Classification, dict[str, Any]]:
    contender, planned = given.trial.card.contender, given.trial
    alone = replace(planned.experiment, contenders=(contender,), num_steps=given.num_steps)
    assert control.train is not None
    changed = control.train(alone)
    plans = planning.plan(changed, given.prepared, given.split)
    twin = next(each for each in plans if each.card.seed == planned.card.seed)
    if twin.card.num_steps not in (None, changed.num_steps):
        raise InputError(f"{contender} makes its own {twin.card.num_steps} time steps, whatever it is told.")
    if changed.neuron != planned.experiment.neuron:
        _require_given_neuron(twin.card)
    record = trial.run(twin, given.prepared, given.split, given.store, given.progress)
    answered = given.store.measure(record.key, "classification", Classification)
    if record.status == "failed" or answered is None:
        raise InputError(f"its training failed: {record.error}")
    return answered, {
        **cost_entry(given.store.measure(record.key, "operations", Counted)),
        "num_steps": twin.card.num_steps,
        "bits": changed.activation_bits if changed.neuron == "quantised-relu" else None,
        "parameters": record.parameters,
        "epochs": len(record.history),
        "epoch_seconds": record.epoch_seconds,
        "key": record.key,
    }


def _require_given_neuron(card: ModelCard) -> None:
    """Raises `InputError` unless all that could spike in this network is the neuron that it was given."""
    module = models.outlined(card)
    neurons = [layer for layer in module.modules() if isinstance(layer, Neuron)]
    others = {type(n).__name__ for n in neurons if not isinstance(n, ReLU) and not _never_spikes(n)}
    if others or not any(isinstance(neuron, ReLU) for neuron in neurons):
        kept = f"layers of {' and '.join(sorted(others))}" if others else "no layer of spikeduel's neurons"
        raise InputError(
            f"a twin cannot be built: {card.contender} has {kept} whatever neuron it is given. Let its build function "
            "take `neuron` and make each layer of neurons by neuron()."
        )


def _never_spikes(neuron: Neuron) -> bool:
    return isinstance(neuron, LIF) and neuron.threshold == float("inf")


def conclude(
    trials: Sequence[tuple[Trial, Split]],
    found: Sequence[Controlled | None],
    answers: Sequence[Classification | None],
    groups: np.ndarray | None,
) -> list[ControlledContender]:
    """For each spiking contender, its difference to each control, over the seeds that have both.

    `found` is what `run` gave for `trials`, and `answers` what each trial itself answered; with folds, one after the
    other. `groups` `[N]` says which test images belong together.
    """
    contenders: dict[str, dict[int, list[tuple[Trial, Controlled, Classification]]]] = {}
    for (planned, _), controlled, answered in zip(trials, found, answers, strict=True):
        if controlled is not None and answered is not None:
            seeds = contenders.setdefault(planned.card.contender, {})
            seeds.setdefault(planned.card.seed, []).append((planned, controlled, answered))
    return [_concluded(name, seeds, groups) for name, seeds in contenders.items()]


def _concluded(
    contender: str, by_seed: dict[int, list[tuple[Trial, Controlled, Classification]]], groups: np.ndarray | None
) -> ControlledContender:
    num_folds = max(map(len, by_seed.values()))
    seeds = [folds for folds in by_seed.values() if len(folds) == num_folds]
    first = seeds[0][0][0]
    right = [_right([answered for _, _, answered in folds]) for folds in seeds]
    rows = []
    for name, control in CONTROLS.items():
        pooled = [[controlled.answers.get(name) for _, controlled, _ in folds] for folds in seeds]
        both = [
            (one, _right([each for each in folds if each]))
            for one, folds in zip(right, pooled, strict=True)
            if all(folds)
        ]
        results = [c.results[name] for folds in seeds for _, c, _ in folds if name in c.results]
        reasons = [c.reasons[name] for folds in seeds for _, c, _ in folds if name in c.reasons]
        row = ControlRow(
            control=name,
            title=control.title,
            meaning=control.meaning,
            spikes=control.spikes,
            reason=reasons[-1] if reasons else None,
        )
        rows.append(_compared(row, both, results, groups, first.experiment.equivalence_margin) if both else row)
    return ControlledContender(
        contender=contender,
        num_steps=first.card.num_steps or first.experiment.num_steps,
        seeds=len(seeds),
        accuracy=float(np.mean([answers.mean() for answers in right])),
        rows=rows,
    )


def _compared(
    row: ControlRow,
    both: Sequence[tuple[np.ndarray, np.ndarray]],
    results: Sequence[ControlResult],
    groups: np.ndarray | None,
    margin: float,
) -> ControlRow:
    own, control = map(np.array, zip(*both, strict=True))
    return structs.replace(
        row,
        accuracy=float(control.mean()),
        bits=results[0].bits if results else None,
        spread=float((own.mean(1) - control.mean(1)).std(ddof=1)) if len(both) > 1 else None,
        found=difference(own, control, groups, margin),
    )


def _right(folds: Sequence[Classification]) -> np.ndarray:
    """bool `[N]`: which answers of a seed are right, one fold after the other."""
    return np.concatenate([np.equal(answered.truth, answered.predicted) for answered in folds])


class _Labelled(Progress):
    """Somebody's progress, each line begun with the name of a control."""

    def __init__(self, inner: Progress, label: str) -> None:
        self.inner, self.label = inner, label

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
        return self.inner.track(items, f"  control, {self.label}: {description.strip()}", total)

    def say(self, text: str) -> None:
        self.inner.say(f"  control, {self.label}: {text.strip()}")
