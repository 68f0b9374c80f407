"""SOCOFing's harder alterations of the test subjects' prints: how a network fares on what it was not trained for."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from spikeduel.data import socofing
from spikeduel.data.decoding import over_pictures, room_for
from spikeduel.data.prepared import Prepared
from spikeduel.data.splits import Split
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError

HARDER = {"altered-medium": "Medium", "altered-hard": "Hard"}


def altered(
    prepared: Prepared,
    split: Split,
    experiment: Experiment,
    track: Callable[[Iterable[Any], str, int | None], Iterable[Any]] = lambda items, description, total: items,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """The altered prints of people whom nobody trained on: by name, images uint8 `[N, C, H, W]` and labels `[N]`.

    People count who are in the test part of `split` and share no group with an image of its training or validation
    part. Empty for any other data set. Second, a sentence for each alteration that is left out, saying why.
    """
    if experiment.dataset != "socofing":
        return {}, []
    try:
        with socofing.source_at(socofing.place(experiment.data_dir)) as source:
            prints = socofing.listed(source, socofing.parts_of(experiment.alterations))
            if [each.label for each in prints] != np.asarray(prepared.labels).tolist():
                raise InputError(f"{source}: no longer holds what was prepared from it.")
            people = _unseen(prepared, split, np.array([each.subject for each in prints]))
            found, missing = {}, []
            for name, level in HARDER.items():
                part = socofing.parts_of([level])[1]
                try:
                    chosen = [each for each in socofing.listed(source, [part]) if each.subject in people]
                    if not chosen:
                        raise InputError("It has no print of a person who is in the test part alone.")
                    found[name] = _decoded(source, chosen, prepared, track)
                except InputError as error:
                    missing.append(f"{name} is left out. {error}")
            return found, missing
    except InputError as error:
        return {}, [f"{' and '.join(HARDER)} are left out. {error}"]


def _unseen(prepared: Prepared, split: Split, subjects: np.ndarray) -> set[int]:
    groups = np.arange(len(prepared)) if prepared.groups is None else np.asarray(prepared.groups)
    seen = np.isin(groups, groups[np.concatenate((split.train, split.val))])
    return set(subjects[split.test].tolist()) - set(subjects[seen].tolist())


def _decoded(
    source: Any,
    prints: list[socofing.Fingerprint],
    prepared: Prepared,
    track: Callable[[Iterable[Any], str, int | None], Iterable[Any]],
) -> tuple[np.ndarray, np.ndarray]:
    images = room_for(len(prints), prepared.preprocessing)

    def decode(row: int) -> None:
        images[row] = prepared.preprocessing(socofing.decoded(source.read(prints[row])))

    over_pictures(
        decode,
        range(len(prints)),
        track,
        "reading altered fingerprints",
        lambda row: f"{source}/{prints[row].part}/{prints[row].name}",
    )
    return images, np.array([each.label for each in prints], dtype=np.int64)
