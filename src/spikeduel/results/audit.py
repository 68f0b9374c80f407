"""Types of an audit of a data set and its split, as in `audit.json` and in results.json."""

from typing import Literal

from msgspec import field

from spikeduel.data.inventory import FileCounts
from spikeduel.results.findings import Finding
from spikeduel.system.typed import Count, Frozen, Share

Side = Literal["train", "val", "test"]
SIDES: tuple[Side, ...] = ("train", "val", "test")


class SuggestedGroups(Frozen):
    """Groups that the names of files seem to say: a `pattern` for `--group-by`, the number of
    `groups` that it gives, and two files of one.
    """

    pattern: str
    groups: Count
    alike: tuple[str, str]


class Counts(Frozen):
    """Numbers of images by side of the split."""

    train: Count
    val: Count
    test: Count

    @property
    def total(self) -> int:
        """Over all sides."""
        return self.train + self.val + self.test


class ExactDuplicates(Frozen):
    """Counts of equal images. Images outside the split do not count.

    `sets` of equal images, of `images` in all; `within`: copies of an image on the same side;
    `across`: images equal to one on an earlier side; `conflicting`: sets with more than one label,
    of `conflicting_images` in all; `test_in_training`: test images equal to a training image;
    `across_groups`: sets in several of the groups that files' names give, null without;
    `conflicting_files`: those of `conflicting_images`, null where images are no files.
    """

    within: Count
    across: Count
    conflicting: Count
    conflicting_images: Count
    sets: Count
    images: Count
    test_in_training: Count
    across_groups: Count | None
    conflicting_files: tuple[str, ...] | None = None


class NearDuplicates(Frozen):
    """Images with a near duplicate on their own side, on an earlier side, and test images with one
    in training.
    """

    within: Count
    across: Count
    test_in_training: Count


class SharedStretches(NearDuplicates):
    """The same of recordings that share a stretch of events with another one; equal recordings are
    left out.
    """


class MovedCopies(Frozen):
    """Images that are a moved copy (shifted, turned, mirrored, cropped, scaled) of another one.

    Of one on an earlier side, and test images with one in training; equal images and near
    duplicates are left out.
    """

    across: Count
    test_in_training: Count


class Probe(Frozen):
    """Accuracies of the nearest neighbour on small grey versions, on the `n` test images searched.

    `accuracy`: on this split; `accuracy_if_grouped`: the siblings of each test image taken out of
    training; `accuracy_if_ungrouped`: on a split that cuts groups, null where there is none;
    `chance`: of always naming training's most frequent class; `siblings_in_train`: share of the
    test images with a sibling in training. Siblings are images of one group, equal images and near
    duplicates.
    """

    accuracy: Share | None = None
    accuracy_if_grouped: Share | None = None
    accuracy_if_ungrouped: Share | None = None
    chance: Share | None = None
    siblings_in_train: Share | None = None
    n: Count = 0


class FileProperty(Frozen):
    """A property of files (type, colour mode, size), and its tie to class and side of the split.

    `class_accuracy`: accuracy on the test images of the class that is most frequent among training
    images with the same value (the most frequent class of all for a new value); `class_chance`:
    accuracy of the most frequent class of all. `split_association`: Cramér's V between property and
    side, corrected for its bias (Bergsma 2013), 0 to 1. `values` counts images, the most frequent
    first; there are `num_values`.
    """

    property: str
    num_values: Count
    values: dict[str, Count]
    class_accuracy: Share | None
    class_chance: Share | None
    split_association: Share


class Quartiles(Frozen):
    """Quartiles of the distances between small grey versions (0: equal up to brightness and
    contrast).
    """

    p25: float
    median: float
    p75: float


class Distances(Frozen):
    """Distances to the nearest training image, from test and from training images."""

    test_to_train: Quartiles | None
    within_train: Quartiles | None


class AuditedImage(Frozen):
    """An image of a pair: its index, side of the split and class, and its file where it has one."""

    index: Count
    side: Side
    label: str
    file: str | None


PairKind = Literal[
    "equal images, different labels",
    "equal images on two sides",
    "a stretch on two sides",
    "near on two sides",
    "moved on two sides",
    "equal images on one side",
    "a stretch on one side",
    "near on one side",
]


class Move(Frozen):
    """The move that makes one image from another: mirrored left to right, then turned clockwise by
    `degrees` (−180 to 180), made `scale` times as large, and its middle shifted by pixels to the
    `right` and `down`.
    """

    mirrored: bool
    degrees: float
    scale: float
    right: float
    down: float


class Pair(Frozen):
    """Two images to look at; `ratio` is that of their distance to the usual one; `move` makes `a`
    from `b`.

    Of recordings that share a stretch, `ratio` is the share of the shorter one's events that are
    not shared.
    """

    kind: PairKind
    a: AuditedImage
    b: AuditedImage
    ratio: float
    move: Move | None = None


