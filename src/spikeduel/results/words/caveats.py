"""Each caveat as one sentence, and what to do."""

from spikeduel.results import caveats as c
from spikeduel.results.audit import Audit
from spikeduel.results.caveats import Caveat
from spikeduel.results.significance import smallest_p
from spikeduel.results.words import audit
from spikeduel.results.words.numbers import counted, listed, per_cent


def sentence(caveat: Caveat, audited: Audit | None = None) -> str:
    """What `caveat` says, as people read it; a problem that an audit found is put in words by `audited`."""
    match caveat:
        case c.Leakage() | c.FewShared() | c.FewTestImages() | c.FewGroups() | c.InFolds() | c.Limited():
            return _of_data(caveat)
        case c.Untuned() | c.OwnSettings() | c.Tuned() | c.StillRising() | c.UnevenTuning():
            return _of_tuning(caveat)
        case c.FailedTuning() | c.KeepsSettings():
            return _of_tuning(caveat)
        case c.OwnSteps() | c.InFloat32() | c.NotTrained() | c.SameWeights() | c.Confounded():
            return _of_networks(caveat)
        case c.AuditProblem(finding=finding):
            problem = audit.sentence(finding, audited) if audited else finding.kind.replace("_", " ")
            return f"Data audit: {problem}"
        case c.DataNote(text=text):
            return text
        case _:
            return _of_trainings(caveat)


def _of_data(caveat: Caveat) -> str:
    match caveat:
        case c.Leakage(shared=shared, official=official):
            remedy = "Divide the data anew." if official else "Use --split default, which keeps groups whole."
            return (
                f"Leakage: {per_cent(shared, 0)} of the test images have relatives in training (same person, or "
                f"duplicates). The scores measure memory as much as recognition. {remedy}"
            )
        case c.FewShared(shared=shared):
            return (
                f"{per_cent(shared, 2)} of the test images have copies in training: at most that share of a score is "
                "memory."
            )
        case c.FewTestImages(num_test=num_test, folds_help=folds_help):
            remedy = " --folds 5 tests all images." if folds_help else ""
            return f"{num_test:,} test images: one image is worth {100 / num_test:.1f} points.{remedy}"
        case c.FewGroups(tested=tested, known=known, one_seed=one_seed, folds_help=folds_help):
            of_all = f" of {known:,}" if tested < known else ""
            floor = f" With one seed, p cannot fall below {smallest_p(tested):.2g}." if one_seed else ""
            remedy = " Use --folds 5 to test all groups." if folds_help else ""
            return (
                f"The test images come from {counted(tested, 'group')}{of_all}: what is special to these groups weighs "
                f"heavily, and more seeds do not help.{floor}{remedy}"
            )
        case c.InFolds(folds=folds):
            return f"Scores are means over {folds} folds. Folds share training images: they are not independent data."
        case c.Limited(limit=limit):
            return f"Training and validation were limited to {limit:,} images (--limit)."
    raise TypeError(caveat)


def _of_tuning(caveat: Caveat) -> str:
    match caveat:
        case c.Untuned():
            return "Settings are the same for all contenders and tuned for none. --tune 10 tunes each equally."
        case c.OwnSettings(settings=settings):
            each = "; ".join(f"{name}: {assigned(values)}" for name, values in settings.items())
            return f"Contenders have settings of their own ({each}). No tuning shows that each was tuned equally."
        case c.Tuned(num_trials=num_trials, most_epochs=most_epochs):
            return (
                f"Each contender was tuned with {num_trials} trials of at most {most_epochs} epochs, on validation "
                "images and with one seed; all other settings are common."
            )
        case c.StillRising(gains=gains, num_trials=num_trials):
            told = listed([f"{name} by {100 * gain:.1f} points" for name, gain in gains.items()])
            return (
                f"From {num_trials // 2} to {num_trials} trials the expected best still rose: {told}. Try more trials."
            )
        case c.UnevenTuning(settings=settings):
            counts = ", ".join(f"{name} {number}" for name, number in settings.items())
            return f"The same number of trials covers more settings more thinly. Settings tuned: {counts}."
        case c.FailedTuning(contender=name, failed=failed, num_trials=num_trials):
            return f"{failed} of {num_trials} tuning trials of {name} failed."
        case c.KeepsSettings(contender=name):
            return f"{name} keeps the settings it had: none of its tuning trials was finished."
    raise TypeError(caveat)


