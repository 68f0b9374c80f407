"""Check files: what was left out, what formats tell, which groups names suggest."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from spikeduel.auditing.audit_results import (
    Audit,
    FileProperty,
    IgnoredBy,
    SuggestedGroups,
    by_ending,
)
from spikeduel.auditing.context import AuditInput, Fields, is_above_chance
from spikeduel.system.finding_tables import Finder, Values, finds

MAX_LISTED = 8
"""Values of a property counted apart."""
ASSOCIATION = 0.3
"""Cramér's V above which a property of files differs between splits."""
SHUFFLES = 99
"""Random orders of the splits, of which none may give so much."""


def check(data: AuditInput) -> Fields:
    """Count files, and find formats and names that tell class, split or groups."""
    names, properties = data.names, {}
    if data.recordings and names:
        properties = {"file type": [Path(name).suffix.lower() for name in names]}
    elif data.formats:
        properties = {
            "file type": [format.type for format in data.formats],
            "colour mode": [format.mode for format in data.formats],
            "size": [f"{format.width}×{format.height}" for format in data.formats],
        }
    groups = suggested(names, data.labels) if names and data.groups is None else None
    return {
        "unreadable": tuple(
            f"{name}: {reason}" for name, reason in sorted(data.unreadable.items())
        ),
        "is_skipped": data.is_skipped,
        "files": data.files,
        "formats": file_properties(properties, data.labels, data.split_code),
        "suggested_groups": groups,
    }


def file_properties(
    properties: Mapping[str, Sequence[str]], labels: np.ndarray, split_code: np.ndarray
) -> tuple[FileProperty, ...]:
    """Return the association of N files' properties with `labels` `[N]` and `split_code` `[N]`."""
    is_train, is_test, is_used = split_code == 0, split_code == 2, split_code >= 0
    associations = []
    for name, texts in properties.items():
        values, code, counts = np.unique(texts, return_inverse=True, return_counts=True)
        if len(values) < 2:
            continue
        table = np.zeros((len(values), int(labels.max()) + 1))
        np.add.at(table, (code[is_train], labels[is_train]), 1)
        usual = int(table.sum(0).argmax())
        predicted = np.where(table.sum(1) > 0, table.argmax(1), usual)
        is_right, is_usual = predicted[code[is_test]] == labels[is_test], labels[is_test] == usual
        order = np.argsort(-counts, kind="stable")[:MAX_LISTED]
        associations.append(
            FileProperty(
                property=name,
                num_values=len(values),
                values={str(values[k]): int(counts[k]) for k in order},
                class_accuracy=float(is_right.mean()) if is_test.any() else None,
                class_chance=float(is_usual.mean()) if is_test.any() else None,
                split_association=beyond_luck(code[is_used], split_code[is_used]),
            )
        )
    return tuple(associations)


