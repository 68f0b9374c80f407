import pytest

from made_commands import FAST, ONE_EPOCH, document, printed, refused

PLAN = ["plan", "digits", *FAST, *ONE_EPOCH]

pytestmark = pytest.mark.usefixtures("known_data")


def test_a_plan_before_training(desk):
    text = " ".join(printed(*PLAN, "--difference", "20").split())
    assert "SD 0.30 points SD 0.55 points training" in text
    assert "finding a true difference of 20 points on 179 test images" in text
    assert not (desk / "runs").exists()
    plan = document(*PLAN, "--deviation", "3")
    (case,) = plan["cases"]
    assert (plan["source"], plan["difference"], case["deviation"]) == ("given", 0.01, 0.03)
    assert len(plan["seeds"]) == len(case["probabilities"])


@pytest.mark.parametrize("option", [("--tolerance", "1"), ("--for", "speed")])
def test_a_setting_without_effect_on_a_plan_is_refused(option, desk):
    line = refused(desk, *PLAN, *option)
    assert "has no effect: this command compares no results" in line