class SuspectLabel(Frozen):
    """An image whose label looks wrong: the class that fits better, and the probabilities of both.

    They are shares of the nearest neighbours' votes, or calibrated probabilities of the training
    that is surest.
    """

    image: AuditedImage
    suggested: str
    given_probability: Share
    suggested_probability: Share


class LabelCheck(Frozen):
    """Number of labels examined, share of labels that are the most probable class, number that look
    wrong.
    """

    examined: Count
    agreement: Share
    suspects: Count


class Details(Frozen):
    """Details of an audit for pictures and figures; not part of `audit.json`.

    `pairs`: the gravest first; `test_distances`: from each test image to its nearest training
    image, null where not searched; `labels`: those that look wrong, the surest first;
    `label_shares`: share of each image's neighbours that votes for its label, null for images that
    the split leaves out, empty where neighbours know too little of the labels; `within_quantiles`:
    quantiles of the same distances within training, at equal steps from 0 to 1; `groups`:
    recordings that belong together, by their groups and by shared stretches; empty where none share
    one.
    """

    pairs: tuple[Pair, ...] = ()
    test_distances: tuple[float | None, ...] = ()
    within_quantiles: tuple[float, ...] = ()
    labels: tuple[SuspectLabel, ...] = ()
    label_shares: tuple[float | None, ...] = ()
    groups: tuple[Count, ...] = ()


StatisticName = Literal[
    "length",
    "events",
    "event rate",
    "brighter events",
    "pixels in use",
    "columns",
    "rows",
    "at hot pixels",
]


class Statistic(Frozen):
    """A number of each recording: its median by side of the split and by class, and a classifier's
    accuracy by it alone.

    `length` is in milliseconds, `event rate` in events a second, `columns` and `rows` count to the
    last with an event; `brighter events` and `at hot pixels` are shares of the events, `pixels in
    use` of the sensor's pixels.
    """

    name: StatisticName
    sides: dict[str, float]
    classes: dict[str, float]
    class_accuracy: Share | None
    side_accuracy: Share | None


class Statistics(Frozen):
    """Accuracies of a small classifier by all `statistics` together, without any frame.

    `class_accuracy`: of naming the class of the `num_tested` test recordings, after training on the
    training side (at most a sample of it); `class_chance`: of always naming training's most
    frequent class. `side_accuracy`: of telling training from test recordings, as many of each, half
    of which a coin would get right; recordings of one of the `num_groups` groups are never both
    trained on and asked. Null where there are too few. `hot_pixels` (x, y) have many times the
    events of other pixels, in most recordings of a side or of a class.
    """

    statistics: tuple[Statistic, ...]
    hot_pixels: tuple[tuple[Count, Count], ...]
    class_accuracy: Share | None
    class_chance: Share | None
    num_tested: Count
    side_accuracy: Share | None
    num_groups: Count


class Audit(Frozen):
    """The outcome of an audit: whether a result on this data and this split can be trusted, and why
    (not).

    `near`: two images are near duplicates below this share of the usual distance, which is the
    median over `near_portions` parts of the training images. `groups_cut` lie on several sides;
    `groups_cut_test_images` have their group in training; `groups_tested` are of test images.
    `unreadable`: files that were left out, with reasons. `searched`: images whose neighbours were
    searched; fewer than `counts` where that would take too long. `files`: null where the data is no
    folder or CSV. `labels`: judged by the nearest neighbours. "Image" stands for the `noun`;
    `stretches` and `statistics` are of recordings, and null for images.
    """

    dataset: str
    fingerprint: str
    split: str
    counts: Counts
    exact_duplicates: ExactDuplicates
    near_duplicates: NearDuplicates
    near: float
    groups: Count | None
    groups_cut: Count
    groups_cut_test_images: Count
    unreadable: tuple[str, ...]
    probe: Probe
    classes: dict[str, Count]
    class_sides: dict[str, Counts]
    formats: tuple[FileProperty, ...]
    distances: Distances
    searched: Counts
    near_portions: Count = 0
    moved_copies: MovedCopies | None = None
    files: FileCounts | None = None
    labels: LabelCheck | None = None
    noun: Literal["image", "recording"] = "image"
    groups_tested: Count | None = None
    stretches: SharedStretches | None = None
    statistics: Statistics | None = None
    suggested_groups: SuggestedGroups | None = None
    conclusions: tuple[Finding, ...] = ()
    details: Details = Details()
    # Filled in where the audit is written (`words.audit.worded`).
    is_ok: bool | None = field(default=None, name="ok")
    problem_texts: list[str] = field(default_factory=list, name="problems")
    note_texts: list[str] = field(default_factory=list, name="notes")
    near_definition: str = ""

    @property
    def ok(self) -> bool:
        """Return True if nothing was found that would invalidate a result."""
        return not self.problems

    @property
    def problems(self) -> list[Finding]:
        """Return the findings that would invalidate a result."""
        return [finding for finding in self.conclusions if finding.is_problem]

    @property
    def notes(self) -> list[Finding]:
        """Return the findings that are worth knowing."""
        return [finding for finding in self.conclusions if not finding.is_problem]
