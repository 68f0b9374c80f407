"""The recommendation in sentences, and the short table beside it."""

from collections.abc import Callable, Sequence

from spikeduel.analysis.recommending import cheaper, running, timed_elsewhere, was_busy
from spikeduel.analysis.run_findings import search_option
from spikeduel.experiment.settings import Experiment
from spikeduel.experiment.targets import DEVICES
from spikeduel.results.accuracy import constant_accuracy
from spikeduel.results.findings import ADVICE, sentence, with_id
from spikeduel.results.run import (
    Evidence,
    Pair,
    Quantity,
    QuantityComparison,
    Reason,
    Recommendation,
    Results,
)
from spikeduel.results.significance import Conclusion, Measure
from spikeduel.sentences import verdict
from spikeduel.sentences.columns import BALANCED, SCORES, Averaged, score, span
from spikeduel.sentences.cost_sentences import amount, by_groups, of_groups, range_in_words
from spikeduel.system.negligible import MAX_COST_RATIO
from spikeduel.system.numbers import duration, hundredths, named, per_cent, points
from spikeduel.system.sentences import counted, listed

RULE = (
    "The most accurate network is recommended, unless another one is about as accurate and at "
    "least 1.1 times faster on this machine. Then the faster one is recommended.",
    "About as accurate: the accuracy is at most one point lower, and by its 90 % interval less "
    "than three points lower. Near 100 %, the limit is smaller. --tolerance sets another limit.",
    "With --for speed, energy, size or a device, the best network in that is recommended, if its "
    "accuracy is at most one point lower.",
    "There is no recommendation if test images leak into training, or if the more accurate network "
    "was trained longer.",
    "There is no recommendation either if the test images are too few: with fewer than 117, only a "
    "significant difference counts.",
)
"""The rule by which a network is recommended, briefly."""
EXACT_RULE = {
    "Tolerance": "One point of accuracy. If smaller, a quarter of the better network's errors plus "
    "two test images. --tolerance sets another one.",
    "Level": "A network is level with a more accurate one if its accuracy is lower by at most the "
    "tolerance. The 90 % interval of the difference must also end within three times the "
    "tolerance. Networks of equal accuracy are level.",
    "Without --for": "A level network is preferred if it is at least 1.1 times faster on this "
    "machine. Times of a busy machine do not count.",
    "--for speed, --for size": "The faster or smaller network is preferred. The ratio must be at "
    "least 1.1, and its accuracy lower by at most the tolerance. Intervals do not count.",
    "--for energy": "A network is preferred if it needs less energy by all accountings that count "
    "the memory of both networks. Its accuracy must be lower by at most the tolerance.",
    "--for cpu, --for gpu": "As --for speed, timed on that processor.",
    "--for cortex-m": "As --for speed, by operations in int8. A network that export --to c cannot "
    "write is not recommended.",
    "--for a device": "As --for speed, by energy on a device such as nucleo-u385 or loihi, from a "
    "model fitted to a power meter. The interval of the ratio must not reach 1. A network that "
    "does not run on the device is not recommended.",
    "Several networks": "If several networks are preferred to the most accurate one, the rule is "
    "applied again to these networks alone.",
    "Equal accuracy": "If the most accurate networks have exactly the same accuracy, the lowest "
    "cost decides, however small the difference.",
    "No recommendation": "Test images leak into training, or the more accurate network was trained "
    "more than 1.1 times as long. Or no seed was finished by every network, or no network has "
    "learned anything, or none runs on the device.",
    "Too few test images": "There is no recommendation if the test images cannot show a difference "
    "of five points. Fewer than 117 are too few, or more if the networks often disagree. A "
    "significant difference between spiking and other networks is enough for a recommendation. So "
    "is a 90 % interval of the difference within a given --tolerance.",
}
"""The rule in full: `analysis.recommending` decides by it."""
TITLES: dict[Quantity | Measure, str] = {
    "accuracy": "accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
    "training": "training",
    "latency": "inference",
    "energy": "energy",
    "memory": "memory",
    "size": "size",
    "operations": "int8 operations",
    "flash": "flash",
    "ram": "RAM",
}
MEANINGS: dict[Quantity | Measure, str] = {
    "accuracy": SCORES[0].definition,
    "balanced_accuracy": BALANCED.definition,
    "training": "Time of one training run on this machine, with its epochs with ReLU.",
    "latency": (
        "Inference time of one image on this machine: the lower median of two measurements."
    ),
    "energy": (
        "Estimated energy per inference, 45 nm, with neurons and memory on the chip: from the "
        "cheapest to the most expensive way to compute it. The star follows the published "
        "accountings that count the memory of both networks, if all agree. With --for a device: "
        "estimated energy there, with its 80 % interval."
    ),
    "memory": "Memory of a process at its first inference, Python and PyTorch included.",
    "size": "Size of the weights.",
    "operations": (
        "Operations per inference in int8: weights that a value above 0 multiplies, or a "
        "spike adds."
    ),
    "flash": "Constants of the network in int8, without the code around them.",
    "ram": "Variables of the network in int8, without the stack.",
}
MAX_NAME = 14
LEGEND = "* best, compared with the best network of the other kind (spiking or not)."
_WHY_NOT: dict[Reason, str] = {
    "leakage": "test images, or copies of them, are in the training data, so these scores measure "
    "memory",
    "longer_training": "the more accurate network was trained longer, so its lead does not count",
    "no_common_seed": "no seed was finished by every contender, and accuracies of different seeds "
    "cannot be compared",
    "not_finished": "no contender finished a seed",
    "too_few_images": "there are too few test images",
}
_ACCOUNTINGS: dict[Evidence, str] = {
    "all agree": " by all accountings",
    "with memory": " by all accountings with memory on both sides",
}
_AGREEMENT: dict[Evidence, str] = {
    "on the device": "on the device",
    "not measured": "not compared",
}
"""Agreement of accountings on which of two networks needs less energy."""
_COSTS: dict[Quantity, tuple[str, str, str]] = {
    "latency": (
        "It is {} faster on this machine",
        "It is as fast on this machine",
        "It is {} slower on this machine",
    ),
    "operations": (
        "It needs {} fewer int8 operations",
        "It needs as many int8 operations",
        "It needs {} more int8 operations",
    ),
    "size": (
        "Its weights are {} smaller",
        "Its weights are as large",
        "Its weights are {} larger",
    ),
}
"""Sentences on a quantity that is lower, as large or higher than the runner-up's."""
_NEITHER = {
    True: "Published accountings do not agree on which of the two needs less energy",
    False: "Neither clearly needs less energy",
}
"""Sentences on two energies without a lower one, by whether accountings disagree."""
_IN_INT8 = "in int8 on a Cortex-M, as vgg-lif and vgg-relu do"
DISTANCE = {
    "cpu": "Times are those of this machine's processor, measured.",
    "gpu": "Times are those of this machine's GPU, measured.",
    "cortex-m": (
        "Int8 operations are counted, not measured. Finding spikes and updating neurons at every "
        "step is not among them: of the instructions of an emulated Cortex-M4 it was 37 % in "
        "vgg-lif, 19 % in vgg-relu. Cycles and energy were not measured."
    ),
}
"""Distance of a recommendation for a device from a measurement on it."""
_ELSEWHERE = {
    "cpu": "Inference was timed on a GPU, so times do not count here: use --device cpu.",
    "gpu": "Inference was timed on a CPU, so times do not count here: use --device cuda on a "
    "machine with a GPU.",
}
_SETTLES = {
    "longer_training": "trains all networks for the same number of epochs",
    "--minutes": "trains longer, so that all networks can learn something",
    "--epochs": "trains longer, so that all networks can learn something",
    "--folds": "tests every image once",
    "--seeds": "measures how much results vary over seeds",
}


