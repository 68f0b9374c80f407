"""Labels that trained networks call wrong."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from factories import verify
from spikeduel.auditing.audit_results import Details
from spikeduel.comparing import compare
from spikeduel.data import Split
from spikeduel.features.label_issues import conclude_outcomes, label_judging
from spikeduel.reporting import RunData
from spikeduel.results.findings import finding
from spikeduel.results.trials import Confidences, LabelConfidences
from spikeduel.training.outcomes import TrialOutcome

LABELS = np.array([0, 1] * 10)
SPLIT = Split(np.arange(10), np.arange(10, 14), np.arange(14, 20), "stratified")


class Set(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.labels)


def confidences(images: np.ndarray, given_probabilities: dict[int, float]) -> Confidences:
    """The answers of a network that is sure of all labels but those `doubted`."""
    shares = [given_probabilities.get(int(image), 0.9) for image in images]
    return Confidences(
        given=shares,
        best=[int(LABELS[k]) ^ (share < 0.5) for k, share in zip(images, shares, strict=True)],
        highest=[max(share, 1 - share) for share in shares],
    )


def training(
    split: Split, seed: int, given_probabilities: dict[int, float], fold: int | None = None
) -> TrialOutcome:
    measured = LabelConfidences(
        validation=confidences(split.val, given_probabilities),
        test=confidences(split.test, given_probabilities),
    )
    record = SimpleNamespace(settings={"seed": seed}, fold=fold)
    return TrialOutcome(record, {"label_confidences": measured})


def checked(
    *trainings: TrialOutcome,
    splits: tuple[Split, ...] = (SPLIT,),
    shares: tuple[float | None, ...] = (),
):
    prepared = Set(labels=LABELS, classes=("cat", "dog"), names=None)
    audit = SimpleNamespace(details=Details(label_shares=shares))
    return conclude_outcomes(trainings, RunData(prepared, splits, audit))


def suspect_images(*trainings: TrialOutcome, **more) -> list[int]:
    return [suspect.image.index for suspect in checked(*trainings, **more).suspects]


def test_what_all_trainings_together_doubt_is_listed_the_surest_first():
    # By hand: beside the usual 0.9, a mean of 0.06 and 0.01 is little (0.035), and one of 0.2 and
    # 0.01 is not (0.105).
    judged = checked(
        training(SPLIT, 0, {11: 0.06, 15: 0.01, 16: 0.2}),
        training(SPLIT, 1, {11: 0.01, 15: 0.01, 16: 0.01}),
    )
    check, listed = judged.check, judged.suspects
    assert (check.examined, check.suspects, check.agreement) == (10, 2, 1 - 6 / 20)
    suspects = [(s.image.index, s.image.split, s.image.label, s.suggested) for s in listed]
    assert suspects == [(15, "test", "dog", "cat"), (11, "val", "dog", "cat")]
    assert (listed[1].given_probability, listed[1].suggested_probability) == (0.01, 0.99)


def test_one_training_that_is_sure_of_the_label_is_enough_to_leave_it():
    sure, unsure = training(SPLIT, 0, {}), [training(SPLIT, seed, {15: 0.0}) for seed in (1, 2)]
    assert suspect_images(*unsure) == [15]
    assert suspect_images(sure, *unsure) == []


def test_neighbours_count_as_much_as_all_networks():
    trainings = [training(SPLIT, seed, {15: 0.12, 16: 0.01}) for seed in range(3)]
    assert suspect_images(*trainings) == [16]
    shares = [1.0] * 20
    shares[15], shares[16] = 0.0, 0.3
    assert suspect_images(*trainings, shares=tuple(shares)) == [15]
    # Those of which no neighbours were asked are judged by the networks alone.
    shares[15] = shares[16] = None
    assert suspect_images(*trainings, shares=tuple(shares)) == [16]


def test_with_folds_every_image_is_judged_where_it_was_a_test_image():
    folds = (
        Split(np.arange(10, 18), np.arange(18, 20), np.arange(10), "stratified", 0),
        Split(np.arange(8), np.arange(8, 10), np.arange(10, 20), "stratified", 1),
    )
    # Image 18 is doubted as a validation image of the first fold only.
    trainings = [
        training(folds[0], 0, {3: 0.01, 18: 0.01}, 0),
        training(folds[1], 0, {12: 0.02}, 1),
    ]
    judged = checked(*trainings, splits=folds)
    assert judged.check.examined == 20
    assert [(suspect.image.index, suspect.image.split) for suspect in judged.suspects] == [
        (3, "test"),
        (12, "test"),
    ]


def test_without_measures_there_is_no_conclusion():
    assert checked() is None


pytestmark = pytest.mark.usefixtures("known_data")

HEADING = "Labels that the networks doubt"


@pytest.fixture
def quick(small):
    """A quarter of a second: few images, one epoch, the spiking contender alone."""
    return replace(small, contenders=("dense-snn",), epochs=1, limit=300)


def test_suspect_labels_are_in_all_files_of_a_run(quick, tmp_path, monkeypatch):
    # A badly trained network calls labels less probable than on average, not improbable.
    monkeypatch.setattr(label_judging, "MAX_SHARE_BY_NETWORKS", 1.0)
    comparison = compare(quick, tmp_path / "run", tmp_path / "store")
    judged = comparison.results.features["label_issues"]
    num_suspects = len(judged.suspects)
    assert 0 < num_suspects == judged.check.suspects < judged.check.examined
    caveat = finding("label_issues", suspects=num_suspects, examined=judged.check.examined)
    assert caveat in comparison.results.comparison.caveats
    with (tmp_path / "run" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "networks"]
    expected = [(each.image.index, each.suggested) for each in judged.suspects]
    assert [(int(row["index"]), row["suggested"]) for row in rows] == expected
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    first = judged.suspects[0]
    assert HEADING in page
    assert f"{first.image.label} → {first.suggested}" in page
    (checked,) = verify(tmp_path / "run")
    assert checked.holds


def test_a_run_without_suspect_labels_has_no_caveat_and_no_section(quick, tmp_path):
    comparison = compare(quick, tmp_path / "run", tmp_path / "store")
    assert comparison.results.features["label_issues"].suspects == []
    assert "label_issues" not in {each.id for each in comparison.results.comparison.caveats}
    assert HEADING not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
