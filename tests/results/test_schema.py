import pytest

from spikeduel.results.schema import inner_path, numbers


@pytest.mark.parametrize("path", ["models/a-seed0.safetensors", "a"])
def test_paths_within_the_run(path):
    assert inner_path(path)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a", "models/../../a", "..\\a", "C:\\a", "C:a", "\\\\server\\a", "a\nb", 3, None]
)
def test_paths_that_lead_out_of_the_run(path):
    assert not inner_path(path)


def test_numbers_by_name():
    assert numbers({"a": 1, "b": None})
    assert not numbers({"a": "1"})
    assert not numbers([1])
