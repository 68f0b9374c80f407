"""Hypothesis strategies that damage what is valid: bytes, and the values of a JSON document."""

from hypothesis import HealthCheck, settings, strategies as st

from spikeduel.system.errors import InputError

FUZZED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""The same examples in every run."""


def problem(read, *arguments):
    """The text of the `InputError` that `read` raises, or None; any other error is the test's
    failure.
    """
    try:
        read(*arguments)
    except InputError as error:
        return str(error)
    return None


PIECES = (b"\0", b"\xff" * 8, b"[" * 3000, b"NaN", b"1e999", b"9" * 5000, b"\r\n", b"-1")
EXTREMES = (
    0,
    1,
    -1,
    2**40,
    2**63,
    10**400,
    0.5,
    1e308,
    "",
    "x" * 5000,
    "\ud800",
    "\u202e<b>",
    "a:b",
    "../x",
    "$\\frac{$",
    None,
    True,
    [],
    {},
    [[[]]],
    {"a": 1},
)


def damaged(valid):
    """`valid` bytes with up to three pieces replaced, inserted, or all after them cut off."""

    def apply(edits):
        made = bytearray(valid)
        for share, kind, piece in edits:
            # Headers stand first, and decide most.
            place = int(len(made) * share**2)
            if kind == "cut":
                del made[place:]
            elif kind == "replace":
                made[place : place + len(piece)] = piece
            else:
                made[place:place] = piece
        return bytes(made)

    piece = st.one_of(st.sampled_from(PIECES), st.binary(min_size=1, max_size=8))
    edit = st.tuples(
        st.floats(0, 1), st.sampled_from(("replace", "replace", "insert", "cut")), piece
    )
    return st.lists(edit, min_size=1, max_size=3).map(apply)


@st.composite
def changed(draw, value):
    """`value` (JSON-like) with one place in it replaced by something extreme, or without one of its
    keys.
    """
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(EXTREMES))
    if isinstance(value, dict):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)) == 0:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: draw(changed(value[key]))}
    place = draw(st.integers(0, len(value) - 1))
    return [*value[:place], draw(changed(value[place])), *value[place + 1 :]]