def beyond_luck(a: np.ndarray, b: np.ndarray) -> float:
    """Return Cramér's V of two lists of codes; 0 if it is above `ASSOCIATION` by luck: few files of
    many sizes differ between any splits.
    """
    association, random = cramers_v(a, b), np.random.default_rng(0)
    if association <= ASSOCIATION:
        return association
    by_luck = max(cramers_v(a, random.permutation(b)) for _ in range(SHUFFLES))
    return association if association > by_luck else 0.0


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Return Cramér's V of two lists of codes: 0 for no association, 1 if one decides the other.

    Corrected for bias: Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T".
    """
    (_, a), (_, b) = np.unique(a, return_inverse=True), np.unique(b, return_inverse=True)
    count, rows, columns = len(a), a.max(initial=0) + 1, b.max(initial=0) + 1
    if count < 2 or min(rows, columns) < 2:
        return 0.0
    table = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns)
    expected = np.outer(table.sum(1), table.sum(0)) / count
    chi_squared = ((table - expected) ** 2 / expected).sum()
    unbiased = max(0.0, chi_squared / count - (rows - 1) * (columns - 1) / (count - 1))
    unbiased_rows = rows - (rows - 1) ** 2 / (count - 1)
    unbiased_columns = columns - (columns - 1) ** 2 / (count - 1)
    largest = max(min(unbiased_rows, unbiased_columns) - 1, 1e-9)
    return float(min(1.0, np.sqrt(unbiased / largest)))


@finds("unreadable_files")
def unreadable_files(audit: Audit) -> Iterator[Values]:
    if audit.unreadable and not audit.is_skipped:
        yield {"count": len(audit.unreadable), "names": audit.unreadable}


@finds("skipped_files")
def skipped_files(audit: Audit) -> Iterator[Values]:
    if count := audit.is_skipped * len(audit.unreadable):
        share = count / (count + audit.counts.total)
        yield {"count": count, "share": share, "names": audit.unreadable}


def _left_out(rule: IgnoredBy) -> Finder:
    def find(audit: Audit) -> Iterator[Values]:
        if audit.files and (ignored := audit.files.by(rule)):
            share = ignored.count / (audit.files.num_read + ignored.count)
            yield {"count": ignored.count, "share": share, "files": by_ending(ignored.endings)}

    return find


finds("pictures_not_opened")(_left_out("format not opened here"))
finds("pictures_without_ending")(_left_out("picture without its ending"))
finds("pictures_outside_classes")(_left_out("outside the class folders"))
finds("recordings_beside_images")(_left_out("recording beside images"))


@finds("format_tells_class")
def format_tells_class(audit: Audit) -> Iterator[Values]:
    for property in audit.formats:
        chance_level = max(property.class_chance or 0, 1 / len(audit.class_splits))
        if is_above_chance(property.class_accuracy, chance_level, audit.counts.test):
            yield {
                "property": property.property,
                "accuracy": property.class_accuracy,
                "chance": property.class_chance,
            }


@finds("format_tells_split")
def format_tells_split(audit: Audit) -> Iterator[Values]:
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


SEPARATORS = r"[_\-. ]+"
MIN_GROUPS, MAX_SHARE, IN_COMPANY = 3, 0.5, 0.9
"""Fewest groups, largest share of one group, least share of files in groups of several."""
MAX_TOKENS = 4
NO_ONE = set(
    re.findall(
        r"\w+",
        "aug augmented batch chunk copy crop dsc dscn file fold frame image images img page part "
        "patch photo pic picture resized sample set split test tile train val valid validation "
        "version v x y",
    )
)
"""Words before numbers that name no person or thing."""
SOMEBODY = set(
    re.findall(
        r"\w+",
        "actor animal case id obj object p participant pat patient person s session sub subj "
        "subject user",
    )
)
_DATE = re.compile(r"(?<!\d)((19|20)\d{2}([-_.]?[01]\d){1,2}|[0-2]?\d[-.:][0-5]\d[-.:][0-5]\d)")


def suggested(names: Sequence[str], labels: np.ndarray) -> SuggestedGroups | None:
    """Return the coarsest grouping by beginnings or folders of `names` `[N]` (forward slashes) that
    looks like people or objects, or None. `labels` `[N]` are the classes.
    """
    paths = [name.rpartition("/") for name in names]
    parents = [parent for parent, _, _ in paths]
    if min(_different(parents, labels)) > 1 and all("/" in parent for parent in parents):
        folders = [parent.rpartition("/")[2] for parent in parents]
        # Equal file names in every folder are views, not numbers that begin anew.
        if _look_like(folders, ["view"] * len(names), labels, are_views=True):
            return _checked(names, folders, r"([^/]+)/[^/]+$")
    stems = [PurePosixPath(file).stem for _, _, file in paths]
    tokens = [re.split(SEPARATORS, stem) for stem in stems]
    for length in range(1, min(MAX_TOKENS, min(map(len, tokens)))):
        begins = ["\0".join(parts[:length]) for parts in tokens]
        rests = ["\0".join(parts[length:]) for parts in tokens]
        if not any(map(_DATE.search, stems)) and _look_like(begins, rests, labels):
            apart = "".join(sorted({c for stem in stems for c in re.findall(r"[_\-. ]", stem)}))
            sign = f"[{re.escape(apart)}]" if len(apart) > 1 else re.escape(apart)
            none_of = f"[^/{re.escape(apart)}]+"
            begin = f"{sign}+".join([none_of] * length)
            return _checked(names, begins, f"({begin}){sign}[^/]*$")
    return None


def _look_like(
    groups: Sequence[str], rests: Sequence[str], labels: np.ndarray, are_views: bool = False
) -> bool:
    """Return True if `groups` `[N]`, each the beginnings of names or folders, look like people or
    objects; `rests` are what is left of the names.
    """
    sizes = Counter(groups)
    last = {group.rpartition("\0")[2] for group in sizes}
    words = {word for token in last for word in re.findall(r"[a-z]+", token.lower())}
    if not all(re.search(r"\d", token) for token in last) or words & NO_ONE:
        return False
    in_company = sum(size for size in sizes.values() if size > 1)
    if (
        len(sizes) < MIN_GROUPS
        or max(sizes.values()) > MAX_SHARE * len(groups)
        or in_company < IN_COMPANY * len(groups)
        # A value that each class has only one of is the class.
        or min(_different(groups, labels)) < 2
    ):
        return False
    # Numbers that begin anew in each class before its name: 001_cat, 001_dog. People have a file a
    # class.
    is_numbered = max(_different(rests, labels)) == 1
    return are_views or not is_numbered or (words <= SOMEBODY and bool(words))


def _different(values: Sequence[str], labels: np.ndarray) -> Collection[int]:
    """Return the number of different values in each class."""
    return Counter(label for label, _ in set(zip(labels.tolist(), values, strict=True))).values()


def _checked(names: Sequence[str], groups: Sequence[str], pattern: str) -> SuggestedGroups | None:
    """Return the suggestion if the `pattern` forms just these groups of the names, else None."""
    matched = [match[1] for name in names if (match := re.search(pattern, name))]
    num_groups, same = len(set(groups)), set(zip(matched, groups, strict=False))
    if len(matched) < len(names) or not num_groups == len(same) == len(set(matched)):
        return None
    order = sorted(range(len(names)), key=groups.__getitem__)
    rows = next(rows for rows in pairwise(order) if groups[rows[0]] == groups[rows[1]])
    alike = names[rows[0]], names[rows[1]]
    return SuggestedGroups(pattern=pattern, groups=num_groups, alike=alike)
