"""Known sets of recordings, given or downloaded."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

import numpy as np

from spikeduel.data.events.recording_files import readers
from spikeduel.data.events.recordings import Part, recorded
from spikeduel.data.fetching import File, Remote, download_all, tree
from spikeduel.data.grouping import rows_of
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.statistics import numbered
from spikeduel.system.errors import InputError

OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GESTURES = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
)
"""Classes 1 to 11 of gesture_mapping.csv."""
_LABEL_COLUMNS = ("class", "starttime_usec", "endtime_usec")
_SPLITS = {"train": TRAIN, "test": TEST}


class _Row(NamedTuple):
    """A recording of a set, sorted by split and `order`; `group` is its person."""

    split_code: int
    order: tuple[int, str, int]
    label: str
    part: Part
    name: str
    group: str | None = None


Rows = Callable[["RecordingSet", Mapping[str, File]], list[_Row]]
"""Finds the recordings of a set among files by path."""


def _by_path(recording_set: "RecordingSet", files: Mapping[str, File]) -> list[_Row]:
    """Return the files that match `pattern`, unpacked or else in zip files."""
    rows: dict[str, _Row] = {}
    for path, file in files.items():
        if match := re.search(f"(?:^|/)({recording_set.pattern})$", path):
            fields = match.groupdict()
            split_code = _SPLITS[fields.get("split", "train").lower()]
            order = (int(fields.get("number") or 0), match[1], 0)
            row = _Row(split_code, order, fields["label"], Part(file), match[1])
            rows.setdefault(match[1], row)
    return list(rows.values())


def _by_labels(recording_set: "RecordingSet", files: Mapping[str, File]) -> list[_Row]:
    """Return the gestures that the label files of DVS Gesture cut out of its recordings."""
    by_name = {PurePosixPath(path).name: files[path] for path in reversed(list(files))}
    rows = []
    for split_code, trials in ((TRAIN, "trials_to_train.txt"), (TEST, "trials_to_test.txt")):
        listed = by_name[trials].read_text(encoding="utf-8").split() if trials in by_name else []
        for trial in (trial for trial in listed if trial in by_name):
            table = f"{PurePosixPath(trial).stem}_labels.csv"
            if table not in by_name:
                raise InputError(
                    f"{by_name[trial]}: {table} is not there. Unpack {recording_set.name} again."
                )
            for place, row in rows_of(by_name[table], _LABEL_COLUMNS):
                texts = (row[column] for column in _LABEL_COLUMNS)
                number, start, stop = (int(text) if text.isdigit() else 0 for text in texts)
                if not 1 <= number <= len(GESTURES) or start >= stop:
                    raise InputError(
                        f"{place}: a class from 1 to {len(GESTURES)} and two times, in order, are "
                        f"expected."
                    )
                part = Part(by_name[trial], (start, stop))
                name, person = f"{trial}, {start} to {stop}", trial.partition("_")[0]
                label = GESTURES[number - 1]
                rows.append(_Row(split_code, (0, trial, start), label, part, name, person))
    return rows


@dataclass(frozen=True, eq=False)
class RecordingSet:
    """A set of recordings as its makers distribute it.

    Attributes
    ----------
    name, about, page
        Name of the data set, a sentence about it, and the address of its makers' page.
    counts
        Number of recordings by split; TRAIN alone without an official split.
    archives
        Names of zip files in the user's folder that are opened.
    looked_for
        Files that are looked for, in words.
    pattern
        Regular expression of the end of a path, with the groups `label` and perhaps `split` and
        `number` (the order of the recordings).
    rows
        Finds the recordings; by `pattern` if not given.
    classes
        Names of the classes; if empty, the labels in alphabetical order.
    remotes
        Files to download if the user names no folder; empty if the makers ask for a registration.
    """

    name: str
    about: str
    page: str
    counts: dict[int, int]
    archives: tuple[str, ...]
    looked_for: str
    pattern: str = ""
    rows: Rows = _by_path
    classes: tuple[str, ...] = ()
    remotes: Mapping[str, Remote] = field(default_factory=dict)
    is_recorded: ClassVar[bool] = True

    def __call__(self, options: DataOptions) -> RawDataset:
        """Return the set, from given files or downloaded. Raises `InputError`."""
        given = None if options.data_dir is None else Path(options.data_dir).expanduser()
        place = given or self._downloaded(options)
        archives = {name.lower() for name in self.archives}
        with ExitStack() as stack:
            rows = self.rows(self, tree(place, frozenset(readers()), stack, archives))
            if set(self.counts) - {row.split_code for row in rows}:
                raise InputError(
                    f"data_dir {place}: the recordings of {self.name} are not all there; looked "
                    f"for {self._wanted}. They are at {self.page}"
                )
            rows = sorted(row for row in rows if str(row.part.file) not in options.skip)
            recordings, content = recorded([row.part for row in rows], options.track)
        classes = self.classes or tuple(sorted({row.label for row in rows}))
        groups = [row.group for row in rows]
        split_codes = np.array([row.split_code for row in rows], np.uint8)
        notes: tuple[str, ...] = ()
        if Counter(split_codes.tolist()) != self.counts:
            count = sum(self.counts.values())
            notes = (f"{len(rows):,} of the {count:,} recordings of {self.name} are there.",)
        return RawDataset(
            images=recordings,
            labels=np.array([classes.index(row.label) for row in rows], np.int64),
            classes=classes,
            preprocessing=Preprocessing.of_recordings(recordings.binning),
            groups=None if None in groups else numbered(groups),
            official=split_codes if TEST in self.counts else None,
            notes=notes,
            sources=() if given is None else (given,),
            names=tuple(row.name for row in rows),
            content=content,
        )

    @property
    def _wanted(self) -> str:
        """The files that a folder has to hold, in words."""
        return ", or ".join(filter(None, [self.looked_for, ", ".join(self.archives)]))

    def _downloaded(self, options: DataOptions) -> Path:
        """Return the folder of the downloaded files. Raises `InputError`."""
        remedy = f"{self._wanted} from {self.page} and give the folder with --data-dir."
        if not self.remotes:
            raise InputError(f"{self.name}: only its makers' page has it. Get {remedy}")
        remedy = f"Check the network and try again, or get {remedy}"
        return download_all(self.name, self.remotes, options.track, remedy)


def _mendeley(dataset: str, *remotes: tuple[str, str, str]) -> dict[str, Remote]:
    address = (
        f"https://data.mendeley.com/public-files/datasets/{dataset}/files/{{}}/file_downloaded"
    )
    return {name: Remote((address.format(file),), md5) for name, file, md5 in remotes}


def _figshare(*remotes: tuple[str, int, str]) -> dict[str, Remote]:
    return {
        name: Remote((f"https://ndownloader.figshare.com/files/{file}",), md5)
        for name, file, md5 in remotes
    }


N_MNIST = RecordingSet(
    name="n-mnist",
    about="N-MNIST: MNIST seen by an event camera that moves, 70,000 recordings, 34×34 (Orchard "
    "et al. 2015). Recording k of a split was made from image k of MNIST's.",
    page="https://www.garrickorchard.com/datasets/n-mnist",
    counts={TRAIN: 60_000, TEST: 10_000},
    archives=("Train.zip", "Test.zip"),
    looked_for="Train/ and Test/ with folders 0 to 9 of .bin files",
    pattern=r"(?P<split>Train|Test)/(?P<label>\d)/(?P<number>\d+)\.bin",
    classes=tuple("0123456789"),
    remotes=_mendeley(
        "468j46mzdv",
        ("Train.zip", "39c25547-014b-4137-a934-9d29fa53c7a0", "20959b8e626244a1b502305a9e6e2031"),
        ("Test.zip", "05a4d654-7e03-4c15-bdfa-9bb2bcbea494", "69ca8762b2fe404d9b9bad1103e97832"),
    ),
)
DVS_GESTURE = RecordingSet(
    name="dvs-gesture",
    about="DVS Gesture: 11 gestures of 29 people, 1,464 recordings, 128×128, split by person "
    "(Amir et al. 2017).",
    page="https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794",
    counts={TRAIN: 1_176, TEST: 288},
    archives=(),
    looked_for="trials_to_train.txt, trials_to_test.txt and the .aedat files that they list, with "
    "their _labels.csv (unpack DvsGesture.tar.gz)",
    rows=_by_labels,
    classes=GESTURES,
)
CIFAR10_DVS = RecordingSet(
    name="cifar10-dvs",
    about="CIFAR10-DVS: images of CIFAR-10 that move on a screen, 10,000 recordings, 128×128 (Li "
    "et al. 2017).",
    page="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    counts={TRAIN: 10_000},
    archives=tuple(f"{name}.zip" for name in OBJECTS),
    looked_for="a folder of .aedat files for each of the ten classes, such as airplane/",
    pattern=rf"(?P<label>{'|'.join(OBJECTS)})/[^/]+\.aedat4?",
    classes=OBJECTS,
    remotes=_figshare(
        ("airplane.zip", 7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
        ("automobile.zip", 7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
        ("bird.zip", 7712794, "a9c207c91c55b9dc2002dc21c684d785"),
        ("cat.zip", 7712812, "52c63c677c2b15fa5146a8daf4d56687"),
        ("deer.zip", 7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
        ("dog.zip", 7712818, "f379ebdf6703d16e0a690782e62639c3"),
        ("frog.zip", 7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
        ("horse.zip", 7712851, "e7cbbf77bec584ffbf913f00e682782a"),
        ("ship.zip", 7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
        ("truck.zip", 7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
    ),
)
N_CALTECH101 = RecordingSet(
    name="n-caltech101",
    about="N-Caltech101: Caltech-101 seen by an event camera that moves, 8,709 recordings "
    "(Orchard et al. 2015).",
    page="https://www.garrickorchard.com/datasets/n-caltech101",
    counts={TRAIN: 8_709},
    archives=("Caltech101.zip",),
    looked_for="a folder of image_0001.bin and others for each class",
    pattern=r"(?P<label>[^/]+)/image_\d+\.bin",
    remotes=_mendeley(
        "cy6cvx3ryv",
        (
            "Caltech101.zip",
            "36b5c52a-b49d-4853-addb-a836a8883e49",
            "66201824eabb0239c7ab992480b50ba3",
        ),
    ),
)
N_CARS = RecordingSet(
    name="n-cars",
    about="N-CARS: cars and background in traffic, 24,029 recordings of a tenth of a second "
    "(Sironi et al. 2018).",
    page="https://www.prophesee.ai/dataset-n-cars-download/",
    counts={TRAIN: 15_422, TEST: 8_607},
    archives=("n-cars_train.zip", "n-cars_test.zip"),
    looked_for="n-cars_train/ and n-cars_test/ with folders cars and background of .dat files",
    pattern=r"(?:n-cars_)?(?P<split>train|test)/(?P<label>cars|background)/[^/]+\.dat",
    classes=("background", "cars"),
)

DATASETS: dict[str, RecordingSet] = {
    known.name: known for known in (N_MNIST, DVS_GESTURE, CIFAR10_DVS, N_CALTECH101, N_CARS)
}
"""Sets by name."""
