"""Controls: networks without spikes, without time or without timing beside a trial, under the same
rules. They show what spiking adds, and what time.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spikeduel.auditing.neighbours import nearest
from spikeduel.data import Prepared, Split
from spikeduel.data.catalogue import binned
from spikeduel.data.disk_arrays import Rows
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.correctness import classification, classified, shuffled_classification
from spikeduel.measuring.costing import cost_entry
from spikeduel.networks.preprocessing import Change
from spikeduel.results.costs import Counted
from spikeduel.results.trials import Classification, ControlResult, WeightShapes
from spikeduel.settings import Experiment
from spikeduel.spiking.neurons import LIF, Neuron, ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Labelled, Progress
from spikeduel.system.typed import digest
from spikeduel.trials.contenders import Contender, Trial, describe, trials_of
from spikeduel.trials.jobs import Job, Workers
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.trial import load


@dataclass(frozen=True, eq=False)
class ControlContext:
    """A finished trial with its data, the store and the progress, for its controls.

    `described` keeps described controls by contender and title: all seeds and folds share it.
    """

    trial: Trial
    prepared: Prepared
    store: Store
    progress: Progress
    described: dict[tuple[str, str], Contender] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        """Split of the trial."""
        return self.trial.split

    @property
    def num_steps(self) -> int:
        """Time steps of the trial."""
        return self.trial.card.num_steps or self.trial.experiment.num_steps

    def labelled(self, control: "Control") -> "ControlContext":
        """Begin each line of the progress with the control's title."""
        return replace(self, progress=Labelled(self.progress, f"control, {control.title}"))

    def left_out(self, error: InputError) -> str:
        """Say that a control is left out, and return why."""
        self.progress.say(f"  {self.trial.card.title}: left out, {error}")
        return str(error)

    def kept(self, key: str, name: str, ask: Callable[[], Classification]) -> Classification:
        """Return what the store holds under `key` and `name`; where it has nothing, what `ask`
        returns, which is then kept there.
        """
        with self.store.locked(key):
            answers = self.store.measure(key, name, Classification)
            if answers is None:
                answers = ask()
                self.store.save_measure(key, name, answers)
        return answers


@dataclass(frozen=True)
class Control:
    """A control of a trial; it is stored, and reaches results, table and report.

    Controls `of_recordings` change what all contenders see; the others are of spiking networks on
    images. Either `train` changes the experiment, and the control is trained like any trial; or
    `ask` returns answers to the test images. Answers are `paired`, and compared seed by seed, if
    the trial's own network gave them. `spikes` decides the colour.
    """

    title: str
    meaning: str
    spikes: bool
    train: Callable[[Experiment], Experiment] | None = None
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
    """Return ⌈log2(T + 1)⌉: the bits of a number of spikes in T steps, 0 to T."""
    return num_steps.bit_length()


def _shuffled(context: ControlContext) -> Classification:
    trial = context.trial

    def ask() -> Classification:
        model = load(trial, context.store)
        if not any(
            isinstance(layer, Neuron) and not _never_spikes(layer)
            for layer in model.module.modules()
        ):
            raise InputError(
                f"{trial.card.contender} has no layer of spikeduel's neurons, so its spikes "
                f"cannot be reached."
            )
        test = context.split.test
        context.progress.detail(f"  {trial.card.title}: evaluated on {len(test):,} test images")
        return shuffled_classification(model, EvaluationBatches(*context.prepared.held, test))

    return context.kept(trial.key, "shuffled", ask)


def _nearest_neighbour(context: ControlContext) -> Classification:
    def ask() -> Classification:
        test, train = context.split.test, context.split.train
        context.progress.say(f"{len(test):,} test images among {len(train):,} training images")
        images, labels = context.prepared.images, np.asarray(context.prepared.labels)
        index = nearest(Rows(images, test), Rows(images, train))
        return classified(context.prepared.classes, labels[test], labels[train][index])

    # The answers are the same for every contender and seed.
    key = digest(["nearest neighbour", context.trial.settings["data"]])[:16]
    return context.kept(key, "nearest-neighbour", ask)


def _of_recordings(title: str, meaning: str, change: Change, train: bool = False) -> Control:
    """Return a control that sees the recordings with this `change`: it is trained on them, or only
    asked about them.
    """

    def ask(context: ControlContext) -> Classification:
        def answers() -> Classification:
            recordings, labels = context.prepared.held
            assert isinstance(recordings, Recordings)
            changed = recordings.binned(replace(recordings.binning, change=change))
            context.progress.detail(
                f"  {context.trial.card.title}: asked about {len(context.split.test):,} test "
                "recordings"
            )
            model = load(context.trial, context.store)
            return classification(model, EvaluationBatches(changed, labels, context.split.test))

        return context.kept(context.trial.key, change, answers)

    if train:
        method: dict[str, Any] = {"train": lambda experiment: experiment, "change": change}
    else:
        method = {"ask": ask, "paired": True}
    return Control(title, meaning, spikes=False, of_recordings=True, **method)


