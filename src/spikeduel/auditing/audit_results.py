"""Types of an audit (`audit.json`, results.json)."""

from pathlib import Path
from typing import Literal, get_args

from msgspec import field

from spikeduel.system.errors import visible
from spikeduel.system.finding_tables import Finding, declare
from spikeduel.system.sentences import counted, listed
from spikeduel.system.typed import Count, Frozen, Share

declare(Path(__file__).with_name("audit_findings.toml"))

IgnoredBy = Literal[
    "format not opened here",
    "picture without its ending",
    "outside the class folders",
    "recording beside images",
    "not in the CSV",
    "no picture",
    "no recording",
    "hidden",
    "of the system",
    "no regular file",
]
"""Rule by which a file under a data folder is not read."""

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class IgnoredFiles(Frozen):
    """Files that a `rule` leaves out, in all and by ending ("" for none)."""

    rule: IgnoredBy
    count: Count
    endings: dict[str, Count]

    def __str__(self) -> str:
        return f"{by_ending(self.endings)} ({self.rule})"


class FileCounts(Frozen):
    """Counts of files under a data folder: read (by ending, most frequent first), unreadable,
    ignored.
    """

    read: dict[str, Count]
    unreadable: Count
    ignored: tuple[IgnoredFiles, ...]

    @property
    def num_read(self) -> int:
        return sum(self.read.values())

    def by(self, rule: IgnoredBy) -> IgnoredFiles | None:
        return next((ignored for ignored in self.ignored if ignored.rule == rule), None)


def by_ending(endings: dict[str, int]) -> str:
    """Return numbers of files in words: "106 .heic, 3 without ending"."""
    return listed([f"{count:,} {name or 'without ending'}" for name, count in endings.items()])


class SuggestedGroups(Frozen):
    """Groups by file name: `pattern` for `--group-by`, and two files alike."""

    pattern: str
    groups: Count
    alike: tuple[str, str]


class Counts(Frozen):
    """Images in each split."""

    train: Count
    val: Count
    test: Count

    @property
    def total(self) -> int:
        return self.train + self.val + self.test


class DuplicateCounts(Frozen):
    """Images that are duplicates of one in an earlier split (training, validation, test)."""

    across: Count
    test_in_training: Count


class ExactDuplicates(DuplicateCounts):
    """Equal images. `within`: copies in one split; `conflicting`: sets with several labels."""

    within: Count
    conflicting: Count
    conflicting_images: Count
    conflicting_files: tuple[str, ...] | None = None


class Probe(Frozen):
    """Accuracies of the nearest neighbour on small grey versions of `n` test images.

    `accuracy_if_grouped`: without near-duplicates and images of the same group in training;
    `chance_level`: that of training's most frequent class. `balanced_accuracy` is of these test
    images, too.
    """

    accuracy: Share
    balanced_accuracy: Share
    accuracy_if_grouped: Share
    chance_level: Share
    near_duplicates_in_train: Share
    n: Count


class FileProperty(Frozen):
    """A property of files (type, colour mode, size), and how well it tells class and split.

    `values`: images by value, the most frequent first; `class_accuracy`: of naming each value's
    most frequent class in training; `split_association`: Cramér's V with the split, corrected for
    bias (Bergsma 2013).
    """

    property: str
    num_values: Count
    values: dict[str, Count]
    class_accuracy: Share | None
    class_chance: Share | None
    split_association: Share


BlindSpot = Literal[
    "tiled copies",
    "crops to less than 80 % of the side",
    "copies that were both moved and edited",
    "solarised copies of fine lines",
    "copies of images whose colours are equally bright",
]
"""Duplicates that the audit mostly misses (`benchmarks/audit/copies.py`)."""
BLIND_SPOTS: tuple[BlindSpot, ...] = get_args(BlindSpot)


class AuditedImage(Frozen):
    index: Count
    split: SplitName
    label: str
    file: str | None


PairKind = Literal[
    "equal images, different labels",
    "equal images in two splits",
    "shared segment in two splits",
    "near-duplicates in two splits",
    "geometric duplicates in two splits",
    "photometric duplicates in two splits",
    "equal images in one split",
]


class Pair(Frozen):
    """Two images to look at; `ratio`: their distance over the usual one, or the share of the
    shorter recording's events outside a shared segment.
    """

    kind: PairKind
    a: AuditedImage
    b: AuditedImage
    ratio: float


class SuspectLabel(Frozen):
    """An image whose label looks wrong, and the class that fits better; probabilities are shares of
    neighbours' votes, or a network's, calibrated.
    """

    image: AuditedImage
    suggested: str
    given_probability: Share
    suggested_probability: Share


