import json

import pytest

from spikeduel.reporting import report_again
from spikeduel.system.errors import InputError


def change(run, *path, value):
    content = json.loads((run / "results.json").read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (run / "results.json").write_text(json.dumps(content))


@pytest.fixture
def run(make_run, make_prepared, monkeypatch):
    from spikeduel import data

    def absent(*_args, **_settings):
        raise InputError("no data")

    monkeypatch.setattr(data, "load", absent)
    comparison = make_run(make_prepared())
    (comparison.out / "results.json").write_text(json.dumps(comparison.results))
    return comparison.out


def test_the_page_is_made_from_the_folder_alone(run):
    path = report_again(run)
    assert path == run / "report.html"
    assert "dense-snn against small-cnn" in path.read_text()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("trials", 0, "history", 0, "val_loss"), 10**400),  # a number that no figure can draw
        (("experiment", "per_contender"), {"dense-snn": "fast"}),
        (("comparison", "controls"), [{"contender": "dense-snn"}]),
    ],
)
def test_what_only_a_figure_stumbles_over_is_an_error_for_people(run, path, value):
    change(run, *path, value=value)
    with pytest.raises(InputError, match=r"results\.json: "):
        report_again(run)


def test_a_folder_is_no_page(run):
    with pytest.raises(InputError, match="figures: a folder; name the file to write"):
        (run / "figures").mkdir(exist_ok=True)
        report_again(run, run / "figures")
