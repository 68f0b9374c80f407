"""The notebooks run from top to bottom, on small data that is always at hand and with little
training.
"""

import json
from pathlib import Path

import nbformat
import pytest

from forked import Forked

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
MAX_BYTES = 1_000_000

QUICK = {
    "study": """%matplotlib inline
import os

import spikeduel as sd

DATASETS = ["digits", "socofing"]
DATA_DIR = {"socofing": "no such folder"}
SETTINGS = {"encoding": "direct", "epochs": 1, "limit": 200, "hidden": 32, "num_steps": 5}
""",
    "your_images": """%matplotlib inline
from pathlib import Path

import spikeduel as sd

FOLDER = None
SETTINGS = {"contenders": ("vgg-lif", "vgg-relu"), "epochs": 1, "width": 8}
""",
}
"""Other parameters; a notebook without any runs as it is."""


def run_cells(sources, to):
    """Run cells and write their text and the number of their pictures to a file."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    # `%matplotlib inline` asks for a window system, and needs none.
    InteractiveShell.enable_gui = lambda self, gui=None: None
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    text, shown = "", []
    for source in sources:
        with capture_output() as captured:
            done = shell.run_cell(source)
            done.raise_error()
        text += captured.stdout
        shown += [output.data for output in captured.outputs]
        shown.append(shell.display_formatter.format(done.result)[0])
    pictures = sum("image/png" in data or "<img" in data.get("text/html", "") for data in shown)
    to.write_text(json.dumps([text, pictures]))


def executed(name, folder):
    """Return text and number of pictures of the notebook, run in `folder` in a fork."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = QUICK.get(name, parameters.source)
    code, lines = Forked(
        lambda: run_cells([cell.source for cell in cells], folder / "said.json")
    ).ended()
    assert code == 0, "\n".join(lines)
    return json.loads((folder / "said.json").read_text())


# IPython and matplotlib warn of things that are not ours.
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("known_data", "unreported")
@pytest.mark.parametrize(
    ("name", "expected", "num_pictures", "written"),
    [
        (
            "study",
            ["socofing: skipped", "dense-snn", "small-cnn", "skipped: SOCOFing is not at hand"],
            5,
            "",
        ),
        (
            "your_images",
            ["vgg-lif", "only the SNN is right about"],
            1,
            "digits_as_files/0",
        ),
        ("inside", ["step 4"], 2, "inside/inside.html"),
    ],
)
def test_it_runs(name, expected, num_pictures, written, tmp_path):
    if name != "study":
        for feature in ("inspection", "planning"):
            pytest.importorskip(f"spikeduel.features.{feature}")
    text, pictures = executed(name, tmp_path)
    assert [part for part in expected if part not in text] == []
    assert pictures == num_pictures
    assert (tmp_path / written).exists()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_is_committed_is_small_and_shows_no_fingerprint_and_no_error(path):
    assert path.stat().st_size < MAX_BYTES
    committed = nbformat.read(path, as_version=4)
    assert any(cell.get("outputs") for cell in committed.cells)
    for cell in committed.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
        if cell.cell_type == "code" and "imshow(" in cell.source and "socofing" in cell.source:
            assert 'name != "socofing"' in cell.source
