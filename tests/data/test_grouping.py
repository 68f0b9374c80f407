import numpy as np
import pytest

from spikeduel.data.grouping import columns_of, rows_of
from spikeduel.data.prepared import RawDataset, from_raw, regrouped
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.errors import InputError

NAMES = (
    "cat/tom_1.png",
    "cat/tom_2.png",
    "cat/kit_1.png",
    "dog/rex_1.png",
    "dog/rex_2.png",
    "dog/ace/ace_1.png",
)
REGEX = r"([^/_]+)_\d\.png$"


def made(names=NAMES, copies=()):
    """Six images; those in `copies` are equal."""
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 3, 3), dtype=np.uint8)
    images[list(copies)] = 7
    labels = np.array([0, 0, 0, 1, 1, 1])
    return from_raw(
        "pets", RawDataset(images, labels, ("cat", "dog"), Preprocessing(1, 3, 3), names=names)
    )


def table(tmp_path, text):
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8")
    return str(tmp_path / "groups.csv")


def test_an_expression_is_searched_in_the_path():
    assert regrouped(made(), REGEX).groups.tolist() == [0, 0, 1, 2, 2, 3]
    assert regrouped(made(), r"(?:cat|dog)/(.)").groups.tolist() == [0, 0, 1, 2, 2, 3]


def test_a_table_gives_the_same(tmp_path):
    lines = [f"{name},{name.rsplit('/')[-1].split('_')[0]},more" for name in reversed(NAMES)]
    lines[0] = f"./{lines[0]}"
    path = table(
        tmp_path, "\ufeffpath,group,note\n" + "\n".join([*lines, lines[1], "other/one.png,x,"])
    )
    by_table, by_expression = regrouped(made(), path), regrouped(made(), REGEX)
    np.testing.assert_array_equal(by_table.groups, by_expression.groups)
    assert by_table.fingerprint == by_expression.fingerprint


def test_exact_copies_join_the_groups_they_lie_in():
    joined = regrouped(made(copies=(1, 3)), REGEX)
    assert joined.groups.tolist() == [0, 0, 1, 0, 0, 2]


@pytest.mark.parametrize(
    ("group_by", "problem"),
    [
        (r"\w+", r"no such file, .* 0 groups in parentheses where it needs exactly one"),
        (r"(\w)/(\w)", r"has 2 groups in parentheses"),
        (
            r"ab(\w",
            r"not a regular expression \(missing \), unterminated subpattern at position 2\)",
        ),
        ("groups.csv", r"groups.csv: no such file"),
        (r"(\d{5})", r"does not match 6 of 6 images, the first of them cat/tom_1.png"),
        (r"cat/(\w+)_|dog", r"does not match 3 of 6 images, the first of them dog/rex_1.png"),
        (r"(x*)", r"does not match 6 of 6 images"),
        (r"\.(png)", r"puts all images into one group \(cat/tom_1.png into 'png'\)"),
        (
            r"(.+)",
            r"puts every image into a group of its own \(cat/tom_1.png into 'cat/tom_1.png'\)",
        ),
    ],
)
def test_expressions_that_cannot_be_used(group_by, problem):
    with pytest.raises(InputError, match=problem) as caught:
        regrouped(made(), group_by)
    assert str(caught.value).startswith(f"group_by {group_by}")
    assert "\n" not in str(caught.value)


WHOLE = "".join(f"{name},{name[4]}\n" for name in NAMES)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"has no column 'path'; its first line names nothing"),
        ("file,group\n", r"has no column 'path'; its first line names file, group"),
        ("path,person\n", r"has no column 'group'"),
        ("path,group\n", r"has no line for 6 of 6 images, the first of them cat/tom_1.png"),
        (
            "path,group\n" + WHOLE.replace("dog/rex_2.png", "rex_2.png"),
            r"no line for 1 of 6 images.* dog/rex_2.png",
        ),
        (
            "path,group\n" + WHOLE + "cat/kit_1.png,z\n",
            r"line 8: cat/kit_1.png is in group 'z' here and in 'k' above",
        ),
        ("path,group\n" + WHOLE + "cat/kit_1.png,\n", r"line 8: has no group"),
        ("path,group\n" + WHOLE + ",z\n", r"line 8: has no path"),
    ],
)
def test_tables_that_cannot_be_used(text, problem, tmp_path):
    path = table(tmp_path, text)
    with pytest.raises(InputError, match=problem) as caught:
        regrouped(made(), path)
    assert str(caught.value).startswith(f"group_by {path}")


def test_rows_come_with_their_lines_and_columns_without_case_and_spaces(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeffFile , LABEL\n a.png,"x, y"\n\nb.png\nc.png,z,more\n', encoding="utf-8")
    assert columns_of(path) == ["file", "label"]
    assert list(rows_of(path, ("file",), "the list")) == [
        ("the list, line 2", {"file": "a.png", "label": "x, y"}),
        ("the list, line 4", {"file": "b.png", "label": ""}),
        ("the list, line 5", {"file": "c.png", "label": "z"}),
    ]


def test_what_is_no_table_has_no_columns_and_is_named(tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    for name in ("bytes.csv", "absent.csv"):
        assert columns_of(tmp_path / name) == []
        with pytest.raises(InputError, match=r"the list: (not a CSV|cannot be read)"):
            list(rows_of(tmp_path / name, (), "the list"))
