"""Control experiments: networks without spikes, time or timing, which show what these add."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.auditing.neighbours import nearest
from spikeduel.data import Prepared, Split
from spikeduel.data.catalogue import binned
from spikeduel.data.disk_arrays import Rows
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.correctness import classification, classified, shuffled_classification
from spikeduel.measuring.costing import cost_entry
from spikeduel.networks.preprocessing import Change
from spikeduel.results import significance
from spikeduel.results.accuracy import no_better_than_chance
from spikeduel.results.controls import ControlledContender, ControlRow, TemporalLoss, WithoutTime
from spikeduel.results.costs import Counted
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.trials import Classification, ControlResult
from spikeduel.results.trials import Trial as TrialEntry
from spikeduel.spiking.neurons import LIF, Neuron, ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Labelled, Progress
from spikeduel.system.typed import digest
from spikeduel.trials.contenders import Contender, Trial, describe, trials_of
from spikeduel.trials.jobs import Job, Workers
from spikeduel.trials.outcomes import Controlled, TrialOutcome, pooled, right_of
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.trial import load


@dataclass(frozen=True, eq=False)
class ControlContext:
    """A finished trial with its data, store and progress."""

    trial: Trial
    prepared: Prepared
    store: Store
    progress: Progress

    @property
    def split(self) -> Split:
        return self.trial.split

    @property
    def num_steps(self) -> int:
        return self.trial.card.num_steps or self.trial.experiment.num_steps

    def kept(self, key: str, name: str, ask: Callable[[], Classification]) -> Classification:
        """Return the store's answers, else keep and return those of `ask`."""
        with self.store.locked(key):
            answers = self.store.measure(key, name, Classification)
            if answers is None:
                test = len(self.split.test)
                self.progress.detail(f"  {self.trial.card.title}: asked about {test:,} test images")
                answers = ask()
                self.store.save_measure(key, name, answers)
        return answers


@dataclass(frozen=True)
class Control:
    """A control of a trial.

    Controls `of_recordings` change what all contenders see; the others are of spiking networks on
    images. Either it is trained with `train` replacing settings, or `ask` returns answers to the
    test images. Answers of the trial's own network are `paired`, seed by seed.
    """

    title: str
    meaning: str
    spikes: bool
    train: Mapping[str, Any] | None = None
    ask: Callable[[ControlContext], Classification] | None = None
    paired: bool = False
    of_recordings: bool = False
    change: Change = "none"
    """Change of the recordings that are trained on."""
    bits: bool = False
    """True if activations have the bits of a count of spikes (`bits_of`)."""

    @property
    def about(self) -> dict[str, Any]:
        """Fields of a `ControlResult` that describe the control."""
        names = ("title", "meaning", "spikes", "of_recordings")
        return {name: getattr(self, name) for name in names}


def bits_of(num_steps: int) -> int:
    """Return ⌈log2(T + 1)⌉: the bits of a number of spikes in T steps."""
    return num_steps.bit_length()


def _shuffled(context: ControlContext) -> Classification:
    trial = context.trial

    def ask() -> Classification:
        model = load(trial, context.store)
        if not _spiking_layers(model.module.modules()):
            raise InputError(
                f"{trial.card.contender} has no layer of spikeduel's neurons, so its spikes "
                f"cannot be reached."
            )
        batches = EvaluationBatches(*context.prepared.held, context.split.test)
        return shuffled_classification(model, batches)

    return context.kept(trial.key, "shuffled", ask)


def _nearest_neighbour(context: ControlContext) -> Classification:
    def ask() -> Classification:
        test, train = context.split.test, context.split.train
        images, labels = context.prepared.images, np.asarray(context.prepared.labels)
        index = nearest(Rows(images, test), Rows(images, train))
        return classified(context.prepared.classes, labels[test], labels[train][index])

    # The answers are the same for every contender and seed.
    key = digest(["nearest neighbour", context.trial.settings["data"]])[:16]
    return context.kept(key, "nearest-neighbour", ask)


def _on_changed_recordings(title: str, meaning: str, change: Change) -> Control:
    def ask(context: ControlContext) -> Classification:
        def answers() -> Classification:
            recordings, labels = context.prepared.held
            assert isinstance(recordings, Recordings)
            changed = replace(recordings, binning=replace(recordings.binning, change=change))
            model = load(context.trial, context.store)
            return classification(model, EvaluationBatches(changed, labels, context.split.test))

        return context.kept(context.trial.key, change, answers)

    return Control(title, meaning, spikes=False, ask=ask, paired=True, of_recordings=True)


