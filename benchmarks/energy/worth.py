"""The page that says when a spiking network is worth it, made from results files.

    python -m benchmarks.energy.worth

Costs are those of `frontier` at equal accuracy and equal minutes of training.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks import shared, tables
from benchmarks.energy.frontier import (
    COST_COLUMNS,
    COST_TITLES,
    MINUTES,
    EqualCost,
    costs_at_equal_accuracy,
    entries,
)
from benchmarks.tables import TEMPLATES
from spikeduel.features.compression.frontier_analysis import ALL_SPIKING
from spikeduel.features.compression.frontier_results import RatioAt, RatioResult
from spikeduel.features.compression.frontier_sentences import highest, times, whole
from spikeduel.features.device_energy.device_models import devices, models
from spikeduel.features.device_energy.targets import NEWEST
from spikeduel.results.cost_results import Group
from spikeduel.system.numbers import per_cent

PAGE = shared.DOCS / "worth-it.md"
EVENTS = "n-mnist-800"
FAMILIES = {
    "vgg-lif": "LIF neurons",
    "vgg-integer": "integer activations in training",
    "vgg-relu by first spikes": "a CNN, converted to one spike per neuron",
}
"""Title of each spiking family."""
KINDS: tuple[Group, ...] = ("memory", "arithmetic", "chip")


def costs(group: Group) -> dict[str, EqualCost]:
    """Return the costs of a kind by title of the data set."""
    return {
        COST_COLUMNS[name]: of[group]
        for name, of in costs_at_equal_accuracy().items()
        if group in of
    }


def times_by_family() -> dict[str, dict[str, RatioAt]]:
    """Return the ratio of inference times of each spiking family, by family and title of the data
    set.
    """
    found: dict[str, dict[str, RatioAt]] = {}
    for name, budget, entry in entries():
        for pair in entry["found"].pairs:
            kinds = highest(pair)
            if budget == MINUTES and "measured" in kinds and pair.spiking != ALL_SPIKING:
                (ratio,) = kinds["measured"][1]
                found.setdefault(pair.spiking, {})[COST_COLUMNS[name]] = ratio
    return found


def time_table() -> str:
    """Return the ratios of inference times, a row for each spiking family."""
    families = times_by_family()
    titles = dict.fromkeys(title for of in families.values() for title in of)
    rows = [
        [FAMILIES[name], *(cell(of.get(title)) for title in titles)]
        for name, of in families.items()
    ]
    return tables.written(["SNN / CNN, inference time", *titles], rows)


def cell(ratio: RatioAt | None) -> str:
    return f"{times(ratio.ratio)}: {ratio.result}" if ratio else "–"


def by_device() -> dict[str, dict[str, RatioAt]]:
    """Return the ratio of energies by board and title of the data set."""
    ratios: dict[str, dict[str, RatioAt]] = {}
    for name, budget, entry in entries():
        kinds = highest(entry["found"].pairs[0])
        if budget == MINUTES and "device" in kinds:
            for ratio in kinds["device"][1]:
                ratios.setdefault(ratio.accounting, {})[COST_COLUMNS[name]] = ratio
    return ratios


def device_table(is_microcontroller: bool) -> str:
    """Return the ratios of energies on microcontrollers, or on chips for spiking networks."""
    rows = []
    for board, ratios in by_device().items():
        if ("other" in models()[NEWEST[board]]) == is_microcontroller:
            of_all = [*ratios.values()]
            title = devices()[NEWEST[board]].title
            rows.append([title, times(whole(of_all)), counted(one.result for one in of_all)])
    return tables.written(["device", "SNN / CNN, energy", "result, by data set"], rows)


def counted(results: Iterable[RatioResult]) -> str:
    """Return how many results there are of each kind, in words."""
    counts = Counter(results)
    return ", ".join(f"{result} in {counts[result]} of {counts.total()}" for result in counts)


def cost_table(groups: Sequence[Group]) -> str:
    """Return the costs of some kinds, a row for each data set."""
    named = {group: costs(group) for group in groups}
    rows = []
    for title in dict.fromkeys(title for of in named.values() for title in of):
        of_title = {group: of[title] for group, of in named.items() if title in of}
        first = next(iter(of_title.values()))
        cells = [
            f"{times(of_title[group].ratio)}: {of_title[group].label}"
            if group in of_title
            else "not measured"
            for group in groups
        ]
        rows.append([title, per_cent(first.accuracy), *cells])
    return tables.written(
        ["data set", "at accuracy", *(COST_TITLES[group] for group in groups)], rows
    )


def page() -> str:
    """Return docs/worth-it.md."""
    families = times_by_family()
    by_result = {name: [one.result for one in of.values()] for name, of in families.items()}
    ratios = shared.read("speed-cpu.json")["ratios"].values()
    training = [of["cnn"]["median"] for of in ratios if "cnn" in of]
    on_microcontrollers = [
        ratio
        for board, of_board in by_device().items()
        if "other" in models()[NEWEST[board]]
        for ratio in of_board.values()
    ]
    return TEMPLATES.get_template("energy/worth.md.j2").render(
        num_sets=len(costs("memory")),
        lif=times(whole([*families["vgg-lif"].values()])),
        integer=times(whole([*families["vgg-integer"].values()])),
        any_faster=any("less" in results for results in by_result.values()),
        time_table=time_table(),
        on_microcontrollers=times(whole(on_microcontrollers)),
        microcontrollers=counted(one.result for one in on_microcontrollers),
        microcontroller_table=device_table(is_microcontroller=True),
        chip_table=device_table(is_microcontroller=False),
        energy_table=cost_table(KINDS),
        arithmetic=costs("arithmetic"),
        events=COST_COLUMNS[EVENTS],
        times=times,
        training=[min(training), max(training)],
        accuracies=tables.records(),
    )


def main() -> None:
    shared.parser(__doc__).parse_args()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
