import json

import pytest
from typer.testing import CliRunner

from spikeduel.cli import app

SMALL = ["--recipe", "baseline", "--device", "cpu", "--num-steps", "4", "--hidden", "32"]
PLAN = ["plan", "digits", *SMALL, "--epochs", "1", "--limit", "200"]

pytestmark = pytest.mark.usefixtures("known_data")


def printed(*arguments):
    """Return the output of a command that ends well."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_plan_before_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPIKEDUEL_STORE")
    text = " ".join(printed(*PLAN, "--difference", "20").split())
    assert "SD 0.30 points SD 0.55 points training" in text
    assert "a true lead of 20 points is found, on 179 test images" in text
    assert not (tmp_path / "runs").exists()
    plan = json.loads(printed(*PLAN, "--spread", "3", "--json"))
    (case,) = plan["cases"]
    assert (plan["source"], plan["difference"], case["deviation"]) == ("given", 0.01, 0.03)
    assert len(plan["seeds"]) == len(case["probabilities"])


@pytest.mark.parametrize("option", [("--tolerance", "1"), ("--for", "speed")])
def test_a_setting_without_effect_on_a_plan_is_refused(option):
    done = CliRunner().invoke(app, [*PLAN, *option])
    assert done.exit_code == 2
    assert "has no effect: this command compares no results" in done.output