def headline(results: Results) -> str:
    return " ".join(sentences(results))


def sentences(results: Results) -> list[str]:
    """Return which contenders have not learned; the recommended network, the reason that decides,
    and what is uncertain; or why there is no recommendation.
    """
    at_chance = _at_chance(results)
    if results.recommendation.reason == "nothing_learned":
        return [f"No recommendation{_asked(results.experiment)}: {at_chance}"]
    return list(filter(None, [at_chance, *_recommendation(results)]))


def _at_chance(results: Results) -> str:
    """Return the contenders that have not learned, with their scores and that of chance; "" if
    none.
    """
    values = results.recommendation.quantity("accuracy").values
    if not (names := [name for name in results.unlearned if name in values]):
        return ""
    chance_level = constant_accuracy(
        [trial for trial in results.trials if trial.test], results.measure
    )
    shares = [values[name].low for name in names]
    what = (
        "not learned"
        if max(shares) <= chance_level
        else "not become significantly better than chance"
    )
    label = "" if results.measure == "accuracy" else f" {named(results.measure)}"
    return (
        f"{listed(names)} {'have' if len(names) > 1 else 'has'} {what}: "
        f"{listed([*map(per_cent, shares)])}{label}, chance {per_cent(chance_level)}."
    )


def _recommendation(results: Results) -> list[str]:
    recommendation = results.recommendation
    if recommendation.recommended is None:
        return [
            f"No recommendation{_asked(results.experiment)}: {_why_not(recommendation, results)}."
        ]
    recommended = _with_kind(results, recommendation.recommended)
    if recommendation.runner_up is None:
        did = "has learned" if results.unlearned else "finished a seed"
        return [f"Only {recommended} {did}: there is nothing to compare it with."]
    lines = [
        f"Recommended: {recommended} rather than {_with_kind(results, recommendation.runner_up)}."
    ]
    reasons = [_accuracy(recommendation, results), _cost(recommendation, results)]
    if recommendation.reason == "runs_alone":
        where = _where(results.experiment.target)
        lines.append(f"It is the only network here that runs {where}.")
    if recommendation.reason == "runs_alone" or (
        recommendation.reason == "cheaper" and reasons[1][0] > 0
    ):
        reasons.reverse()
    (_, deciding), (advantage, other) = reasons
    if deciding and other and advantage < 0:
        other = f"But {other[0].lower()}{other[1:]}"
    unbalanced = map(sentence, with_id(results.comparison.caveats, "unbalanced"))
    lines += [
        deciding,
        other,
        *unbalanced,
        _level(recommendation, results),
        _untrained(recommendation, results),
    ]
    return [*lines, _distance(results)]


