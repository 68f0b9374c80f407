"""The numbers and words of the page, from results.json: plain values that the template only has to place."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spikeduel.reporting import style
from spikeduel.results.significance.reservations import BRIEF, reservation, reserved
from spikeduel.results.words.caveats import leaks
from spikeduel.results.words.tables import mean_and_spread
from spikeduel.results.words.tuning import in_words
from spikeduel.results.words.verdict import p_number

NOT_MEASURED = "not measured"
_SCORES = ("accuracy", "precision", "recall", "f1")
_SPLITS = {
    "official": "official: the data set's own test images, all of them; validation images are held out of the rest",
    "stratified": "stratified: at random, every class in the same proportion",
    "grouped": "grouped: images that belong together, such as those of one person, are never on two sides",
    "published": "published: as in the study, at random over files, whoever or whatever they show",
}
_CONCLUSIONS = {
    "a_better": "{a} is better",
    "b_better": "{b} is better",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
}


def contenders(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A dict for each contender: its name, family, colour, its trials and the cells of its row in the table."""
    colours = style.contender_colours(results["trials"])
    entries = []
    for name, colour in colours.items():
        trials = [trial for trial in results["trials"] if trial["contender"] == name]
        tested = [trial for trial in trials if trial["status"] == "done" and trial["test"]]
        entries.append({
            "name": name,
            "spiking": trials[0]["family"] == "snn",
            "colour": colour,
            "seeds": len(tested),
            "trained": _trained(tested),
            "failed": sum(trial["status"] == "failed" for trial in trials),
            "scores": {score: _over(tested, partial(_score, score), _per_cent) for score in _SCORES}
            | {"accuracy": mean_and_spread([t["test"]["accuracy"] for t in tested], [t["test"]["n"] for t in tested])
               if tested else NOT_MEASURED},
            "epoch_seconds": _median([second for trial in tested for second in trial["epoch_seconds"]]),
            "epochs": _span([trial["epochs"] for trial in tested]),
            "kept": _span([t["best_epoch"] + 1 for t in tested if t["best_epoch"] is not None]),
            "parameters": f"{trials[0]['parameters']:,}" if trials[0]["parameters"] else NOT_MEASURED,
            "input": _input(trials[0]),
            "luck": _luck(tested),
            "ties": _ties(tested),
            "per_class": per_class(tested),
            "confusion": pooled_confusion(tested),
            "tested": _span(_tested(tested), "{:,}"),
        })  # fmt: skip
    return entries


