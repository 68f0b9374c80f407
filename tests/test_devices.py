"""A GPU of another maker, as strict as any of them (`away.py`), trains and measures all that the CPU
does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

from spikeduel.features import FEATURES

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices made in Python",
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("away")
    program = Path(__file__).parent / "away.py"
    run = subprocess.run(
        [sys.executable, program, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads((folder / "found.json").read_text())


def test_nothing_is_asked_of_it_that_apples_gpus_refuse(outcome):
    assert outcome["refused"] == {}
    assert len(outcome["planted"]) == 4


def test_it_trains_to_the_numbers_of_the_kernels(outcome):
    assert outcome["away"].keys() == outcome["here"].keys()
    for name, here in outcome["here"].items():
        away = outcome["away"][name]
        # After the first step the weights differ in their last digits, and so may a spike.
        assert away["losses"][0] == pytest.approx(here["losses"][0], rel=1e-6), name
        assert away["losses"][1] == pytest.approx(here["losses"][1], rel=2e-3), name
        assert away["gradients"] == pytest.approx(here["gradients"], rel=1e-3, abs=1e-5), name


def test_all_is_measured_there(outcome):
    away = outcome["compared_away"]
    contenders = ["dense-lif", "vgg-lif", "vgg-relu"]
    contenders += ["vgg-relu-converted"] * ("conversion" in FEATURES)
    assert [trial["contender"] for trial in away] == contenders
    for trial in away:
        assert not trial["error"]
        assert not trial["failed_measures"]
        assert trial["operations"]
    # The kernels count nothing otherwise than the reference.
    (here,) = outcome["compared_here"]
    assert away[0]["operations"] == here["operations"]
    assert away[0]["loss"] == pytest.approx(here["loss"], rel=1e-5)
