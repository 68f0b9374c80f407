"""The table of findings: every row has a sentence and a finder, and the other way round."""

import json
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from factories import example
from spikeduel import features
from spikeduel.analysis import run_findings
from spikeduel.auditing import examining
from spikeduel.results.findings import TABLE, Finding, caveat, finding, is_leak, ranked, sentence
from spikeduel.statistics import MIN_PAIRED_SEEDS
from spikeduel.system import finding_tables, typed
from spikeduel.system.errors import InputError

MODULES = (examining, run_findings)
"""Modules of the core that have finders."""
for path in Path(features.__file__).parent.glob("*/*.py"):
    if "@finds(" in path.read_text("utf-8"):
        import_module(f"spikeduel.features.{path.parent.name}.{path.stem}")


def changed(values):
    """Yield the values with each flag turned, each number 1 and 2, and each in turn missing."""
    yield values
    for name, value in values.items():
        if isinstance(value, bool):
            yield {**values, name: not value}
        elif isinstance(value, int):
            yield {**values, name: 1}
            yield {**values, name: 2}
        yield {**values, name: None}


@pytest.mark.parametrize("id", TABLE)
def test_every_row_makes_a_sentence(id):
    row = TABLE[id]
    for values in changed(row.example):
        for remedy in (None, "take the data set socofing"):
            if row.problem_above is not None and values["share"] is None:
                continue
            made = Finding(id=id, severity=row.severity, values=values, remedy=remedy)
            text = sentence(made)
            assert text == text.strip()
            assert None in values.values() or text.endswith(".")
            assert not any(mark in text for mark in ("{", "}", "|", "None", "True", "  "))


@pytest.mark.parametrize("id", TABLE)
def test_every_value_of_a_row_counts(id):
    row = TABLE[id]
    text = row.sentence + (row.remedy or "")
    unread = [name for name in row.example if f"{{{name}" not in text]
    decides = {"share"} if row.problem_above is not None else set()
    assert set(unread) <= decides


def test_every_row_has_a_finder_and_every_finder_a_row():
    claimed = {
        id for id, row in TABLE.items() if row.subject in ("ablation", "exit", "reservation")
    }
    assert {*finding_tables._FINDERS, *claimed} == set(TABLE)
    assert claimed.isdisjoint(finding_tables._FINDERS)


def test_ids_are_unique_and_advise_the_same_seeds():
    source = Path(finding_tables.__file__).parents[1]
    tables = [tomllib.loads(path.read_text("utf-8")) for path in source.rglob("*findings.toml")]
    sections = [table[name] for table in tables for name in table if name != "advice"]
    assert sum(map(len, sections)) == len(TABLE)
    for row in TABLE.values():
        for text in (row.sentence, row.remedy or ""):
            _, advised, after = text.partition("--seeds ")
            assert not advised or after.startswith(("{", str(MIN_PAIRED_SEEDS)))


def test_a_small_share_is_a_note_and_not_a_leak():
    few, many = (example("test_in_training", share=share) for share in (0.005, 0.006))
    assert (few.severity, few.is_problem, is_leak(few)) == ("note", False, False)
    assert (many.severity, many.is_problem, is_leak(many)) == ("invalidates", True, True)
    problem = example("unreadable_files")
    assert problem.is_problem
    assert not is_leak(problem)


@pytest.mark.parametrize(
    "document",
    [
        {"id": "doubt", "severity": "note"},
        {"id": "in_folds", "severity": "caveat"},
        {"id": "in_folds", "severity": "caveat", "values": {"folds": "much"}},
        {"id": "in_folds", "severity": "caveat", "values": {"folds": True}},
        {"id": "in_folds", "severity": "caveat", "values": {"folds": 5, "more": 1}},
        {"id": "in_float32", "severity": "grave", "values": {"contenders": ["a"]}},
    ],
)
def test_a_damaged_finding_is_refused(document):
    with pytest.raises(InputError):
        typed.converted(document, Finding)


@pytest.mark.parametrize("id", TABLE)
def test_a_finding_is_the_same_after_json(id):
    made = example(id)
    assert typed.converted(json.loads(json.dumps(typed.plain(made))), Finding) == made


def test_the_gravest_comes_first():
    ids = ["untuned", "leakage", "validation_copies", "cut_groups"]
    assert [row.id for row in ranked(map(example, ids))] == [
        "cut_groups",
        "validation_copies",
        "leakage",
        "untuned",
    ]


CASES = {
    "one fold": finding("in_folds", folds=1),
    "thousands": finding("limited", limit=1200),
    "one": example("validation_copies", count=1),
    "two": example("validation_copies", count=2),
    "nothing known": example("at_chance", chance=None),
    "a list": example("at_chance", contenders=["a", "b", "c"]),
    "a flag": example("at_chance", chance=0.5, balanced=True),
    "pairs": example("same_shapes", pairs=[["a", "b"], ["c", "d"]]),
    "mappings": example("own_settings", settings={"a": {"x": 0.5, "y": None}, "b": {"z": "on"}}),
    "braces in names": example("unreadable_files", names=["{a}", *"bcdefgh"]),
    "many trials": example("failed_trials", titles=[f"a, seed {n}" for n in range(8)]),
    "a small share": example("labels_to_check", share=0.0004),
}


@pytest.mark.parametrize("id", TABLE)
def test_the_sentence_of_a_row(id, golden):
    golden(sentence(example(id)))


def test_the_mini_language(golden):
    golden({name: sentence(made) for name, made in CASES.items()})


WORDS = {("leaking_datasets", "without"), ("separate_test", "split")}
"""Values that choose between cases, and are no names."""
PROSE = {"data_note", "separate_test"}
"""Findings with sentences as values, in which "image" becomes the noun."""
HOSTILE = st.text(st.sampled_from("=|{}:%'\"[]\\\n /.,!aimge1"), min_size=1, max_size=20)


def with_name(value, name):
    """Return the value with each text in it, and each key, replaced by `name`."""
    if isinstance(value, dict) and value:
        return dict.fromkeys([name], with_name(next(iter(value.values())), name))
    if isinstance(value, list):
        return [with_name(inner, name) for inner in value]
    return name if isinstance(value, str) else value


def test_names_are_tested_in_many_findings():
    values = [value for row in TABLE.values() for value in row.example.values()]
    assert sum(with_name(value, "x") != value for value in values) > 40


@pytest.mark.parametrize("id", TABLE)
@settings(max_examples=20, deadline=None)
@given(name=HOSTILE.map(lambda text: f"a{text}b"), noun=st.sampled_from(["image", "recording"]))
def test_a_sentence_holds_any_name_completely(id, name, noun):
    if id in PROSE:
        noun = "image"
    for key, value in TABLE[id].example.items():
        if (id, key) not in WORDS and with_name(value, name) != value:
            plain = "#, #" if ", " in name else "#"  # semicolons part names with commas
            text, expected = (
                sentence(example(id, **{key: with_name(value, given)}), noun)
                for given in (name, plain)
            )
            assert name in text
            assert text.replace(name, plain) == expected


def test_a_caveat_names_the_audit_and_what_the_data_consists_of():
    assert caveat(example("limited")).startswith("Training")
    text = caveat(example("near_across_splits"), "recording")
    assert text.startswith("Data audit: 5 recordings")
    assert "image" not in text
    note = example("data_note", text="3 images are copies of others.")
    assert caveat(note, "recording") == "3 recordings are copies of others."
