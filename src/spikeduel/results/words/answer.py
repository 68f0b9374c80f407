"""The answer in words."""

from spikeduel.results.answer import are_times_void, cheaper, timed_elsewhere
from spikeduel.results.columns import BALANCED, SCORES, Averaged, score, span
from spikeduel.results.findings import sentence, with_id
from spikeduel.results.run import Answer, Evidence, Lead, Quantity, Reason, Results
from spikeduel.results.significance import Measure
from spikeduel.results.words.costs import amount, families, range_in_words
from spikeduel.results.words.numbers import duration, hundredths, named, per_cent, points
from spikeduel.settings import Experiment
from spikeduel.system.sentences import counted, listed

RULE = (
    "The rule: the most accurate contender is taken, unless another one is level with it and "
    "answers at least 1.1 times faster on this machine. A contender is level if its deficit does "
    "not matter, by a tolerance of one point, or of a quarter of the better one's errors if that "
    "is less. Then the 90 % interval of the deficit ends within the tolerance, or the deficit "
    "lies within it and the interval ends within three times as much. With --for speed, energy or "
    "size, the contender that leads in that is taken, unless its deficit is above the tolerance; "
    "by less than 1.1 times nobody leads. With --for cpu or gpu, that is speed, timed there. With "
    "--for cortex-m, it is operations in whole numbers, and a contender that export --to c cannot "
    "write is not taken. With --for loihi, it is energy by the published prices of that chip. In "
    "energy, somebody leads where all accountings that count the memory of both agree. --tolerance "
    "sets the tolerance. If "
    "several would be taken in place of the most accurate, the most accurate of these is compared "
    "with the others of them, and so on. Between exactly equal accuracies the lower cost "
    "decides, however little lower; else times of a busy machine decide nothing. Nobody "
    "is taken where test images leak into training, nor where the one that is ahead was trained "
    "longer, nor where no difference between the kinds is shown and the test images are too few "
    "to show one of five points, unless the 90 % interval of the difference lies within the "
    "--tolerance that is given."
)
TITLES: dict[Quantity | Measure, str] = {
    "accuracy": "accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
    "training": "training",
    "answer": "answer",
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
    "training": "Time of one training on this machine, with its epochs with ReLU.",
    "answer": (
        "Time of one answer to one image on this machine: median, the lower one of two sittings."
    ),
    "energy": (
        "Estimated energy of one answer, 45 nm, with neurons and memory on the chip: from the "
        "cheapest to the dearest way to compute it. The accountings with memory on both sides say "
        "who leads, if all agree."
    ),
    "memory": "Memory of a process at its first answer, Python and PyTorch included.",
    "size": "Size of the weights.",
    "operations": (
        "Operations of one answer in whole numbers: weights that a value above 0 multiplies, or a "
        "spike adds."
    ),
    "flash": "Constants of the network in whole numbers, without the code around them.",
    "ram": "Variables of the network in whole numbers, without the stack.",
}
LONGEST_NAME = 14
LEGEND = "* leads, against the best of the other kind (SNN or not)."
_WHY_NOT: dict[Reason, str] = {
    "leakage": "test images leak into training, so that these scores measure memory",
    "longer_training": "the more accurate one was trained longer: its lead is not shown",
    "nothing_learned": "no contender is shown to have learned anything",
    "none_runs": "no contender that learned anything has a form in whole numbers: take vgg-lif and "
    "vgg-relu, which have one",
    "not_finished": "no trial was finished",
    "too_few_images": "the test images are too few",
}
_ACCOUNTINGS: dict[Evidence, str] = {
    "shown": ", estimated by all accountings",
    "with memory": ", estimated with memory on both sides",
    "one accounting": ", estimated by the published prices of this chip alone",
}
DISTANCE = {
    "cpu": "Times are those of this machine's processor, measured.",
    "gpu": "Times are those of this machine's GPU, measured.",
    "cortex-m": (
        "Operations in whole numbers are counted, not measured. Finding spikes and updating "
        "neurons at every step is not among them: of the instructions of an emulated Cortex-M4 it "
        "was 37 % in vgg-lif, 19 % in vgg-relu. Cycles and energy were not measured."
    ),
    "loihi": (
        "Energy is estimated: published prices of Loihi's parts for the spiking network, and of a "
        "GPU for the other; no chip was measured."
    ),
}
"""Distance of an answer for a device from a measurement on it."""
_ELSEWHERE = {
    "cpu": "Answers were timed on a GPU, so that times decide nothing: take --device cpu.",
    "gpu": "Answers were timed on a CPU, so that times decide nothing: take --device cuda, on a "
    "machine with a GPU.",
}
_SETTLES = {
    "longer_training": "trains all for as many epochs",
    "--minutes": "trains longer, so that all learn something",
    "--epochs": "trains longer, so that all learn something",
    "--split": "keeps pictures of one person, object or scan on one side of the split",
    "--folds": "tests every image once",
    "--seeds": "shows whether other trainings agree",
    "--tune": "gives each contender its own best settings",
}


