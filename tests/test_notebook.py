"""The notebook runs from top to bottom, on small data that is always at hand and with little training."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "compare.ipynb"

QUICK = """%matplotlib inline
import os

import spikeduel as sd

DATASETS = ["digits", "socofing"]
DATA_DIR = {"socofing": "no such folder"}
SETTINGS = {"encoding": "direct", "epochs": 1, "limit": 200, "hidden": 32, "num_steps": 5}
"""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


# Starting a kernel makes asyncio and zmq warn about things that are not ours.
@pytest.mark.filterwarnings("default")
def test_it_runs_on_data_at_hand(notebook, tmp_path):
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(parameters) == 1
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    parameters[0].source = QUICK
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = "".join(output.get("text", "") for output in outputs)
    assert "socofing: skipped" in text
    assert "dense-snn" in text
    assert "small-cnn" in text
    assert "skipped: SOCOFing is not at hand" in text
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 5


def test_what_is_committed_shows_no_fingerprint_and_no_error():
    committed = nbformat.read(NOTEBOOK, as_version=4)
    for cell in committed.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
        if cell.cell_type == "code" and "samples(" in cell.source:
            assert 'name != "socofing"' in cell.source
