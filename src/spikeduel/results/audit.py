"""What an audit of a data set and its split says: types, as they stand in `audit.json` and in
results.json.
"""

from typing import Literal

from msgspec import field

from spikeduel.results.file_counts import FileCounts, IgnoredBy
from spikeduel.results.groups import SuggestedGroups
from spikeduel.results.statistics import Statistics
from spikeduel.system.typed import Count, Frozen, Share

FEW_TEST_IMAGES = 10
"""A class with fewer test images than this is named: its scores are uncertain."""

Side = Literal["train", "val", "test"]

FindingKind = Literal[
    "test_in_training",
    "conflicting_labels",
    "cut_groups",
    "leakage",
    "near_test_in_training",
    "unreadable_files",
    "groups_joined",
    "validation_copies",
    "copies_on_one_side",
    "near_across_sides",
    "groups_cut_at_validation",
    "unbalanced_classes",
    "few_test_images",
    "few_test_groups",
    "class_shares_differ",
    "format_tells_class",
    "format_tells_side",
    "names_tell_groups",
    "searched_a_sample",
    "moved_test_in_training",
    "moved_across_sides",
    "labels_to_check",
    "pictures_not_opened",
    "pictures_without_ending",
    "pictures_outside_classes",
    "many_files_ignored",
    "stretch_test_in_training",
    "stretches_elsewhere",
    "statistics_tell_class",
    "statistics_tell_side",
    "hot_pixels",
]
Remedy = Literal[
    "use_default_split",
    "divide_the_data_anew",
    "give_groups",
    "give_found_groups",
    "remove_copies",
    "fix_length",
    "bin_by_events",
]


class Finding(Frozen):
    """One conclusion of an audit; `results.words.audit.sentence` says it in words.

    `is_problem` marks what would invalidate a result. `count` is of what `kind` names (images,
    sets, groups, files, classes), `share` of the test images; `names` are the classes, files, the
    property of files or the statistics concerned.
    """

    kind: FindingKind
    is_problem: bool
    count: Count | None = None
    share: Share | None = None
    names: tuple[str, ...] = ()
    remedy: Remedy | None = None


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
    """How far a property of files (type, colour mode, size) is tied to class and side of the split.

    `class_accuracy`: of naming, for each test image, the class that is most frequent among training
    images with the same value (the most frequent class of all for a new value); `class_chance`: of
    always naming the latter. `split_association`: Cramér's V between property and side, corrected
    for its bias (Bergsma 2013), 0 to 1. `values` counts images, the most frequent first; there are
    `num_values`.
    """

    property: str
    num_values: Count
    values: dict[str, Count]
    class_accuracy: Share | None
    class_chance: Share | None
    split_association: Share


class Quartiles(Frozen):
    """Of distances between small grey versions (0: equal up to brightness and contrast)."""

    p25: float
    median: float
    p75: float


class Distances(Frozen):
    """To the nearest training image, from test and training images; `bins`: edges of equal shares
    of test images.
    """

    test_to_train: Quartiles | None
    within_train: Quartiles | None
    bins: tuple[float, ...]


class DistanceBin(Frozen):
    """Accuracy on the `n` test images at `low` to `high` from their nearest training image; null
    where n is 0.
    """

    low: float = field(name="from")
    high: float = field(name="to")
    n: Count
    accuracy: Share | None