class LabelCheck(Frozen):
    """Labels examined; `agreement`: share that are the most probable class; `unjudged`: rare
    classes whose labels neighbours cannot judge.
    """

    examined: Count
    agreement: Share
    suspects: Count
    unjudged: tuple[str, ...] = ()


class JudgedLabels(Frozen):
    """A check of labels by a feature, beside that of the audit; `suspects`: the surest first."""

    check: LabelCheck
    suspects: list[SuspectLabel]


class Details(Frozen):
    """Details for pages; `audit.json` has the pairs alone.

    `pairs`: the gravest first; `labels`: the surest first; `label_shares`: of neighbours that vote
    for the image's label; `groups`: of recordings.
    """

    pairs: tuple[Pair, ...] = ()
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
    """A number of each recording: medians by split and class, and a classifier's accuracy by it
    alone.

    `length` is in ms, `event rate` in events a second; `brighter events`, `pixels in use` and `at
    hot pixels` are shares.
    """

    name: StatisticName
    by_split: dict[str, float]
    classes: dict[str, float]
    class_accuracy: Share | None
    split_accuracy: Share | None


class Statistics(Frozen):
    """Accuracies of a small classifier by all `statistics` together; null for too few recordings.

    `class_accuracy`: on `num_tested` test recordings; `split_accuracy`: of telling training
    from test (chance: 0.5), never with a group in both. `hot_pixels` (x, y) have many times the
    events of others.
    """

    statistics: tuple[Statistic, ...]
    hot_pixels: tuple[tuple[Count, Count], ...]
    class_accuracy: Share | None
    class_chance: Share | None
    num_tested: Count
    split_accuracy: Share | None
    num_groups: Count


class Audit(Frozen):
    """Outcome of an audit of a data set and its split, as `audit` returns it.

    Parameters
    ----------
    near_duplicates, exact_duplicates, geometric_duplicates
        Duplicates of test images in other parts of the split.
    near : float
        Share of the usual distance below which images are near-duplicates.
    groups_cut : int
        Groups with images in several parts of the split.
    unreadable : tuple of str
        Files that cannot be read, with reasons. `is_skipped` if they are left out.
    files : FileCounts, optional
        Counts of files, for a folder or CSV file.
    shared_segments, statistics : optional
        Results for recordings only.
    photometric_duplicates : DuplicateCounts, optional
        Photometric duplicates of images, None for recordings.
    plain_drawings : int
        Images that are alike but too plain to count as duplicates.
    own_validation : bool
        Whether the data come with a validation set but no test set.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.audit("digits").ok
    True
    """

    dataset: str
    fingerprint: str
    split: str
    counts: Counts
    exact_duplicates: ExactDuplicates
    near_duplicates: DuplicateCounts
    geometric_duplicates: DuplicateCounts
    near: float
    groups: Count | None
    groups_cut: Count
    groups_cut_test_images: Count
    unreadable: tuple[str, ...]
    probe: Probe | None
    class_splits: dict[str, Counts]
    formats: tuple[FileProperty, ...]
    files: FileCounts | None = None
    labels: LabelCheck | None = None
    noun: Literal["image", "recording"] = "image"
    groups_tested: Count | None = None
    shared_segments: DuplicateCounts | None = None
    photometric_duplicates: DuplicateCounts | None = None
    plain_drawings: Count = 0
    own_validation: bool = False
    blind_spots: tuple[BlindSpot, ...] = ()
    is_skipped: bool = False
    statistics: Statistics | None = None
    suggested_groups: SuggestedGroups | None = None
    conclusions: tuple[Finding, ...] = ()
    details: Details = Details()
    # Filled in by `audit_sentences.worded`.
    is_ok: bool | None = field(default=None, name="ok")
    problem_texts: list[str] = field(default_factory=list, name="problems")
    note_texts: list[str] = field(default_factory=list, name="notes")

    @property
    def ok(self) -> bool:
        """True if no finding would invalidate a result."""
        return not self.problems

    @property
    def problems(self) -> list[Finding]:
        """Findings that would invalidate a result."""
        return [finding for finding in self.conclusions if finding.is_problem]

    @property
    def notes(self) -> list[Finding]:
        """Findings worth knowing."""
        return [finding for finding in self.conclusions if not finding.is_problem]

    def __repr__(self) -> str:
        findings = f"{counted(len(self.problems), 'problem')}, {counted(len(self.notes), 'note')}"
        images = counted(self.counts.total, self.noun)
        return visible(f"<Audit of {self.dataset}, {images}: {findings}>")

    def _repr_html_(self) -> str:
        from spikeduel.auditing import audit_sentences as words

        return words.html(self)
