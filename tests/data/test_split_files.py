import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeduel.data import splits
from spikeduel.data.split_files import write_splits
from spikeduel.settings import Experiment
from synthetic_files import MakePrepared

LABELS, GROUPS = np.tile([0, 1], 20), np.repeat(np.arange(10), 4)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def test_a_set_without_names_is_listed_by_index(make_prepared: MakePrepared, tmp_path: Path) -> None:
    prepared = make_prepared(LABELS)
    made = splits(prepared, Experiment())
    write_splits(tmp_path / "split.csv", prepared, made)
    assert (tmp_path / "split.csv").read_text().startswith("index,split\n")
    found = rows(tmp_path / "split.csv")
    for side in ("train", "val", "test"):
        listed = [int(row["index"]) for row in found if row["split"] == side]
        assert listed == getattr(made[0], side).tolist()


def test_files_are_listed_by_path_with_fold_and_group(make_prepared: MakePrepared, tmp_path: Path) -> None:
    names = tuple(f'a "b", {k}\udcff.png' for k in range(40))
    prepared = replace(make_prepared(LABELS, groups=GROUPS), names=names)
    made = splits(prepared, Experiment(folds=2))
    write_splits(tmp_path / "split.csv", prepared, made)
    found = rows(tmp_path / "split.csv")
    assert list(found[0]) == ["path", "split", "fold", "group"]
    assert len(found) == 2 * 40
    assert sorted(row["path"] for row in found if row["split"] == "test") == sorted(names)
    for row in found:
        index = names.index(row["path"])
        assert index in getattr(made[int(row["fold"])], row["split"])
        assert int(row["group"]) == GROUPS[index]
