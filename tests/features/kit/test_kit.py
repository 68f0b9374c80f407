"""Kits: what they hold, and that every edit of one is named."""

import csv
import shutil
import statistics
import zipfile
from dataclasses import replace

import pytest

from factories import differing, discrepancies, existing, small_experiment, verify
from made_commands import document, printed
from spikeduel.analysis import hashes
from spikeduel.comparing import compare
from spikeduel.features import FEATURES
from spikeduel.features.kit import derived_files, write_kit
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files
from spikeduel.system.errors import InputError

needs_verification = pytest.mark.skipif("verification" not in FEATURES, reason="it is asked")

pytestmark = pytest.mark.usefixtures("known_data")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with its page and variants, which no test changes."""
    folder = tmp_path_factory.mktemp("kits")
    experiment = small_experiment(limit=300, seeds=2)
    experiment = replace(experiment, encoding="direct", **existing(ablations=True, int8=True))
    return compare(experiment, folder / "run", folder / "store").out


@pytest.fixture
def opened(whole, tmp_path):
    """An unzipped kit."""
    with zipfile.ZipFile(write_kit(whole, tmp_path / "kit.zip")) as archive:
        archive.extractall(tmp_path / "kit")
    return tmp_path / "kit"


def zipped(folder, path):
    """Put the hashes of an unzipped kit right, and zip it."""
    names = [part.relative_to(folder).as_posix() for part in folder.rglob("*") if part.is_file()]
    (folder / hashes.FILE).unlink(missing_ok=True)
    listed = hashes.of_files(folder, sorted({*names} - {hashes.FILE}))
    (folder / hashes.FILE).write_text(hashes.text(listed))
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted({*listed, hashes.FILE}):
            archive.write(folder / name, name)
    return path


def test_a_kit_holds_all_that_is_promised_and_no_models(whole, tmp_path):
    written = write_kit(whole, tmp_path / "kit.zip")
    (verification,) = verify(written)
    assert verification.holds
    with zipfile.ZipFile(written) as archive:
        names = archive.namelist()
        readme = archive.read("README.md").decode()
        scores = archive.read("tables/scores.csv").decode()
    for name in ("README.md", "split.csv", "tables/scores.tex", "energy/45nm-fp32.toml"):
        assert name in names
    assert not any(name.startswith("models/") for name in names)
    for contender in load_run(whole).results.contenders:
        assert contender in scores
    assert [line[2:] for line in readme.splitlines() if line.startswith("- ")] == (
        load_run(whole).caveats()
    )
    # The same run makes the same kit.
    assert write_kit(whole, tmp_path / "again" / "kit.zip").read_bytes() == written.read_bytes()


def test_tables_of_a_kit_say_for_how_many_tests_intervals_were_corrected(whole):
    results, tables = load_run(whole).results, dict(derived_files(load_run(whole)))
    numbers = {"tables/pairs.csv": len(results.comparison.pairs)}
    if ablations := results.features.get("ablations"):
        for number, with_variants in enumerate(ablations.contenders, 1):
            rows = [row for row in with_variants.rows if row.comparison is not None]
            numbers[f"tables/ablations-{number}.csv"] = len(rows)
        assert len(set(numbers.values())) > 1
    for name, number in numbers.items():
        rows = [*csv.DictReader(tables[name].decode().splitlines())]
        assert {row["tests corrected for"] for row in rows} == {str(number)}
        assert {row["95 % interval"] for row in rows} != {""}


def test_tables_of_a_kit_hold_numbers_that_a_spreadsheet_reads(whole):
    comparison = load_run(whole)
    tables = {
        name: [*csv.DictReader(content.decode().splitlines())]
        for name, content in derived_files(comparison)
        if name.endswith(".csv")
    }
    (pair,) = tables["tables/pairs.csv"]
    leader_first = comparison.results.comparison.pairs[0].leader_first
    assert pair["pair"] == f"{leader_first.a} - {leader_first.b}"
    shares = (leader_first.difference, *leader_first.ci95)
    assert [float(pair[title]) for title in ("points", "95 % interval", "95 % interval to")] == [
        pytest.approx(100 * share, abs=0.005) for share in shares
    ]
    in_int8 = comparison.results.features.get("int8")
    table = tables.get("tables/int8-1.csv", [])
    for row, cells in zip(in_int8.rows if in_int8 else [], table, strict=True):
        assert cells["contender"] == row.contender
        assert (int(cells["flash, bytes"]), int(cells["RAM, bytes"])) == (row.flash, row.ram)
    for row in tables["tables/scores.csv"]:
        trials = comparison.results.of(row["contender"])
        accuracies = [trial.test.accuracy for trial in trials]
        deviation = 100 * statistics.stdev(accuracies)
        assert float(row["accuracy % ±"]) == pytest.approx(deviation, abs=0.005)
        assert int(row["parameters"]) == trials[0].parameters


@pytest.mark.parametrize("name", ["README.md", "tables/scores.csv"])
def test_what_a_reviewer_reads_first_follows_from_the_results(opened, name):
    path, sums = opened / name, opened / hashes.FILE
    before = files.checksum(path)
    path.write_text(path.read_text() + "measured on a chip\n")
    sums.write_text(sums.read_text().replace(before, files.checksum(path)))
    assert [found.file for found in discrepancies(opened)] == [name]
    path.unlink()
    assert [found.file for found in discrepancies(opened) if found.missing] == [name]


@needs_verification
def test_a_run_that_does_not_hold_makes_no_kit(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "labels.csv").unlink()
    with pytest.raises(InputError, match="does not hold"):
        write_kit(run, tmp_path / "kit.zip")


@needs_verification
def test_a_kit_is_trained_again_as_its_run_is(tmp_path, whole):
    written = write_kit(whole, tmp_path / "kit.zip")
    (trained,) = document("verify", written, "--rerun", "1")["trained_again"]
    assert trained["same"]


def test_a_kit_without_its_scores_is_still_checked(opened, tmp_path):
    (opened / "tables" / "scores.csv").unlink()
    for name in ("README.md", "tables/scores.tex", "energy/45nm-fp32.toml"):
        (opened / name).write_text("measured on a chip\n" + (opened / name).read_text())
    named = differing(zipped(opened, tmp_path / "forged.zip"))
    assert ("tables/scores.csv", "missing") in named
    assert {file for file, _ in named} == {
        "README.md",
        *("tables/scores.csv", "tables/scores.tex", "energy/45nm-fp32.toml"),
    }
    assert differing(opened) == named


def test_a_kit_has_no_files_that_spikeduel_does_not_know(opened, tmp_path):
    shutil.copyfile(opened / "README.md", opened / "CHECKLIST.md")
    (opened / "report.html").rename(opened / "Report.html")
    (opened / hashes.LICENSE).write_text("CC BY 4.0\n")
    expected = {("report.html", "missing"), ("Report.html", "unknown"), ("CHECKLIST.md", "unknown")}
    assert differing(opened) >= expected
    (opened / "CHECKLIST.md").rename(opened / "notes.md")
    assert ("notes.md", "unknown") in differing(zipped(opened, tmp_path / "forged.zip"))
    (opened / "notes.md").unlink()
    (opened / "Report.html").rename(opened / "report.html")
    assert differing(zipped(opened, tmp_path / "licensed.zip")) == set()


def test_the_command_writes_a_kit_and_leaves_a_report_with_figures_as_it_is(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    assert printed("kit", run, tmp_path / "kit.zip").strip() == str(tmp_path / "kit.zip")
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        assert any(name.startswith("figures/") for name in archive.namelist())
    (run / "report.html").write_text("with other prices")
    hashes.renew_page(run)
    printed("kit", run, tmp_path / "kit.zip")
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        assert archive.read("report.html") == b"with other prices"


@pytest.mark.parametrize("file", ["predictions.json", "split.csv"])
def test_a_missing_file_of_a_kit_is_to_be_asked_for(opened, file):
    (opened / file).unlink()
    with pytest.raises(InputError, match=rf"{file}.*Ask its author") as error:
        verify(opened)
    assert "spikeduel compare" not in str(error.value)
