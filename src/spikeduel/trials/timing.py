"""The times that answers take, of all trials in one sitting."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from spikeduel.measuring import latency
from spikeduel.results.costs import Latency
from spikeduel.system import files
from spikeduel.system.progress import Progress
from spikeduel.trials.store import Store


@dataclass(frozen=True)
class Timed:
    """A stored trial whose model is to be timed: its key, its title for the progress, and where it computes."""

    key: str
    title: str
    device: str


def take(
    trials: Sequence[Timed], images: np.ndarray, own_code: Collection[str], store: Store, progress: Progress
) -> dict[str, Latency]:
    """`latency` of each trial by its key, kept in the store beside it. Nothing else should be running meanwhile.

    Where the store has all of them from this machine (processor, threads, device, versions), it is not measured again;
    where one is missing, all are measured, one after the other, since times compare only within one sitting.
    `images` are uint8 `[N, C, H, W]`.
    """
    # Two that time answers at once would time each other; the second one finds what the first took.
    with files.locked(store.root / "latency.lock", lambda: progress.say("another process is timing answers; waiting")):
        known = {each.key: _from_here(store.measure(each.key, "latency", Latency), each.device) for each in trials}
        if all(known.values()):
            return {key: found for key, found in known.items() if found}
        taken = {}
        for each in progress.track(trials, "timing answers", len(trials)):
            taken[each.key] = latency.latency(store.model_path(each.key), images, each.device, own_code)
            if taken[each.key].one_image is None:
                progress.say(f"  {each.title}: not timed, {taken[each.key].reasons['process']}")
            else:
                store.save_measure(each.key, "latency", taken[each.key])
    return taken


def _from_here(found: Latency | None, device: str) -> Latency | None:
    here = latency.machine(device)
    alike = found is not None and structs.replace(found.machine, load_average=here.load_average) == here
    return found if alike else None
