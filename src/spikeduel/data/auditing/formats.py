"""What files give away without a look at their pixels: type, colour mode and size against class and split."""

from typing import Any

import numpy as np

MOST_LISTED = 8


def formats(
    listed: tuple[tuple[str, str, int, int], ...], labels: np.ndarray, side: np.ndarray
) -> list[dict[str, Any]]:
    """For each property (type, mode, size) with several values, how far it is tied to class and side of the split.

    `class_accuracy`: of naming, for each test image, the class that is most frequent among training images with the
    same value (the most frequent class of all for a new value); `class_chance`: of always naming the latter.
    `split_association`: Cramér's V between property and side, corrected for its bias (Bergsma 2013), 0 to 1.
    `values` counts images, the most frequent first.
    """
    properties = {
        "file type": [kind for kind, _, _, _ in listed],
        "colour mode": [mode for _, mode, _, _ in listed],
        "size": [f"{width}×{height}" for _, _, width, height in listed],
    }
    rows = []
    for name, texts in properties.items():
        values, code, counts = np.unique(texts, return_inverse=True, return_counts=True)
        if len(values) < 2:
            continue
        train, test = side == 0, side == 2
        table = np.zeros((len(values), int(labels.max()) + 1))
        np.add.at(table, (code[train], labels[train]), 1)
        usual = int(table.sum(0).argmax())
        named = np.where(table.sum(1) > 0, table.argmax(1), usual)
        order = np.argsort(-counts, kind="stable")[:MOST_LISTED]
        rows.append({
            "property": name,
            "num_values": len(values),
            "values": {str(values[k]): int(counts[k]) for k in order},
            "class_accuracy": float((named[code[test]] == labels[test]).mean()) if test.any() else None,
            "class_chance": float((labels[test] == usual).mean()) if test.any() else None,
            "split_association": cramers_v(code[side >= 0], side[side >= 0]),
        })  # fmt: skip
    return rows


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """The bias-corrected Cramér's V of two lists of codes: 0 for no association, 1 where one decides the other."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1)
    n = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    r, k = table.shape
    if n < 2 or min(r, k) < 2:
        return 0.0
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi2 / max(min(r, k) - 1, 1e-9))))