def _distance(results: Results) -> str:
    """Return how far a recommendation for a device is from a measurement on it; "" without a
    device."""
    device = results.experiment.target
    if timed_elsewhere(results):
        return _ELSEWHERE[device]
    if device not in DEVICES:
        return DISTANCE.get(device, "")
    there = running(results, results.recommendation.quantity("energy"))
    left_out = [name for name in results.contenders if name not in there]
    if left_out and results.recommendation.reason != "runs_alone":
        without = f"{listed(left_out)} cannot run on {DEVICES[device].title} and was left out"
        return f"{without}. {DEVICES[device].distance}"
    return DEVICES[device].distance


def _where(target: str) -> str:
    """Return the place where networks run, with what it does not run."""
    if target not in DEVICES:
        return _IN_INT8
    limit = DEVICES[target].limit
    return f"on {DEVICES[target].title}{f', which {limit}' if limit else ''}"


def _asked(experiment: Experiment) -> str:
    """Return the question, unless it is the default."""
    question = f" for {experiment.target}" if experiment.target != "accuracy" else ""
    if experiment.tolerance is not None:
        question += f" with --tolerance {experiment.tolerance:g}"
    return question


def _why_not(recommendation: Recommendation, results: Results) -> str:
    if recommendation.reason == "none_runs":
        return f"no network that learned anything runs {_where(results.experiment.target)}"
    if (pair := recommendation.pair) is None:
        return _WHY_NOT[recommendation.reason]
    tested = f"{counted(pair.n, 'test image')} and {counted(pair.seeds, 'seed')}"
    measure = "" if pair.measure == "accuracy" else f" of {named(pair.measure)}"
    apart = f"{points(abs(pair.difference))}{measure} apart"
    return f"{tested} are too few to tell {pair.leader_first.a} from {pair.leader_first.b}, {apart}"


def _level(recommendation: Recommendation, results: Results) -> str:
    """Name the others of its kind that so few test images do not tell apart; "" if none."""
    if not recommendation.level:
        return ""
    kind = results.of(recommendation.recommended or "", tested=False)[0].kind.upper()
    names = listed([recommendation.recommended or "", *recommendation.level])
    return f"Any {kind} will do: so few test images do not tell {names} apart."


def _with_kind(results: Results, name: str) -> str:
    return f"{name} ({results.of(name, tested=False)[0].kind.upper()})"


