import pytest

from golden import Golden


def test_texts_are_compared_with_those_that_were_accepted(tmp_path):
    file, test = tmp_path / "golden.txt", "test_texts_are_compared_with_those_that_were_accepted"
    accepted = {"a": "one", "b": ["[two]", "", {"c": "three"}]}, "Four. Five, e.g. six.\nseven", ""
    with pytest.raises(AssertionError, match="--write-golden"):
        Golden(file=file).check(test, *accepted)
    writing = Golden(writing=True, file=file)
    writing.check(test, *accepted)
    writing.check("test_that_was_deleted[1]", "gone")
    writing.save()
    assert file.read_text() == (
        f"[{test}]\n    a: one\n    b:\n        [two]\n\n        c: three\n    Four.\n    Five, e.g. six.\n    seven\n"
    )
    reading = Golden(file=file)
    reading.check(test, *accepted)
    with pytest.raises(AssertionError, match="two calls"):
        reading.check(test, *accepted)
    with pytest.raises(AssertionError):
        Golden(file=file).check(test, {"a": "one"}, "Four. Five, e.g. six.")
