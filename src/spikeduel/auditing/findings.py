"""What the numbers of an audit mean: a function for each finding of `results/findings.toml`."""

from collections.abc import Iterator, Mapping

from spikeduel.data.inventory import IgnoredBy, by_ending, opening
from spikeduel.results.audit import SIDES, Audit, FileProperty
from spikeduel.results.findings import Finding, Values, find, finds
from spikeduel.results.significance import FEWEST_GROUPS
from spikeduel.results.statistics import Name

FEW_TEST_IMAGES = 10
"""Test images of a class below which scores of the class are uncertain."""
SMALL_SHARE = 0.001
"""Share of images with a near duplicate elsewhere that moves no result by a tenth of a point."""
GAP = 0.05
"""What the probe may lose without siblings; and what a file's format may tell about the class."""
MOVED_SHARE = 0.005
"""Share of moved copies among validation and test images that look-alikes by nature may give."""
FEWEST = 3
"""Test images below which near duplicates and gaps are no problem: near is a judgement."""
NEAR_PROBLEM = 0.05
"""Share of test images with a near duplicate, or a moved copy, in training above which scores
measure memory. Natural sets stay far below: Fashion-MNIST has 0.6 %.
"""
MANY_IGNORED = 0.1
"""Ignored files worth a word, as a share of the pictures read."""
IMBALANCE = 10
"""Ratio of the largest class to the smallest one above which classes are unbalanced."""
ASSOCIATION = 0.3
"""Cramér's V above which a property of files differs between the sides of the split."""
SURE = 2.0
"""Standard deviations that a score has to lie above chance."""
SIDE_GAP = 0.1
"""What may be told beyond half of the sides, without recordings being of another kind."""
MOST_STATISTICS = 3
"""Statistics that are named."""
REMEDIES: dict[Name, str] = {
    "length": "--set bin_ms=N",
}
NOT_ANYONES_CHOICE: tuple[IgnoredBy, ...] = (
    "format not opened here",
    "picture without its ending",
    "outside the class folders",
)
"""Rules that leave out pictures, each of which has a finding of its own."""


def findings(audit: Audit) -> tuple[Finding, ...]:
    """Return what the numbers of an audit mean, the problems first."""
    return tuple(sorted(find("audit", audit), key=lambda finding: not finding.is_problem))


# ---- test images in training


@finds("test_in_training")
def test_in_training(audit: Audit) -> Iterator[Values]:
    if count := audit.exact_duplicates.test_in_training:
        remedy = "--split default" if audit.split == "published" else "remove the copies"
        yield {"count": count, "share": count / audit.counts.test, "remedy": remedy}


@finds("stretch_test_in_training")
def stretch_test_in_training(audit: Audit) -> Iterator[Values]:
    if audit.stretches and (count := audit.stretches.test_in_training):
        remedy = _keep_together(audit)
        yield {
            "count": count,
            "share": count / audit.counts.test,
            "remedy": "--group-by groups.csv" if remedy == "--group-by" else remedy,
        }


@finds("cut_groups")
def cut_groups(audit: Audit) -> Iterator[Values]:
    if images := audit.groups_cut_test_images:
        share = images / audit.counts.test
        yield {"count": audit.groups_cut, "share": share, "remedy": _keep_together(audit)}


@finds("groups_cut_at_validation")
def groups_cut_at_validation(audit: Audit) -> Iterator[Values]:
    if audit.groups_cut and not audit.groups_cut_test_images:
        yield {"count": audit.groups_cut}


@finds("leaking_siblings")
def leaking_siblings(audit: Audit) -> Iterator[Values]:
    if _has_gap(audit):
        yield {
            "share": audit.probe.siblings_in_train,
            "accuracy": audit.probe.accuracy,
            "accuracy_if_grouped": audit.probe.accuracy_if_grouped,
            "chance": audit.probe.chance,
            "remedy": _keep_together(audit),
        }


@finds("near_test_in_training")
def near_test_in_training(audit: Audit) -> Iterator[Values]:
    siblings = audit.probe.siblings_in_train
    if siblings is None or _has_gap(audit) or audit.groups_cut_test_images:
        return
    # Equal images, and shared stretches, are findings of their own.
    known = audit.exact_duplicates.test_in_training
    known += audit.stretches.test_in_training if audit.stretches else 0
    share = siblings - known / audit.counts.test
    if share > NEAR_PROBLEM and share * audit.probe.n >= FEWEST:
        yield {"share": share, "above": NEAR_PROBLEM, "remedy": _keep_together(audit)}


@finds("moved_test_in_training")
def moved_test_in_training(audit: Audit) -> Iterator[Values]:
    count = audit.moved_copies.test_in_training if audit.moved_copies else 0
    share = count / max(1, audit.counts.test)
    if share > NEAR_PROBLEM and count >= FEWEST and not audit.groups_cut_test_images:
        remedy = _keep_together(audit)
        yield {"count": count, "share": share, "above": NEAR_PROBLEM, "remedy": remedy}


