"""The notebooks run from top to bottom, on small data that is always at hand and with little
training.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LARGEST_BYTES = 1_000_000

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


def executed(name, folder):
    """The notebook, run in `folder`."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(parameters) == 1
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    parameters[0].source = QUICK.get(name, parameters[0].source)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = "".join(output.get("text", "") for output in outputs)
    shown = [output.get("data", {}) for output in outputs]
    return text, [
        data for data in shown if "image/png" in data or "<img" in data.get("text/html", "")
    ]


# Starting a kernel makes asyncio and zmq warn about things that are not ours.
@pytest.mark.filterwarnings("default")
class TestItRuns:
    def test_the_study_on_data_at_hand(self, tmp_path):
        text, pictures = executed("study", tmp_path)
        assert "socofing: skipped" in text
        assert "dense-snn" in text
        assert "small-cnn" in text
        assert "skipped: SOCOFing is not at hand" in text
        assert len(pictures) == 4

    def test_your_images_on_files_that_it_writes(self, tmp_path):
        text, pictures = executed("your_images", tmp_path)
        assert (tmp_path / "digits_as_files" / "0").is_dir()
        assert "vgg-lif" in text
        assert "only the SNN is right about" in text
        assert len(pictures) == 2

    def test_inside_as_it_is(self, tmp_path):
        text, pictures = executed("inside", tmp_path)
        assert "step 4" in text
        assert (tmp_path / "inside" / "inside.html").is_file()
        assert len(pictures) == 2


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_is_committed_is_small_and_shows_no_fingerprint_and_no_error(path):
    assert path.stat().st_size < LARGEST_BYTES
    committed = nbformat.read(path, as_version=4)
    assert any(cell.get("outputs") for cell in committed.cells)
    for cell in committed.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
        if cell.cell_type == "code" and "samples(" in cell.source and "socofing" in cell.source:
            assert 'name != "socofing"' in cell.source