def _of_networks(caveat: Caveat) -> str:
    match caveat:
        case c.SameWeights(pairs=pairs, only=True):
            (a, b) = pairs[0]
            return f"{a} and {b} have the same weights, shape for shape: a difference is due to the activation alone."
        case c.SameWeights(pairs=pairs):
            told = "; ".join(f"{a} and {b}" for a, b in pairs)
            return f"Twins with the same weights: {told}. Other pairs differ in shape as well as in spiking."
        case c.Confounded():
            return (
                "The networks differ in shape as well as in spiking: a difference cannot be put down to spikes alone. "
                "--recipe twins compares equal weights."
            )
        case c.OwnSteps(contender=name, num_steps=num_steps, encoding=encoding):
            steps = counted(num_steps, "time step")
            return f"{name} makes its own {steps} (direct encoding): encoding {encoding} does not reach it."
        case c.InFloat32(contenders=names):
            return f"{listed(names)} computed in float32, the others in bf16. --precision 32 makes times comparable."
        case c.NotTrained(sources=sources, num_steps=num_steps, percentile=percentile):
            told = listed([f"{name} from {source}" for name, source in sources.items()])
            return (
                f"Converted, not trained: {told}, over {num_steps} steps, each layer scaled by percentile "
                f"{percentile:g} of its activations. More steps (--set conversion_steps=N) come nearer to the source."
            )
    raise TypeError(caveat)


def _of_trainings(caveat: Caveat) -> str:
    match caveat:
        case c.OneSeed():
            return "One seed: a difference of a point or more can be chance. Use --seeds 6."
        case c.AtChance(contenders=names, stopped_early=early):
            remedy = "--set patience=N (it stopped early) and --epochs" if early else "--epochs"
            return f"{listed(names)}: no better than naming the most frequent class. Train longer ({remedy})."
        case c.SometimesAtChance(contender=name, num=num, of=of):
            return f"{name}: in {num} of {of} trainings no better than naming the most frequent class."
        case c.BelowNearestNeighbour(contenders=names, accuracy=accuracy, first_fold=first_fold):
            where = " of the first fold" if first_fold else ""
            return (
                f"A nearest-neighbour baseline on small grey images scores {per_cent(accuracy)}{where}, above "
                f"{listed(names)}. Add images, tune (--tune 10), or look for leaks (spikeduel audit)."
            )
        case c.DifferentEpochs():
            return "The contenders trained for different numbers of epochs, by the same stopping rule."
        case c.EpochLimit(contenders=names, epochs=epochs):
            return (
                f"{listed(names)} improved until the limit of {counted(epochs, 'epoch')}: more (--epochs) might help."
            )
        case c.FailedTrials(titles=titles):
            return f"Failed and left out: {'; '.join(titles)}."
        case c.FailedMeasure(measure=name, trial=title, reason=reason):
            return f"Not measured: {name} of {title} ({reason.rstrip('.')}). The same command tries again."
        case c.NotCounted(contender=name, reason=reason):
            return f"Operations and energy of {name} are not known: {reason}"
        case c.TestUses(uses=uses, here=here):
            return (
                f"{uses:,} models were tested on these images from this store, {here:,} of them in this run. Choosing "
                "models by test score inflates it: choose on validation."
            )
    raise TypeError(caveat)


def assigned(settings: dict[str, float] | dict[str, float | None]) -> str:
    """Settings and their values as text; an unset one has its customary value."""
    return ", ".join(f"{name} {'customary' if value is None else f'{value:g}'}" for name, value in settings.items())