CONTROLS: dict[str, Control] = {
    "relu_twin": Control(
        "ReLU twin",
        "the same network with ReLU for its neurons: one pass, no spikes, no time",
        spikes=False,
        train=lambda experiment: replace(experiment, neuron="relu", encoding="direct", num_steps=1),
    ),
    "quantised_twin": Control(
        "quantised twin",
        "the ReLU twin, trained with activations as coarse as a count of spikes",
        spikes=False,
        train=lambda experiment: replace(
            experiment,
            neuron="quantised-relu",
            encoding="direct",
            num_steps=1,
        ),
        bits=True,
    ),
    "one_step": Control(
        "one time step",
        "the same neurons, trained and used with T = 1: spikes without time",
        spikes=True,
        train=lambda experiment: replace(experiment, num_steps=1),
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
    "collapsed": _of_recordings(
        "without time",
        "trained on frames that each hold all events of the recording",
        "collapsed",
        train=True,
    ),
    "redrawn": _of_recordings(
        "times redrawn",
        "the trained network, each event in a random frame",
        "redrawn",
    ),
    "shuffled_frames": _of_recordings(
        "frames shuffled",
        "the trained network, the frames in random order, another for each recording",
        "shuffled",
    ),
    "reversed": _of_recordings(
        "time reversed",
        "the trained network, the last frame first",
        "reversed",
    ),
    "merged": _of_recordings(
        "without polarity",
        "trained on frames in which brighter and darker are one",
        "merged",
        train=True,
    ),
}
"""Controls by name, in the order of tables: without spikes, without time, without timing, without
training.
"""


def of(prepared: Prepared) -> dict[str, Control]:
    """Return the controls for this data: for recordings, or for images."""
    recorded = isinstance(prepared.images, Recordings)
    return {
        name: control for name, control in CONTROLS.items() if control.of_recordings == recorded
    }


@dataclass(frozen=True)
class Controlled:
    """Results and answers of the controls of one trial, by name, and the `reasons` of those that
    were left out.
    """

    results: dict[str, ControlResult]
    answers: dict[str, Classification]
    reasons: dict[str, str]

    @property
    def keys(self) -> list[str]:
        """Keys of the trials that were trained for controls."""
        return [result.key for result in self.results.values() if result.key]


def run(
    trials: Sequence[Trial], prepared: Prepared, store: Store, progress: Progress, workers: Workers
) -> list[Controlled | None]:
    """Run the controls of every finished trial, on images of those with time steps; None for the
    other trials.
    """
    if not isinstance(prepared.images, Recordings):
        _say_what_is_trained_twice(trials, store, progress)
    described: dict[tuple[str, str], Contender] = {}
    contexts = [ControlContext(trial, prepared, store, progress, described) for trial in trials]
    started = [(context, *_jobs(context)) for context in contexts if _is_controlled(context)]
    jobs = [job for _, _, by_control in started for job in by_control.values()]
    records = {record.key: record for record in workers.run(jobs, store)}
    controlled = {
        context.trial.key: _controlled(
            context, reasons, {name: records[job.key] for name, job in by_control.items()}
        )
        for context, reasons, by_control in started
    }
    return [controlled.get(trial.key) for trial in trials]


def num_trained(trial: Trial, prepared: Prepared) -> int:
    """Return the number of networks that are trained for the controls of a planned trial."""
    if not trial.experiment.controls or not (
        isinstance(prepared.images, Recordings) or trial.card.num_steps
    ):
        return 0
    return sum(control.train is not None for control in of(prepared).values())


def _say_what_is_trained_twice(trials: Sequence[Trial], store: Store, progress: Progress) -> None:
    """Say which contenders are ReLU twins already. Their code may differ, so they are trained
    twice.
    """
    cards = {trial.card.contender: trial.card for trial in trials if trial.twin is None}
    shapes = {
        trial.card.contender: weights
        for trial in reversed(trials)
        if (weights := store.measure(trial.key, "weight_shapes", WeightShapes))
    }
    for one, other in itertools.permutations([name for name in cards if name in shapes], 2):
        are_twins = cards[one].num_steps is not None and cards[other].num_steps is None
        if are_twins and shapes[one] == shapes[other]:
            progress.say(
                f"  control, relu twin: {one} has the same weights as {other}, shape for shape. "
                "Its twin is trained all the same, since their code could differ; expect equal "
                "numbers."
            )


def _is_controlled(context: ControlContext) -> bool:
    trial, is_recorded = context.trial, isinstance(context.prepared.images, Recordings)
    # A converted network's twin is its source, which has been trained.
    if "converted" in trial.settings or not (is_recorded or trial.card.num_steps):
        return False
    return context.store.record(trial.key) is not None


def _jobs(context: ControlContext) -> tuple[dict[str, str], dict[str, Job]]:
    """Return the reason why a control is left out, or the job that trains it, by its name."""
    reasons, jobs = {}, {}
    for name, control in of(context.prepared).items():
        if control.train is not None:
            labelled = context.labelled(control)
            try:
                jobs[name] = _job(control, control.train, labelled)
            except InputError as error:
                reasons[name] = labelled.left_out(error)
    return reasons, jobs


def _controlled(
    context: ControlContext, reasons: dict[str, str], records: Mapping[str, TrialRecord]
) -> Controlled:
    controlled = Controlled({}, {}, reasons)
    for name, control in of(context.prepared).items():
        if name in reasons:
            continue
        labelled = context.labelled(control)
        try:
            if control.ask is None:
                answers, more = _trained(control, records[name], context.store)
            else:
                answers = control.ask(labelled)
                more = {"num_steps": context.num_steps if control.spikes else None}
        except InputError as error:
            controlled.reasons[name] = labelled.left_out(error)
            continue
        controlled.answers[name] = answers
        controlled.results[name] = ControlResult(
            **control.about, n=answers.n, accuracy=answers.accuracy, **more
        )
    return controlled


def _job(
    control: Control, train: Callable[[Experiment], Experiment], context: ControlContext
) -> Job:
    trial = context.trial
    name = trial.card.contender
    changed = train(
        replace(trial.experiment, contenders=(name,), num_steps=context.num_steps, optimism=False)
    )
    prepared = binned(context.prepared, changed, None, control.change)
    contender = context.described.get((name, control.title))
    if contender is None:
        contender = describe(name, changed, prepared)
        if contender.card.num_steps not in (None, changed.num_steps):
            raise InputError(
                f"{name} makes its own {contender.card.num_steps} time steps, whatever it is told."
            )
        if changed.neuron != trial.experiment.neuron:
            _require_given_neuron(contender)
        if control.bits:
            network = {**contender.card.network, "activation_bits": bits_of(context.num_steps)}
            contender = replace(contender, card=replace(contender.card, network=network))
        context.described[name, control.title] = contender
    planned = next(
        other
        for other in trials_of(changed, prepared, context.split, contenders=[contender])
        if other.card.seed == trial.card.seed
    )
    if trial.twin:  # the control starts where the contender did
        settings = {**planned.settings, "twin": trial.settings["twin"]}
        planned = replace(planned, settings=settings)
    return Job(planned, prepared, context.progress)


def _trained(
    control: Control, record: TrialRecord, store: Store
) -> tuple[Classification, dict[str, Any]]:
    answered = store.measure(record.key, "classification", Classification)
    if record.status == "failed" or answered is None:
        raise InputError(f"its training failed: {record.error}")
    # What a network costs on changed recordings says nothing.
    cost = (
        {}
        if control.of_recordings
        else cost_entry(store.measure(record.key, "operations", Counted))
    )
    settings = record.settings
    return answered, {
        **cost,
        "num_steps": settings["num_steps"],
        "bits": settings["network"].get("activation_bits"),
        "parameters": record.parameters,
        "epochs": len(record.history),
        "epoch_seconds": record.epoch_seconds,
        "key": record.key,
        "val_accuracy": record.best.validation.accuracy if record.best else None,
    }


def _require_given_neuron(contender: Contender) -> None:
    """Raise `InputError` unless all layers that could spike are the neuron that it gets."""
    module = contender.outline
    neurons = [layer for layer in module.modules() if isinstance(layer, Neuron)]
    others = {
        type(neuron).__name__
        for neuron in neurons
        if not isinstance(neuron, ReLU) and not _never_spikes(neuron)
    }
    if others or not any(isinstance(neuron, ReLU) for neuron in neurons):
        kept = (
            f"layers of {' and '.join(sorted(others))}"
            if others
            else "no layer of spikeduel's neurons"
        )
        raise InputError(
            f"a twin cannot be built: {contender.name} has {kept} whatever neuron it is given. Let "
            "its build function take `neuron` and make each layer of neurons by neuron()."
        )


def _never_spikes(neuron: Neuron) -> bool:
    return isinstance(neuron, LIF) and neuron.threshold == float("inf")