def per_class(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class, averaged over the trials; its support in all folds of a seed."""
    if not trials:
        return []
    num_seeds = len({trial.get("seed") for trial in trials})
    rows = zip(*[trial["test"]["per_class"] for trial in trials], strict=True)
    return [
        {
            "class": of_class[0]["class"],
            **{score: statistics.fmean(row[score] for row in of_class) for score in ("precision", "recall", "f1")},
            "support": f"{round(sum(row['support'] for row in of_class) / num_seeds):,}",
        }
        for of_class in rows
    ]


def pooled_confusion(trials: Sequence[dict[str, Any]]) -> list[list[int]]:
    """The sum of the trials' confusion matrices."""
    matrices = [trial["test"]["confusion"] for trial in trials]
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def confused(confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = 3) -> str:
    """The most frequent errors, as a sentence."""
    errors = [
        (count, truth, predicted)
        for truth, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and truth != predicted
    ]
    errors.sort(key=lambda error: -error[0])
    told = [f"{classes[truth]} taken for {classes[predicted]} ({count:,})" for count, truth, predicted in errors[:most]]
    return f"Most frequent errors: {', '.join(told)}." if told else "There is no error."


def pairs(results: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of the table of differences."""
    rows = []
    for pair in (results.get("comparison") or {}).get("pairs") or []:
        if pair.get("difference") is None:
            continue
        interval = pair.get("ci95")
        p_value = pair.get("p_value")
        rows.append({
            "pair": f"{pair['a']} − {pair['b']}",
            "measure": pair["measure"],
            "difference": f"{100 * pair['difference']:+.2f}".replace("-", "−"),
            "interval": f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}".replace("-", "−") if interval else "",
            "p_value": "" if p_value is None else p_number(p_value),
            "test": pair.get("test") or "",
            "n": f"{pair['n']:,}",
            "seeds": str(pair["seeds"]),
            "conclusion": _concluded(pair, bool(results["dataset"].get("folds"))),
        })  # fmt: skip
    return rows


def how_compared(results: dict[str, Any]) -> str:
    """What the table of differences means, as a note below it."""
    pairs = (results.get("comparison") or {}).get("pairs") or []
    tested = [pair for pair in pairs if pair.get("p_value") is not None]
    if not tested:
        return "No test of significance was made."
    margin = f"{100 * tested[0]['margin']:g} points"
    tests = "; ".join(dict.fromkeys(pair["test"] for pair in tested))
    seeds = max(pair["seeds"] for pair in tested)
    once = "these trainings, one in each fold," if results["dataset"].get("folds") else "these two trained models"
    about = (
        f"Interval and p-value are about {once} and other test images; one seed says nothing of other trainings."
        if seeds == 1
        else "Interval and p-value allow for other seeds and for other test images."
    )
    many = f" p-values are adjusted for {len(tested)} comparisons (Holm)." if len(tested) > 1 else ""
    return (
        f"Test: {tests}.{many} {about} Better: p is at most 0.05. Equivalent: the 90 % interval lies inside ±{margin}, "
        "which count as no difference. Inconclusive: neither, so that a difference may or may not be there."
        + reservations(tested)
        + (" A p of 1 is no evidence, neither of a difference nor of none." if _of_one(tested) else "")
    )


def reservations(pairs: Sequence[dict[str, Any]]) -> str:
    """Why some pairs with intervals that exclude 0 are called inconclusive, as sentences; empty where none is."""
    clauses = dict.fromkeys(filter(None, (reserved(pair) for pair in pairs)))
    return "".join(f" Inconclusive may also mean: {clause}." for clause in clauses)


def _of_one(pairs: Sequence[dict[str, Any]]) -> bool:
    return any(p_number(pair["p_value"]) == "1" for pair in pairs)


def _concluded(pair: dict[str, Any], in_folds: bool) -> str:
    if not pair.get("conclusion"):
        return ""
    text = _CONCLUSIONS[pair["conclusion"]].format(**pair)
    if reason := reservation(pair):
        text += f": {BRIEF[reason]}"
    if pair.get("negligible") and pair["conclusion"] != "equivalent":
        text += ", by less than counts"
    if pair["seeds"] > 1:
        return text
    return f"of these {'trainings, one in each fold' if in_folds else 'two models'}: {text}"


def leakage(results: dict[str, Any]) -> str | None:
    """The warning where relatives of test images lie in training, or None."""
    dataset = results["dataset"]
    shared = dataset.get("shared_groups")
    published = dataset["split"] == "published" and bool(dataset.get("groups"))
    if not published and not leaks(dataset):
        return None
    extent = "Test images" if shared is None else f"{shared:.0%} of the test images"
    return (
        f"{extent} have relatives in training. Relatives show the same thing, such as an altered copy of the same "
        "fingerprint or another picture of the same person. A network, or a mere search for the most similar training "
        "image, can then answer from memory. The scores below measure memory, not recognition: do not read them as "
        "what to expect on new people or objects."
    )


def caveats(results: dict[str, Any]) -> list[str]:
    """What a careful reader would object; the leak has its own box."""
    said = list((results.get("comparison") or {}).get("caveats") or [])
    return [text for text in said if not text.startswith("LEAKAGE")] if leakage(results) else said


def rules(results: dict[str, Any]) -> list[tuple[str, str]]:
    """What was compared, and under which rules, as pairs of a term and its explanation."""
    dataset, experiment = results["dataset"], results["experiment"]
    counts = dataset["counts"]
    rows = [("data", f"{dataset['name']}: {_classes(len(dataset['classes']))}")]
    if shape := dataset.get("image_shape"):
        rows[0] = ("data", f"{rows[0][1]}, images of {shape[2]}×{shape[1]} pixels, {_channels(shape[0])}")
    to_test = f"{counts['test']:,} to test on"
    if folds := dataset.get("folds"):
        to_test = f"the others to test on, in each of {len(folds)} folds: each of {counts['test']:,} is tested once"
    rows.append(("images", f"{counts['train']:,} to train on, {counts['val']:,} for validation, {to_test}"))
    rows.append(("split", _split(dataset)))
    spiking = [trial for trial in results["trials"] if trial["family"] == "snn"]
    if spiking:
        encodings = dict.fromkeys(f"{trial['encoding']} encoding over {trial['num_steps']} steps" for trial in spiking)
        rows.append(("spiking input", ", ".join(encodings)))
    if len(spiking) < len(results["trials"]):
        rows.append(("other input", "the analogue image, once: pixels from 0 to 1"))
    rows.append((
        "training",
        f"Adam, learning rate {_learning_rates(experiment)}, batches of {experiment['batch_size']}, "
        f"{_epochs(results)}; {_stopping(experiment)}; keeps the weights of the best validation accuracy. The same "
        "images, order of batches and rules for every contender.",
    ))  # fmt: skip
    if own := experiment.get("per_contender"):
        rows.append(("own settings", _as_text(own)))
    rows.append(("seeds", _seeds(experiment["seeds"], bool(dataset.get("folds")))))
    if experiment.get("recipe"):
        rows.append(("recipe", str(experiment["recipe"])))
    return rows


def _epochs(results: dict[str, Any]) -> str:
    most = results["experiment"]["epochs"] or max(trial["epochs"] for trial in results["trials"])
    return f"at most {most} epoch{'s' if most > 1 else ''}"


def _stopping(experiment: dict[str, Any]) -> str:
    if experiment["patience"] is None:
        return "never stops early"
    return (
        f"stops after {experiment['patience']} epochs in a row that do not lower the validation loss by "
        f"{experiment['min_delta']:g}"
    )


def dynamics(results: dict[str, Any]) -> str | None:
    """The reset of the leaky integrate-and-fire neurons; None where there are other neurons."""
    experiment = results["experiment"]
    return experiment["reset_mechanism"] if experiment["neuron"] == "lif" else None


def audit(results: dict[str, Any]) -> list[str]:
    """What the audit of the data found, as sentences; empty where there was none."""
    found = results["dataset"].get("audit") or {}
    said = [str(text) for text in [*(found.get("problems") or []), *(found.get("notes") or [])]]
    probe = found.get("probe") or {}
    if probe.get("accuracy") is not None:
        text = f"An untrained nearest neighbour on small grey versions scores {probe['accuracy']:.1%} on this split"
        if probe.get("accuracy_if_grouped") is not None:
            text += f", and {probe['accuracy_if_grouped']:.1%} where groups are kept whole"
        said.append(text + ".")
    return said


def first_fold(results: dict[str, Any]) -> str | None:
    """Of which images the audit speaks where there are folds; None where there are none."""
    if not (folds := results["dataset"].get("folds")):
        return None
    return (
        f"This looks at the first of the {len(folds)} folds only: its training, validation and test images. Between "
        "the sides of the other folds, copies, relatives and scores can differ."
    )


def failures(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The failed trials: contender, seed (and fold) and error."""
    return [
        {"contender": t["contender"], "seed": _seed(t), "error": t["error"] or "no reason was recorded"}
        for t in results["trials"]
        if t["status"] == "failed"
    ]


def settings(values: dict[str, Any]) -> list[tuple[str, str]]:
    """A dict as rows of text; what is unset is left out."""
    return [(name, _as_text(value)) for name, value in values.items() if value is not None]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {in_words(settings)}" for name, settings in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _learning_rates(experiment: dict[str, Any]) -> str:
    own = experiment.get("per_contender") or {}
    rates = dict.fromkeys(own.get(name, {}).get("learning_rate") for name in experiment["contenders"])
    if set(rates) - {None}:
        return "as tuned or given for each contender (below)"
    return f"{experiment['learning_rate']:g}"


def _over(
    trials: Sequence[dict[str, Any]],
    value: Callable[[dict[str, Any]], float | None],
    form: Callable[[float], str],
    digits: int = 2,
) -> str:
    values = [found for trial in trials if (found := value(trial)) is not None]
    if not values:
        return NOT_MEASURED
    mean = form(statistics.fmean(values))
    if len(values) == 1:
        return mean
    return f"{mean} ± {form(statistics.stdev(values))}"


def _score(score: str, trial: dict[str, Any]) -> float:
    return trial["test"][score]


def _per_cent(share: float) -> str:
    return f"{100 * share:.2f}"


def _median(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f}" if seconds else NOT_MEASURED


def _span(values: Sequence[int], form: str = "{}") -> str:
    if not values:
        return NOT_MEASURED
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def _input(trial: dict[str, Any]) -> str:
    return "analogue" if trial["encoding"] is None else f"{trial['encoding']}, T = {trial['num_steps']}"


def _luck(trials: Sequence[dict[str, Any]]) -> str | None:
    spreads = [((t["test"].get("encoding_spread") or {}).get("standard_deviation")) for t in trials]
    known = [spread for spread in spreads if spread is not None]
    return f"{100 * statistics.fmean(known):.2f}" if known else None


def _ties(trials: Sequence[dict[str, Any]]) -> str | None:
    shares = [t["test"].get("tie_share") for t in trials if t["family"] == "snn"]
    known = [share for share in shares if share is not None]
    # Scores that are no counts are never equal.
    return f"{100 * statistics.fmean(known):.1f}" if any(known) else None


def _trained(trials: Sequence[dict[str, Any]]) -> str:
    """Over what a mean is: the seeds, and the folds."""
    seeds, folds = ({trial.get(name) for trial in trials} - {None} for name in ("seed", "fold"))
    parts = [f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"] * (len(seeds) > 1 or not folds)
    return " and ".join(parts + [f"{len(folds)} folds"] * bool(folds))


def _tested(trials: Sequence[dict[str, Any]]) -> list[int]:
    """For each seed, the number of images that it was tested on, in all its folds."""
    counts: dict[int, int] = {}
    for trial in trials:
        counts[trial["seed"]] = counts.get(trial["seed"], 0) + trial["test"]["n"]
    return list(counts.values())


def _seed(trial: dict[str, Any]) -> int | str:
    fold = trial.get("fold")
    return trial["seed"] if fold is None else f"{trial['seed']}, fold {fold}"


def _classes(number: int) -> str:
    return f"{number} classes" if number != 1 else "1 class"


def _channels(number: int) -> str:
    return {1: "grey", 3: "colour"}.get(number, f"{number} channels")


def _split(dataset: dict[str, Any]) -> str:
    kind = str(dataset["split"])
    groups = f" ({dataset['groups']:,} groups)" if isinstance(dataset.get("groups"), int) else ""
    if sizes := dataset.get("group_sizes"):
        groups = (
            f" ({dataset['groups']:,} groups: {sizes['median']:g} images in the median, {sizes['largest']:,} at most"
            + (f"; {tested:,} of them tested)" if (tested := dataset.get("groups_tested")) else ")")
        )
    return _SPLITS.get(kind, kind) + groups


def _seeds(number: int, in_folds: bool) -> str:
    each = " in each fold" if in_folds else ""
    if number == 1:
        return f"1: a single training run of each contender{each}, so that part of any difference can be luck"
    return f"{number}: each contender was trained {number} times{each}, from 0 to {number - 1}; numbers are mean ± sd"
