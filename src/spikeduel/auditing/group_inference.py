"""Groups that the names of files suggest, such as people, objects or scans, where no groups are
given. A guess, made to be silent where files are only numbered.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

from spikeduel.data.grouping import group_rule
from spikeduel.results.audit import SuggestedGroups

SEPARATORS = r"[_\-. ]+"
FEWEST_GROUPS, LARGEST_SHARE, IN_COMPANY = 3, 0.5, 0.9
"""Groups at least, the largest share of the files in one group, and the least share of files in
groups of several files.
"""
MOST_TOKENS = 4
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
    """Return the coarsest grouping by how the names `[N]` of files begin (or by their folders) that
    looks like people or objects; None where none does. `labels` `[N]` are the classes. Names are
    paths with forward slashes.
    """
    paths = [name.rpartition("/") for name in names]
    parents = [parent for parent, _, _ in paths]
    in_each_class = defaultdict(set)
    for parent, label in zip(parents, labels.tolist(), strict=True):
        in_each_class[label].add(parent)
    if all(len(folders) > 1 for folders in in_each_class.values()) and all(
        "/" in parent for parent in parents
    ):
        folders = [parent.rpartition("/")[2] for parent in parents]
        # The same file names in every folder are the views of each, not numbers that begin anew.
        if _look_like(folders, ["view"] * len(names), labels, are_views=True):
            return _checked(names, folders, r"([^/]+)/[^/]+$")
    stems = [PurePosixPath(file).stem for _, _, file in paths]
    tokens = [re.split(SEPARATORS, stem) for stem in stems]
    for length in range(1, min(MOST_TOKENS, min(map(len, tokens)))):
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
    sizes = Counter(groups)
    last = {group.rpartition("\0")[2] for group in sizes}
    words = {word for token in last for word in re.findall(r"[a-z]+", token.lower())}
    if not all(re.search(r"\d", token) for token in last) or words & NO_ONE:
        return False
    in_company = sum(size for size in sizes.values() if size > 1)
    if (
        len(sizes) < FEWEST_GROUPS
        or max(sizes.values()) > LARGEST_SHARE * len(groups)
        or in_company < IN_COMPANY * len(groups)
    ):
        return False
    of_class: dict[Hashable, set[str]] = defaultdict(set)
    rests_of_class: dict[Hashable, set[str]] = defaultdict(set)
    for group, rest, label in zip(groups, rests, labels.tolist(), strict=True):
        of_class[label].add(group)
        rests_of_class[label].add(rest)
    # What has one value in each class is the class.
    if any(len(names) < 2 for names in of_class.values()):
        return False
    # Numbers that begin anew in each class, and then its name: 001_cat, 001_dog. Of somebody that
    # is a file a class.
    is_numbered = all(len(names) == 1 for names in rests_of_class.values())
    return are_views or not is_numbered or (words <= SOMEBODY and bool(words))


def _checked(names: Sequence[str], groups: Sequence[str], pattern: str) -> SuggestedGroups | None:
    found = list(map(group_rule(pattern), names))
    if None in found or not len(set(zip(found, groups, strict=True))) == len(set(groups)) == len(
        set(found)
    ):
        return None
    order = sorted(range(len(names)), key=lambda row: groups[row])
    one, other = next(rows for rows in pairwise(order) if groups[rows[0]] == groups[rows[1]])
    return SuggestedGroups(
        pattern=pattern, groups=len(set(groups)), alike=(names[one], names[other])
    )