def _accuracy(recommendation: Recommendation, results: Results) -> tuple[float, str]:
    """Return the advantage of `recommended` in accuracy, 0 if negligible, and a sentence on it with
    what is uncertain.
    """
    if recommendation.pair is None:
        runner_up = _with_kind(results, recommendation.runner_up or "")
        highest = f"It has the highest {named(results.measure)}"
        return 0.0, f"{highest}, but it has no seed in common with {runner_up}."
    pair = recommendation.pair.ordered(recommendation.recommended or "")
    text, uncertain = _difference(pair)
    measure = "" if pair.measure == "accuracy" else named(pair.measure)
    tested = [uncertain, measure, counted(pair.n, "test image"), counted(pair.seeds, "seed")]
    for name in (pair.a, pair.b):
        trainings = results.of(name, tested=False)
        if failed := sum(trial.status == "failed" for trial in trainings):
            tested.append(f"{failed} of {counted(len(trainings), 'training')} of {name} failed")
    advantage = 0.0 if pair.negligible else pair.difference
    return advantage, f"{text} ({', '.join(filter(None, tested))})."


def _difference(pair: Pair) -> tuple[str, str]:
    """Return the difference in accuracy, and the uncertainty that belongs to it."""
    ahead, interval = pair.difference, f"95 % interval {verdict.interval(pair)} points"
    text = f"It is {points(abs(ahead))} {'more' if ahead > 0 else 'less'} accurate"
    if pair.conclusion is Conclusion.EQUIVALENT or pair.negligible:
        return f"It is as accurate within {100 * pair.margin:.2g} points", ""
    if pair.conclusion.better:
        only = "" if pair.seeds > 1 else " for these two networks only"
        return f"{text}, which is significant{only}", ""
    if ahead < 0:
        return text, f"at most {points(-pair.ci90[0])} by the 90 % interval"
    if ahead > 0:
        return f"{text}, which is not significant", verdict.reserved(pair) or interval
    return "It is as accurate on these test images, but a difference is possible", interval


def _cost(recommendation: Recommendation, results: Results) -> tuple[float, str]:
    """Return the advantage of `recommended` in the quantity that decides, below 0 if it costs
    more than its runner-up, and a sentence on it; "" if not known.
    """
    compared, recommended, runner_up = (
        recommendation.quantity(recommendation.decided_by),
        recommendation.recommended or "",
        recommendation.runner_up or "",
    )
    if recommended in compared.values and recommendation.reason == "runs_alone":
        return 0.0, f"Its energy there is {range_in_words(compared.values[recommended])} an image."
    if not {recommended, runner_up} <= compared.values.keys():
        return 0.0, ""
    ours, theirs = compared.values[recommended], compared.values[runner_up]
    if compared.quantity == "energy":
        return _energies(recommendation, results, *map(range_in_words, (ours, theirs)))
    low, high = sorted((ours.low, theirs.low))
    times = _times(high / low) if low else "infinitely many times"
    is_same = low == high or high < MAX_COST_RATIO * low
    advantage = 0.0 if is_same else theirs.low - ours.low
    less, same, more = _COSTS[compared.quantity]
    text = less if advantage > 0 else more if advantage else same
    is_disturbed = compared.quantity == "latency" and was_busy(results)
    disturbed = " (timed while other work ran)" if is_disturbed else ""
    return advantage, f"{text.format(times)}{disturbed}."


def _energies(
    recommendation: Recommendation, results: Results, ours: str, theirs: str
) -> tuple[float, str]:
    """Return the advantage of `recommended` in energy, and a sentence on the two."""
    compared = cheaper(
        recommendation.quantity("energy"),
        recommendation.recommended or "",
        recommendation.runner_up or "",
        results,
    )
    advantage = (compared.leader == recommendation.recommended) - (
        compared.leader == recommendation.runner_up
    )
    by = _ACCOUNTINGS.get(compared.evidence, "") if compared.by_group else ""
    text = f"It needs {'less' if advantage > 0 else 'more'} energy{by}"
    if not compared.leader:
        text = _NEITHER[compared.evidence == "disputed"]
    device = DEVICES.get(results.experiment.target)
    where = device.title if device else "45 nm"
    return advantage, f"{text} ({where}: {ours} against {theirs})."


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _untrained(recommendation: Recommendation, results: Results) -> str:
    better = [
        per_cent(finding.values["accuracy"])
        for finding in with_id(results.comparison.caveats, "below_nearest_neighbour")
        if recommendation.recommended in finding.values["contenders"]
    ]
    return f"But an untrained nearest neighbour is better: {better[0]}." if better else ""


