"""Which side of a split each image goes to: every class on every side, no group on two."""

import numpy as np

from spikeduel.data import grouping
from spikeduel.system.errors import InputError

MOST_NODES = 200
"""That the exact search visits; it mostly needs few. A limit in seconds would give a busy machine another split."""
MOST_NUMBERS = 200
"""Unknowns up to which the exact search goes on to the best way."""
NEAR_ENOUGH = 0.05
"""Of a class's target on a side: to search for less of a distance takes long and is worth nothing."""

_REMEDY = (
    "Add images of it in other groups, remove the class, make groups finer (group_by), choose fewer folds if there are "
    "folds, or give val/ and test/ folders of your own."
)


def assign(
    labels: np.ndarray,
    groups: np.ndarray | None,
    share: list[float],
    rng: np.random.Generator,
    classes: tuple[str, ...],
) -> np.ndarray:
    """A side for each image: int64 `[N]`, an index into `share`, of which each class gets about as much as that says.

    Each class is on each side, and no group is on two. Groups of several images are placed first, the largest ahead;
    single images fill up, by class. Where a class is missing somewhere after that, an exact search mends it.
    Raises `InputError` where it cannot be done.
    """
    num_classes, num_sides = len(classes), len(share)
    group = np.arange(len(labels)) if groups is None else grouping.by_appearance(groups)
    content = np.zeros((int(group.max(initial=-1)) + 1, num_classes), dtype=np.int64)
    np.add.at(content, (group, labels), 1)
    _require_enough(content, num_sides, classes)
    target = np.outer(share, content.sum(0))
    side_of = _place_groups(content, target, rng)
    _place_single_images(side_of, content, target, rng)
    if (_filled(side_of, content, num_sides) == 0).any():
        mended = _mended(side_of, content, target, rng)
        if mended is None:
            raise _impossible(content, num_sides, classes)
        side_of = mended
    return side_of[group]


