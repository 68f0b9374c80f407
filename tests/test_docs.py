"""README and docs/ tell the truth: tables are those of the results files, commands exist, and code
runs.

Python runs as it stands on the page, block after block, in a folder with a few pictures. A block
that begins with `# NAME.py` is written into that file. Of commands each name and option is looked
up; blocks below `<!-- run -->` are run, with quick settings and without making the report; others
say why they are not.
"""

import json
import re
import shlex
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import typer.main
from PIL import Image
from typer.testing import CliRunner

import spikeduel as sd
from benchmarks import tables
from spikeduel import energy
from spikeduel.auditing.neighbours import Matches
from spikeduel.cli import app
from spikeduel.energy import accounting
from spikeduel.sentences import recommendation_sentences as sentences

ROOT = Path(__file__).parent.parent
PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
}
BLOCK = re.compile(
    r"(?:<!-- (run|not run: [^>]+) -->\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
SMALL = {"limit": 40, "batch_size": 20}
QUICK_SETTINGS = "\n".join(
    ["[settings]", *(f"{name} = {value}" for name, value in {**SMALL, "width": 4}.items()), ""]
)


def blocks(page, *languages):
    """`(mark, code)` of the blocks of these languages on a page."""
    return [
        (mark, code) for mark, language, code in BLOCK.findall(PAGES[page]) if language in languages
    ]


def having(*languages, mark=None):
    """Return the pages that have such blocks."""
    return [
        page
        for page in PAGES
        if any(mark in (None, block_mark) for block_mark, _ in blocks(page, *languages))
    ]


@pytest.fixture
def folder(tmp_path, random):
    """Pictures of two classes, and new ones."""
    brightest = {"new/cat.jpg": 255, "new/dog.jpg": 255}
    brightest |= dict.fromkeys(("one.png", "two.png", "shoe.png"), 255)
    for name, count in {"my_images": 20, "other_images": 4}.items():
        brightest |= {f"{name}/cat/{index}.png": 120 for index in range(count)}
        brightest |= {f"{name}/dog/{index}.png": 255 for index in range(count)}
    for name, level in brightest.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, level, (12, 12), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def unmoved(known_data, _common_cache, monkeypatch):
    """Audits look for no moved copies, which takes most of their time: other tests do. They are
    kept apart from whole ones.
    """

    def none(images, *rest):
        return Matches(np.full(len(images), -1), np.full(len(images), np.inf, np.float32))

    monkeypatch.setattr("spikeduel.auditing.geometric_duplicates.search", none)
    monkeypatch.setattr("spikeduel.data.cache.audits", lambda: _common_cache / "audits-unmoved")


@pytest.fixture
def importing(folder, monkeypatch):
    """Modules of the folder can be imported, and are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def write_modules(page, folder):
    """Write the blocks that begin with a file's name into that file; return the others of
    Python.
    """
    others = []
    for language, mode in (("toml", "w"), ("python", "a")):
        for _, code in blocks(page, language):
            if named := re.match(r"# (\w+\.(?:py|toml))", code):
                with (folder / named[1]).open(mode, encoding="utf-8") as file:
                    file.write(code.replace("[settings]", QUICK_SETTINGS, 1))
            elif language == "python" and not code.startswith("# src/"):  # a file of the package
                others.append(code)
    return others


@pytest.mark.parametrize("page", having("python"))
@pytest.mark.usefixtures("unmoved", "unreported", "importing")
def test_its_python_runs(page, folder):
    namespace = {"__name__": page}
    with patch.dict(sd.MEASURES):
        for code in write_modules(page, folder):
            exec(compile(code, f"{page}.md", "exec"), namespace)


def commands(code):
    """The lines of a block that call spikeduel, as words."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", "").splitlines()]
    return [
        words[1:] for words in lines if words and words[0].endswith("spikeduel") and len(words) > 1
    ]


@pytest.mark.parametrize("page", having("bash", mark="run"))
@pytest.mark.usefixtures("unmoved", "unreported", "importing")
def test_its_commands_run(page, folder):
    write_modules(page, folder)
    for mark, code in blocks(page, "bash"):
        if mark == "run":
            for words in commands(code):
                arguments = [path for word in words for path in expanded(word, folder)]
                result = CliRunner().invoke(app, [*arguments, *quick(words)])
                assert result.exit_code == 0, f"{' '.join(arguments)}\n{result.output}"


def quick(words):
    """Options that make a command quick, of those that have an effect on its contenders."""
    if words[0] == "export":
        return ["--images", "20"]
    if words[0] not in ("compare", "plan"):
        return []
    named = [name for option, name in pairwise(words) if option == "--contender"] or ["vgg-lif"]
    settings = {"epochs": 1, **SMALL}
    if any(name.startswith(("vgg", "resnet")) for name in named):
        settings["width"] = 4
    if any(name.startswith(("dense", "conv")) for name in named):
        settings["hidden"] = 16
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def expanded(word, folder):
    """Return `word`, or the paths that it stands for: … is the end of a run's name, * any name."""
    pattern = word.replace("…", "*")
    if "*" not in pattern:
        return [word]
    return sorted(str(path.relative_to(folder)) for path in folder.glob(pattern)) or [word]


