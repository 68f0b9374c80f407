import json

from made_audits import STATISTICS, audit_with
from made_findings import example
from spikeduel.results.audit import Copies, FileProperty
from spikeduel.results.words.audit import document, rows
from spikeduel.system import typed

SIZES = FileProperty(
    property="size",
    num_values=5,
    values={"8×8": 3, "9×9": 2, "1×1": 1, "2×2": 1},
    class_accuracy=0.7,
    class_chance=0.5,
    split_association=0.5,
)


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
    assert shown["constant answer"].startswith("50.0 %")
    assert shown["size"] == "8×8 (3), 9×9 (2), 1×1 (1) and 2 more"
    assert all(len(label.split()) <= 3 and label == label.strip() for label in shown)


def test_what_was_not_measured_is_left_out() -> None:
    shown = table(probe={"accuracy": None})
    assert not {"nearest neighbour", "shared stretches"} & set(shown)


def test_of_recordings_there_are_more_rows() -> None:
    stretches = Copies(across=2, test_in_training=1)
    shown = table(noun="recording", stretches=stretches, statistics=STATISTICS)
    assert next(iter(shown)) == "recordings"
    assert shown["shared stretches"] == "2 across sides"
    assert shown["statistics alone"].startswith("50.0 % accuracy")
    assert shown["hot pixels"] == "none"
    assert not any("image" in text for text in shown.values())
