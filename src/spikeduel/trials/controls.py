"""What does spiking add, and what time? Trials beside controls without spikes, time or timing,
under the same rules.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikeduel.auditing.neighbours import nearest
from spikeduel.data import Prepared, Split
from spikeduel.data.adapting import binned
from spikeduel.data.disk_arrays import Rows
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.correctness import classification, classified, shuffled_classification
from spikeduel.measuring.costing import cost_entry
from spikeduel.networks import building
from spikeduel.networks.binning import Change
from spikeduel.networks.cards import ModelCard
from spikeduel.results.costs import Counted
from spikeduel.results.trials import Classification, ControlResult, WeightShapes
from spikeduel.settings import Experiment
from spikeduel.spiking.neurons import LIF, Neuron, ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Labelled, Progress
from spikeduel.system.typed import digest
from spikeduel.trials import planning, trial
from spikeduel.trials.jobs import Job, Workers
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store, TrialRecord


@dataclass(frozen=True, eq=False)
class Given:
    """What a control is told: a finished trial, its data, where results are kept, whom to tell."""

    trial: Trial
    prepared: Prepared
    store: Store
    progress: Progress

    @property
    def split(self) -> Split:
        """The split of the trial."""
        return self.trial.split

    @property
    def num_steps(self) -> int:
        """Time steps of the trial."""
        return self.trial.card.num_steps or self.trial.experiment.num_steps

    def told_of(self, control: "Control") -> "Given":
        """The same, each line of its progress begun with the control's title."""
        return replace(self, progress=Labelled(self.progress, f"control, {control.title}"))

    def left_out(self, error: InputError) -> str:
        """Says that a control is left out, and returns why."""
        self.progress.say(f"  {self.trial.card.title}: left out, {error}")
        return str(error)

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
    """A control of a trial: its short title, what it is, and whether it spikes (which decides its
    colour).

    Those `of_recordings` change what all contenders see of recordings; the others are of spiking
    networks on images. Either `train` says what changes in the experiment, and it is trained like
    any trial; or `ask` gives its answers to the test images: `paired` if these are the trial's own
    trained network's, asked in another way, so that the two are compared seed by seed. Entered in
    `CONTROLS`, it runs, is stored, and reaches results, table and report.
    """

    title: str
    meaning: str
    spikes: bool
    train: Callable[[Experiment], Experiment] | None = None
    ask: Callable[[Given], Classification] | None = None
    paired: bool = False
    of_recordings: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """What results say of it."""
        names = ("title", "meaning", "spikes", "of_recordings")
        return {name: getattr(self, name) for name in names}


def bits_of(num_steps: int) -> int:
    """⌈log2(T + 1)⌉: the bits that tell apart the numbers of spikes, 0 … T, of which a neuron has
    one in T steps.
    """
    return num_steps.bit_length()


def _shuffled(given: Given) -> Classification:
    planned = given.trial

    def ask() -> Classification:
        model = trial.load(planned, given.store)
        if not any(
            isinstance(layer, Neuron) and not _never_spikes(layer)
            for layer in model.module.modules()
        ):
            raise InputError(
                f"{planned.card.contender} has no layer of spikeduel's neurons, so its spikes "
                f"cannot be reached."
            )
        test = given.split.test
        given.progress.detail(f"  {planned.card.title}: evaluated on {len(test):,} test images")
        return shuffled_classification(model, EvaluationBatches(*given.prepared.held, test))

    return given.kept(planned.key, "shuffled", ask)


def _nearest_neighbour(given: Given) -> Classification:
    def ask() -> Classification:
        test, train = given.split.test, given.split.train
        given.progress.say(f"{len(test):,} test images among {len(train):,} training images")
        images, labels = given.prepared.images, np.asarray(given.prepared.labels)
        index = nearest(Rows(images, test), Rows(images, train))
        return classified(given.prepared.classes, labels[test], labels[train][index])

    # It is the same for every contender and seed.
    key = digest(["nearest neighbour", given.trial.settings["data"]])[:16]
    return given.kept(key, "nearest-neighbour", ask)


def _of_recordings(title: str, meaning: str, change: Change, train: bool = False) -> Control:
    """A control that sees the recordings with this `change`: trained on them, or only asked about
    them.
    """

    def ask(given: Given) -> Classification:
        def answers() -> Classification:
            recordings, labels = given.prepared.held
            assert isinstance(recordings, Recordings)
            changed = recordings.binned(replace(recordings.binning, change=change))
            given.progress.detail(
                f"  {given.trial.card.title}: asked about {len(given.split.test):,} test recordings"
            )
            model = trial.load(given.trial, given.store)
            return classification(model, EvaluationBatches(changed, labels, given.split.test))

        return given.kept(given.trial.key, change, answers)

    if train:
        way: dict[str, Any] = {"train": lambda given: replace(given, recording_change=change)}
    else:
        way = {"ask": ask, "paired": True}
    return Control(title, meaning, spikes=False, of_recordings=True, **way)


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
            given,
            neuron="quantised-relu",
            activation_bits=bits_of(given.num_steps),
            encoding="direct",
            num_steps=1,
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
"""In the order in which people read them: those that need no spikes, no time, no timing, no
training.
"""


