"""Expected texts in one file, reviewed as a diff: `pytest --write-golden` rewrites those of the tests
that run.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).parent
FILE = TESTS / "golden_sentences.txt"


def lines(value: object, indent: str = "    ") -> Iterator[str]:
    """Yield the sentences of a text, of a list of texts, or of a mapping of names to texts, one in a
    line.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            first, *others = lines(inner, indent + "    ")
            if others:
                yield from (f"{indent}{name}:", first, *others)
            else:
                yield f"{indent}{name}: {first.strip()}"
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from lines(inner, indent)
    else:
        yield from (indent + line for line in re.split(r"\n|(?<=\.) (?=[A-Z])", str(value)))


class Golden:
    """The texts of each test, by its name."""

    def __init__(self, writing: bool = False, file: Path = FILE) -> None:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        _, *sections = re.split(r"(?m)^\[(.*)\]\n", text)
        self.texts = {
            name: body.rstrip("\n").split("\n")
            for name, body in zip(sections[::2], sections[1::2], strict=True)
        }
        self.writing, self.file, self.checked = writing, file, set[str]()

    def check(self, test: str, *values: object) -> None:
        """Compare `values` with the texts of `test`, which does so once."""
        assert test not in self.checked, f"two tests, or two calls, of the name {test}"
        self.checked.add(test)
        made = "\n".join(line.rstrip() for line in lines(values)).rstrip("\n").split("\n")
        if self.writing:
            self.texts[test] = made
        expected = self.texts.get(test, [])
        changed = "\n".join(difflib.unified_diff(expected, made, "accepted", "made", lineterm=""))
        assert made == expected, f"`pytest --write-golden` accepts this text:\n{changed}"

    def save(self) -> None:
        """Write the texts of all tests that are defined, in order of their names."""
        source = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
        defined = set(re.findall(r"def (test_\w+)\(", source))
        texts = [
            "\n".join((f"[{name}]", *body))
            for name, body in sorted(self.texts.items())
            if name.partition("[")[0] in defined
        ]
        self.file.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