def rows(results: Results) -> list[dict[str, str]]:
    """Return the rows of the short table: contenders, differences, and their significance."""
    names = results.contenders
    about_best: dict[str, Callable[[QuantityComparison], str]] = {
        "difference": difference,
        "from": lambda compared: _short(compared.other or "") if compared.leader else "",
        "significant": lambda compared: significance(compared, "yes", "no"),
    }
    about = {
        title: lines for title, lines in about_best.items() if len(names) > 1 + (title == "from")
    }
    table = {"": [*map(_short, names), *about]}
    for compared in results.recommendation.quantities:
        table[TITLES[measured(results, compared)]] = [
            *(
                f"{cell(results, name, compared)}{' *' * (name == compared.leader)}"
                for name in names
            ),
            *(lines(compared) for lines in about.values()),
        ]
        for measure in results.measures[1:] if compared.quantity == "accuracy" else []:
            scores = [str(score(results.of(name), measure) or "failed") for name in names]
            table[TITLES[measure]] = [*scores, *("" for _ in about)]
    return [dict(zip(table, line, strict=True)) for line in zip(*table.values(), strict=True)]


def measured(results: Results, compared: QuantityComparison) -> Quantity | Measure:
    """Return the quantity, or the measure of accuracy that it is about."""
    return results.measure if compared.quantity == "accuracy" else compared.quantity


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def cell(results: Results, name: str, compared: QuantityComparison) -> Averaged:
    """Return a contender's mean as text, with the spread of accuracies."""
    if name not in compared.values:
        return Averaged("failed" if compared.quantity == "accuracy" else "–")
    value = compared.values[name]
    match compared.quantity:
        case "accuracy":
            return score(results.of(name), results.measure) or Averaged("failed")
        case "training":
            return Averaged(duration(value.low))
        case "latency":
            return Averaged(f"{1000 * value.low:.3g} ms")
        case "energy":
            return Averaged(range_in_words(value).replace(" to ", "–"))
        case "operations":
            return Averaged(f"{value.low / 1e6:.3g} M")
    number = amount(value.low)
    return Averaged(f"{number}{'' if number[-1].isalpha() else ' '}B")


def training(results: Results) -> str:
    """Return the epochs of the contenders' trainings, and which had not converged."""
    trials = {name: results.of(name, tested=False) for name in results.contenders}
    epochs = {name: span([trial.epochs for trial in trials[name]]) for name in trials}
    text = f"Epochs trained: {listed([f'{name} {number}' for name, number in epochs.items()])}."
    unfinished = [
        name for name in trials if any(trial.converged is False for trial in trials[name])
    ]
    return f"{text} Not converged: {listed(unfinished)}." if unfinished else text


def difference(compared: QuantityComparison) -> str:
    """Return how far the leader is ahead; "" without one."""
    if compared.leader is None:
        return ""
    if compared.quantity == "accuracy":
        return f"{hundredths(compared.difference or 0.0)} points"
    return f"{_times(compared.difference).replace(' times', ' ×')}" if compared.difference else ""


def significance(
    compared: QuantityComparison, yes: str = "significant", no: str = "not significant"
) -> str:
    """Return whether a difference is significant, or why that cannot be said."""
    if compared.quantity == "energy" and compared.values:
        return _AGREEMENT.get(compared.evidence, compared.evidence)
    return {"significant": yes, "not significant": no}.get(compared.evidence, compared.evidence)


def energy(results: Results, briefly: bool = False) -> str:
    """Return which network needs less energy by each group of accountings; `briefly` by the
    group that decides, "" if all of it is undecided.
    """
    by_group = results.recommendation.quantity("energy").by_group
    if briefly:
        by_group = {name: by for name, by in by_group.items() if name == "memory" and any(by)}
    text = by_groups(by_group)
    return f"Energy by published accountings: {text}." if text else ""


def energy_by_group(results: Results) -> list[str]:
    """Return which network needs less energy, a text for each group of accountings."""
    return of_groups(results.recommendation.quantity("energy").by_group)


def at_most_three(lines: Sequence[str]) -> list[str]:
    """Return the first two sentences, and the others as one text."""
    return list(filter(None, [*lines[:2], " ".join(lines[2:])]))


def settling(results: Results) -> list[tuple[str, str, str]]:
    searching = (search_option() or "").partition(" ")[0]
    settles = _SETTLES | {searching: "finds the best settings for each network"}
    return [
        (
            " ".join(step.options),
            "" if step.minutes is None else f"{duration(60 * step.minutes)} of training",
            settles.get(step.resolves.id)
            or (
                settles[step.options[0]] if step.options else ADVICE.get(step.resolves.remedy or "")
            )
            or sentence(step.resolves),
        )
        for step in results.recommendation.steps
    ]
