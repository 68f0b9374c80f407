import json
import re

import pytest

from spikeduel.system.errors import InputError
from spikeduel.system.shapes import Maybe, amount, count, require, share

SHAPE = {
    "name": str,
    "kind": {"a", "b"},
    "size": (count, count),
    "rows": [{"x": float, "note?": Maybe(str)}],
    "best": Maybe(count),
    "extra?": {},
}
GOOD = {
    "name": "n",
    "kind": "a",
    "size": [1, 2],
    "rows": [{"x": 1}, {"x": 0.5, "note": None}],
    "best": None,
    "other": 1,
}


def test_what_fits_is_let_through():
    require(GOOD, SHAPE)
    require({**GOOD, "extra": {"any": "thing"}, "best": 0, "rows": []}, SHAPE)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": 3}, "name must be text, not 3."),
        ({"name": None}, "name must be text, not null."),
        ({"kind": "c"}, 'kind must be one of a, b, not "c".'),
        ({"kind": []}, "kind must be one of a, b, not a list."),
        ({"size": [1]}, "size must be a list of 2, and has 1 entries."),
        ({"size": [1, -2]}, "size[1] must be a whole number of at least 0, not -2."),
        ({"size": [1, True]}, "size[1] must be a whole number of at least 0, not true."),
        ({"rows": {}}, "rows must be a list, not an object."),
        ({"rows": [{"x": 1}, {}]}, "rows[1] has no 'x'."),
        ({"rows": [{"x": float("nan")}]}, "rows[0].x must be a number, not NaN."),
        ({"rows": [{"x": 10**400}]}, f"rows[0].x must be a number, not {'1' + 59 * '0'}…."),
        ({"rows": [{"x": 1, "note": 2}]}, "rows[0].note must be text, not 2."),
        ({"extra": []}, "extra must be an object, not a list."),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(changes, problem):
    with pytest.raises(InputError, match=f"^{re.escape(problem)}$"):
        require({**GOOD, **changes}, SHAPE)


def test_the_document_itself():
    with pytest.raises(InputError, match="it must be an object, not a list"):
        require([], SHAPE)
    with pytest.raises(InputError, match="it has no 'name'"):
        require({}, SHAPE)


@pytest.mark.parametrize(
    ("shape", "right", "wrong"),
    [
        (share, [0, 1, 0.5], [-0.1, 1.1, "0.5", None, True]),
        (count, [0, 7], [-1, 1.0, 2**63]),
        (amount, [0, 7.5], [-1e-9, "7"]),
    ],
)
def test_numbers_within_bounds(shape, right, wrong):
    for value in right:
        require(value, shape)
    for value in wrong:
        with pytest.raises(InputError, match="must be a"):
            require(value, shape, json.dumps(value))
