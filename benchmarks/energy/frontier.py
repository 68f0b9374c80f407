"""Costs at equal accuracy: the duels of studies/frontier.toml, each with its families of cheaper
networks.

    python -m benchmarks.energy.frontier --data NAME=PATH … [--only NAME …] [--seeds N] [--minutes M]
        [--lengths N …] [--limit N] [--folds N] [--threads N] [--jobs N] [--runs DIR]
    python -m benchmarks.energy.frontier --write

NAME=PATH says where a data set of the study lies: the files of a known one, or a folder. All
contenders train for equal minutes; with `--lengths`, until they have converged: for as many epochs
as validation images choose, with the first seed (`converged`). What the store under `--runs` holds
is not trained again. The results go to benchmarks/results/equal-grids.json by data set and budget;
`--write` makes docs/frontier.md of them, its figures, and the tables of all networks and ratios in
docs/frontier.
"""

import csv
import io
import shutil
import statistics
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import shared, tables
from benchmarks.tables import TEMPLATES, mean
from spikeduel.comparing import compare
from spikeduel.data.catalogue import datasets
from spikeduel.experiment.fields import checked
from spikeduel.experiment.recipes import asked
from spikeduel.experiment.settings import SETTINGS, Experiment
from spikeduel.features.compression.compression_section import chart
from spikeduel.features.compression.frontier_analysis import ALL_SPIKING, Network, costs_at
from spikeduel.features.compression.frontier_results import (
    BreakEven,
    Conclusion,
    FrontierPair,
    RatioResult,
)
from spikeduel.features.compression.frontier_sentences import (
    FRONTIER,
    RATIOS,
    even_rate,
    highest,
    label,
    ratio_rows,
    times,
    whole,
)
from spikeduel.reporting import drawing
from spikeduel.reporting.charts import OTHER_COLOURS, SPIKING_COLOURS
from spikeduel.results.cost_results import Group, Range
from spikeduel.results.means import by_contender
from spikeduel.sentences.columns import tenths, text_rows
from spikeduel.system import numbers
from spikeduel.system.hardware import compute_on
from spikeduel.system.progress import Progress, TerminalProgress
from spikeduel.system.typed import plain
from spikeduel.training.jobs import Processes, Workers

RESULT = "equal-grids.json"
MINUTES, CONVERGED = "equal minutes", "converged"
"""Budgets of training."""
MIN_GAIN = 0.001
"""Validation accuracy by which longer training must be better."""
PAGE, TABLES = shared.DOCS / "frontier.md", shared.DOCS / "frontier"
COLOURS = {
    "vgg-lif": SPIKING_COLOURS[0],
    "vgg-integer": SPIKING_COLOURS[1],
    "vgg-relu": OTHER_COLOURS[0],
}
STUDY = shared.ROOT / "studies" / "frontier.toml"


def experiments() -> dict[str, Experiment]:
    """Return the experiment of each data set in `STUDY`."""
    study = tomllib.loads(STUDY.read_text(encoding="utf-8"))
    settings = {
        name: checked(name, value, SETTINGS[name].type) for name, value in study["settings"].items()
    }
    return {
        name: asked({**settings, "dataset": name}, name.startswith("n-mnist"))
        for name in study["grid"]["dataset"]
    }


def main() -> None:
    parser = shared.parser(
        __doc__,
        only=[],
        seeds=int,
        minutes=float,
        limit=int,
        folds=int,
        threads=int,
        jobs=1,
        runs=Path("runs/frontier"),
        write=False,
    )
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--lengths", nargs="*", type=int, default=[], metavar="N")
    options = parser.parse_args()
    if options.write:
        write()
        return
    if options.threads:
        compute_on(options.threads)
    paths = shared.pairs(options.data)
    for name, experiment in experiments().items():
        if options.only and name not in options.only:
            continue
        where = {"data_dir": paths.get(name)} if name in datasets() else {"dataset": paths[name]}
        experiment = replace(
            experiment,
            **where,
            seeds=options.seeds or experiment.seeds,
            minutes=options.minutes or experiment.minutes,
            limit=None if options.folds else options.limit or experiment.limit,
            folds=options.folds,
        )
        budget, lengths = CONVERGED if options.lengths else MINUTES, {}
        place = options.runs / f"{name} {budget}", options.runs / "store", TerminalProgress()
        with Processes(options.jobs, 1) if options.jobs > 1 else Workers() as workers:
            if options.lengths:
                lengths = by_length(experiment, options.lengths, place, workers)
                experiment = replace(experiment, minutes=None, epochs=converged(lengths))
            results = compare(experiment, *place, workers=workers).results
        known = shared.read(RESULT, {})
        entry = {
            "settings": {
                setting: getattr(experiment, setting)
                for setting in ("contenders", "minutes", "seeds", "limit", "folds", "recipe")
            },
            "budget": plain(results.budget),
            "epochs": {trial.contender: trial.epochs for trial in results.trials},
            "validation accuracy by epochs": lengths,
            "chosen": plain(results.rules.chosen) if results.rules else {},
            "counts": plain(results.dataset.counts),
            "environment": results.environment,
            "accuracy": {
                contender: [trial.test.accuracy for trial in results.of(contender) if trial.test]
                for contender in results.contenders
            },
            "seconds": {
                "contenders": sum(sum(trial.epoch_seconds) for trial in results.trials),
                "families and twins": sum(
                    sum(variant.epoch_seconds)
                    for trial in results.trials
                    for variant in trial.variants.values()
                ),
            },
            "frontier": plain(results.features["compression"]),
        }
        of_name = {**known.get(name, {}), budget: entry}
        shared.write(RESULT, {**known, name: of_name}, as_it_is=True)


