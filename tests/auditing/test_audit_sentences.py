import json

from msgspec import structs

from made_audits import STATISTICS, audit_with
from made_findings import example
from spikeduel.auditing.audit_results import (
    AuditedImage,
    Details,
    DuplicateCounts,
    FileProperty,
    Pair,
)
from spikeduel.auditing.audit_sentences import document, examples, rows
from spikeduel.system import typed

SIZES = FileProperty(
    property="size",
    num_values=5,
    values={"8×8": 3, "9×9": 2, "1×1": 1, "2×2": 1},
    class_accuracy=0.7,
    class_chance=0.5,
    split_association=0.5,
)


COPY = AuditedImage(index=3, split="test", label="cat", file="test/cat/a.png")
PAIR = Pair(
    kind="geometric duplicates in two splits",
    a=COPY,
    b=AuditedImage(index=0, split="train", label="cat", file=None),
    ratio=0.1,
)


def test_a_problem_names_its_first_pairs() -> None:
    equal = structs.replace(PAIR, kind="equal images in one split")
    details = Details(pairs=(PAIR, *[equal] * 3, *[PAIR] * 3))
    problem = example("transformed_test_in_training")
    texts = examples(audit_with(conclusions=(problem,), details=details))
    assert texts == ["test/cat/a.png and image 0: geometric duplicates in two splits"] * 3
    assert examples(audit_with(details=details)) == []
    assert document(audit_with(details=details))["pairs"] == typed.plain(details.pairs)


def test_a_missing_test_set_stands_in_the_first_rows() -> None:
    assert "rename val to test" in table(own_validation=True)["split"]


def test_the_document_is_json_with_sentences_and_without_details() -> None:
    finding = example("validation_copies")
    audit = audit_with(conclusions=(finding,))
    content = document(audit)
    assert json.loads(json.dumps(content, allow_nan=False))["counts"] == {
        "train": 800,
        "val": 100,
        "test": 1000,
    }
    assert (content["ok"], content["problems"], len(content["notes"])) == (True, [], 1)
    assert content["conclusions"] == [typed.plain(finding)]
    assert "details" not in content


def table(**changes: object) -> dict[str, str]:
    return {row["what"]: row["found"] for row in rows(audit_with(**changes))}


def test_rows_are_text_with_short_labels() -> None:
    shown = table(formats=(SIZES,))
    assert shown["nearest neighbour"].startswith("97.0 % accuracy")
    assert shown["constant prediction"].startswith("50.0 %")
    assert shown["size"] == "8×8 (3), 9×9 (2), 1×1 (1) and 2 more"
    assert all(len(label.split()) <= 3 and label == label.strip() for label in shown)


def test_what_was_not_measured_is_left_out() -> None:
    shown = table(probe=None)
    assert not {"nearest neighbour", "shared segments"} & set(shown)


def test_of_recordings_there_are_more_rows() -> None:
    segments = DuplicateCounts(across=2, test_in_training=1)
    shown = table(noun="recording", shared_segments=segments, statistics=STATISTICS)
    assert next(iter(shown)) == "recordings"
    assert shown["shared segments"] == "2 across splits"
    assert shown["statistics alone"].startswith("50.0 % accuracy")
    assert shown["hot pixels"] == "none"
    assert not any("image" in text for text in shown.values())


def test_groups_do_not_count_exact_copies() -> None:
    assert table(groups=7, exact_duplicates={"across": 0})["groups"] == "7, 0 cut"
    with_copies = table(groups=7, exact_duplicates={"across": 60})
    assert with_copies["exact copies"].endswith("60 across splits")
    assert with_copies["groups"] == "7, 0 cut (exact copies not counted)"