def headline(results: Results) -> str:
    """Return whom to take and why, or why nobody."""
    answer = results.answer
    if answer.take is None:
        return f"No answer{_asked(results.experiment)}: {_why_not(answer)}."
    take = _with_kind(results, answer.take)
    if answer.rival is None:
        return f"Only {take} was trained: there is nothing to compare it with."
    accuracy, details = _accuracy(answer, results)
    is_cheaper, cost = _cost(answer, results)
    parts = [cost, accuracy] if answer.reason == "cheaper" else [accuracy, cost]
    pair = answer.pair and answer.pair.ordered(answer.take)
    is_behind = bool(pair and pair.difference < 0 and not pair.negligible)
    why = (" and " if is_cheaper != is_behind else ", but ").join(filter(None, parts))
    told = _level(answer, results), _untrained(answer, results), _distance(results)
    return f"Take {take}: {why} ({details}).{''.join(told)}"


def _distance(results: Results) -> str:
    """Return how far an answer for a device is from a measurement on it; "" of other questions."""
    device = results.experiment.answer_for
    if timed_elsewhere(results):
        return f" {_ELSEWHERE[device]}"
    return f" {DISTANCE[device]}" if device in DISTANCE else ""


def _asked(experiment: Experiment) -> str:
    """Return the question, unless it is the default."""
    question = f" for {experiment.answer_for}" if experiment.answer_for != "accuracy" else ""
    if experiment.tolerance is not None:
        question += f" with --tolerance {experiment.tolerance:g}"
    return question and f",{question}"


def _why_not(answer: Answer) -> str:
    if (pair := answer.pair) is None:
        return _WHY_NOT[answer.reason]
    tested = f"{counted(pair.n, 'test image')} and {counted(pair.seeds, 'seed')}"
    apart = points(abs(pair.difference))
    return f"{tested} are too few to tell {pair.led.a} from {pair.led.b}, {apart} apart"


def _level(answer: Answer, results: Results) -> str:
    """Name the others of its kind that so few test images do not tell apart; "" if none."""
    if not answer.level:
        return ""
    kind = results.of(answer.take or "", tested=False)[0].family.upper()
    names = listed([answer.take or "", *answer.level])
    return f" Any {kind} will do: {names} are level on so few test images."


def _with_kind(results: Results, name: str) -> str:
    return f"{name} ({results.of(name, tested=False)[0].family.upper()})"


def _accuracy(answer: Answer, results: Results) -> tuple[str, str]:
    """Return the lead in accuracy, and its evidence."""
    rival = _with_kind(results, answer.rival or "")
    if answer.pair is None:
        return (
            f"it has the highest {named(results.measure)}",
            f"it has no seed in common with {rival}",
        )
    pair = answer.pair.ordered(answer.take or "")
    tested = f"{counted(pair.n, 'test image')}, {counted(pair.seeds, 'seed')}"
    if pair.measure != "accuracy":
        tested = f"{named(pair.measure)} on {tested}"
    for name in (pair.a, pair.b):
        trainings = results.of(name, tested=False)
        if failed := sum(trial.status == "failed" for trial in trainings):
            tested += f"; {failed} of {counted(len(trainings), 'training')} of {name} failed"
    shown = f"shown{'' if pair.seeds > 1 else ' for these two trained networks alone'}; {tested}"
    ahead = pair.difference
    if pair.conclusion.better and not pair.negligible:
        more = "more" if ahead > 0 else "less"
        return f"it is {points(abs(ahead))} {more} accurate than {rival}", shown
    if pair.conclusion == "equivalent" or pair.negligible:
        return f"it is as accurate as {rival} within {100 * pair.margin:.2g} points", shown
    if ahead > 0:
        return f"it is {points(ahead)} more accurate than {rival}", f"not yet shown; {tested}"
    if ahead < 0:
        most = f"at most {points(-pair.ci90[0])} by the 90 % interval; {tested}"
        return f"it is {points(-ahead)} less accurate than {rival}", most
    return f"it is as accurate as {rival} here", f"not yet shown; {tested}"


