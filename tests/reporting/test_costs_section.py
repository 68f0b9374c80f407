import dataclasses
import html
import re

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from factories import fully_timed, run_results, with_trial
from spikeduel.analysis.conclusions import with_energy
from spikeduel.evaluation.costing import cost_entry, operations
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import report
from spikeduel.sentences import cost_sentences as costs


@pytest.fixture
def results(make_prepared, make_model):
    """8×8 pixels; 16 hidden neurons over 6 steps with direct encoding, and the CNN; counted, the
    CNN timed.
    """
    prepared = make_prepared()
    made = run_results(prepared, baseline(encoding="direct", num_steps=6))
    images, labels = torch.from_numpy(prepared.images[:12]), torch.from_numpy(prepared.labels[:12])
    for index, trial in enumerate(made.trials):
        model = make_model(trial.contender, prepared, "direct")
        made = with_trial(
            made, index, **cost_entry(operations(model, [(images, labels, np.arange(12))]))
        )
    counted = with_energy(with_trial(made, 1, latency=fully_timed()))
    return replace(counted, energy_accountings=None)


def test_the_page_shows_it_all(results, make_run, unpainted):
    odd = replace(
        results.trials[1],
        contender="odd",
        operations=None,
        energy=None,
        latency=None,
        not_counted="Odd is not known.",
    )
    run, counted = make_run(encoding="direct"), replace(results, trials=[*results.trials, odd])
    page = report(dataclasses.replace(run, results=counted)).read_text()
    for text in ("linear1", "6.14 k", "4,000", "as most count", "odd: Odd is not known."):
        assert text in page
    drawn = set(re.findall(r'data-name="([^"]+)"', page))
    assert "pareto" in drawn
    left_out = "accountings|conversion"
    assert [name for name in drawn if re.match(left_out, name)] == []


def test_the_page_shows_the_accountings_with_formulas_and_sources(results, make_run, unpainted):
    run, judged = make_run(encoding="direct"), with_energy(results)
    page = html.unescape(report(dataclasses.replace(run, results=judged)).read_text())
    assert costs.summary(judged.energy_accountings.pairs[0]) in page
    for definition in judged.energy_accountings.definitions:
        texts = (definition.title, definition.source, definition.spiking, definition.leaves_out)
        assert [text for text in (*texts, *definition.constants) if text not in page] == []
    assert 'data-name="accountings-dense-snn-small-cnn"' in page