COLLAPSED = "collapsed"
"""Name of the control that is trained on recordings without time."""
CONTROLS: dict[str, Control] = {
    "relu_twin": Control(
        "ReLU twin",
        "the same network with ReLU for its neurons: one pass, no spikes, no time",
        spikes=False,
        train={"neuron": "relu", "encoding": "direct", "num_steps": 1},
    ),
    "quantised_twin": Control(
        "quantised twin",
        "the ReLU twin, trained with activations as coarse as a count of spikes",
        spikes=False,
        train={"neuron": "quantised-relu", "encoding": "direct", "num_steps": 1},
        bits=True,
    ),
    "one_step": Control(
        "one time step",
        "the same neurons, trained and used with T = 1: spikes without time",
        spikes=True,
        train={"num_steps": 1},
    ),
    "shuffled": Control(
        "shuffled in time",
        "the trained network, each neuron's spikes in random order, as many as before",
        spikes=True,
        ask=_shuffled,
        paired=True,
    ),
    "nearest_neighbour": Control(
        "nearest neighbour",
        "the label of the training image whose pixels differ least, in full size (the audit's "
        "looks at small grey versions): nothing is trained",
        spikes=False,
        ask=_nearest_neighbour,
    ),
    COLLAPSED: Control(
        "without time",
        "trained on frames that each hold all events of the recording",
        spikes=False,
        train={},
        of_recordings=True,
        change="collapsed",
    ),
    "redrawn": _on_changed_recordings(
        "times redrawn", "the trained network, each event in a random frame", "redrawn"
    ),
    "shuffled_frames": _on_changed_recordings(
        "frames shuffled",
        "the trained network, the frames in random order, another for each recording",
        "shuffled",
    ),
    "reversed": _on_changed_recordings(
        "time reversed", "the trained network, the last frame first", "reversed"
    ),
    "merged": Control(
        "without polarity",
        "trained on frames in which brighter and darker are one",
        spikes=False,
        train={},
        of_recordings=True,
        change="merged",
    ),
}
"""Controls by name, in the order of tables."""


def of(trial: Trial, prepared: Prepared) -> dict[str, Control]:
    """Return the controls of a trial, none of a converted network: its twin is its source."""
    is_recorded = isinstance(prepared.images, Recordings)
    if "converted" in trial.settings or not (is_recorded or trial.card.num_steps):
        return {}
    return {
        name: control for name, control in CONTROLS.items() if control.of_recordings == is_recorded
    }


def num_trained(trial: Trial, prepared: Prepared) -> int:
    """Return the number of networks trained for a planned trial's controls."""
    if not trial.experiment.controls:
        return 0
    return sum(control.train is not None for control in of(trial, prepared).values())


def run(
    trials: Sequence[Trial], prepared: Prepared, store: Store, progress: Progress, workers: Workers
) -> dict[str, Controlled]:
    """Run the controls of finished trials, and return them by key."""
    described: dict[tuple[str, str], Contender] = {}
    controlled: dict[str, Controlled] = {}
    contexts: dict[tuple[str, str], ControlContext] = {}
    jobs: dict[tuple[str, str], Job] = {}
    for trial in trials:
        controls = of(trial, prepared)
        if not controls or store.record(trial.key) is None:
            continue
        controlled[trial.key] = Controlled({}, {}, {})
        for name, control in controls.items():
            labelled = Labelled(progress, f"control, {control.title}")
            context = ControlContext(trial, prepared, store, labelled)
            contexts[trial.key, name] = context
            if control.train is not None:
                try:
                    jobs[trial.key, name] = _job(control, control.train, context, described)
                except InputError as error:
                    _leave_out(controlled[trial.key], name, context, error)
    records = dict(zip(jobs, workers.run(list(jobs.values()), store), strict=True))
    for (key, name), context in contexts.items():
        if name not in controlled[key].reasons:
            try:
                _answer(controlled[key], name, context, records.get((key, name)))
            except InputError as error:
                _leave_out(controlled[key], name, context, error)
    return controlled


