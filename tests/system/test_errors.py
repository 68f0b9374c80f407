import pytest

from spikeduel.system.errors import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("T-shirt/top, Größe ß, 猫, ±", "T-shirt/top, Größe ß, 猫, ±"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_cannot_be_printed_is_an_escape(text, shown):
    assert visible(text) == shown
    assert visible(text).encode("utf-8")
