import shutil
import zipfile
from dataclasses import replace

import pytest

from spikeduel.features import FEATURES

pytest.importorskip("spikeduel.features.verification")
from benchmarks.records import leaderboard

ENTRIES = leaderboard.entries()
pytestmark = pytest.mark.skipif(
    not {"ablations", "device_energy", "label_issues", "tuning"} <= FEATURES.keys(),
    reason="conclusions of the kits follow from these features",
)


def test_every_entry_holds_and_the_page_is_made_of_them():
    assert ENTRIES
    assert [entry.failing for entry in ENTRIES] == [""] * len(ENTRIES)
    assert leaderboard.PAGE.read_text(encoding="utf-8") == leaderboard.page(ENTRIES)


def test_kits_are_small_and_hold_no_models():
    for path in leaderboard.FOLDER.glob("*.zip"):
        assert path.with_suffix(".toml").is_file()
        assert path.stat().st_size < 5_000_000
        with zipfile.ZipFile(path) as kit:
            assert not any("models/" in name for name in kit.namelist())


def ranks(among):
    return [leaderboard.rank(row, among) for row in among]


def named(name):
    """Return the rows of an entry, the most accurate first."""
    entry = next(entry for entry in ENTRIES if entry.name == name)
    return sorted(leaderboard.rows(entry), key=lambda row: -row.mean)


def test_networks_share_a_rank_unless_the_paired_test_separates_them():
    digits, clothes = named("digits"), named("fashion-mnist-mini")
    assert ranks(digits) == ["1–3"] * 3
    assert leaderboard.behind(digits[1], digits[0]) == "−0.09 points, not significant"
    assert ranks(clothes) == ["1", "2"]
    assert leaderboard.behind(clothes[1], clothes[0]) == "−1.28 points, significant"
    assert leaderboard.behind(clothes[0], clothes[0]) == "–"


def test_networks_of_different_entries_are_separated_by_their_intervals():
    first = named("fashion-mnist-mini")[0]
    other = replace(first, entry=replace(first.entry, name="other"))
    # Of 2,000 images, Wilson's interval of 0.909 is 0.896 to 0.921, of 0.7 0.680 to 0.720.
    assert first.interval == pytest.approx((0.8956, 0.9208), abs=5e-4)
    assert ranks([first, replace(other, scores=[0.9, 0.9])]) == ["1–2", "1–2"]
    assert ranks([first, replace(other, scores=[0.7, 0.7])]) == ["1", "2"]
    assert ranks([first, replace(other, scores=[0.7])]) == ["1–2", "1–2"]


def test_the_whole_training_is_listed():
    spiking = next(row for row in named("fashion-mnist-mini") if row.name == "vgg-lif")
    assert leaderboard.trained_for(spiking).startswith("8 epochs (the first 2 with ReLU), ")


@pytest.fixture
def entered(tmp_path):
    """A copy of the first entry."""
    for suffix in (".toml", ".zip"):
        source = leaderboard.FOLDER / f"{ENTRIES[0].name}{suffix}"
        shutil.copyfile(source, tmp_path / source.name)
    return tmp_path / f"{ENTRIES[0].name}.toml"


def changed(kit, name, old, new):
    with zipfile.ZipFile(kit) as archive:
        content = {part: archive.read(part) for part in archive.namelist()}
    assert old in content[name]
    content[name] = content[name].replace(old, new, 1)
    with zipfile.ZipFile(kit, "w") as archive:
        for part, data in content.items():
            archive.writestr(part, data)


def test_an_entry_that_does_not_hold_is_listed_as_failing(entered):
    changed(entered.with_suffix(".zip"), "experiment.toml", b"seeds = ", b"seeds = 1")
    (entry,) = leaderboard.entries(entered.parent)
    assert entry.failing.startswith("experiment.toml, seeds: 1")
    page = leaderboard.page([entry])
    assert f"FAILS: {entry.failing}" in page
    assert "| fails ([" in page


def test_a_kit_that_cannot_be_read_is_listed_as_failing(entered):
    kit = entered.with_suffix(".zip")
    kit.write_bytes(kit.read_bytes()[:-50])
    (entry,) = leaderboard.entries(entered.parent)
    assert entry.results is None
    assert f"FAILS: {entry.failing}" in leaderboard.page([entry])
    kit.unlink()
    (entry,) = leaderboard.entries(entered.parent)
    assert entry.failing