def _leave_out(
    controlled: Controlled, name: str, context: ControlContext, error: InputError
) -> None:
    context.progress.say(f"  {context.trial.card.title}: left out, {error}")
    controlled.reasons[name] = str(error)


def _answer(
    controlled: Controlled, name: str, context: ControlContext, record: TrialRecord | None
) -> None:
    control, more = CONTROLS[name], dict[str, Any]()
    if record is not None:
        answers, more = _trained(control, record, context.store)
    else:
        assert control.ask is not None
        answers = control.ask(context)
        more["num_steps"] = context.num_steps if control.spikes else None
    controlled.answers[name] = answers
    controlled.results[name] = ControlResult(
        **control.about, n=answers.n, accuracy=answers.accuracy, **more
    )


def _job(
    control: Control,
    settings: Mapping[str, Any],
    context: ControlContext,
    described: dict[tuple[str, str], Contender],
) -> Job:
    """Return the job of a control; all seeds and folds share `described` contenders."""
    trial = context.trial
    name = trial.card.contender
    changed = replace(
        trial.experiment,
        **{"contenders": (name,), "num_steps": context.num_steps, "optimism": False, **settings},
    )
    prepared = binned(context.prepared, changed, None, control.change)
    contender = described.get((name, control.title))
    if contender is None:
        contender = describe(name, changed, prepared)
        if contender.card.num_steps not in (None, changed.num_steps):
            raise InputError(
                f"{name} makes its own {contender.card.num_steps} time steps, whatever it is told."
            )
        if "neuron" in settings:
            _require_given_neuron(contender)
        if control.bits:
            network = {**contender.card.network, "activation_bits": bits_of(context.num_steps)}
            contender = replace(contender, card=replace(contender.card, network=network))
        described[name, control.title] = contender
    planned = next(
        other
        for other in trials_of(changed, prepared, context.split, contenders=[contender])
        if other.card.seed == trial.card.seed
    )
    if trial.twin:  # the control starts where the contender did
        twin = {**planned.settings, "twin": trial.settings["twin"]}
        planned = replace(planned, settings=twin)
    return Job(planned, prepared, context.progress)


def _trained(
    control: Control, record: TrialRecord, store: Store
) -> tuple[Classification, dict[str, Any]]:
    answered = store.measure(record.key, "classification", Classification)
    if record.status == "failed" or answered is None:
        raise InputError(f"its training failed: {record.error}")
    # The cost of a network on changed recordings means nothing.
    counted = None if control.of_recordings else store.measure(record.key, "operations", Counted)
    settings = record.settings
    return answered, {
        **(cost_entry(counted) if not control.of_recordings else {}),
        "num_steps": settings["num_steps"],
        "bits": settings["network"].get("activation_bits"),
        "parameters": record.parameters,
        "epochs": len(record.history),
        "epoch_seconds": record.epoch_seconds,
        "key": record.key,
        "val_accuracy": record.best.validation.accuracy if record.best else None,
    }


def _require_given_neuron(contender: Contender) -> None:
    layers = list(contender.outline.modules())
    others = sorted({type(neuron).__name__ for neuron in _spiking_layers(layers)})
    if others or not any(isinstance(layer, ReLU) for layer in layers):
        kept = f"layers of {' and '.join(others)}" if others else "no layer of spikeduel's neurons"
        raise InputError(
            f"a twin cannot be built: {contender.name} has {kept} whatever neuron it is given. Let "
            "its build function take `neuron` and make each layer of neurons by neuron()."
        )


def _spiking_layers(layers: Any) -> list[Neuron]:
    return [
        layer
        for layer in layers
        if isinstance(layer, Neuron)
        and not isinstance(layer, ReLU)
        and not (isinstance(layer, LIF) and layer.threshold == float("inf"))
    ]