def by_length(
    experiment: Experiment,
    lengths: Sequence[int],
    place: tuple[Path, Path, Progress],
    workers: Workers,
) -> dict[str, dict[int, float]]:
    """Return the validation accuracy of each contender by epochs, of one seed and all folds."""
    found: dict[str, dict[int, float]] = {}
    out, store, progress = place
    for epochs in lengths:
        shorter = replace(experiment, minutes=None, epochs=epochs, seeds=1).without_features()
        for contender, trials in by_contender(
            compare(shorter, Path(f"{out} {epochs}"), store, progress, workers=workers).results,
            lambda trial: trial.history,
        ).items():
            last = [history[-1].validation.accuracy for history in trials]
            found.setdefault(contender, {})[epochs] = statistics.fmean(last)
    return found


def converged(by_epochs: dict[str, dict[int, float]]) -> int:
    """Return the fewest epochs after which no contender gains `MIN_GAIN` by longer training. Exits if
    these are the most that were tried.
    """
    epochs = max(
        min(n for n, accuracy in of.items() if accuracy >= max(of.values()) - MIN_GAIN)
        for of in by_epochs.values()
    )
    if epochs == max(max(of) for of in by_epochs.values()):
        raise SystemExit(f"Not converged after {epochs} epochs: add longer --lengths.")
    return epochs


COST_TITLES: dict[Group, str] = {
    "measured": "inference time, CPU",
    "memory": "energy, memory access included",
    "arithmetic": "energy, arithmetic only",
    "chip": "energy, SNN on a neuromorphic chip",
    "operations": "operations or bits",
    "size": "bytes of weights",
}
"""Kinds of cost: columns of the page, and rows of the README but for `size`."""


@dataclass(frozen=True)
class EqualCost:
    """Cost of spiking networks as a multiple of the other's, by all accountings of one kind.

    `counts`: accountings by result.
    """

    accuracy: float
    ratio: Range
    label: str
    counts: dict[RatioResult, int]


def costs_at_equal_accuracy() -> dict[str, dict[Group, EqualCost]]:
    """Return the costs by data set and kind, each at the highest accuracy that is compared by it.

    Most kinds of a data set share an accuracy; `EqualCost.accuracy` says which do not.
    """
    costs: dict[str, dict[Group, EqualCost]] = {}
    for name, budget, entry in entries():
        if budget == CONVERGED:
            continue
        pair = entry["found"].pairs[0]
        costs[name] = {
            group: EqualCost(
                at.accuracy,
                whole(ratios),
                label(ratios, pair),
                Counter(ratio.result for ratio in ratios),
            )
            for group, (at, ratios) in highest(pair).items()
        }
    return costs


COST_COLUMNS = {
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "cifar-10": "CIFAR-10",
    "socofing": "fingerprints",
    "photos-ants-bees": "398 photographs",
    "n-mnist-800": "800 event recordings",
}


def readme_table() -> str:
    """Return the cost of spiking networks at the highest accuracy that is compared; bold where all
    accountings agree.
    """
    costs = costs_at_equal_accuracy()
    kinds = {
        kind: title for kind, title in COST_TITLES.items() if kind not in ("size", "operations")
    }

    def heading(name: str) -> str:
        known = [cost for kind, cost in costs[name].items() if kind in kinds]
        accuracies = sorted(cost.accuracy for cost in known)
        ends = dict.fromkeys(tenths(accuracy) for accuracy in (accuracies[0], accuracies[-1]))
        return f"{COST_COLUMNS[name]}<br>at {' to '.join(ends)} %"

    def cell(cost: EqualCost | None) -> str:
        if cost is None:
            return "–"
        bold = "**" if cost.counts.keys() in ({"less"}, {"more"}) else ""
        return f"{bold}{times(cost.ratio)}{bold}<br>{cost.label}"

    rows = [
        [title, *(cell(by_kind.get(kind)) for by_kind in costs.values())]
        for kind, title in kinds.items()
    ]
    return tables.written(["SNN / CNN", *map(heading, costs)], rows)


