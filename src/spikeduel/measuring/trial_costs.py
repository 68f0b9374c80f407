"""What a trial costs, as results.json says it: operations counted, and energies estimated from them."""

from collections.abc import Sequence
from typing import Any

from spikeduel.measuring import energy
from spikeduel.results.schema import OPERATIONS
from spikeduel.system.shapes import require


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
