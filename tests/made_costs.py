"""Energies, times, controls and early exits of made-up trials."""

from msgspec.structs import replace

import made_results
from made_trials import scored
from spikeduel.results.answer import answered
from spikeduel.results.costs import (
    MEMORIES,
    Energy,
    Joules,
    Range,
    TableEnergy,
    WayJoules,
)
from spikeduel.results.frontier import Member
from spikeduel.results.run import SCHEMA, Conclusions, Counts, Dataset, Results
from spikeduel.results.trials import (
    Anytime,
    ControlResult,
    EarlyExit,
    ExitChoice,
    Latency,
    Leaving,
    Machine,
    Score,
    Throughput,
    Times,
    Trial,
)
from spikeduel.settings.recipes import baseline

MACHINE = Machine(
    cpu="a",
    cores=2,
    threads=2,
    device="cpu",
    gpu=None,
    torch="2",
    python="3",
    platform="p",
    load_average=None,
)
THRESHOLDS = (0.5, 0.9, None)


def joules(amount):
    """Zeros skipped: half of the amount; or a (low, high)."""
    low, high = amount if isinstance(amount, tuple) else (amount / 2, amount)
    return Joules(dense=high, range=Range(low=low, high=high))


def energy_of(hoisted, per_step=None, with_memory=None, table="45nm-fp32"):
    """These joules by one table, whatever is counted."""

    def ways(hoisted, per_step):
        return WayJoules(per_step=joules(per_step), hoisted=joules(hoisted))

    alone = ways(hoisted, hoisted if per_step is None else per_step)
    more = alone if with_memory is None else ways(with_memory, with_memory)
    models = {memory: alone if memory == "compute" else more for memory in MEMORIES}
    return Energy(tables={table: TableEnergy(title=f"the table {table}", source="s", **models)})


def latency(median_ms=None, p95_ms=None, stream=None, **changes):
    times = None if median_ms is None else Times(median_ms=median_ms, p95_ms=p95_ms, n=9)
    return Latency(**{"machine": MACHINE, "one_image": times, "stream_ms": stream, **changes})


def fully_timed():
    return latency(
        0.5,
        0.75,
        throughput={
            size: Throughput(
                median_ms=1,
                p95_ms=None,
                n=9,
                batch_size=int(size),
                images_per_second=number,
            )
            for size, number in (("32", 4000.4), ("256", 3000.0))
        },
        start_up_seconds=1.25,
        peak_memory_bytes=300_000_000,
    )


def control(title, accuracy, spikes=False, supports=(200,) * 10, **changes):
    about = {"meaning": "m", "spikes": spikes, "n": 20, "accuracy": accuracy}
    return ControlResult(
        title=title, by_class=scored(accuracy, supports).by_class, **about, **changes
    )


def leaving(threshold, accuracy, exit_steps):
    steps = sum(step * images for step, images in enumerate(exit_steps, 1)) / sum(exit_steps)
    return Leaving(threshold=threshold, mean_steps=steps, accuracy=accuracy, exit_steps=exit_steps)


def followed(accuracies, curve, chosen=0):
    """Accuracies by step, and an early exit at one of the thresholds of `curve`."""
    at = curve[chosen]
    exits = EarlyExit(
        **{name: getattr(at, name) for name in Leaving.__struct_fields__},
        tolerance=0.002,
        curve=curve,
        validation=ExitChoice(n=20, mean_steps=at.mean_steps, accuracy=at.accuracy),
    )
    return Anytime(num_steps=len(accuracies), n=20, accuracies=accuracies, early_exit=exits)


def trial(contender, **changes):
    """A finished trial of which nothing else matters."""
    family = "cnn" if "cnn" in contender else "snn"
    made = Trial(
        contender=contender,
        family=family,
        seed=0,
        encoding=None,
        num_steps=None,
        parameters=69,
        status="done",
        error=None,
        epochs=0,
        best_epoch=None,
        stopped=None,
        epoch_seconds=[],
        history=[],
        test=None,
        model="m",
        validation=Score(accuracy=0.5),
    )
    return replace(made, **changes)


def results_of(*trials):
    made = Results(
        schema=SCHEMA,
        spikeduel="0",
        created="2025",
        environment=None,
        experiment=baseline(),
        trials=list(trials),
        dataset=Dataset(
            name="d",
            fingerprint="f",
            classes=["a"],
            counts=Counts(train=1, val=1, test=1),
            split="official",
        ),
        comparison=Conclusions(),
    )
    return answered(made)


def with_trial(results, index, **changes):
    """`results` in which one trial has other values."""
    trials = list(results.trials)
    trials[index] = replace(trials[index], **changes)
    return made_results.replaced(results, trials=trials)


def with_accuracy(results, index, accuracy):
    return with_trial(results, index, test=replace(results.trials[index].test, accuracy=accuracy))


def member(contender: str, spiking: bool = False) -> Member:
    """A cheaper network of which everything is made up."""
    nine = Range(low=9.0, high=9.0)
    return Member(
        contender=contender,
        member="8_bits",
        title="8 bits",
        spiking=spiking,
        val_accuracy=0.9,
        accuracy=0.9,
        ci95=Range(low=0.8, high=1.0),
        rate=None,
        num_steps=None,
        seconds=1.0,
        amounts={"weights": nine, "yan": nine},
    )
