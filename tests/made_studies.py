"""Made-up duels of a study, and what is concluded of them."""

from types import SimpleNamespace

from msgspec import structs

import made_results
from spikeduel.results.significance import Conclusion
from spikeduel.results.study import Duel, conclude
from spikeduel.settings.recipes import baseline

SPIKING, OTHER = "dense-snn", "small-cnn"


def make_duel(dataset, accuracies, caveats=(), **settings):
    """A duel on a data set in which each contender's seeds got `accuracies`; a network without
    spikes is known by the same keys whatever the settings are.
    """
    seeds = max(map(len, accuracies.values()))
    prepared = SimpleNamespace(name=dataset, fingerprint=dataset, classes=("a", "b", "c"))
    experiment = baseline(
        dataset,
        contenders=tuple(accuracies),
        seeds=seeds,
        encoding=settings.get("encoding", "rate"),
        num_steps=int(settings.get("num_steps", 25)),
    )
    results = made_results.make_results(prepared, experiment)
    trials = [
        _scored(trial, accuracies[trial.contender], dataset, settings) for trial in results.trials
    ]
    finished = [
        {seed for seed, score in enumerate(got) if score is not None} for got in accuracies.values()
    ]
    tested = {
        name: [got[seed] for seed in set.intersection(*finished)]
        for name, got in accuracies.items()
    }
    pairs = results.comparison.pairs if all(tested.values()) else []
    if pairs:
        means = {name: sum(got) / len(got) for name, got in tested.items()}
        (pair,), apart = pairs, means[pairs[0].a] - means[pairs[0].b]
        better = (
            Conclusion.A_BETTER if apart > 0.02 else Conclusion.B_BETTER if apart < -0.02 else None
        )
        pairs = [
            structs.replace(
                pair,
                difference=apart,
                ci95=(apart - 0.02, apart + 0.02),
                ci90=(apart - 0.015, apart + 0.015),
                conclusion=better or Conclusion.INCONCLUSIVE,
            )
        ]
    comparison = structs.replace(results.comparison, pairs=pairs, caveats=list(caveats))
    results = made_results.replaced(
        results, trials=[trial for trial in trials if trial], comparison=comparison
    )
    folder = "-".join((dataset, *settings.values()))
    return Duel(folder, dataset, dict(settings), results)


def make_study(leads, margin=0.005, name="made up"):
    """Two variants, of which the one without spikes leads by so much on each data set, with two
    seeds.
    """
    duels = [
        make_duel(f"set {number}", {SPIKING: [0.8, 0.802], OTHER: [0.8 + lead, 0.802 + lead]})
        for number, lead in enumerate(leads)
    ]
    return conclude(name, duels, margin)


def _scored(trial, accuracies, dataset, settings):
    if trial.seed >= len(accuracies):
        return None
    key = (
        f"{dataset} {trial.contender} "
        f"{trial.seed}{sorted(settings.items()) if trial.spiking else ''}"
    )
    accuracy = accuracies[trial.seed]
    if accuracy is None:
        return structs.replace(made_results.failed(trial), key=key)
    return structs.replace(trial, key=key, test=structs.replace(trial.test, accuracy=accuracy))