def _cost(answer: Answer, results: Results) -> tuple[bool, str]:
    """Return True if `take` is at least as cheap as its rival in the quantity that decides, and by
    how much; "" if not known.
    """
    lead = answer.lead(answer.decided_by)
    if not {answer.take, answer.rival} <= lead.values.keys():
        return True, ""
    take, rival = answer.take or "", answer.rival or ""
    found = cheaper(lead, take, rival, results)
    is_cheaper = found.leader == take
    low, high = sorted((lead.values[take].low, lead.values[rival].low))
    times = _times(high / low) if low else "infinitely many times"
    match lead.quantity:
        case "energy" if found.evidence == "overlap":
            return True, "the energies of the two overlap"
        case "energy" if found.leader is None:
            return True, "which of the two takes less energy depends on the accounting"
        case "energy":
            by = _ACCOUNTINGS.get(found.evidence, "") if found.by_family else ""
            return is_cheaper, f"it takes {'less' if is_cheaper else 'more'} energy{by}"
        case "operations":
            fewer = "fewer" if is_cheaper else "more"
            return is_cheaper, f"it takes {times} {fewer} operations in whole numbers"
        case "size" if found.leader is None:
            return True, "its weights are as large"
        case "size":
            smaller = "smaller" if is_cheaper else "larger"
            return is_cheaper, f"its weights are {times} {smaller}"
    if are_times_void(results):
        return True, ""
    if found.leader is None:
        return True, "it answers as fast on this machine"
    return is_cheaper, f"it is {times} {'faster' if is_cheaper else 'slower'} on this machine"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _untrained(answer: Answer, results: Results) -> str:
    for finding in with_id(results.comparison.caveats, "below_nearest_neighbour"):
        if answer.take in finding.values["contenders"]:
            better = per_cent(finding.values["accuracy"])
            return f" But an untrained nearest neighbour is better: {better}."
    return ""


def rows(results: Results) -> list[dict[str, str]]:
    """Return the short answer's rows: contenders, leads and evidence."""
    leads, several = results.answer.leads, len(results.contenders)
    lines = [
        (
            _short(name),
            [f"{cell(results, name, lead)}{' *' * (name == lead.leader)}" for lead in leads],
        )
        for name in results.contenders
    ]
    if several > 1:
        lines.append(("lead", list(map(by, leads))))
    if several > 2:
        lines.append(("over", [_short(lead.over or "") if lead.leader else "" for lead in leads]))
    if several > 1:
        lines.append(("how sure", [lead.evidence for lead in leads]))
    titles = [TITLES[measured(results, lead)] for lead in leads]
    return [{"": title, **dict(zip(titles, cells, strict=True))} for title, cells in lines]


def measured(results: Results, lead: Lead) -> Quantity | Measure:
    """Return the quantity of a lead, or the measure of accuracy that it is about."""
    return results.measure if lead.quantity == "accuracy" else lead.quantity


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def cell(results: Results, name: str, lead: Lead) -> Averaged:
    """Return a contender's mean as text, with the spread of accuracies."""
    if name not in lead.values:
        return Averaged("failed" if lead.quantity == "accuracy" else "–")
    value = lead.values[name]
    match lead.quantity:
        case "accuracy":
            return score(results.of(name), results.measure) or Averaged("failed")
        case "training":
            return Averaged(duration(value.low))
        case "answer":
            return Averaged(f"{1000 * value.low:.3g} ms")
        case "energy":
            return Averaged(range_in_words(value).replace(" to ", "–"))
        case "operations":
            return Averaged(f"{value.low / 1e6:.3g} M")
    number = amount(value.low)
    return Averaged(f"{number}{'' if number[-1].isalpha() else ' '}B")


def training(results: Results) -> str:
    """Return the epochs of the contenders' trainings, and who had not converged."""
    trials = {name: results.of(name, tested=False) for name in results.contenders}
    epochs = {name: span([trial.epochs for trial in trials[name]]) for name in trials}
    text = f"Epochs in all: {listed([f'{name} {number}' for name, number in epochs.items()])}."
    unfinished = [
        name for name in trials if any(trial.converged is False for trial in trials[name])
    ]
    return f"{text} Not converged: {listed(unfinished)}." if unfinished else text


def by(lead: Lead) -> str:
    """Return the lead; "" without a leader."""
    if lead.leader is None:
        return ""
    if lead.quantity == "accuracy":
        return f"{hundredths(lead.by or 0.0)} points"
    return f"{_times(lead.by).replace(' times', ' ×')}" if lead.by else ""


def energy(results: Results, briefly: bool = False) -> str:
    """Say who takes less by each family of accountings, `briefly` by the one that decides;
    "" if none does.
    """
    by_family = results.answer.lead("energy").by_family
    if briefly:
        by_family = {name: by for name, by in by_family.items() if name == "memory" and any(by)}
    said = families(by_family)
    return f"Accountings of energy: {said}." if said else ""


def settling(results: Results) -> list[tuple[str, str, str]]:
    return [
        (
            " ".join(step.options),
            "" if step.minutes is None else f"trains {duration(60 * step.minutes)}",
            _SETTLES.get(step.answers.id)
            or (_SETTLES[step.options[0]] if step.options else sentence(step.answers)),
        )
        for step in results.answer.steps
    ]
