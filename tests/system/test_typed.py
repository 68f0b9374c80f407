from typing import Annotated

import pytest
from msgspec import Meta

from spikeduel.system import typed
from spikeduel.system.errors import InputError


class Inner(typed.Frozen, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=0)]
    share: Annotated[float, Meta(ge=0, le=1)] | None = None


class Outer(typed.Frozen):
    name: str
    inner: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"name": 1}', "name: expected str, got int."),
        (
            '{"name": "x", "inner": [{"count": 2}, {"count": -1}]}',
            "inner[1].count: expected int >= 0.",
        ),
        (
            '{"name": "x", "inner": [{"count": 2, "share": 2}]}',
            "inner[0].share: expected float <= 1.0.",
        ),
        (
            '{"name": "x", "inner": [{"cuont": 2}]}',
            "inner[0]: object contains unknown field cuont.",
        ),
        ('{"inner": []}', "Object missing required field name."),
        ('{"name": "x"', "not JSON"),
        ('{"name": NaN}', "not JSON (the number NaN is not possible)."),
        (b"[-Infinity]", "not possible"),
        (b"[1e999]", "the number 1e999 is not possible"),
        (b"9" * 5000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ('{"other": ' + "[" * 100_000, "nested too deeply."),
    ],
)
def test_what_is_wrong_and_where(content, says, tmp_path):
    with pytest.raises(InputError) as caught:
        typed.parse_json(content, Outer)
    assert says in str(caught.value)
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as of_file:
        typed.read_json(path, Outer)
    assert str(of_file.value) == f"{path}: {caught.value}"


def test_texts_of_json_may_be_no_unicode():
    assert typed.parse_json('{"name": "\\udce9"}', dict) == {"name": "\udce9"}


def test_a_byte_order_mark_is_no_part_of_toml():
    assert typed.parse_toml(b"\xef\xbb\xbfcount = 1\n", dict) == {"count": 1}


def test_a_misspelt_key_is_offered_its_neighbour():
    with pytest.raises(InputError, match="unknown key 'shre': did you mean 'share'"):
        typed.parse_toml(b"count = 1\nshre = 0.5", Inner)


def test_there_and_back(tmp_path, monkeypatch):
    made = Outer(name="x", inner=(Inner(count=3, share=0.1 + 0.2),))
    typed.write_json(tmp_path / "a.json", made)
    assert typed.read_json(tmp_path / "a.json", Outer) == made
    (tmp_path / "b.toml").write_text(
        'name = "x"\n[[inner]]\ncount = 3\nshare = 0.30000000000000004\n'
    )
    assert typed.read_toml(tmp_path / "b.toml", Outer) == made
    monkeypatch.setattr(typed, "MAX_TOML_BYTES", 10)
    with pytest.raises(InputError, match=r"b\.toml: larger than"):
        typed.read_toml(tmp_path / "b.toml", Outer)
    with pytest.raises(ValueError, match="JSON compliant"):
        typed.write_json(
            tmp_path / "c.json", Outer(name="x", inner=(Inner(count=1, share=float("nan")),))
        )