def test_every_block_of_commands_is_run_or_says_why_not():
    for page in PAGES:
        for mark, code in blocks(page, "bash", "powershell"):
            assert mark, f"{page}: {code}"


def in_the_text(page):
    """The commands in sentences, between backticks."""
    return [
        shlex.split(text)[1:]
        for text in re.findall(r"`(spikeduel [a-z][^`#]*)`", PAGES[page].replace("\n", " "))
    ]


@pytest.mark.parametrize(
    "page", sorted(PAGES.keys() - {"leaderboard"})
)  # its commands are the kits'
def test_every_command_and_option_it_names_exists(page):
    root = typer.main.get_command(app)
    named = [words for _, code in blocks(page, "bash", "powershell") for words in commands(code)]
    for text in [*named, *in_the_text(page)]:
        words, command = list(text), root
        while words and hasattr(command, "commands") and not words[0].startswith("--"):
            assert words[0] in command.commands, text
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, text


def test_the_names_in_its_python_and_text_exist():
    for page, text in PAGES.items():
        for name in set(re.findall(r"\bsd\.(\w+)", text)):
            assert hasattr(sd, name), f"{page}: {name}"


def test_the_api_page_has_every_public_name():
    pages = [PAGES["api"], *map(Path.read_text, (ROOT / "docs" / "features").glob("*.md"))]
    text = "\n".join(pages)
    named = set(re.findall(r"(?:auto\w+::|entries\}) (?:spikeduel\.)?(\w+)", text))
    named |= set(re.findall(r"`sd\.(\w+)", text))
    assert set(sd.__all__) - named == {"__version__"}


def test_the_page_on_the_design_names_every_package_and_files_that_exist():
    package, rows = ROOT / "src" / "spikeduel", {}
    for place, files in re.findall(
        r"^\|[^|]+\| `([\w/.]+)`[^|]*\| ([^|]+) \|$", PAGES["design"], re.M
    ):
        rows[place] = re.findall(r"`([\w.]+\.\w+)`", files)
        assert (package / place).exists(), place
        assert all((package / place / name).is_file() for name in rows[place]), place
    named = {place.partition("/")[0].removesuffix(".py") for place in rows}
    figure = (ROOT / "docs/figures/packages.svg").read_text(encoding="utf-8")
    drawn = " ".join(re.findall(r'<text class="in"[^>]*>([^<]+)<', figure)).split()
    modules = (
        path.stem
        for path in package.iterdir()
        if (path / "__init__.py").exists() or path.suffix == ".py"
    )
    assert set(modules) - {"__init__", "__main__"} == named == set(drawn)


def test_the_page_on_reading_says_the_rule_and_the_columns_as_the_report_does():
    text = " ".join(PAGES["reading"].replace("`", "").split())
    exactly = (f"**{term}**: {rule}" for term, rule in sentences.EXACT_RULE.items())
    named = (*sentences.MEANINGS.values(), *sentences.TITLES.values())
    for phrase in (*sentences.RULE, *exactly, *named):
        assert phrase in text


def test_the_page_on_installing_has_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    for extra in set(extras) - {"dev"}:
        assert f"| `{extra}` |" in PAGES["start"], extra


def test_tables_and_accountings_of_the_page_are_read(tmp_path):
    reads = []
    for _, code in blocks("counting", "toml"):
        (tmp_path / "page.toml").write_text(code, encoding="utf-8")
        reads.append(accounting.read if "spiking = " in code else energy.read)
        reads[-1](str(tmp_path / "page.toml"))
    assert {accounting.read, energy.read} == set(reads)


@pytest.mark.parametrize(
    "section", [name for name, (page, _) in tables.MADE.items() if (ROOT / page).exists()]
)
def test_the_tables_are_those_of_the_results_files(section):
    text = (ROOT / tables.MADE[section][0]).read_text(encoding="utf-8")
    between = text.split(tables.begin(section))[1].split(tables.end(section))[0]
    assert between.strip() == tables.table(section).strip()


def test_a_record_of_one_seed_has_no_deviation():
    assert tables.mean([0.9, 0.92]) == "91.00 ± 1.41"
    assert tables.mean([0.9]) == "90.00"


def test_the_accountings_are_those_of_its_results_file():
    document = json.loads((ROOT / "benchmarks/results/energy-accountings.json").read_text())
    case = document["runs"][0]["cases"][0]
    by_name = {result["accounting"]: result["thresholds"] for result in case["by_accounting"]}
    thresholds = [*by_name["syops"], *by_name["memory"]]
    rates = [threshold["value"] for threshold in thresholds if threshold["axis"] == "rate"]
    text = " ".join(PAGES["energy"].replace("`", "").split())
    after = case["after"].partition(": ")[2]
    assert f"“{after[:1].upper()}{after[1:]}”" in text
    for rate in (case["rate"], *rates):
        assert f"{100 * rate:.1f} %" in text


def test_results_files_hold_no_path():
    paths = list((ROOT / "benchmarks" / "results").glob("*.json"))
    assert paths
    for path in paths:
        assert not re.search(r'"/\w+', path.read_text()), path