def at_highest(pair: FrontierPair, kinds: Sequence[Group]) -> Iterator[str]:
    """Yield the accuracy of a pair that most kinds of cost are compared at, and a cell for each
    kind, at the highest accuracy that it has.
    """
    found = highest(pair)
    accuracies = [at.accuracy for at, _ in found.values()]
    usual = max(accuracies, key=accuracies.count, default=0.0)
    yield numbers.per_cent(usual) if accuracies else "–"
    for kind in kinds:
        if kind not in found:
            yield "–"
            continue
        at, costs = found[kind]
        elsewhere = "" if at.accuracy == usual else f" at {numbers.per_cent(at.accuracy)}"
        yield f"{times(whole(costs))}{elsewhere}: {label(costs, pair)}"


def epochs(entry: dict[str, Any], contender: str) -> int:
    """Return the epochs of a contender."""
    found: int = (entry.get("epochs") or entry["budget"]["epochs"])[contender]
    return found


def cheapest(pair: FrontierPair) -> str:
    """Return the networks that cost least by most accountings, at the highest accuracy."""
    if not pair.at:
        return "No accuracy lies on the curves of both."
    at = pair.at[0]
    networks = "; ".join(f"{name}: {network}" for name, network in at.cheapest.items())
    return f"Cheapest at {numbers.per_cent(at.accuracy)} accuracy, by most accountings: {networks}."


def lengths(entry: dict[str, Any], contender: str) -> str:
    """Return the validation accuracies of a contender by epochs, in per cent."""
    by_epochs = entry.get("validation accuracy by epochs", {}).get(contender, {})
    return ", ".join(f"{n}: {tenths(accuracy)}" for n, accuracy in by_epochs.items()) or "–"


def cost_as_measured(
    found: Conclusion, contender: str, accuracy: float, accounting: str, end: str
) -> float:
    """Return the least cost of an accuracy on the curve of a contender (or `ALL_SPIKING`), without
    bootstrap samples, at the `end` of the accounting's range.
    """
    family = [
        Network(
            one,
            np.array([one.accuracy]),
            {accounting: np.array([[getattr(one.amounts[accounting], end)]])},
            np.array([one.accuracy]),
        )
        for one in found.variants
        if (one.spiking if contender == ALL_SPIKING else one.contender == contender)
    ]
    return float(costs_at(accuracy, family, accounting, False)[0, 0])


def write() -> None:
    """Write the page, its figures and its tables."""
    for old in TABLES.glob("*.csv"):
        old.unlink()
    TABLES.mkdir(exist_ok=True)
    for name, budget, entry in entries():
        drawn = chart(entry["found"], COLOURS)
        with tempfile.TemporaryDirectory() as folder:
            drawing.save(replace(drawn, name=stem(name, budget)), Path(folder))
            made = f"{stem(name, budget)}.png"
            shutil.copy(Path(folder, made), PAGE.parent / "figures" / made)
    for path, text in csv_tables().items():
        path.write_text(text)
    PAGE.write_text(page())


def entries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each data set with its budget and results."""
    results = shared.read(RESULT)
    for name in COST_COLUMNS:
        for budget, entry in results.get(name, {}).items():
            yield name, budget, {**entry, "found": msgspec.convert(entry["frontier"], Conclusion)}


def stem(name: str, budget: str) -> str:
    """Return the name of the files of a data set and budget, without their ending."""
    return f"frontier-{name}" + {CONVERGED: "-converged"}.get(budget, "")


def csv_tables() -> dict[Path, str]:
    """Return the tables of all networks and all ratios, by file."""
    made = {}
    for name, budget, entry in entries():
        found: Conclusion = entry["found"]
        amounts = [
            {
                f"{kind.label}, {end}": f"{getattr(one.amounts[accounting], end):.6g}"
                for accounting, kind in found.accountings.items()
                for end in ("low", "high")
            }
            for one in found.variants
        ]
        networks = text_rows(FRONTIER, found.variants)
        rows = [row | amount for row, amount in zip(networks, amounts, strict=True)]
        made[TABLES / f"{stem(name, budget)}-networks.csv"] = csv_text(rows)
        made[TABLES / f"{stem(name, budget)}-ratios.csv"] = csv_text(
            text_rows(RATIOS, ratio_rows(found))
        )
        missing = [
            {"family": contender, "network": title, "reason": reason}
            for contender, reasons in found.left_out.items()
            for title, reason in reasons.items()
        ]
        if missing:
            made[TABLES / f"{stem(name, budget)}-missing.csv"] = csv_text(missing)
    return made


def csv_text(rows: Sequence[dict[str, str]]) -> str:
    """Return rows of cells as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def page() -> str:
    """Return docs/frontier.md."""
    measured = list(entries())
    return TEMPLATES.get_template("energy/frontier.md.j2").render(
        entries=measured,
        titles=COST_TITLES,
        at_highest=at_highest,
        device_rows=device_rows,
        cheapest=cheapest,
        stem=stem,
        command=command,
        epochs=epochs,
        lengths=lengths,
        mean=mean,
        best=best,
        seconds=seconds,
        break_even=break_even,
    )


