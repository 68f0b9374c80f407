from pathlib import Path

from msgspec import structs

from factories import dataset, pair, results, trial
from made_audits import audit_with
from spikeduel.cli.printing import print_comparison
from spikeduel.results.findings import finding
from spikeduel.sentences.comparison import Comparison


def test_of_recordings_all_of_it_speaks_of_recordings(capsys):
    about = dataset(24, audit=structs.replace(audit_with(), noun="recording"))
    few = finding("more_images", detectable=0.11, assumed=True)
    duel = [trial("snn", 0.9), trial("cnn", 0.9)]
    found = results(duel, [pair(0.0, n=24)], about=about, caveats=[few])
    print_comparison(Comparison(found.experiment, found, Path("run")))
    output = " ".join(capsys.readouterr().out.split())
    assert "24 test recordings" in output
    assert "More test recordings" in output
    assert "image" not in output
