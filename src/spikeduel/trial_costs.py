"""What a trial costs, as results.json and the terminal say it: operations counted, and energies estimated from them."""

import statistics
from collections.abc import Sequence
from typing import Any

from spikeduel import energy
from spikeduel.schema import OPERATIONS
from spikeduel.shapes import require


def cost_entry(operations: dict[str, Any] | None) -> dict[str, Any]:
    """What a trial, or a control of one, says of its cost, from the measure `operations`: counts and energies.

    Where a network could not be counted both are null, and `not_counted` says why.
    """
    counted = operations is not None and operations["layers"] is not None
    return {
        "operations": operations if counted else None,
        "energy": energy.energies(operations) if operations is not None and counted else None,
        "not_counted": operations["reason"] if operations is not None and not counted else None,
    }


def with_energy(results: dict[str, Any], tables: Sequence[energy.Table]) -> dict[str, Any]:
    """The content of results.json with all energies estimated again, from its counts.

    By `tables` first, then by those that have a name. Raises `InputError` where a control's counts are damaged.
    """
    names = {table.name for table in tables}
    chosen = [*tables, *(energy.read(name) for name in energy.NAMES if name not in names)]

    def estimated(entry: dict[str, Any]) -> dict[str, Any]:
        operations = entry.get("operations")
        if not operations:
            return entry
        require(operations, OPERATIONS, "operations")
        return {**entry, "energy": energy.energies(operations, chosen)}

    trials = []
    for trial in results["trials"]:
        controls = trial.get("controls")
        if controls:
            controls = {k: estimated(v) if k != "reasons" and isinstance(v, dict) else v for k, v in controls.items()}
        trials.append({**estimated(trial), "controls": controls})
    return {**results, "trials": trials}


def costs_are(trials: Sequence[dict[str, Any]]) -> str:
    """What the numbers of `cost_rows` are."""
    name, entry = next(item for t in trials if t.get("energy") for item in t["energy"]["tables"].items())
    return (
        "Of one image, means over trials: operations that numbers cause (MACs, all of them) and that spikes cause "
        f"(ACs), and the energy of both in µJ, an ESTIMATE by table {name} ({entry['title']}). In brackets: where a "
        "first layer whose input never changes is computed once."
    )


def cost_rows(trials: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row a contender that was counted, every cell as text; nothing where none was. See `costs_are`."""
    rows = []
    for contender in dict.fromkeys(trial["contender"] for trial in trials):
        counted = [t for t in trials if t["contender"] == contender and t.get("operations") and t.get("energy")]
        if not counted:
            continue
        totals = [trial["operations"]["totals"] for trial in counted]
        tables = [next(iter(trial["energy"]["tables"].values())) for trial in counted]
        macs = {way: statistics.fmean(each["macs"]["dense"][way] for each in totals) for way in energy.COUNTINGS}
        rates = [r for each in totals if (r := each["spikes_per_neuron_and_step"]) is not None]
        row = {
            "model": contender,
            "MACs": _in_both(macs, "{:,.0f}"),
            "ACs": f"{statistics.fmean(each['acs']['total'] for each in totals):,.0f}",
            "spikes/neuron/step": f"{statistics.fmean(rates):.3f}" if rates else "",
        }
        for memory, title in (("compute", "arithmetic"), ("on_chip", "+ memory"), ("off_chip", "+ weights outside")):
            found = {
                way: [1e6 * j for entry in tables if (j := energy.joules(entry, memory, counting=way)) is not None]
                for way in energy.COUNTINGS
            }
            known = all(len(values) == len(tables) for values in found.values())
            mean = {way: statistics.fmean(values) for way, values in found.items() if known}
            row[title] = _in_both(mean, "{:,.3g}") if known else "not known"
        rows.append(row)
    return rows


def _in_both(amounts: dict[str, float], form: str) -> str:
    """As written, and where that differs also cached."""
    written, cached = (
        (form if amounts[way] < 1000 else "{:,.0f}").format(amounts[way]) for way in ("as_written", "cached")
    )
    return written if written == cached else f"{written} ({cached})"
