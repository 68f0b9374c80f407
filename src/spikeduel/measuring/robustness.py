"""How right a model stays on worse images: seven corruptions at five severities, and SOCOFing's harder alterations."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from spikeduel.data.socofing import HARDER
from spikeduel.measuring.answers import ask
from spikeduel.measuring.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.networks.models import Model
from spikeduel.results.trials import CorruptedAccuracies, Robustness
from spikeduel.system.hardware import keep_freed_memory
from spikeduel.system.progress import Progress

ALTERATIONS = tuple(HARDER)
"""Other images of a data set's own that count as a corruption with one severity (see `spikeduel.data.altered`)."""

_STORED = "robustness-{}"
NAMES = tuple(_STORED.format(name) for name in (*CORRUPTIONS, *ALTERATIONS))
"""What the store knows these measures by: one each, so that what an interruption costs is one corruption."""


@dataclass(frozen=True)
class Corrupted:
    """`batches` with every image corrupted; can be iterated as often as they can."""

    batches: Iterable[Any]
    corruption: str
    severity: int

    def __iter__(self) -> Iterator[Any]:
        for images, labels, indices in self.batches:
            yield corrupt(self.corruption, images, self.severity, indices), labels, indices


def measures(
    altered: Mapping[str, Iterable[Any]], progress: Progress, label: str
) -> dict[str, Callable[[Model, Iterable[Any]], CorruptedAccuracies]]:
    """Measures as in `MEASURES`, by the names in `NAMES`: one for each corruption and each of `altered`.

    `altered` maps a name of `ALTERATIONS` to its batches. `label` says in the progress whose turn it is.
    """
    return {
        **{_STORED.format(name): partial(_corrupted, name, progress, label) for name in CORRUPTIONS},
        **{_STORED.format(name): partial(_altered, batches) for name, batches in altered.items()},
    }


def _corrupted(name: str, progress: Progress, label: str, model: Model, batches: Iterable[Any]) -> CorruptedAccuracies:
    # Spoilt images are made in new memory batch by batch, which took half of their time.
    keep_freed_memory()
    severities = progress.track(SEVERITIES, f"  {label}, {name} 1 to {SEVERITIES[-1]}", len(SEVERITIES))
    found = [ask(model, Corrupted(batches, name, severity)) for severity in severities]
    return CorruptedAccuracies(n=len(found[0].truth), accuracies=[each.accuracy for each in found])


def _altered(altered: Iterable[Any], model: Model, batches: Iterable[Any]) -> CorruptedAccuracies:
    found = ask(model, altered)
    return CorruptedAccuracies(n=len(found.truth), accuracies=[found.accuracy])


def summary(clean: float, measured: Mapping[str, Any]) -> Robustness | None:
    """What the measures of `NAMES` found, None where there is nothing; `clean` is the accuracy without corruption."""
    stored = {name: _STORED.format(name) for name in (*CORRUPTIONS, *ALTERATIONS)}
    found: dict[str, CorruptedAccuracies] = {name: measured[key] for name, key in stored.items() if key in measured}
    if not found:
        return None
    area = {name: fmean(entry.accuracies) for name, entry in found.items()}
    mean = fmean(area[name] for name in CORRUPTIONS) if all(name in area for name in CORRUPTIONS) else None
    return Robustness(
        clean=clean,
        corruptions={name: list(entry.accuracies) for name, entry in found.items()},
        area=area,
        relative={name: value / clean if clean else None for name, value in area.items()},
        mean=mean,
        mean_relative=mean / clean if mean is not None and clean else None,
        images={name: entry.n for name, entry in found.items()},
    )