def _place_groups(content: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A side for each group of several images, where it brings the counts nearest to `target`; −1 for single images.

    `content` is `[groups, classes]`, `target` `[sides, classes]`.
    """
    size = content.sum(1)
    side_of = np.full(len(size), -1, dtype=np.int64)
    if (size == 1).all():
        return side_of
    filled = np.zeros_like(target)
    weight = 1 / np.maximum(target, 1e-9)
    order = rng.permutation(len(size))
    order = order[np.argsort(-size[order], kind="stable")]
    for group in order[size[order] > 1]:
        images = content[group]
        # The growth of the squared distance to the target, relative to the target.
        growth = (images * (2 * (filled - target) + images) * weight).sum(axis=1)
        side_of[group] = int(np.argmin(growth))
        filled[side_of[group]] += images
    return side_of


def _place_single_images(
    side_of: np.ndarray, content: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> None:
    """Fills in `side_of` where it is −1, each class as its targets ask."""
    placed = side_of >= 0
    filled = _filled(side_of[placed], content[placed], len(target))
    label = content.argmax(1)
    for k in range(content.shape[1]):
        rows = rng.permutation(np.flatnonzero(~placed & (label == k)))
        behind = (target - filled)[:, :k].sum(1)
        quota = _quota(len(rows), target[:, k], filled[:, k], behind)
        side_of[rows] = np.repeat(np.arange(len(target)), quota)
        filled[:, k] += quota


def _quota(count: int, target: np.ndarray, filled: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """How many of `count` single images go to each side: as the targets ask, at least one where none is.

    What cannot be divided goes to the sides that are furthest `behind` with other classes, where all else is equal.
    """
    lacking = np.maximum(target - filled, 0)
    ideal = lacking * count / max(lacking.sum(), 1e-9)
    quota = np.floor(ideal).astype(np.int64)
    first = np.lexsort((-behind.round(6), (quota - ideal).round(9)))
    quota[first[: count - quota.sum()]] += 1
    needs_one = filled == 0
    for side in np.flatnonzero(needs_one & (quota == 0)):
        donor = int(np.argmax(quota - needs_one))
        if quota[donor] > needs_one[donor]:
            quota[donor] -= 1
            quota[side] += 1
    return quota


def _filled(side_of: np.ndarray, content: np.ndarray, num_sides: int) -> np.ndarray:
    """How many images of each class each side has: `[sides, classes]`."""
    counts = np.zeros((num_sides, content.shape[1]), dtype=np.int64)
    np.add.at(counts, side_of, content)
    return counts


def _mended(
    side_of: np.ndarray, content: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """`side_of` with every class on every side: groups with a class that lacks somewhere are placed anew, else all.

    None where there is no way.
    """
    lacking = (_filled(side_of, content, len(target)) == 0).any(0)
    for free in ((content[:, lacking] > 0).any(1), np.ones(len(content), dtype=bool)):
        others = _filled(side_of[~free], content[~free], len(target))
        sides = _searched(content[free], target, others, rng)
        if sides is not None:
            mended = side_of.copy()
            mended[free] = sides
            return mended
    return None


def _searched(
    content: np.ndarray, target: np.ndarray, others: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """A side for each group by integer programming: every class on every side, else near to `target`; or None.

    `others` `[sides, classes]` counts the images that have their side already. Groups of equal content are
    interchangeable: what is searched for is how many of each kind go to each side.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, eye_array, kron

    kinds, kind, count = np.unique(content, axis=0, return_inverse=True, return_counts=True)
    num_sides, num_classes = target.shape
    num_numbers, num_counts = num_sides * len(kinds), num_sides * num_classes
    sides = eye_array(num_sides)
    placed = kron(np.ones((1, num_sides)), eye_array(len(kinds)))
    images, presence = kron(sides, kinds.T), kron(sides, (kinds > 0).T)
    # Variables: the number of each kind on each side, then how far each class on each side is from near enough.
    matrix = block_array(
        [[placed, None], [presence, None], [images, eye_array(num_counts)], [images, -eye_array(num_counts)]]
    )
    wanted, present = (target - others).ravel(), (others > 0).ravel()
    slack = np.maximum(1, NEAR_ENOUGH * target.ravel())
    lower = np.concatenate([count, 1 - present, wanted - slack, np.full(num_counts, -np.inf)])
    upper = np.concatenate([count, np.full(2 * num_counts, np.inf), wanted + slack])
    solution = milp(
        np.concatenate([np.zeros(num_numbers), 1 / np.maximum(target.ravel(), 1)]),
        constraints=LinearConstraint(matrix.tocsc(), lower, upper),
        integrality=np.repeat([1, 0], [num_numbers, num_counts]),
        bounds=Bounds(0, np.concatenate([np.tile(count, num_sides), np.full(num_counts, np.inf)])),
        # Of a large problem, the first way that is found has to do.
        options={"node_limit": MOST_NODES, "mip_rel_gap": 0.02 if num_numbers <= MOST_NUMBERS else 1.0},
    )
    if solution.x is None:
        return None
    numbers = np.rint(solution.x[:num_numbers]).astype(np.int64).reshape(num_sides, len(kinds))
    side_of = np.empty(len(content), dtype=np.int64)
    for number in range(len(kinds)):
        side_of[rng.permutation(np.flatnonzero(kind == number))] = np.repeat(np.arange(num_sides), numbers[:, number])
    return side_of


def _require_enough(content: np.ndarray, num_sides: int, classes: tuple[str, ...]) -> None:
    """Raises `InputError` for a class that cannot be on every side, whatever the others do."""
    groups_of, images_of = (content > 0).sum(0), content.sum(0)
    poor = np.flatnonzero(groups_of < num_sides)
    if not len(poor):
        return
    label = int(poor[np.argmin(groups_of[poor])])
    name, have, groups = classes[label], int(images_of[label]), int(groups_of[label])
    if have < num_sides:
        raise InputError(
            f"class '{name}' has {_counted(have, 'image')}, and a split needs at least {num_sides} of each class, one "
            "on each side. Add images, remove the class, or choose fewer folds if there are folds."
        )
    raise InputError(
        f"class '{name}' has too few groups for a split that cuts none: its {have} images lie in "
        f"{_counted(groups, 'group')}, and {num_sides} sides need at least one each (copies are one group). {_REMEDY}"
    )


def _impossible(content: np.ndarray, num_sides: int, classes: tuple[str, ...]) -> InputError:
    label = int(np.argmin((content > 0).sum(0)))
    return InputError(
        f"no split into {num_sides} sides was found that has every class on each of them and cuts no group. The class "
        f"in fewest groups is '{classes[label]}', in {int((content[:, label] > 0).sum())}. {_REMEDY}"
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
