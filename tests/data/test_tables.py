from pathlib import Path

import pytest

from spikeduel.data import tables
from spikeduel.system.errors import InputError


def test_rows_come_with_their_lines_and_columns_without_case_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffFile , LABEL\n a.png,"x, y"\n\nb.png\nc.png,z,more\n', encoding="utf-8")
    assert tables.columns(path) == ["file", "label"]
    assert list(tables.rows(path, ("file",), "the list")) == [
        ("the list, line 2", {"file": "a.png", "label": "x, y"}),
        ("the list, line 4", {"file": "b.png", "label": ""}),
        ("the list, line 5", {"file": "c.png", "label": "z"}),
    ]


def test_what_is_no_table_has_no_columns_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    for name in ("bytes.csv", "absent.csv"):
        assert tables.columns(tmp_path / name) == []
        with pytest.raises(InputError, match=r"the list: (not a CSV|cannot be read)"):
            list(tables.rows(tmp_path / name, (), "the list"))
