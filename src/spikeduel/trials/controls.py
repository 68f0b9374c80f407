"""What do the spikes buy? Each spiking trial beside controls without spikes, time or timing, under the same rules."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.data.auditing.neighbours import nearest
from spikeduel.measuring.timing import shuffled_quality
from spikeduel.measuring.trial_costs import cost_entry
from spikeduel.networks import model_files, models
from spikeduel.networks.models import ModelCard
from spikeduel.results.words.controls import conclude
from spikeduel.settings import Experiment, digest
from spikeduel.spiking.neurons import LIF, Neuron, ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Item, Progress
from spikeduel.trials import trial
from spikeduel.trials.store import Store
from spikeduel.trials.training import EvaluationBatches
from spikeduel.trials.trial import Trial

CONTROLS = ("relu_twin", "quantised_twin", "one_step", "shuffled", "nearest_neighbour")
"""In the order in which people read them: those that need no spikes, no time, no timing, no training."""

TRAINED: dict[str, Callable[[Experiment], Experiment]] = {
    "relu_twin": lambda given: replace(given, neuron="relu", encoding="direct", num_steps=1),
    "quantised_twin": lambda given: replace(
        given,
        neuron="quantised-relu",
        activation_bits=bits_of(given.num_steps),
        encoding="direct",
        num_steps=1,
    ),
    "one_step": lambda given: replace(given, num_steps=1),
}
"""What changes in an experiment for each control that has to be trained."""


@dataclass(frozen=True)
class Controlled:
    """What the controls of one spiking trial gave: `found` maps each of `CONTROLS` to a dict, or None with a `reason`.

    A dict of `found` is what `measuring.classification` says (`accuracy`, `truth`, …) and what else there is.
    """

    found: dict[str, dict[str, Any] | None]
    reasons: dict[str, str]

    @property
    def keys(self) -> list[str]:
        """The keys of the trials that it took."""
        return [found["key"] for found in self.found.values() if found and "key" in found]

    def entry(self) -> dict[str, Any]:
        """`trials[].controls` of results.json."""
        lists = ("truth", "predicted", "per_class", "confusion")
        shown: dict[str, Any] = {
            name: found and {key: value for key, value in found.items() if key not in lists}
            for name, found in self.found.items()
        }
        return {**shown, "reasons": self.reasons}


def bits_of(num_steps: int) -> int:
    """⌈log2(T + 1)⌉: the bits that tell apart the numbers of spikes, 0 … T, of which a neuron has one in T steps."""
    return num_steps.bit_length()


def run(
    trials: Sequence[tuple[Trial, Split]], prepared: Prepared, store: Store, progress: Progress
) -> list[Controlled | None]:
    """The controls of each of `trials` that has time steps and is finished; None for the others.

    Each comes with the split that it was trained on. Those that need a training are trials like any other: stored by
    their key, found again, never trained twice.
    """
    for line in _trained_twice(trials, store):
        progress.say(line)
    return [_of_trial(each, prepared, split, store, progress) for each, split in trials]


def _trained_twice(trials: Sequence[tuple[Trial, Split]], store: Store) -> list[str]:
    """Says of which contenders a ReLU twin is the likeness: their code differs, so that only training shows it."""
    shapes: dict[str, Any] = {}
    for each, _ in trials:
        if (found := store.measure(each.key, "weight_shapes")) is not None:
            shapes.setdefault(each.card.contender, (each.card.num_steps is not None, found["shapes"]))
    return [
        f"  control, relu twin: {spiking} has the weights of the contender {other}, shape for shape. Its twin is "
        "trained all the same, since their code could differ otherwise; equal numbers are to be expected."
        for spiking, (spikes, weights) in shapes.items()
        if spikes
        for other, (also_spikes, others) in shapes.items()
        if not also_spikes and weights == others
    ]


def _of_trial(each: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress) -> Controlled | None:
    # A converted network's twin is its source, which has been trained.
    if each.card.num_steps is None or "converted" in each.settings or store.record(each.key) is None:
        return None
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(CONTROLS)
    reasons: dict[str, str] = {}
    for name in CONTROLS:
        labelled = _Labelled(progress, name.replace("_", " "))
        try:
            if name in TRAINED:
                found[name] = _trained(name, each, prepared, split, store, labelled)
            elif name == "shuffled":
                found[name] = _shuffled(each, prepared, split, store, labelled)
            else:
                found[name] = _nearest_neighbour(each, prepared, split, store, labelled)
        except InputError as error:
            reasons[name] = str(error)
            labelled.say(f"  {each.card.title}: left out, {error}")
    return Controlled(found, reasons)


def _trained(
    name: str, each: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress
) -> dict[str, Any]:
    given = replace(each.experiment, contenders=(each.card.contender,), num_steps=_num_steps(each))
    changed = TRAINED[name](given)
    control = next(t for t in trial.plan(changed, prepared, split) if t.card.seed == each.card.seed)
    if control.card.num_steps not in (None, changed.num_steps):
        raise InputError(
            f"{control.card.contender} makes its own {control.card.num_steps} time steps, whatever it is told."
        )
    if changed.neuron != each.experiment.neuron:
        _require_given_neuron(control.card)
    record = trial.run(control, prepared, split, store, progress)
    quality = store.measure(record.key, "classification")
    if record.status == "failed" or quality is None:
        raise InputError(f"its training failed: {record.error}")
    return {
        **quality,
        **cost_entry(store.measure(record.key, "operations")),
        "num_steps": control.card.num_steps,
        "bits": changed.activation_bits if name == "quantised_twin" else None,
        "parameters": record.parameters,
        "epochs": len(record.history),
        "epoch_seconds": record.epoch_seconds,
        "key": record.key,
    }


def _num_steps(each: Trial) -> int:
    return each.card.num_steps or each.experiment.num_steps


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


def _shuffled(each: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress) -> dict[str, Any]:
    with store.locked(each.key):
        found = store.measure(each.key, "shuffled")
        if found is None:
            path = store.model_path(each.key)
            model = model_files.load_model(path, each.settings["device"], each.experiment.own_code)
            model.precision = each.card.precision
            if not any(isinstance(layer, Neuron) and not _never_spikes(layer) for layer in model.module.modules()):
                raise InputError(
                    f"{each.card.contender} has no layer of spikeduel's neurons, so its spikes cannot be reached."
                )
            batches = EvaluationBatches(*prepared.held, split.test)
            progress.say(f"  {each.card.title}: evaluated on {len(split.test):,} test images")
            found = shuffled_quality(model, batches)
            store.save_measure(each.key, "shuffled", found)
    return {**found, "num_steps": each.card.num_steps}


def _nearest_neighbour(
    each: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress
) -> dict[str, Any]:
    # It is the same for every contender and seed.
    key, name = digest(["nearest neighbour", each.settings["data"]])[:16], "nearest-neighbour"
    with store.locked(key):
        found = store.measure(key, name)
        if found is None:
            progress.say(f"{len(split.test):,} test images among {len(split.train):,} training images")
            index, _ = nearest(np.asarray(prepared.images[split.test]), np.asarray(prepared.images[split.train]))
            truth = np.asarray(prepared.labels[split.test])
            predicted = np.asarray(prepared.labels[split.train])[index]
            found = {
                "n": len(truth),
                "accuracy": float((truth == predicted).mean()),
                "truth": truth.tolist(),
                "predicted": predicted.tolist(),
            }
            store.save_measure(key, name, found)
    return found


def add(
    results: dict[str, Any],
    trials: Sequence[tuple[Trial, Split]],
    found: Sequence[Controlled | None],
    prepared: Prepared,
    store: Store,
) -> None:
    """Writes what the controls gave, `found` by `run`, into `results`, the content of results.json.

    `trials[].controls` says what each control of a trial scored; `comparison.controls` has, for each spiking contender,
    the differences and what they mean (`control_verdict.conclude`).
    """
    contenders: dict[str, list[tuple[Trial, Controlled]]] = {}
    for (each, _), entry, controlled in zip(trials, results["trials"], found, strict=True):
        if controlled is not None:
            entry["controls"] = controlled.entry()
            contenders.setdefault(each.card.contender, []).append((each, controlled))
    tested = np.concatenate([split.test for split in {split.fold: split for _, split in trials}.values()])
    results["comparison"]["controls"] = [
        _concluded(name, pairs, store, None if prepared.groups is None else prepared.groups[tested])
        for name, pairs in contenders.items()
    ]


def _concluded(
    contender: str, pairs: Sequence[tuple[Trial, Controlled]], store: Store, groups: np.ndarray | None
) -> dict[str, Any]:
    first = pairs[0][0]
    by_seed: dict[int, list[tuple[Trial, Controlled]]] = {}
    for pair in pairs:
        by_seed.setdefault(pair[0].card.seed, []).append(pair)
    num_folds = max(len(of_seed) for of_seed in by_seed.values())
    seeds = [of_seed for of_seed in by_seed.values() if len(of_seed) == num_folds]
    return conclude(
        contender,
        _num_steps(first),
        [_pooled([store.measure(each.key, "classification") for each, _ in of_seed]) for of_seed in seeds],
        {name: [_pooled([control.found[name] for _, control in of_seed]) for of_seed in seeds] for name in CONTROLS},
        {name: reason for _, controlled in pairs for name, reason in controlled.reasons.items()},
        groups,
        first.experiment.equivalence_margin,
    )


def _pooled(qualities: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The answers of one seed to all test images: the only quality's, or those of one fold after the other."""
    known = [quality for quality in qualities if quality is not None]
    if len(known) < len(qualities):
        return None
    truth, predicted = ([label for quality in known for label in quality[part]] for part in ("truth", "predicted"))
    return {**known[0], "truth": truth, "predicted": predicted, "accuracy": float(np.equal(truth, predicted).mean())}


class _Labelled(Progress):
    """Somebody's progress, each line begun with the name of a control."""

    def __init__(self, inner: Progress, label: str) -> None:
        self.inner, self.label = inner, label

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
        return self.inner.track(items, f"  control, {self.label}: {description.strip()}", total)

    def say(self, text: str) -> None:
        self.inner.say(f"  control, {self.label}: {text.strip()}")