class AuditedImage(Frozen):
    """One image of a pair: its index, side of the split and class, and its file where it has
    one.
    """

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
    """What makes one image from another: mirrored left to right, then turned clockwise by `degrees`
    (−180 to 180), made `scale` times as large, and its middle shifted by pixels to the `right` and
    `down`.
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
    """How many labels were examined, what share of them is the most probable class, and how many
    look wrong.
    """

    examined: Count
    agreement: Share
    suspects: Count


class Details(Frozen):
    """What pictures and figures need of an audit; not part of `audit.json`.

    `pairs`: the gravest first; `test_distances`: from each test image to its nearest training
    image, null where not searched; `labels`: those that look wrong, the surest first;
    `label_shares`: of each image's neighbours, the share that votes for its label, null for images
    that the split leaves out, none where neighbours know too little of the labels;
    `within_quantiles`: of the same distances within training, at equal steps from 0 to 1; `groups`:
    which recordings belong together, by their groups and by the stretches that they share; none
    where none share one.
    """

    pairs: tuple[Pair, ...] = ()
    test_distances: tuple[float | None, ...] = ()
    within_quantiles: tuple[float, ...] = ()
    labels: tuple[SuspectLabel, ...] = ()
    label_shares: tuple[float | None, ...] = ()
    groups: tuple[Count, ...] = ()


PICTURES_LEFT_OUT: dict[IgnoredBy, FindingKind] = {
    "format not opened here": "pictures_not_opened",
    "picture without its ending": "pictures_without_ending",
    "outside the class folders": "pictures_outside_classes",
}
"""The rules that leave out pictures, and what an audit calls that."""

PROBLEM_ABOVE: dict[FindingKind, float] = {
    "test_in_training": 0.005,
    "conflicting_labels": 0.01,
    "cut_groups": 0.0,
    "stretch_test_in_training": 0.005,
    "near_test_in_training": 0.05,
    "moved_test_in_training": 0.05,
    "unreadable_files": 0.0,
    "pictures_not_opened": 0.001,
    "pictures_without_ending": 0.001,
    "pictures_outside_classes": 0.001,
}
"""The share above which a finding would invalidate a result; below, it is a note.

Exact copies of test images in training, and recordings that share a stretch: of the test images,
the default margin of
0.5 points, which they alone could bring about. Conflicting labels: of all images; half of them are wrong at least where
two are equal, so that 1 % can be worth that margin. Near duplicates and moved copies: of the test
images; natural sets stay far below (Fashion-MNIST 0.6 %). Pictures left out: of the pictures in the
folder, since whoever left them out did not choose to. Cut groups and unreadable files: any.
"""


class Audit(Frozen):
    """What an audit found: whether a result on this data and this split can be trusted, and why
    (not).

    `near`: two images are near duplicates below this share of the usual distance, which is the
    median over `near_portions` parts of the training images. `groups_cut` lie on several sides;
    `groups_cut_test_images` have their group in training; `groups_tested` are of test images.
    `unreadable`: files that were left out, with reasons. `searched`: images whose neighbours were
    searched; fewer than `counts` where that would take too long. `files`: null where the data is no
    folder or CSV. `labels`: judged by the nearest neighbours. What says "image" is meant of a
    `noun`; `stretches` and `statistics` are of recordings, and null for images.
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

    def __post_init__(self) -> None:
        formats = {each.property for each in self.formats}
        for finding in self.conclusions:
            known = [name for name in finding.names if name in self.class_sides]
            lacks = {
                "labels_to_check": self.labels is None,
                "statistics_tell_class": self.statistics is None,
                "statistics_tell_side": self.statistics is None,
                "format_tells_class": not formats.intersection(finding.names),
                "format_tells_side": not formats.intersection(finding.names),
                "unbalanced_classes": len(known) < 2,
                "names_tell_groups": len(finding.names) != 3,
                "class_shares_differ": not known,
            }
            if lacks.get(finding.kind):
                raise ValueError(f"the finding {finding.kind} has no numbers")

    def __repr__(self) -> str:
        from spikeduel.results.words.notebook import (
            brief,
        )  # words know the types that they are about

        return brief(self)

    def _repr_html_(self) -> str:
        from spikeduel.results.words.notebook import of_audit

        return of_audit(self)

    @property
    def ok(self) -> bool:
        """Whether nothing was found that would invalidate a result."""
        return not self.problems

    @property
    def problems(self) -> list[Finding]:
        """What would invalidate a result."""
        return [finding for finding in self.conclusions if finding.is_problem]

    @property
    def notes(self) -> list[Finding]:
        """What is worth knowing."""
        return [finding for finding in self.conclusions if not finding.is_problem]