def _keep_together(audit: Audit) -> str:
    """Return the remedy that keeps relatives on one side of the split."""
    return {"official": "divide the data anew", "published": "--split default"}.get(
        audit.split, "--group-by"
    )


def _has_gap(audit: Audit) -> bool:
    """Return True if the probe does much worse without siblings of the test images."""
    probe = audit.probe
    if probe.accuracy is None or probe.accuracy_if_grouped is None:
        return False
    gap = probe.accuracy - probe.accuracy_if_grouped
    return probe.siblings_in_train is not None and gap > GAP and gap * probe.n >= FEWEST


# ---- copies elsewhere, and labels


@finds("conflicting_labels")
def conflicting_labels(audit: Audit) -> Iterator[Values]:
    exact = audit.exact_duplicates
    if exact.conflicting_images:
        yield {
            "count": exact.conflicting,
            "images": exact.conflicting_images,
            "share": exact.conflicting_images / audit.counts.total,
            "names": exact.conflicting_files,
        }


@finds("groups_joined")
def groups_joined(audit: Audit) -> Iterator[Values]:
    if count := audit.exact_duplicates.across_groups:
        yield {"count": count}


@finds("validation_copies")
def validation_copies(audit: Audit) -> Iterator[Values]:
    exact = audit.exact_duplicates
    if elsewhere := exact.across - exact.test_in_training:
        yield {"count": elsewhere}


@finds("copies_on_one_side")
def copies_on_one_side(audit: Audit) -> Iterator[Values]:
    if count := audit.exact_duplicates.within:
        yield {"count": count}


@finds("labels_to_check")
def labels_to_check(audit: Audit) -> Iterator[Values]:
    if audit.labels and (count := audit.labels.suspects):
        examined = audit.labels.examined
        yield {"count": count, "share": count / examined, "examined": examined}


@finds("near_across_sides")
def near_across_sides(audit: Audit) -> Iterator[Values]:
    near, counts = audit.near_duplicates, audit.counts
    if near.across > SMALL_SHARE * (counts.test + counts.val):
        yield {
            "count": near.across,
            "in_training": near.test_in_training,
            "num_test": counts.test,
        }


@finds("moved_across_sides")
def moved_across_sides(audit: Audit) -> Iterator[Values]:
    moved, counts = audit.moved_copies, audit.counts
    if moved and moved.across > MOVED_SHARE * (counts.test + counts.val):
        yield {
            "count": moved.across,
            "in_training": moved.test_in_training,
            "num_test": counts.test,
        }


@finds("stretches_elsewhere")
def stretches_elsewhere(audit: Audit) -> Iterator[Values]:
    stretches = audit.stretches
    if stretches and (elsewhere := stretches.across - stretches.test_in_training):
        yield {"count": elsewhere}


# ---- files


@finds("unreadable_files")
def unreadable_files(audit: Audit) -> Iterator[Values]:
    if audit.unreadable:
        yield {"count": len(audit.unreadable), "names": audit.unreadable}


@finds("pictures_not_opened")
def pictures_not_opened(audit: Audit) -> Iterator[Values]:
    for values in _left_out(audit, "format not opened here"):
        endings = values.pop("endings")
        yield values | {"opening": opening(tuple(endings))}


@finds("pictures_without_ending")
def pictures_without_ending(audit: Audit) -> Iterator[Values]:
    for values in _left_out(audit, "picture without its ending"):
        del values["endings"]
        yield values


@finds("pictures_outside_classes")
def pictures_outside_classes(audit: Audit) -> Iterator[Values]:
    for values in _left_out(audit, "outside the class folders"):
        del values["endings"]
        yield values


def _left_out(audit: Audit, rule: IgnoredBy) -> Iterator[Values]:
    """Yield the pictures that a rule leaves out, of which nobody may know."""
    if audit.files and (ignored := audit.files.by(rule)):
        share = ignored.count / (audit.files.num_read + ignored.count)
        files = by_ending(ignored.endings)
        yield {"count": ignored.count, "share": share, "files": files, "endings": ignored.endings}


@finds("many_files_ignored")
def many_files_ignored(audit: Audit) -> Iterator[Values]:
    if audit.files:
        others = [files for files in audit.files.ignored if files.rule not in NOT_ANYONES_CHOICE]
        count = sum(files.count for files in others)
        if count > MANY_IGNORED * audit.files.num_read:
            yield {"count": count, "files": "; ".join(map(str, others))}


@finds("format_tells_class")
def format_tells_class(audit: Audit) -> Iterator[Values]:
    for property in audit.formats:
        if _tells_class(property, audit.counts.test, len(audit.class_sides)):
            yield {
                "property": property.property,
                "accuracy": property.class_accuracy,
                "chance": property.class_chance,
            }


