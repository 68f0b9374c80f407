"""SOCOFing's harder alterations of the test subjects' prints: how a network fares on what it was not trained for."""

import numpy as np

from spikeduel.data import socofing
from spikeduel.data.pictures import room_for
from spikeduel.data.prepared import Prepared, Track
from spikeduel.data.splits import Split
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

HARDER = {"altered-medium": "Medium", "altered-hard": "Hard"}


def altered(
    prepared: Prepared, split: Split, experiment: Experiment, track: Track = Progress().track
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
            if [print_.label for print_ in prints] != np.asarray(prepared.labels).tolist():
                raise InputError(f"{socofing.name_of(source)}: no longer holds what was prepared from it.")
            people = _unseen(prepared, split, np.array([print_.subject for print_ in prints]))
            sets, left_out = {}, []
            for name, level in HARDER.items():
                try:
                    sets[name] = _decoded(source, level, people, prepared, track)
                except InputError as error:
                    left_out.append(f"{name} is left out. {error}")
            return sets, left_out
    except InputError as error:
        return {}, [f"{' and '.join(HARDER)} are left out. {error}"]


def _unseen(prepared: Prepared, split: Split, subjects: np.ndarray) -> set[int]:
    groups = np.arange(len(prepared)) if prepared.groups is None else np.asarray(prepared.groups)
    seen = np.isin(groups, groups[np.concatenate((split.train, split.val))])
    return set(subjects[split.test].tolist()) - set(subjects[seen].tolist())


def _decoded(
    source: socofing.Source, level: str, people: set[int], prepared: Prepared, track: Track
) -> tuple[np.ndarray, np.ndarray]:
    prints = [print_ for print_ in socofing.listed(source, socofing.parts_of([level])[1:]) if print_.subject in people]
    if not prints:
        raise InputError("It has no print of a person who is in the test part alone.")
    images = room_for(len(prints), prepared.preprocessing)

    def decode(row: int, content: bytes) -> None:
        images[row] = prepared.preprocessing(socofing.decoded(content))

    socofing.over_prints(source, prints, decode, track, "reading altered fingerprints")
    return images, np.array([print_.label for print_ in prints], dtype=np.int64)
