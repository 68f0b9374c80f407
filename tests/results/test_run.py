import json
from pathlib import Path

import jsonschema
import pytest
from msgspec import structs

from factories import FOUR, dataset, pair, results, trial
from spikeduel.results.run import json_schema
from spikeduel.results.significance import Conclusion
from spikeduel.sentences.comparison import Comparison

# ---- one trial


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../a", "models/../../a", "..\\a", "C:\\a", "C:a", "\\\\server\\a", "a\nb"],
)
def test_paths_that_lead_out_of_the_run_are_refused(path):
    with pytest.raises(ValueError, match="model must be a path within the run's folder"):
        trial("snn", 0.9, model=path)


@pytest.mark.parametrize("missing", ["model", "validation"])
def test_a_finished_trial_has_a_model_and_a_validation_score(missing):
    with pytest.raises(ValueError, match="a finished trial has"):
        trial("snn", 0.9, **{missing: None})


# ---- the whole run


@pytest.mark.parametrize(
    ("trials", "twins"),
    [
        (FOUR, [("dense-snn", "dense-cnn"), ("conv-snn", "conv-cnn")]),
        ([FOUR[0], FOUR[3]], []),
        # Of the same kind, nobody is a twin; without weights, nothing is known; what was
        # converted has its source's.
        ([FOUR[0], structs.replace(FOUR[0], contender="other-snn")], []),
        ([structs.replace(twin, weight_shapes=None) for twin in FOUR], []),
        ([structs.replace(FOUR[0], derived_from="dense-cnn"), FOUR[1]], []),
        ([FOUR[0], structs.replace(FOUR[1], weight_shapes={"linear.weight": [10, 65]})], []),
    ],
    ids=["two pairs", "strangers", "one kind", "unknown", "converted", "other shape"],
)
def test_twins_are_known_by_their_weights(trials, twins):
    assert results(trials).twins == twins


@pytest.mark.parametrize(
    ("shared", "split", "leaks"),
    [
        (None, "grouped", False),
        (0.0, "stratified", False),
        (0.001, "stratified", True),
        (0.009, "official", False),
        (0.01, "official", True),
    ],
)
def test_a_few_copies_in_a_sets_own_test_part_are_tolerated(shared, split, leaks):
    assert dataset(shared_groups=shared, split=split).leaks is leaks


def test_a_pair_is_led_by_the_more_accurate_one():
    behind = pair(
        -0.01, half=0.02, only_a_right=3.0, only_b_right=23.0, conclusion=Conclusion.B_BETTER
    )

    led = behind.leader_first

    assert (led.a, led.b, led.difference, led.conclusion) == (
        "cnn",
        "snn",
        0.01,
        Conclusion.A_BETTER,
    )
    assert led.ci95 == pytest.approx((-0.01, 0.03))
    assert (led.only_a_right, led.only_b_right) == (23.0, 3.0)
    assert led.accuracy("snn") == behind.accuracy("snn")
    assert (led.leader, led.leader_first) == ("cnn", led)


SCHEMA = Path(__file__).parents[2] / "docs" / "results.schema.json"


def test_the_schema_in_the_docs_is_that_of_the_types():
    def of_any_version(schema):
        """msgspec describes the keys of dictionaries from 0.23 on."""
        if isinstance(schema, dict):
            return {
                name: of_any_version(part)
                for name, part in schema.items()
                if name != "propertyNames"
            }
        return [of_any_version(part) for part in schema] if isinstance(schema, list) else schema

    written, made = json.loads(SCHEMA.read_text()), json.loads(json.dumps(json_schema()))
    known, there = (
        set(schema["$defs"]["Results"]["properties"]["features"]["properties"])
        for schema in (written, made)
    )
    if there < known:
        pytest.skip("describes features that are not there")
    assert of_any_version(written) == of_any_version(made), (
        "spikeduel schema > docs/results.schema.json"
    )


def test_results_follow_the_schema_and_wrong_ones_do_not(tmp_path):
    made = results([trial("snn", 0.8), trial("cnn", 0.9)], [pair(-0.1)])
    content = json.loads(json.dumps(Comparison(made.experiment, made, tmp_path).document()))
    jsonschema.validate(content, json_schema())
    content["trials"][0]["test"]["accuracy"] = 1.2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema())