def of(prepared: Prepared) -> dict[str, Control]:
    """Those of `CONTROLS` that are for this data: for recordings, or for images."""
    recorded = isinstance(prepared.images, Recordings)
    return {
        name: control for name, control in CONTROLS.items() if control.of_recordings == recorded
    }


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
    trials: Sequence[Trial], prepared: Prepared, store: Store, progress: Progress, workers: Workers
) -> list[Controlled | None]:
    """The controls of each of `trials` that is finished and, on images, has time steps; None for
    the others.

    Those that need a training are trials like any other: stored by their key, found again, never
    trained twice.
    """
    if not isinstance(prepared.images, Recordings):
        _say_what_is_trained_twice(trials, store, progress)
    given = [Given(each, prepared, store, progress) for each in trials]
    asked = [(each, *_begun(each)) for each in given if _is_controlled(each)]
    jobs = [job for _, _, planned in asked for job in planned.values()]
    records = {record.key: record for record in workers.run(jobs, store)}
    found = {
        each.trial.key: _of_trial(
            each, reasons, {name: records[job.key] for name, job in planned.items()}
        )
        for each, reasons, planned in asked
    }
    return [found.get(each.key) for each in trials]


def num_trained(trial: Trial, prepared: Prepared) -> int:
    """How many networks are trained for the controls of a trial as planned, if its experiment has
    controls.
    """
    if not trial.experiment.controls or not (
        isinstance(prepared.images, Recordings) or trial.card.num_steps
    ):
        return 0
    return sum(control.train is not None for control in of(prepared).values())


def _say_what_is_trained_twice(trials: Sequence[Trial], store: Store, progress: Progress) -> None:
    """Says of which contenders a ReLU twin is the likeness: their code differs, so that only
    training shows it.

    Where a contender started at its twin's trained weights, so does its control, and is trained for
    longer than that.
    """
    cards = {each.card.contender: each.card for each in trials if each.twin is None}
    found = [
        (each.card.contender, store.measure(each.key, "weight_shapes", WeightShapes))
        for each in reversed(trials)
    ]
    shapes = {contender: shape for contender, shape in found if shape}
    for one, other in itertools.permutations([name for name in cards if name in shapes], 2):
        if (
            shapes[one] == shapes[other]
            and cards[one].num_steps is not None
            and cards[other].num_steps is None
        ):
            progress.say(
                f"  control, relu twin: {one} has the same weights as {other}, shape for shape. "
                f"Its twin is trained "
                "all the same, since their code could differ; expect equal numbers."
            )


def _is_controlled(given: Given) -> bool:
    planned, recorded = given.trial, isinstance(given.prepared.images, Recordings)
    # A converted network's twin is its source, which has been trained.
    if "converted" in planned.settings or not (recorded or planned.card.num_steps):
        return False
    return given.store.record(planned.key) is not None


def _begun(given: Given) -> tuple[dict[str, str], dict[str, Job]]:
    """By the control's name: why it is left out, or what is to be trained for it."""
    reasons, jobs = {}, {}
    for name, control in of(given.prepared).items():
        if control.train is not None:
            labelled = given.told_of(control)
            try:
                jobs[name] = _planned(control.train, labelled)
            except InputError as error:
                reasons[name] = labelled.left_out(error)
    return reasons, jobs


def _of_trial(
    given: Given, reasons: dict[str, str], records: Mapping[str, TrialRecord]
) -> Controlled:
    """What the controls gave of which `records` were trained, and those that only ask."""
    found = Controlled({}, {}, reasons)
    for name, control in of(given.prepared).items():
        if name in reasons:
            continue
        labelled = given.told_of(control)
        try:
            if control.ask is None:
                answered, more = _trained(control, records[name], given.store)
            else:
                answered, more = (
                    control.ask(labelled),
                    {"num_steps": given.num_steps if control.spikes else None},
                )
        except InputError as error:
            found.reasons[name] = labelled.left_out(error)
            continue
        found.answers[name] = answered
        found.results[name] = ControlResult(
            **control.about, n=answered.n, accuracy=answered.accuracy, **more
        )
    return found


def _planned(train: Callable[[Experiment], Experiment], given: Given) -> Job:
    """The trial of a control, to be trained. Raises `InputError` where there can be none."""
    contender, planned = given.trial.card.contender, given.trial
    changed = train(
        replace(
            planned.experiment, contenders=(contender,), num_steps=given.num_steps, optimism=False
        )
    )
    prepared = binned(given.prepared, changed, None)
    plans = planning.plan(changed, prepared, given.split)
    twin = next(each for each in plans if each.card.seed == planned.card.seed)
    if planned.twin:  # it starts where the contender did
        twin = replace(twin, settings={**twin.settings, "twin": planned.settings["twin"]})
    if twin.card.num_steps not in (None, changed.num_steps):
        raise InputError(
            f"{contender} makes its own {twin.card.num_steps} time steps, whatever it is told."
        )
    if changed.neuron != planned.experiment.neuron:
        _require_given_neuron(twin.card)
    return Job(twin, prepared, given.progress)


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


def _require_given_neuron(card: ModelCard) -> None:
    """Raises `InputError` unless all that could spike in this network is the neuron that it was
    given.
    """
    module = building.outlined(card)
    neurons = [layer for layer in module.modules() if isinstance(layer, Neuron)]
    others = {type(n).__name__ for n in neurons if not isinstance(n, ReLU) and not _never_spikes(n)}
    if others or not any(isinstance(neuron, ReLU) for neuron in neurons):
        kept = (
            f"layers of {' and '.join(sorted(others))}"
            if others
            else "no layer of spikeduel's neurons"
        )
        raise InputError(
            f"a twin cannot be built: {card.contender} has {kept} whatever neuron it is given. Let "
            f"its build function "
            "take `neuron` and make each layer of neurons by neuron()."
        )


def _never_spikes(neuron: Neuron) -> bool:
    return isinstance(neuron, LIF) and neuron.threshold == float("inf")
