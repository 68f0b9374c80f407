"""What the numbers of an audit mean: problems, which invalidate a result, and notes, which are worth knowing."""

from collections.abc import Iterator

from spikeduel.results.audit import FEW_TEST_IMAGES, Audit, Counts, Finding, FindingKind, Remedy

SMALL_SHARE = 0.001
"""Equal images and conflicting labels up to this share of the images move no result by a tenth of a point."""
SIBLING_SHARE = 0.05
"""Natural sets stay far below it: 0.6 % of Fashion-MNIST's test images have a near duplicate in training."""
GAP = 0.05
"""How much the probe may lose without siblings; and what a file's format may tell about the class."""
FEWEST = 3
"""Near duplicates and gaps of fewer test images than this are not called a problem: near is a judgement."""
IMBALANCE = 10
ASSOCIATION = 0.3


def findings(audit: Audit) -> tuple[Finding, ...]:
    """What may be concluded from an audit's numbers, the problems first."""
    conclusions = [*_duplicates(audit), *_groups(audit), *_siblings(audit), *_unreadable(audit)]
    conclusions += [*_copies(audit), *_balance(audit.class_sides, audit.counts), *_formats(audit), *_sampled(audit)]
    return tuple(sorted(conclusions, key=lambda finding: not finding.is_problem))


def _duplicates(audit: Audit) -> Iterator[Finding]:
    exact, num_test = audit.exact_duplicates, audit.counts.test
    if exact.test_in_training:
        yield Finding(
            kind="test_in_training",
            is_problem=exact.test_in_training > SMALL_SHARE * num_test,
            count=exact.test_in_training,
            share=exact.test_in_training / num_test,
            remedy="use_default_split" if audit.split == "published" else "remove_copies",
        )
    if exact.conflicting_images:
        yield Finding(
            kind="conflicting_labels",
            is_problem=exact.conflicting_images > SMALL_SHARE * audit.counts.total,
            count=exact.conflicting,
            names=exact.conflicting_files or (),
        )


def _groups(audit: Audit) -> Iterator[Finding]:
    cut, num_test = audit.groups_cut_test_images, audit.counts.test
    if cut:
        yield Finding(
            kind="cut_groups",
            is_problem=True,
            count=audit.groups_cut,
            share=cut / num_test,
            remedy=_keep_groups(audit.split),
        )
    elif audit.groups_cut:
        yield _note("groups_cut_at_validation", audit.groups_cut)


def _siblings(audit: Audit) -> Iterator[Finding]:
    probe, share = audit.probe, audit.probe.siblings_in_train
    if probe.accuracy is None or probe.accuracy_if_grouped is None or share is None:
        return
    gap = probe.accuracy - probe.accuracy_if_grouped
    kind: FindingKind | None = None
    if gap > GAP and gap * probe.n >= FEWEST:
        kind = "leakage"
    elif share > SIBLING_SHARE and share * probe.n >= FEWEST and not audit.groups_cut_test_images:
        kind = "near_test_in_training"
    if kind:
        yield Finding(kind=kind, is_problem=True, share=share, remedy=_keep_groups(audit.split))


def _keep_groups(split: str) -> Remedy:
    if split == "published":
        return "use_default_split"
    return "divide_the_data_anew" if split == "official" else "give_groups"


def _unreadable(audit: Audit) -> Iterator[Finding]:
    if audit.unreadable:
        yield Finding(kind="unreadable_files", is_problem=True, count=len(audit.unreadable), names=audit.unreadable)


def _copies(audit: Audit) -> Iterator[Finding]:
    exact, near = audit.exact_duplicates, audit.near_duplicates
    if exact.across_groups:
        yield _note("groups_joined", exact.across_groups)
    if elsewhere := exact.across - exact.test_in_training:
        yield _note("validation_copies", elsewhere)
    if exact.within:
        yield _note("copies_on_one_side", exact.within)
    if near.across > SMALL_SHARE * (audit.counts.test + audit.counts.val):
        yield _note("near_across_sides", near.across)


def _balance(sides: dict[str, Counts], counts: Counts) -> Iterator[Finding]:
    most, least = (choose(sides, key=lambda name: sides[name].total) for choose in (max, min))
    if sides[most].total > IMBALANCE * sides[least].total:
        yield _note("unbalanced_classes", names=(most, least))
    if few := tuple(name for name in sides if sides[name].test < FEW_TEST_IMAGES):
        yield _note("few_test_images", len(few), few)
    train, test = (
        {name: getattr(of, side) / max(1, getattr(counts, side)) for name, of in sides.items()}
        for side in ("train", "test")
    )
    worst = max(sides, key=lambda name: abs(train[name] - test[name]))
    if abs(train[worst] - test[worst]) > GAP:
        yield Finding(kind="class_shares_differ", is_problem=False, share=test[worst], names=(worst,))


def _formats(audit: Audit) -> Iterator[Finding]:
    for file_property in audit.formats:
        accuracy, chance = file_property.class_accuracy, file_property.class_chance
        if accuracy is not None and chance is not None and accuracy - chance > GAP:
            yield Finding(kind="format_tells_class", is_problem=False, share=accuracy, names=(file_property.property,))
        if file_property.split_association > ASSOCIATION:
            yield _note("format_tells_side", names=(file_property.property,))


def _sampled(audit: Audit) -> Iterator[Finding]:
    if any(getattr(audit.searched, side) < getattr(audit.counts, side) for side in ("train", "val", "test")):
        yield _note("searched_a_sample", audit.searched.total)


def _note(kind: FindingKind, count: int | None = None, names: tuple[str, ...] = ()) -> Finding:
    return Finding(kind=kind, is_problem=False, count=count, names=names)
