"""Make benchmarks/README.md: each script with its question, command, results, machine and date.

    python -m benchmarks.readme [--write]

All of it comes from the scripts' docstrings and the results files.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel.system.sentences import counted

PAGE = shared.ROOT / "benchmarks" / "README.md"
FOLDERS = {
    "speed": "Speed, memory and threads",
    "statistics": "Do tests, intervals and choices keep their word, in simulations?",
    "audit": "What does the audit find?",
    "accuracy": "How accurate are networks, and what changes that?",
    "records": "Records, leaderboard and networks that come with the package",
    "energy": "Operations, energy and costs at equal accuracy",
    "claims": "Published claims, put to the test",
    "export": "Exports, other programs and microcontrollers",
    "reliability": "Crashes, damaged files and unchanged numbers",
}
HEAD = """\
# Benchmarks

Every number of the documentation about speed, accuracy, energy or reliability comes from a script here. Run a script
from the root of the repository, in an environment with the extra `dev`:

```
python -m benchmarks.speed.step --quick      # --help describes the measurement and its options
python -m benchmarks.tables --write          # the tables in README.md and docs/, from benchmarks/results/
python -m benchmarks.readme --write          # this page
```

Results are JSON files in `results/`, with the machine and the date. `shared.py` has what scripts repeat. Dates of older
results are those of the commit that added them; "–": the file does not say.
"""


def scripts(folder: str) -> list[Path]:
    """Return the modules of a folder; a package counts as one."""
    root = shared.ROOT / "benchmarks" / folder
    found = [path for path in root.glob("*.py") if path.name != "__init__.py"]
    return sorted([*found, *root.glob("*/__main__.py")])


def results_of(docstring: str) -> list[Path]:
    """Return the results files that a docstring names; words in capitals stand for any text.
    Raises FileNotFoundError.
    """
    found: list[Path] = []
    for name in re.findall(r"benchmarks/results/([^\s,;:]*\.json)", docstring):
        pattern = re.sub(r"(\[.*\]|\b[A-Z]+\b)+", "*", name)
        if not (files := sorted(shared.RESULTS.glob(pattern))):
            raise FileNotFoundError(name)
        found += [file for file in files if file not in found]
    return found


def machine_of(document: dict[str, Any]) -> str:
    """Return the processor and the number of threads or cores, as far as they are recorded."""
    about = document.get("environment") or document.get("machine")
    if not isinstance(about, dict):
        return "–"
    cpu = about.get("cpu") or about.get("processor")
    count = about.get("threads") or about.get("cores")
    threads = counted(count, "thread") if count else None
    return ", ".join(filter(None, (cpu, threads))) or "–"


def rows(folder: str) -> Iterator[list[str]]:
    """Yield the cells of each script, and a line for each further results file."""
    for path in scripts(folder):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        question = re.split(r"(?<=[.?])\s", " ".join(docstring.split("\n\n")[0].split()))[0]
        module = path.parent if path.name == "__main__.py" else path.with_suffix("")
        name = ".".join(module.relative_to(shared.ROOT).parts)
        is_run = "__main__" in path.read_text(encoding="utf-8") or path.name == "__main__.py"
        cells = [question, f"`python -m {name}`" if is_run else f"`{name}`"]
        files = [
            [
                f"[{file.name}](results/{file.name})",
                machine_of(document := shared.read(file.name)),
                str(document.get("created", "–"))[:10],
            ]
            for file in results_of(docstring)
        ]
        for number, file in enumerate(files or [["–", "–", "–"]]):
            yield [*(cells if number == 0 else ["", ""]), *file]


def page() -> str:
    """Return the content of benchmarks/README.md."""
    parts = [HEAD]
    for folder, title in FOLDERS.items():
        heads = ["question", "command", "results", "machine", "date"]
        table = "\n".join(shared.markdown(heads, rows(folder)))
        parts.append(f"## {folder}\n\n{title}\n\n{table}\n")
    return "\n".join(parts)


def main() -> None:
    if shared.parser(__doc__, write=False).parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())


if __name__ == "__main__":
    main()
