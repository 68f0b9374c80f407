"""Made-up duels of a study, and what is concluded of them."""

import statistics
from types import SimpleNamespace

from msgspec import structs

from factories import failed, replaced, run_results, scored
from spikeduel.experiment.recipes import baseline
from spikeduel.features.study.study_results import Duel, conclude
from spikeduel.results.significance import Conclusion

SPIKING, OTHER = "dense-snn", "small-cnn"


def make_duel(dataset, accuracies, caveats=(), **settings):
    """A duel on a data set in which each contender's seeds got `accuracies`; a network without
    spikes is known by the same keys whatever the settings are.
    """
    prepared = SimpleNamespace(name=dataset, fingerprint=dataset, classes=("a", "b", "c"))
    experiment = baseline(
        dataset,
        contenders=tuple(accuracies),
        seeds=max(map(len, accuracies.values())),
        encoding=settings.get("encoding", "rate"),
        num_steps=int(settings.get("num_steps", 25)),
    )
    results = run_results(prepared, experiment)
    trials = [
        _scored(trial, accuracies[trial.contender], dataset, settings) for trial in results.trials
    ]
    tested = [scores for scores in zip(*accuracies.values(), strict=False) if None not in scores]
    pairs = [_of(pair, tested) for pair in results.comparison.pairs if tested]
    comparison = structs.replace(results.comparison, pairs=pairs, caveats=list(caveats))
    results = replaced(results, trials=list(filter(None, trials)), comparison=comparison)
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


def _of(pair, tested):
    """`pair` of the first and the last contender with the seeds that both finished."""
    difference = statistics.fmean(first for first, *_ in tested) - statistics.fmean(
        last for *_, last in tested
    )
    conclusion = Conclusion.INCONCLUSIVE
    if abs(difference) > 0.02:
        conclusion = Conclusion.A_BETTER if difference > 0 else Conclusion.B_BETTER
    return structs.replace(
        pair,
        difference=difference,
        ci95=(difference - 0.02, difference + 0.02),
        ci90=(difference - 0.015, difference + 0.015),
        conclusion=conclusion,
    )


def _scored(trial, accuracies, dataset, settings):
    if trial.seed >= len(accuracies):
        return None
    key = (
        f"{dataset} {trial.contender} "
        f"{trial.seed}{sorted(settings.items()) if trial.spiking else ''}"
    )
    accuracy = accuracies[trial.seed]
    if accuracy is None:
        return structs.replace(failed(trial), key=key)
    return structs.replace(trial, key=key, test=scored(accuracy, (2000,) * 10))