@finds("format_tells_side")
def format_tells_side(audit: Audit) -> Iterator[Values]:
    for property in audit.formats:
        if property.split_association > ASSOCIATION:
            yield {"property": property.property, "association": property.split_association}


@finds("names_tell_groups")
def names_tell_groups(audit: Audit) -> Iterator[Values]:
    if guess := audit.suggested_groups:
        first, second = guess.alike
        yield {
            "count": guess.groups,
            "first": first,
            "second": second,
            "pattern": guess.pattern,
        }


# ---- classes and groups


@finds("unbalanced_classes")
def unbalanced_classes(audit: Audit) -> Iterator[Values]:
    totals = {name: counts.total for name, counts in audit.class_sides.items()}
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    if totals[most] > IMBALANCE * totals[least]:
        yield {
            "most": most,
            "most_images": totals[most],
            "least": least,
            "least_images": totals[least],
        }


@finds("classes_with_few_test_images")
def classes_with_few_test_images(audit: Audit) -> Iterator[Values]:
    sides = audit.class_sides
    if names := [name for name in sides if sides[name].test < FEW_TEST_IMAGES]:
        yield {"count": len(names), "few": FEW_TEST_IMAGES, "names": names}


@finds("few_test_groups")
def few_test_groups(audit: Audit) -> Iterator[Values]:
    if audit.groups_tested is not None and audit.groups_tested < FEWEST_GROUPS:
        yield {"count": audit.groups_tested, "fewest": FEWEST_GROUPS}


@finds("class_shares_differ")
def class_shares_differ(audit: Audit) -> Iterator[Values]:
    sides, counts = audit.class_sides, audit.counts
    train = {name: side.train / max(1, counts.train) for name, side in sides.items()}
    test = {name: side.test / max(1, counts.test) for name, side in sides.items()}
    worst = max(sides, key=lambda name: abs(train[name] - test[name]))
    if abs(train[worst] - test[worst]) > GAP:
        yield {"name": worst, "train_share": train[worst], "test_share": test[worst]}


# ---- recordings


@finds("hot_pixels")
def hot_pixels(audit: Audit) -> Iterator[Values]:
    if audit.statistics and (pixels := audit.statistics.hot_pixels):
        yield {"count": len(pixels), "pixels": [f"({x}, {y})" for x, y in pixels]}


@finds("statistics_tell_class")
def statistics_tell_class(audit: Audit) -> Iterator[Values]:
    if (found := audit.statistics) is None:
        return
    chance = max(found.class_chance or 0, 1 / len(audit.class_sides))
    if _is_above(found.class_accuracy, chance, found.num_tested):
        alone = {
            statistic.name: statistic.class_accuracy
            for statistic in found.statistics
            if _is_above(statistic.class_accuracy, chance, found.num_tested)
        }
        names = _most_telling(alone)
        yield {
            "share": found.class_accuracy,
            "names": names,
            "chance": found.class_chance,
            "remedy": next((REMEDIES[name] for name in names if name in REMEDIES), None),
        }


@finds("statistics_tell_side")
def statistics_tell_side(audit: Audit) -> Iterator[Values]:
    found = audit.statistics
    if found and _is_above(found.side_accuracy, 0.5, found.num_groups, SIDE_GAP):
        alone = {
            statistic.name: statistic.side_accuracy
            for statistic in found.statistics
            if _is_above(statistic.side_accuracy, 0.5, found.num_groups, SIDE_GAP)
        }
        yield {"share": found.side_accuracy, "names": _most_telling(alone)}


def _most_telling(accuracies: Mapping[Name, float | None]) -> list[Name]:
    """Return the statistics that tell most, each by itself."""
    return sorted(accuracies, key=lambda name: -(accuracies[name] or 0))[:MOST_STATISTICS]


def _tells_class(property: FileProperty, num_test: int, num_classes: int) -> bool:
    """Return True if a property tells the class more often than naming one class does."""
    chance = max(property.class_chance or 0, 1 / num_classes)
    return _is_above(property.class_accuracy, chance, num_test)


def _is_above(accuracy: float | None, chance: float, num: int, gap: float = GAP) -> bool:
    """Return True if an accuracy on `num` images lies further above chance than luck brings."""
    if accuracy is None or not num:
        return False
    return accuracy - chance > max(gap, SURE * (chance * (1 - chance) / num) ** 0.5)


# ---- the search itself


@finds("searched_a_sample")
def searched_a_sample(audit: Audit) -> Iterator[Values]:
    names = {"train": "training", "val": "validation", "test": "test"}
    samples = {side: (getattr(audit.searched, side), getattr(audit.counts, side)) for side in SIDES}
    if parts := [
        f"{searched:,} of {number:,} {names[side]}"
        for side, (searched, number) in samples.items()
        if searched < number
    ]:
        yield {"samples": parts}