def command(name: str, entry: dict[str, Any]) -> str:
    """Return the command that measures a data set."""
    settings = {"threads": entry["environment"]["threads"], **entry["settings"]}
    by_epochs: dict[str, float]
    by_epochs = next(iter(entry.get("validation accuracy by epochs", {}).values()), {})
    settings["lengths"] = " ".join(by_epochs)
    options = [
        f"--{option} {str(settings[option]).removesuffix('.0')}"
        for option in ("threads", "minutes", "lengths", "seeds", "folds", "limit")
        if settings[option]
    ]
    return (
        f"python -m benchmarks.energy.frontier --only {name} --data {name}=PATH {' '.join(options)}"
    )


def device_rows(measured: Sequence[tuple[str, str, dict[str, Any]]]) -> list[list[str]]:
    """Return the cells of the least energies on devices, at the highest accuracy that has any."""
    columns: dict[str, dict[str, str]] = {}
    for name, budget, entry in measured:
        found: Conclusion = entry["found"]
        pair = found.pairs[0]
        if "device" not in (kinds := highest(pair)):
            continue
        at, ratios = kinds["device"]
        cells = columns[f"{name}, {budget}, at {numbers.per_cent(at.accuracy)}"] = {}
        for ratio in ratios:
            costs = []
            for contender in (pair.spiking, pair.other):
                which = (found, contender, at.accuracy, ratio.accounting)
                low, high = (1e6 * cost_as_measured(*which, end=end) for end in ("low", "high"))
                costs.append(Range(low=low, high=high))
            device = found.accountings[ratio.accounting].label
            cells[device] = f"{' / '.join(map(times, costs))}: {label([ratio], pair)}"
    devices = dict.fromkeys(device for cells in columns.values() for device in cells)
    return [
        ["device", *columns],
        ["---"] * (1 + len(columns)),
        *([device, *(of.get(device, "–") for of in columns.values())] for device in devices),
    ]


def break_even(measured: Sequence[tuple[str, str, dict[str, Any]]]) -> list[list[str]]:
    """Return the cells of the break-even rates by accounting, a column for each data set, budget and
    spiking network that has any.
    """
    rates = {
        f"{pair.spiking} on {name}, {budget}": {rate.accounting: rate for rate in pair.break_even}
        for name, budget, entry in measured
        for pair in entry["found"].pairs
        if pair.break_even
    }
    labels = {
        name: kind.label
        for _, _, entry in measured
        for name, kind in entry["found"].accountings.items()
        if any(name in found for found in rates.values())
    }
    own = [f"{next(iter(found.values())).measured:.3f}" for found in rates.values()]
    return [
        ["", *rates],
        ["---"] * (1 + len(rates)),
        ["the network's own rate", *own],
        *(
            [label, *(break_even_cell(found.get(accounting)) for found in rates.values())]
            for accounting, label in labels.items()
        ),
    ]


def break_even_cell(found: BreakEven | None) -> str:
    """Return the rate and its interval, in bold type where the network spikes less often than the
    interval's low end; one seed has no interval.
    """
    if found is None:
        return "–"
    rate, interval = even_rate(found), found.ci95
    bold = "**" if interval and interval.low > found.measured else ""
    if interval is None or rate.endswith("at any"):
        return f"{bold}{rate}{bold}"
    return f"{bold}{rate}{bold} ({interval.low:.3f} to {interval.high:.3f})"


def best(entry: dict[str, Any], contender: str) -> str:
    """Return the highest accuracy of a network of a family, in per cent."""
    members = [one.accuracy for one in entry["found"].variants if one.contender == contender]
    return f"{100 * max(members):.2f}"


def seconds(entry: dict[str, Any], contender: str) -> str:
    """Return the mean training time of a seed's family."""
    members = (one for one in entry["found"].variants if one.contender == contender)
    return f"{sum(member.seconds for member in members):,.0f}"


if __name__ == "__main__":
    main()
