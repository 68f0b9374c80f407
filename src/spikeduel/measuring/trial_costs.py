"""What a trial costs, as results.json says it: operations counted, and energies estimated from them."""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from spikeduel.measuring import energy
from spikeduel.results.costs import Counted, Energy, Operations
from spikeduel.results.run import Results
from spikeduel.results.trials import ControlResult, Trial


def cost_entry(counted: Counted | None) -> dict[str, Any]:
    """`operations`, `energy` and `not_counted` of a trial, or of a control of one."""
    operations = counted and counted.operations
    return {
        "operations": operations,
        "energy": energy.energies(operations) if operations else None,
        "not_counted": counted.reason if counted and not operations else None,
    }


def with_energy(results: Results, tables: Sequence[energy.Table]) -> Results:
    """`results` with all energies estimated again from their counts: by `tables` first, then by those with a name."""
    names = {table.name for table in tables}
    chosen = [*tables, *(energy.read(name) for name in energy.NAMES if name not in names)]

    def estimated(operations: Operations | None) -> Energy | None:
        return energy.energies(operations, chosen) if operations else None

    def of_control(control: ControlResult) -> ControlResult:
        return structs.replace(control, energy=estimated(control.operations))

    def of_trial(trial: Trial) -> Trial:
        controls = {name: of_control(control) for name, control in trial.controls.items()}
        return structs.replace(trial, energy=estimated(trial.operations), controls=controls)

    return structs.replace(results, trials=[of_trial(trial) for trial in results.trials])
