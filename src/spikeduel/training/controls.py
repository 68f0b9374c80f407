"""Run control experiments, networks without spikes, time or timing, and families of cheaper
networks.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from msgspec import structs
from torch import nn

from spikeduel.analysis.conclusions import COLLAPSED
from spikeduel.auditing import nearest
from spikeduel.data import Prepared
from spikeduel.data.catalogue import binned
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.data.splits import evenly
from spikeduel.engine.networks.narrowing import can_narrow
from spikeduel.engine.neurons import LIF, Neuron, ReLU
from spikeduel.evaluation.correctness import (
    classification,
    classified,
    early_exit,
    in_whole_numbers,
    shuffled_classification,
    until_sure,
)
from spikeduel.evaluation.costing import cost_entry
from spikeduel.evaluation.predictions_of_model import Running
from spikeduel.experiment.settings import Experiment
from spikeduel.exporters.exporting import NUM_EXAMPLES
from spikeduel.features.compression.frontier_analysis import BIT_MATCHED
from spikeduel.inputs.preprocessing import Change
from spikeduel.results.control_results import INT8
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Anytime,
    Classification,
    Confidences,
    ControlAbout,
    ControlResult,
    EarlyAnswers,
    EarlyExit,
    LabelConfidences,
    Latency,
    MissingControl,
    UntilSure,
    WholeNumbers,
)
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Labelled, Progress
from spikeduel.system.typed import digest
from spikeduel.training.contenders import Contender, Trial, describe, outline, trials_of
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.store import Store, TrialRecord
from spikeduel.training.timing import time_answers
from spikeduel.training.trial import load_of

INT8_COST = "int8-cost"
Asked = TypeVar("Asked", Classification, UntilSure)


@dataclass(frozen=True)
class Control:
    """A control of a trial, or a `member` of its family of cheaper networks.

    Controls `of_recordings` change what all contenders see, those `of_all` ask all contenders on
    any data, by a setting of their own, and the others are of spiking networks on images. Either
    it is trained with `train` replacing settings, or `ask` returns answers to the test images.
    Answers of the trial's own network are `paired`, seed by seed.
    """

    title: str
    meaning: str
    spikes: bool = False
    train: Mapping[str, Any] | None = None
    ask: "Callable[[ControlContext], Classification] | None" = None
    paired: bool = False
    of_recordings: bool = False
    of_all: bool = False
    change: Change = "none"
    """Change of the recordings that are trained on, or asked about."""
    bits: bool = False
    """True if activations have the bits of a count of spikes (`bits_of`)."""
    member: bool = False
    source: str | None = None
    """Member whose weights it begins with; None: the trial's own. Other controls begin anew."""
    early: tuple[str, str] | None = None
    """Members of which the first answers, and the second where the first is not sure."""
    in_time: bool = False
    """True for the answers of `source` after as few time steps as it is sure."""
    fewer_channels: int = 1
    """Divisor of the trial's width."""
    steps: float = 1
    """Time steps, in those of the trial."""

    def settings(self, context: "ControlContext") -> dict[str, Any]:
        """Return the settings in which its training differs. Raises `InputError`."""
        trained = {"num_steps": context.num_steps, **(self.train or {})}
        if not self.member:
            return trained
        source = MEMBERS[self.source] if self.source else None
        share = SPIKING_EPOCHS if context.trial.card.family == "snn" else OTHER_EPOCHS
        # Whoever loses channels has more to learn again.
        share *= 2 if self.fewer_channels > (source.fewer_channels if source else 1) else 1
        epochs = math.ceil(share * context.trial.experiment.num_epochs)
        trained |= {"epochs": epochs, "start": "fresh"}
        if self.steps != 1:
            trained["num_steps"] = int(context.num_steps * self.steps)
            if not 1 <= trained["num_steps"] <= MOST_STEPS:
                raise InputError(
                    f"it would have {context.num_steps * self.steps:g} time steps, and a family "
                    f"has 1 to {MOST_STEPS}."
                )
        if self.fewer_channels > 1:
            width = context.trial.card.network.get("width")
            if not width or not can_narrow(outline(context.trial.card)):
                raise InputError(
                    "channels can be taken only from a chain of layers with the setting width, "
                    "such as vgg-lif and vgg-relu."
                )
            trained["width"] = max(1, width // self.fewer_channels)
        return trained

    @property
    def about(self) -> dict[str, Any]:
        """Fields of a `ControlResult` that describe the control."""
        return {name: getattr(self, name) for name in ControlAbout.__struct_fields__}


@dataclass(frozen=True, eq=False)
class ControlContext:
    """A control of a finished trial, with its data, store and progress."""

    control: Control
    trial: Trial
    prepared: Prepared
    store: Store
    progress: Progress
    records: Mapping[tuple[str, str], TrialRecord]
    """Trained controls of all trials, by key and name."""

    def member(self, name: str | None) -> str:
        """Return the key of a member, or of the trial itself. Raises `InputError` if missing."""
        if name is None:
            return self.trial.key
        record = self.records.get((self.trial.key, name))
        if record is None or record.status == "failed":
            raise InputError("the network that it builds on is missing.")
        return record.key

    @property
    def num_steps(self) -> int:
        return self.trial.card.num_steps or self.trial.experiment.num_steps

    def kept(
        self, key: str, name: str, ask: Callable[[], Asked], kind: type[Any] = Classification
    ) -> Asked:
        """Return the store's answers, of `kind`, else keep and return those of `ask`."""
        with self.store.locked(key):
            answers = self.store.measure(key, name, kind)
            if answers is None:
                test = len(self.trial.split.test)
                self.progress.detail(f"  {self.trial.card.title}: asked about {test:,} test images")
                answers = ask()
                self.store.save_measure(key, name, answers)
        return answers


@dataclass(frozen=True)
class Controlled:
    """Results and answers of one trial's controls, and `missing` ones."""

    results: dict[str, ControlResult]
    answers: dict[str, Classification]
    missing: dict[str, MissingControl]


def bits_of(num_steps: int) -> int:
    """Return ⌈log2(T + 1)⌉: the bits of a number of spikes in T steps."""
    return num_steps.bit_length()


def _shuffled(context: ControlContext) -> Classification:
    trial = context.trial

    def ask() -> Classification:
        model = load_of(trial.key, trial, context.store)
        if not _spiking_layers(model.module):
            raise InputError(
                f"{trial.card.contender} has no layer of spikeduel's neurons, so its spikes "
                f"cannot be reached."
            )
        batches = EvaluationBatches(*context.prepared.held, trial.split.test)
        return shuffled_classification(model, batches)

    return context.kept(trial.key, "shuffled", ask)


def _nearest_neighbour(context: ControlContext) -> Classification:
    def ask() -> Classification:
        test, train = context.trial.split.test, context.trial.split.train
        images, labels = context.prepared.images, np.asarray(context.prepared.labels)
        answers = labels[nearest(images, test, train)]
        return classified(context.prepared.classes, labels[test], answers)

    # The answers are the same for every contender and seed.
    key = digest(["nearest neighbour", context.trial.settings["data"]])[:16]
    return context.kept(key, "nearest-neighbour", ask)


def _on_changed_recordings(context: ControlContext) -> Classification:
    trial, change = context.trial, context.control.change

    def ask() -> Classification:
        recordings, labels = context.prepared.held
        assert isinstance(recordings, Recordings)
        changed = replace(recordings, binning=replace(recordings.binning, change=change))
        model = load_of(trial.key, trial, context.store)
        return classification(model, EvaluationBatches(changed, labels, trial.split.test))

    return context.kept(trial.key, change, ask)


def _in_whole_numbers(context: ControlContext) -> Classification:
    trial, held = context.trial, context.prepared.held

    def ask() -> Classification:
        examples = EvaluationBatches(*held, evenly(trial.split.train, NUM_EXAMPLES))
        batches = EvaluationBatches(*held, trial.split.test)
        answers, cost = in_whole_numbers(
            load_of(trial.key, trial, context.store), examples, batches
        )
        context.store.save_measure(trial.key, INT8_COST, cost)
        return answers

    return context.kept(trial.key, INT8, ask)


CONTROLS: dict[str, Control] = {
    "relu_twin": Control(
        "ReLU twin",
        "the same network with ReLU for its neurons: one pass, no spikes, no time",
        train={"neuron": "relu", "encoding": "direct", "num_steps": 1},
    ),
    BIT_MATCHED: Control(
        "quantised twin",
        "the ReLU twin, trained with activations as coarse as a count of spikes",
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
        ask=_nearest_neighbour,
    ),
    COLLAPSED: Control(
        "without time",
        "trained on frames that each hold all events of the recording",
        train={},
        of_recordings=True,
        change="collapsed",
    ),
    "redrawn": Control(
        "times redrawn",
        "the trained network, each event in a random frame",
        ask=_on_changed_recordings,
        paired=True,
        of_recordings=True,
        change="redrawn",
    ),
    "shuffled_frames": Control(
        "frames shuffled",
        "the trained network, the frames in random order, another for each recording",
        ask=_on_changed_recordings,
        paired=True,
        of_recordings=True,
        change="shuffled",
    ),
    "reversed": Control(
        "time reversed",
        "the trained network, the last frame first",
        ask=_on_changed_recordings,
        paired=True,
        of_recordings=True,
        change="reversed",
    ),
    "merged": Control(
        "without polarity",
        "trained on frames in which brighter and darker are one",
        train={},
        of_recordings=True,
        change="merged",
    ),
    INT8: Control(
        "in whole numbers",
        "the trained network with int8 weights, int32 sums, ReLUs of 8 bits, membranes of 16",
        ask=_in_whole_numbers,
        paired=True,
        of_all=True,
    ),
}
"""Controls by name, in the order of tables."""


def _member(title: str, meaning: str, source: str | None = "8_bits", **changes: Any) -> Control:
    shape = {name: changes.pop(name, 1) for name in ("fewer_channels", "steps")}
    train = {"weight_bits": 8, **changes}
    return Control(title, meaning, train=train, member=True, source=source, **shape)


FEWER, FEW = 1.0, 4.0
"""Penalties on spikes in training."""
SPIKING_EPOCHS, OTHER_EPOCHS = 0.25, 0.4
"""Epochs of a member, in those of its contender: so that a family with spikes and one without train
for about as long."""
MOST_STEPS = 8
"""Most time steps of a member."""
FAMILY_TIME = 2.5
"""Training of a family, in that of its contender."""

MEMBERS: dict[str, Control] = {
    "8_bits": _member("8 bits", "weights of 8 bits", None),
    "4_bits": _member("4 bits", "weights of 4 bits", weight_bits=4),
    "2_bits": _member("2 bits", "weights of 2 bits", "4_bits", weight_bits=2),
    "half_channels": _member("half the channels", "half as wide", fewer_channels=2),
    "half_channels_4_bits": _member(
        "half the channels, 4 bits",
        "half as wide, weights of 4 bits",
        "half_channels",
        weight_bits=4,
        fewer_channels=2,
    ),
    "quarter_channels": _member(
        "a quarter of the channels", "a quarter as wide", "half_channels", fewer_channels=4
    ),
    "quarter_channels_4_bits": _member(
        "a quarter of the channels, 4 bits",
        "a quarter as wide, weights of 4 bits",
        "quarter_channels",
        weight_bits=4,
        fewer_channels=4,
    ),
    "eighth_channels": _member(
        "an eighth of the channels", "an eighth as wide", "quarter_channels", fewer_channels=8
    ),
    "eighth_channels_4_bits": _member(
        "an eighth of the channels, 4 bits",
        "an eighth as wide, weights of 4 bits",
        "eighth_channels",
        weight_bits=4,
        fewer_channels=8,
    ),
    "half_channels_2_bits": _member(
        "half the channels, 2 bits",
        "half as wide, weights of 2 bits",
        "half_channels_4_bits",
        weight_bits=2,
        fewer_channels=2,
    ),
    "twice_steps": _member("twice the steps", "twice as many time steps", steps=2),
    "half_steps": _member(
        "half the steps, 4 bits", "half as many time steps", steps=0.5, weight_bits=4
    ),
    "quarter_steps": _member(
        "a quarter of the steps, 4 bits",
        "a quarter as many time steps",
        "half_steps",
        steps=0.25,
        weight_bits=4,
    ),
    "fewer_spikes": _member(
        "fewer spikes, 4 bits", "spikes cost loss in training", spike_penalty=FEWER, weight_bits=4
    ),
    "few_spikes": _member(
        "few spikes, 4 bits",
        "spikes cost four times as much loss",
        "fewer_spikes",
        spike_penalty=FEW,
        weight_bits=4,
    ),
    "few_spikes_half_channels": _member(
        "few spikes, half the channels, 4 bits",
        "spikes cost as much, half as wide",
        "few_spikes",
        spike_penalty=FEW,
        fewer_channels=2,
        weight_bits=4,
    ),
}
"""Members of families of cheaper networks by name, each after the one that it begins with."""


def _early(first: str, then: str) -> Control:
    title = f"{MEMBERS[first].title}; if not sure, {MEMBERS[then].title}"
    meaning = "the cheaper of two networks predicts, and the dearer where that one is not sure"
    return Control(title, meaning, member=True, early=(first, then))


def _in_time(source: str) -> Control:
    title, meaning = f"{MEMBERS[source].title}, until sure", "it answers once it is sure"
    return Control(title, meaning, member=True, source=source, in_time=True)


MEMBERS |= {
    "early_exit": _early("quarter_channels", "8_bits"),
    "early_exit_narrow": _early("eighth_channels", "half_channels"),
    "early_exit_4_bits": _early("quarter_channels_4_bits", "4_bits"),
    "early_exit_half_4_bits": _early("quarter_channels_4_bits", "half_channels_4_bits"),
    "early_exit_narrow_4_bits": _early("eighth_channels_4_bits", "half_channels_4_bits"),
    "twice_steps_until_sure": _in_time("twice_steps"),
    "fewer_spikes_until_sure": _in_time("fewer_spikes"),
    "half_channels_until_sure": _in_time("half_channels"),
    "quarter_channels_until_sure": _in_time("quarter_channels"),
}


OF_BOTH = "8_bits", "4_bits", "half_channels", "quarter_channels", "early_exit"
"""Members of both families."""


def members_of(is_spiking: bool) -> dict[str, Control]:
    """Return the members of a family with spikes, or of one without: ten that are trained, and
    five that exit early.
    """
    of_spiking = ("steps", "spikes", "until_sure")
    return {
        name: member
        for name, member in MEMBERS.items()
        if name in OF_BOTH or is_spiking == any(part in name for part in of_spiking)
    }


def of(trial: Trial, prepared: Prepared) -> dict[str, Control]:
    """Return the controls and members of a trial, none of a derived network: its twin is its
    source.
    """
    if "derived" in trial.settings:
        return {}
    is_recorded, experiment = isinstance(prepared.images, Recordings), trial.experiment
    is_spiking = trial.card.family == "snn"
    is_controlled = experiment.controls and (is_recorded or trial.card.num_steps)

    def is_asked(name: str, control: Control) -> bool:
        if control.of_all:
            return experiment.asks_in_whole_numbers
        is_matched = name == BIT_MATCHED and experiment.frontier and is_spiking
        return control.of_recordings == is_recorded and bool(is_controlled or is_matched)

    controls = {name: control for name, control in CONTROLS.items() if is_asked(name, control)}
    return controls | (members_of(is_spiking) if experiment.frontier else {})


def titles(trial: Trial, prepared: Prepared) -> list[str]:
    """Return the titles of the trainings of a planned trial's controls."""
    return [
        f"{_label(control)}: {trial.card.title}"
        for control in of(trial, prepared).values()
        if control.train is not None
    ]


def _label(control: Control) -> str:
    return f"{'family' if control.member else 'control'}, {control.title}"


def run(
    trials: Sequence[Trial], prepared: Prepared, store: Store, progress: Progress, workers: Workers
) -> dict[str, Controlled]:
    """Run the controls of finished trials, and return them by key."""
    described: dict[tuple[str, str], Contender] = {}
    controlled: dict[str, Controlled] = {}
    contexts: dict[tuple[str, str], ControlContext] = {}
    records: dict[tuple[str, str], TrialRecord] = {}
    for trial in trials:
        if (controls := of(trial, prepared)) and store.record(trial.key):
            controlled[trial.key] = Controlled({}, {}, {})
            for name, control in controls.items():
                labelled = Labelled(progress, _label(control))
                context = ControlContext(control, trial, prepared, store, labelled, records)
                contexts[trial.key, name] = context
    trained = {
        place: context for place, context in contexts.items() if context.control.train is not None
    }
    jobs: dict[tuple[str, str], Job] = {}
    for depth in sorted({_depth(context.control) for context in trained.values()}):
        wave: dict[tuple[str, str], Job] = {}
        for (key, name), context in trained.items():
            if _depth(context.control) == depth:
                with _left_out(controlled, key, name, context):
                    wave[key, name] = _job(context, described)
        records |= zip(wave, workers.run(list(wave.values()), store), strict=True)
        jobs |= wave
    done = [job for place, job in jobs.items() if records[place].status == "done"]
    timed = _timed(done, store, progress)
    for (key, name), context in progress.track(contexts.items(), "asking controls", len(contexts)):
        if name not in controlled[key].missing:
            with _left_out(controlled, key, name, context):
                record = records.get((key, name))
                if record:
                    answers, more = _trained(context, record, timed.get(record.key))
                else:
                    answers, more = _asked(context, timed)
                controlled[key].answers[name] = answers
                controlled[key].results[name] = ControlResult(
                    **context.control.about,
                    n=answers.n,
                    accuracy=answers.accuracy,
                    by_class=answers.by_class,
                    **more,
                )
    return controlled


def _depth(control: Control) -> int:
    """Return the number of members that must be trained before it."""
    return 0 if control.source is None else 1 + _depth(MEMBERS[control.source])


@contextmanager
def _left_out(
    controlled: Mapping[str, Controlled], key: str, name: str, context: ControlContext
) -> Iterator[None]:
    """Note an `InputError` as the reason for a missing control of the trial `key`, and say each
    reason once.
    """
    try:
        yield
    except InputError as error:
        known = {gap.reason for each in controlled.values() for gap in each.missing.values()}
        said = context.progress.detail if str(error) in known else context.progress.say
        said(f"  {context.trial.card.title}: left out, {error}")
        controlled[key].missing[name] = MissingControl(**context.control.about, reason=str(error))


def _asked(
    context: ControlContext, timed: Mapping[str, Latency]
) -> tuple[Classification, dict[str, Any]]:
    if context.control.early is not None:
        return _answered_early(context, *context.control.early)
    if context.control.in_time:
        return _answered_in_time(context, timed)
    assert context.control.ask is not None
    answers = context.control.ask(context)
    cost = context.store.measure(context.trial.key, INT8_COST, WholeNumbers)
    return answers, {
        "num_steps": context.num_steps if context.control.spikes else None,
        "whole_numbers": cost if context.control.of_all else None,
    }


def _trained(
    context: ControlContext, record: TrialRecord, timed: Latency | None
) -> tuple[Classification, dict[str, Any]]:
    answered = context.store.measure(record.key, "classification", Classification)
    if record.status == "failed" or answered is None:
        raise InputError(f"its training failed: {record.error}")
    val_accuracy = record.best.validation.accuracy if record.best else None
    if context.control.member:
        # Training may validate in bfloat16; members are ranked in float32, as early exits are.
        best = _confidences(context, record.key).validation.best
        labels = np.asarray(context.prepared.labels)[context.trial.split.val]
        val_accuracy = float((best == labels).mean())
    # The cost of a network on changed recordings means nothing.
    cost, bits = {}, record.settings["training"].get("weight_bits")
    if not context.control.of_recordings:
        cost = cost_entry(context.store.measure(record.key, "operations", Counted), bits)
    return answered, {
        **cost,
        "num_steps": record.settings["num_steps"],
        "bits": record.settings["network"].get("activation_bits"),
        "weight_bits": bits,
        "parameters": record.parameters,
        "epochs": len(record.history),
        "epoch_seconds": record.epoch_seconds,
        "key": record.key,
        "val_accuracy": val_accuracy,
        "one_image_ms": timed.one_image.median_ms if timed and timed.one_image else None,
    }


def _timed(jobs: Sequence[Job], store: Store, progress: Progress) -> dict[str, Latency]:
    """Return the times of answers of the first seed's and fold's members, by key; none on a busy
    machine.
    """
    first = [
        (job.trial, job.prepared)
        for job in jobs
        if job.trial.source and not (job.trial.card.seed or job.trial.split.fold)
    ]
    return {
        key: one
        for key, one in time_answers(first, store, progress, when_idle=True).items()
        if one.one_image and not one.machine.busy
    }


def _confidences(context: ControlContext, key: str) -> LabelConfidences:
    """Return the confidences of a network, in float32. Raises `InputError` if not measured."""
    confidences = context.store.measure(key, "label_confidences", LabelConfidences)
    if confidences is None:
        raise InputError("its confidences were not measured.")
    return confidences


def _answered_early(
    context: ControlContext, first: str, then: str
) -> tuple[Classification, dict[str, Any]]:
    """Return the predictions of two members, of the second where the first has less confidence than
    the threshold of its early exit.
    """
    labels = np.asarray(context.prepared.labels)
    known = [_confidences(context, context.member(name)) for name in (first, then)]
    val, test = (
        _running([getattr(one, side) for one in known], labels[images])
        for side, images in (
            ("validation", context.trial.split.val),
            ("test", context.trial.split.test),
        )
    )
    threshold, val_accuracy = _required(early_exit(test, val))
    steps, _ = test.exits(threshold)
    truth = labels[context.trial.split.test]
    return classified(context.prepared.classes, truth, test.at_exit(steps)), {
        "early": EarlyAnswers(
            first=first, then=then, threshold=threshold, share=float((steps - 1).mean())
        ),
        "val_accuracy": val_accuracy,
    }


def _required(chosen: EarlyExit | None) -> tuple[float, float]:
    """Return the threshold of an early exit, and the validation accuracy with it. Raises
    `InputError` if there is none.
    """
    if chosen is None:
        raise InputError("its readout needs all time steps at once.")
    if chosen.threshold is None:
        raise InputError(
            f"no early exit was shown to cost at most {100 * chosen.tolerance:g} points of "
            f"accuracy, by {chosen.validation.n:,} validation images. At least "
            f"{chosen.validation.fewest:,} are needed."
        )
    return chosen.threshold, chosen.validation.accuracy


def _running(answers: Sequence[Confidences], labels: np.ndarray) -> Running:
    """Return the answers of two networks as steps: the second is asked after the first."""
    predicted = np.array([one.best for one in answers])
    return Running(predicted, predicted == labels, np.array([one.highest for one in answers]))


def _answered_in_time(
    context: ControlContext, timed: Mapping[str, Latency]
) -> tuple[Classification, dict[str, Any]]:
    """Return the predictions of a member with the early exit that was chosen when it was trained,
    and their mean time by the steps of the network that was timed: each step's scores are known
    before the next one.
    """
    source = context.control.source
    assert source
    key, record = context.member(source), context.records[context.trial.key, source]
    by_step = context.store.measure(key, "by_step", Anytime) or Anytime()
    threshold, val_accuracy = _required(by_step.early_exit)

    def ask() -> UntilSure:
        held = _changed(replace(context, control=MEMBERS[source]))[1].held
        test = EvaluationBatches(*held, context.trial.split.test)
        return until_sure(load_of(key, context.trial, context.store), source, threshold, test)

    found = context.kept(key, "temporal-early-exit", ask, UntilSure)
    bits = record.settings["training"].get("weight_bits")
    counts = [
        one and cost_entry(Counted(operations=one), bits)["operations"]
        for one in found.found.operations
    ]
    alike = (
        timed.get(record.key)
        for (_, member), record in context.records.items()
        if member == source and record.settings["contender"] == context.trial.card.contender
    )
    until_step = next((latency.stream_ms for latency in alike if latency), None)
    return found.answers, {
        "in_time": structs.replace(found.found, operations=counts),
        "val_accuracy": val_accuracy,
        "one_image_ms": until_step and float(np.dot(found.found.shares, until_step)),
    }


def _job(context: ControlContext, described: dict[tuple[str, str], Contender]) -> Job:
    """Return the job of a control; all seeds and folds share `described`."""
    trial, control, name = context.trial, context.control, context.trial.card.contender
    changed, prepared = _changed(context)
    if (name, control.title) not in described:
        contender = describe(name, changed, prepared)
        if contender.card.num_steps not in (None, changed.num_steps):
            raise InputError(
                f"{name} makes its own {contender.card.num_steps} time steps, whatever it is told."
            )
        if "neuron" in (control.train or {}):
            _require_given_neuron(contender)
        if control.bits:
            network = {**contender.card.network, "activation_bits": bits_of(context.num_steps)}
            contender = replace(contender, card=replace(contender.card, network=network))
        described[name, control.title] = contender
    contenders = [described[name, control.title]]
    planned = trials_of(changed, prepared, trial.split, contenders=contenders)[trial.card.seed]
    if control.member:
        source = {"source": context.member(control.source)}
        planned = replace(planned, settings={**planned.settings, **source})
    return Job(planned, prepared, context.progress)


def _changed(context: ControlContext) -> tuple[Experiment, Prepared]:
    """Return the experiment and the data of a control's training."""
    settings, own = context.control.settings(context), (context.trial.card.contender,)
    experiment = context.trial.experiment.without_features()
    changed = replace(experiment, contenders=own, **settings)
    return changed, binned(context.prepared, changed, None, context.control.change)


def _require_given_neuron(contender: Contender) -> None:
    others = sorted({type(neuron).__name__ for neuron in _spiking_layers(contender.outline)})
    if others or not any(isinstance(layer, ReLU) for layer in contender.outline.modules()):
        kept = f"layers of {' and '.join(others)}" if others else "no layer of spikeduel's neurons"
        raise InputError(
            f"a twin cannot be built: {contender.name} has {kept} whatever neuron it is given. Let "
            "its build function take `neuron` and make each layer of neurons by neuron()."
        )


def _spiking_layers(module: nn.Module) -> list[Neuron]:
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, Neuron)
        and not isinstance(layer, ReLU)
        and not (isinstance(layer, LIF) and layer.threshold == float("inf"))
    ]