def compare_with_controls(
    contender: str, outcomes: Sequence[TrialOutcome], groups: np.ndarray | None, margin: float
) -> ControlledContender | None:
    """Compare a contender with its controls on common seeds, with Holm's adjustment of p-values."""
    answers = pooled(outcomes, contender)
    controlled = [
        outcome.controlled
        for outcome in outcomes
        if outcome.contender == contender and outcome.seed in answers and outcome.controlled
    ]
    if not controlled:
        return None
    names = {name for entry in controlled for name in (*entry.results, *entry.reasons)}
    rows = []
    for name in (name for name in CONTROLS if name in names):
        reasons = [entry.reasons[name] for entry in controlled if name in entry.reasons]
        row = ControlRow(
            control=name, **CONTROLS[name].about, reason=reasons[-1] if reasons else None
        )
        of_control = pooled(outcomes, contender, name)
        if seeds := [seed for seed in answers if seed in of_control]:
            a, b = right_of(seeds, answers), right_of(seeds, of_control)
            row = structs.replace(
                row,
                accuracy=float(b.mean()),
                bits=next(e.results[name].bits for e in controlled if name in e.results),
                spread=float((a.mean(1) - b.mean(1)).std(ddof=1)) if len(seeds) > 1 else None,
                found=significance.difference(a, b, groups, margin, CONTROLS[name].paired),
            )
        rows.append(row)
    adjusted = iter(significance.adjusted([row.found for row in rows if row.found]))
    rows = [structs.replace(row, found=next(adjusted)) if row.found else row for row in rows]
    return ControlledContender(
        contender=contender,
        num_steps=next(
            outcome.record.settings["num_steps"]
            for outcome in outcomes
            if outcome.contender == contender
        ),
        seeds=len(answers),
        accuracy=float(np.mean([right.mean() for right in right_of(list(answers), answers)])),
        rows=rows,
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A contender, as it is or trained without time: its mean validation accuracy and `right`
    answers bool `[S, N]`. `at_chance`: not shown to beat a constant answer.
    """

    contender: str
    validation: float
    right: np.ndarray
    at_chance: bool
    trained_without: bool = False


def without_time(
    outcomes: Sequence[TrialOutcome],
    trials: Sequence[TrialEntry],
    groups: np.ndarray | None,
    margin: float,
) -> WithoutTime | None:
    """Return the accuracy that recordings lose without time; None if not tried.

    `groups` `[N]` numbers the groups of test recordings.
    """
    contenders, timeless = [], []
    for name in dict.fromkeys(trial.contender for trial in trials if COLLAPSED in trial.controls):
        entries = [
            trial for trial in trials if trial.contender == name and COLLAPSED in trial.controls
        ]
        with_time = pooled(outcomes, name)
        collapsed = pooled(outcomes, name, COLLAPSED)
        if not with_time or with_time.keys() != collapsed.keys():
            continue
        seeds = sorted(with_time)
        validated = [entry.validation.accuracy for entry in entries if entry.validation]
        candidate = Candidate(
            name, fmean(validated), right_of(seeds, with_time), no_better_than_chance(entries)
        )
        contenders.append(candidate)
        if all(outcome.sees_no_time for outcome in outcomes if outcome.contender == name):
            timeless.append(candidate)
        validated = [entry.controls[COLLAPSED].val_accuracy or 0.0 for entry in entries]
        at_chance = no_better_than_chance(entries, COLLAPSED)
        right = right_of(seeds, collapsed)
        timeless.append(Candidate(name, fmean(validated), right, at_chance, trained_without=True))
    return compare_best(contenders, timeless, groups, margin) if contenders else None


def compare_best(
    contenders: Sequence[Candidate],
    timeless: Sequence[Candidate],
    groups: np.ndarray | None,
    margin: float,
) -> WithoutTime:
    """Compare the best of `contenders` and of `timeless`, by validation; with itself if it sees no
    time.
    """
    best = max(contenders, key=lambda candidate: candidate.validation)
    sees_no_time = any(candidate is best for candidate in timeless)
    other = best if sees_no_time else max(timeless, key=lambda candidate: candidate.validation)
    difference = significance.difference(best.right, other.right, groups, margin)
    return WithoutTime(
        contender=best.contender,
        accuracy=float(best.right.mean()),
        without=other.contender,
        accuracy_without=float(other.right.mean()),
        trained_without=other.trained_without,
        found=difference,
        lost="nothing" if other is best else _lost(difference, other.at_chance),
    )


def _lost(difference: Difference, at_chance: bool) -> TemporalLoss:
    if difference.ci90[1] <= difference.margin:
        return "nothing"
    # Few seeds limit the claim to these trainings; a loss still shows.
    few = difference.reservation is Reservation.FEW_SEEDS and difference.difference > 0
    if difference.conclusion is not Conclusion.A_BETTER and not few:
        return "not shown"
    return "everything" if at_chance else "some"
