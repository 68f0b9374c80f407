"""Prints the tables of README and docs/ from benchmarks/results/, or with --write puts them where
they belong.

python -m benchmarks.tables [--write]
"""

import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable
from typing import Any

import jinja2

from benchmarks import shared
from benchmarks.speed.step import Benchmark
from benchmarks.speed.step.document import CNN
from spikeduel.energy import accounting
from spikeduel.features import FEATURES
from spikeduel.system.grouped import grouped
from spikeduel.system.numbers import hundredths, signed
from spikeduel.system.typed import read_json

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(shared.ROOT / "benchmarks"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
"""Templates of pages, by their paths below benchmarks/."""
STUDY = {
    "fashion-mnist": ("86.49", "86.55"),
    "emnist-digits": ("98.41", "99.23"),
    "socofing": ("0.98", "0.83"),
}
"""What the study reports: (SNN, CNN), on SOCOFing as it rounds them."""

ROWS = [
    ("Fashion-MNIST", "fashion-mnist", "direct"),
    ("Fashion-MNIST", "fashion-mnist", "rate"),
    ("SOCOFing, published split (leaks)", "socofing-published", "direct"),
    ("SOCOFing, published split (leaks)", "socofing-published", "rate"),
    ("SOCOFing, split by subject", "socofing-by-subject", "direct"),
    ("SOCOFing, split by subject", "socofing-by-subject", "rate"),
    ("EMNIST digits", "emnist-digits", "direct"),
]
"""Title, name and encoding of each comparison of the study redone."""


def begin(section: str) -> str:
    """The line above a table."""
    return f"<!-- {section}: made by benchmarks/tables.py -->\n"


def end(section: str) -> str:
    """The line below it."""
    return f"<!-- {section}: end -->"


def table(section: str) -> str:
    """The table of this name, Markdown."""
    return MADE[section][1]()


PROGRAMS = {
    "snntorch": "snnTorch",
    "norse": "Norse",
    "spikingjelly": "SpikingJelly",
    "sinabs": "Sinabs",
    "rockpool": "Rockpool",
}


def frontier() -> str:
    """Return the table of costs at equal accuracy."""
    from benchmarks.energy.frontier import readme_table

    return readme_table()


def equal_precision() -> str:
    """The twins in int8 over seeds, rounded after training and in training."""
    heads = [
        *("data set", "weights", "network", "seeds", "as trained, %", "in int8, %"),
        *("points lost (95 %)", "flash, kB", "RAM, kB", "operations, million"),
    ]
    rounded = {"strong": "rounded after training", "int8": "of 8 bits in training"}
    rows = []
    for dataset, recipes in shared.read("equal-precision.json").items():
        for recipe, found in recipes.items():
            for row in found["in_whole_numbers"]["rows"]:
                lost = row["lost"]
                low, high = (signed(end) for end in lost["ci95"])
                accuracies = mean(found["accuracy"][row["contender"]]), hundredths(row["accuracy"])
                sizes = (f"{row[part] / 1e3:.0f}" for part in ("flash", "ram"))
                rows.append(
                    [
                        *(dataset, rounded[recipe], row["contender"], found["seeds"]),
                        *accuracies,
                        f"{signed(lost['difference'])} ({low} to {high})",
                        *sizes,
                        f"{row['operations'] / 1e6:.2f}",
                    ]
                )
    return written(heads, rows)


def nir_matrix() -> str:
    """Which programs give the spikes of our NIR files, or where they differ first."""
    found = shared.read("nir-matrix.json")["rows"]
    networks = list(dict.fromkeys(row["network"] for row in found if "network" in row))

    def outcome(row: dict[str, Any]) -> str:
        if row.get("equal"):
            return "equal"
        if "error" in row:
            return f"not read ({row['error'].partition(':')[0]})"
        return f"layer {row['layer']}, step {row['step']}"

    rows = []
    for program, title in PROGRAMS.items():
        cells: dict[tuple[str, str], list[str]] = {}
        for row in found:
            if row["program"] == program and "network" in row:
                version = f"{title} {row['versions'][program]}"
                cells.setdefault((version, row["versions"]["nir"]), []).append(outcome(row))
        alike = grouped(((version, tuple(each)), nir) for (version, nir), each in cells.items())
        rows += [
            [version, ", ".join(sorted(versions)), *outcomes]
            for (version, outcomes), versions in alike.items()
        ]
    return written(["program", "nir", *networks], rows)


def nir_conformity() -> str:
    """Accuracies that programs published with one graph, and whether ours is level with them."""
    document = shared.read("nir-conformity.json")

    def interval(row: dict[str, Any]) -> str:
        return f"{100 * row['accuracy']:.2f} ({100 * row['low']:.2f}–{100 * row['high']:.2f})"

    programs = []
    for program, row in document["programs"].items():
        by_rule = document["rules"].get(row["rule"])
        programs.append(
            [
                program,
                f"{100 * row['published']:.2f}",
                "yes" if row["in_interval"] else "**no**",
                row["rule"] or "–",
                interval(by_rule) if by_rule else "–",
            ]
        )
    heads = ["program", "published, %", "in our interval", "its rule", "by that rule here, %"]
    imported = document["imported"]
    return (
        f"Imported here: {interval(imported)} % of {imported['n']} recordings.\n\n"
        f"{written(heads, programs)}"
    )


def events() -> str:
    """Accuracy on recordings, what each variant on time takes or gives, and the conclusion."""
    document = shared.read("events-n-mnist-800.json")["features"]["ablations"]
    titles = [row["title"] for row in document["contenders"][0]["rows"]]
    rows = [
        [
            each["contender"],
            hundredths(each["accuracy"]),
            *(signed(-row["found"]["difference"]) for row in each["rows"]),
        ]
        for each in document["contenders"]
    ]
    table = written(["points of accuracy", "itself, %", *titles], rows)
    return f"{table}\n> {document['text']}\n"


PLANTED = {
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "digits": "digits",
    "socofing": "SOCOFing",
    "photos": "photographs",
    "files": "photographs, changed before resizing",
}


def found() -> str:
    """What the audit finds of copies and wrong labels that were planted, and what it flags of clean
    data.
    """
    copies = shared.read("copies.json")["sets"]
    labels, rare = {}, dict[str, Any]()
    for name in PLANTED:
        document = shared.read(f"labels-{name}.json", {"found": []})
        labels[name] = [row for row in document["found"] if not row["limits_chosen_with_it"]]
        rare[name] = document.get("rare")

    def moved(name: str) -> tuple[str, str, str]:
        if name not in copies:
            return "–", "–", "–"
        one_way = dict(copies[name]["found"])
        two_ways, worst = one_way.pop("two together"), min(one_way, key=lambda kind: one_way[kind])
        clean = f"{copies[name]['clean_flagged']} of {copies[name]['clean_images']:,}"
        kind = f" ({worst})" if one_way[worst] < 1 else ""
        return f"{100 * one_way[worst]:.1f}{kind}", f"{100 * two_ways:.1f}", clean

    def doubted(name: str, kind: str, by: str) -> str:
        rows = [row[by] for row in labels[name] if row["kind"] == kind]
        if not rows:
            return "–"
        return ", ".join(
            f"{100 * statistics.mean(row[key] for row in rows):.0f}"
            for key in ("recall", "precision")
        )

    def doubted_rare(name: str) -> str:
        if not (counts := rare[name] and rare[name]["clean"]):
            return "–"
        return f"{counts['suspect']['right']} of {counts['labels']['right']}"

    rows = {
        "duplicates with one change: recall (hardest change)": [moved(name)[0] for name in PLANTED],
        "duplicates with two changes: recall": [moved(name)[1] for name in PLANTED],
        "clean images flagged as duplicates": [moved(name)[2] for name in PLANTED],
        **{
            f"wrong labels, {words}, by {by}: recall, precision": [
                doubted(name, kind, by) for name in PLANTED
            ]
            for kind, words in {
                "symmetric": "any other class",
                "pairwise": "one other class",
            }.items()
            for by in ("neighbours", "networks")
        },
        "right labels of a class with 1/25 of the images, flagged": [
            doubted_rare(name) for name in PLANTED
        ],
    }
    heads = ["% (counts where stated)", *PLANTED.values()]
    return written(heads, ([title, *cells] for title, cells in rows.items()))


def planted_copies() -> str:
    """Recall of planted copies by kind and data set, and the clean images that are called copies."""
    documents = shared.read("copies.json")["sets"]
    sets = [documents[name] for name in PLANTED]

    def shares(key: str) -> dict[str, list[str]]:
        kinds = dict.fromkeys(kind for of_set in sets for kind in of_set[key])
        return {
            kind: [
                f"{100 * of_set[key][kind]:.1f}" if kind in of_set[key] else "–" for of_set in sets
            ]
            for kind in kinds
        }

    def counts(key: str) -> list[str]:
        return [f"{of_set[key]:,}" for of_set in sets]

    alarms = {"near-duplicates": "near", "geometric": "flagged", "photometric": "flagged_as_edited"}
    rows = {
        "training images": counts("training_images"),
        "**geometric**, copies of each kind": counts("copies_of_each_kind"),
        **shares("found"),
        "**photometric and crops**, copies of each kind": counts("edited_copies_of_each_kind"),
        **shares("found_edited"),
        "**clean images**": counts("clean_images"),
        **{f"called copies: {kind}": counts(f"clean_{key}") for kind, key in alarms.items()},
    }
    heads = ["found, %", *PLANTED.values()]
    return written(heads, ([title, *cells] for title, cells in rows.items()))


def changed_labels() -> str:
    """Recall and precision of changed labels by data set, and the labels flagged without changes."""
    rows = []
    names = {name: PLANTED[name] for name in ("fashion-mnist", "mnist", "digits")}
    for name, title in {**names, "fashion-mnist-mini": "embedded set"}.items():
        document = shared.read(f"labels-{name}.json")
        (clean,) = (row for row in document["found"] if row["kind"] == "clean")
        for kind, words in {"symmetric": "any class", "pairwise": "the next class"}.items():
            found = [
                row
                for row in document["found"]
                if row["kind"] == kind and not row["limits_chosen_with_it"]
            ]
            cells = [
                f"{100 * statistics.mean(row[by][key] for row in found):.0f}"
                for by in ("neighbours", "networks")
                for key in ("recall", "precision")
            ]
            flagged = [
                f"{clean[by]['flagged']:,} of {clean[by]['examined']:,}"
                for by in ("neighbours", "networks")
            ]
            first = kind == "symmetric"
            rows.append([title if first else "", words, *cells, *(flagged if first else ("", ""))])
    heads = ["data set", "changed to"]
    for by in ("neighbours", "networks"):
        heads += [f"{by}: recall, %", "precision, %"]
    heads += ["flagged without changes: neighbours", "networks"]
    return written(heads, rows)


def rare_labels() -> str:
    """Labels of a class 25 times as rare that neighbours flag: right ones, and changed ones."""
    rows = []
    for name in ("fashion-mnist", "mnist", "digits"):
        rare = shared.read(f"labels-{name}.json")["rare"]
        judged = [
            rare[kind]["data_sets"] - rare[kind]["not_judged"] for kind in ("clean", "symmetric")
        ]
        flagged = [
            f"{rare[kind]['suspect'][which]} of {rare[kind]['labels'][which]}"
            for kind, which in (("clean", "right"), ("symmetric", "wrong"))
        ]
        cells = [f"{number} of {rare['clean']['data_sets']}" for number in judged]
        rows.append([PLANTED[name], cells[0], flagged[0], cells[1], flagged[1]])
    heads = ["data set", "judged, labels unchanged", "right labels flagged"]
    heads += ["judged, a tenth changed", "wrong labels found"]
    return written(heads, rows)


def counters() -> str:
    """What counters count of networks made to mislead, and what is counted by hand."""
    document = shared.read("counters.json")
    versions = document["versions"]
    rows = []
    for row in document["cases"]:
        cells = ["{:g}, {:g}".format(*row["by_hand"])]
        for name in versions:
            counted = row["counters"][name]
            cell = "{macs:g}, {acs:g}".format(**counted) if "macs" in counted else "fails"
            wrong = "" if counted.get("as_defined") else " †"
            cells.append(cell if counted.get("as_by_hand") else f"**{cell}**{wrong}")
        rows.append([row["case"], *cells])
    titles = [f"{name} {version}" for name, version in versions.items()]
    return written(["MACs, ACs of an image", "by hand", *titles], rows)


def microcontroller() -> str:
    """The cost of inference on an emulated Cortex-M4: spiking networks beside conventional ones."""
    document = shared.read("microcontroller.json")
    num_images = document["settings"]["images"]
    heads = [
        *("network", "T", f"right, of {num_images}"),
        "instructions per inference, million: mean (least to most)",
        "additions or multiplications of weights, million",
        *("instructions per further operation", "the rest, million", "flash, kB", "RAM, kB"),
    ]
    rows = []
    for name, model in document["models"].items():
        instructions, operations = (
            [number / 1e6 for number in model[key]] for key in ("instructions", "operations")
        )
        slope, rest = statistics.linear_regression(operations, instructions)
        ends = f"({min(instructions):.1f} to {max(instructions):.1f})"
        rows.append(
            [
                *(name, model["num_steps"] or "–", round(model["accuracy"] * num_images)),
                f"{statistics.fmean(instructions):.1f} {ends}",
                f"{statistics.fmean(operations):.2f}",
                *(f"{slope:.1f}", f"{rest:.0f}"),
                *(f"{model[part] / 1e3:.0f}" for part in ("flash", "ram")),
            ]
        )
    return written(heads, rows)


def optimism() -> str:
    """What the best test epoch adds: measured, by the laws, and in claims that state both."""
    document = shared.read("atlas.json")

    def points(share: float) -> str:
        return f"{100 * share:.2f}"

    def measured(rows: list[Any], against: str) -> str:
        if not rows:
            return "–"
        mean = rows[0][against]
        return f"{points(mean['mean'])} ({points(mean['low'])}–{points(mean['high'])})"

    longest = max(row["epochs"] for row in document["by_size"])
    about = (
        f"Gain of the best test epoch in points: means of {document['curves']} training runs of "
        f"{len(document['networks'])} networks on {len(document['datasets'])} data sets or sizes, "
        f"{longest} epochs, with 95 % intervals over networks and data sets "
        f"({document['cpu_minutes']:.0f} minutes of one core).\n"
    )
    sizes = []
    for n in (100, 300, 1000, 3000, 10_000):
        alike = [row for row in document["by_size"] if (row["n"], row["epochs"]) == (n, longest)]
        cells = [
            measured([row for row in alike if row["schedule"] == schedule], against)
            for schedule in ("constant", "falling")
            for against in ("chosen", "last")
        ]
        if alike:
            sizes.append([f"{n:,}", *cells, max(row["datasets"] for row in alike)])
    laws = []
    for against, by_schedule in document["laws"].items():
        for schedule, law in by_schedule.items():
            outside = document["left_out"][against][schedule].values()
            held = statistics.fmean(row["inside"] for row in outside) if outside else math.nan
            laws.append(
                [
                    schedule,
                    against,
                    f"{law['images']:.2f}",
                    f"{law['training']:.2g}",
                    f"{law['share']:.2f}",
                    f"{law['low']:.2f} to {law['high']:.1f} times",
                    f"{100 * held:.0f} %",
                ]
            )
    claims = []
    for claim in document["claims"]:
        for against, row in claim["optimism"].items():
            said = "{} ({}–{})".format(*(points(row[key]) for key in ("said", "low", "high")))
            counts = f"{claim['n']:,}", f"{claim['epochs']:,}"
            claims.append([claim["claim"], *counts, against, points(row["seen"]), said])
    of_laws = [
        *("learning rate", "over the epoch", "images", "training", "share"),
        *("95 % interval, times the law", "coverage on data sets left out"),
    ]
    of_claims = ["claim", "test images", "epochs", "over the epoch", "gain, points", "by the law"]
    of_sizes = [
        *("test images", "constant rate: over the chosen epoch", "over the last"),
        *("falling rate: over the chosen epoch", "over the last", "data sets"),
    ]
    tables = written(of_sizes, sizes), written(of_laws, laws), written(of_claims, claims)
    return "\n".join([about, *tables])


def energy() -> str:
    """The estimated energy per inference of the study's networks, hoisted and per step."""
    rows: list[list[str]] = []
    seen = set()
    for row in shared.read("energy.json")["rows"]:
        name = row["run"].rsplit("-", 1)[0]
        title = f"{DATA.get(name)}, {'SNN' if row['encoding'] else 'CNN'}"
        if name not in DATA or (title, row["encoding"]) in seen:
            continue
        seen.add((title, row["encoding"]))
        steps = [_arithmetic(row, way)["dense"] for way in ("hoisted", "per_step")]
        for way in ("hoisted", "per_step") if steps[1] > steps[0] else ("hoisted",):
            arithmetic, twin = _arithmetic(row, way), row["relu_twin"] if way == "hoisted" else None
            encoding = (
                f"{row['encoding']}, {way.replace('_', ' ')}"
                if steps[1] > steps[0]
                else row["encoding"] or "–"
            )
            rows.append(
                [
                    *(title, encoding),
                    *map(_uj, arithmetic["range"].values()),
                    _span(twin["45nm-fp32"]["compute"]["hoisted"]) if twin else "–",
                    _uj(arithmetic["dense"]),
                    _span(row["microjoules"]["45nm-fp32"]["on_chip"][way]),
                ]
            )
    heads = [
        *("µJ per inference (estimates)", "encoding", "zeros skipped by all", "nothing skipped"),
        *("its ReLU twin", "as most count", "with memory"),
    ]
    return written(heads, rows)


DATA = {"fashion-mnist": "Fashion-MNIST", "socofing-published": "SOCOFing"}


def _arithmetic(row: dict, way: str) -> dict:
    return row["microjoules"]["45nm-fp32"]["compute"][way]


def _uj(number: float) -> str:
    return _short(number) if number >= 10 else f"{number:.2f}"


def _span(joules: dict) -> str:
    low, high = map(_uj, joules["range"].values())
    return low if low == high else f"{low} to {high}"


def simulated_chip() -> str:
    """Spikes on the simulated chip beside ours, and its simulated energy beside the accounting of
    the same prices.
    """
    document = shared.read("simulated-chip.json")
    rows = sorted(document["models"].values(), key=lambda row: row["reset"] != "zero")
    names = [
        f"{DATA.get(row['dataset'], row['dataset'])}, {row['contender']}, {row['encoding']}, "
        f"reset {row['reset']}"
        for row in rows
    ]
    spikes = [
        [
            *(name, f"{row['neurons']:,}, {row['synapses']:,}"),
            *_equal(row["own_weights"], row),
            *_equal(row["8_bits"], row),
            *(f"{100 * each['accuracy']:.0f}" for each in (row, row["8_bits"])),
        ]
        for name, row in zip(names, rows, strict=True)
    ]
    of_spikes = [
        *(f"simulated Loihi, {rows[0]['images']} images", "neurons, synapses"),
        *("images with equal spikes", "why not", "in 8 bits: equal", "why not"),
        *("accuracy, %", "in 8 bits, %"),
    ]
    energies = [row["energy"] for row in rows]
    parts = [
        (part, [(it["accounted_nj"][part], it["simulated_nj"][part]) for it in energies])
        for part in energies[0]["simulated_nj"]
    ]
    total = [(it["accounted_total_nj"], it["simulated_total_nj"]) for it in energies]
    energy = [
        [part, *(f"{_short(one)} → {_short(two)}" for one, two in pairs)]
        for part, pairs in [*parts, ("total", total)]
    ]
    energy += [
        [f"{title} other accounting", *(_extreme(it, end) for it in energies)]
        for title, end in (("lowest", min), ("highest", max))
    ]
    of_energy = ["nJ per image: accounted → simulated", *names]
    return f"{written(of_spikes, spikes)}\n{written(of_energy, energy)}"


def _equal(run: dict, row: dict) -> tuple[str, str]:
    first = run["first"]
    why = f"{run['rule']}: layer {first['layer']}, step {first['step']}" if first else "–"
    return f"{run['images_equal']} of {row['images']}", why


def _extreme(energy: dict, end: Callable[..., tuple[float, str]]) -> str:
    """The lowest or highest energy by an accounting in joules, with the accounting's label."""
    joules = [
        (joules[side], definition.label)
        for name, joules in energy["accountings"].items()
        for side in ("low", "high")
        if (definition := accounting.read(name)).unit == "pJ" and name != "loihi-gpu"
    ]
    number, label = end(joules)
    return f"{_short(number * 1e9)} ({label})"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def across() -> str:
    """Verdicts over data sets: of leads without luck; how often they are false, and how often a
    true lead is found, by the number of data sets; and the same of families.
    """
    document = shared.read("across.json")
    rows = document["rows"]

    def worst(measure: str, chosen: list[dict]) -> list[str]:
        """The largest share by number of data sets, in per cent."""
        cells = []
        for number in sorted({row["datasets"] for row in chosen}):
            shares = [row[measure] for row in chosen if row["datasets"] == number]
            cells.append(f"{100 * max(shares):.1f}")
        return cells

    def of(truth: str, lead: float = 0.0, variants: int | None = None) -> list[dict]:
        return [
            row
            for row in rows
            if (row["truth"], row["lead"]) == (truth, lead)
            if variants is None or row["variants"] == variants
        ]

    symmetric = [row for row in rows if row["truth"] in ("equal", "by data set", "heavy tails")]
    numbers = sorted({row["datasets"] for row in symmetric})
    level = of("equal", variants=2)
    on_half = worst("equivalent", of("halves"))

    lines = {
        "a false lead, at worst": worst("better", symmetric),
        "the same, where the law is one-sided": worst("better", of("one-sided")),
        "called equivalent, a true lead of half a point": worst(
            "equivalent", of("by data set", 0.005)
        ),
        "called equivalent, each two points better on half": [
            *["–"] * (len(numbers) - len(on_half)),
            *on_half,
        ],
        "called equivalent, 2 variants level everywhere": worst("equivalent", level),
        "neither leads on balance, 2 variants level everywhere": worst("balanced", level),
    }
    for points, lead in (("one point", 0.01), ("two points", 0.02)):
        for variants in (2, 4):
            found = worst("found", of("by data set", lead, variants))
            lines[f"a true lead of {points} found, {variants} variants"] = found
    without_lead = [row for row in symmetric if not row["lead"]]
    lines["a false lead without adjusting for all pairs, at worst"] = worst(
        "unadjusted", without_lead
    )
    related = of("families")
    of_families = {
        "a false lead": worst("better", related),
        "a true lead of one point found": worst("found", of("families", 0.01)),
        "a true lead of two points found": worst("found", of("families", 0.02)),
    }
    size = document["families"]["datasets"]
    families = [number // size for number in sorted({row["datasets"] for row in related})]
    cases = [
        [
            case["case"],
            case["outcome"].replace("_", " "),
            case["inside"],
            *(f"{100 * case[name]:+.2f}" for name in ("typical", "mean", "worst")),
        ]
        for case in document["cases"]
    ]
    columns = ["outcome", "inside the margin", "typical", "mean", "worst"]
    by_number = ([name, *cells] for name, cells in lines.items())
    by_family = ([name, *cells] for name, cells in of_families.items())
    return "\n".join(
        [
            written(["leads without luck", *columns], cases),
            written(["% of simulated studies, by data sets", *numbers], by_number),
            written(
                [f"% of simulated studies, by families of {size} data sets", *families], by_family
            ),
        ]
    )


def written(heads: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table."""
    return "\n".join(shared.markdown(heads, rows)) + "\n"


def scale() -> str:
    """How long 24 trials take in each way, and where the time of one goes."""
    names = {
        "serial": "one after another, one core",
        "jobs": "`--jobs {}`",
        "ray": "Ray, {} node{} of one core",
    }
    rows = []
    for row in shared.read("scale.json")["rows"]:
        way, _, number = row["way"].partition(" ")
        parts = row["parts"]
        rows.append(
            [
                names[way].format(number, "s" * (number != "1")),
                f"{row['seconds']:.0f} s",
                f"{row['of_serial']:.2f}",
                f"{row['starting']:.1f} s",
                f"{parts['training']:.1f} s",
                f"{parts['measuring, sending, waiting']:.1f} s",
                f"{1000 * row['handing_out']:.0f} ms" if "handing_out" in row else "–",
            ]
        )
    heads = [
        *("", "24 trials", "of serial", "starting", "a trial: training"),
        *("measuring, sending, waiting", "handing it out"),
    ]
    return written(heads, rows)


def speed() -> str:
    """One training step of each workload against the peers', and against the machine."""
    document = read_json(shared.RESULTS / "speed-cpu.json", Benchmark)
    median = {(row.workload, row.contender): row.ms.median for row in document.rows if row.ms}
    megabytes = {
        (row.workload, row.contender): f"{row.peak_memory_bytes / 1e6:.0f}"
        for row in document.rows
        if row.peak_memory_bytes
    }
    fraction = {
        row.workload: row.roofline_fraction for row in document.rows if row.contender == "spikeduel"
    }
    rows = []
    for name, workload in document.workloads.items():
        ratios = document.ratios[name]
        cells = [
            TITLES[workload.shape].format(w=workload),
            _short(median[name, "spikeduel"]),
            f"{fraction[name]:.0%}",
            megabytes[name, "spikeduel"],
        ]
        for key in RATIOS["cnn" if workload.shape == "cnn" else "snn"]:
            if key not in ratios:
                cells += ["–", "–", "–"]
                continue
            contender = ratios[key].contender
            shown = contender.removesuffix("+memory")
            cells += [f"{_short(median[name, contender])}, {shown}", f"{ratios[key].median:.2f}"]
            cells.append(megabytes[name, contender])
        rows.append(cells)
    heads = [
        *("training step", "spikeduel, ms", "of roofline", "MB"),
        *("fastest peer, ms", "times as fast", "MB"),
        *("with our memory setting, ms", "times as fast", "MB"),
        *("baseline, ms", "times as fast", "MB"),
    ]
    machine, limits = document.machine, document.limits
    compiled = [
        row.start_seconds
        for row in document.rows
        if row.contender.endswith("-inductor") and row.start_seconds is not None
    ]
    return (
        f"{written(heads, rows)}\nBatch 128, medians of one run with all programs in turns, ratios paired by round; MB is "
        "the peak of the whole process. Machine: "
        f"{machine['cpu']}, {machine['threads']} threads, PyTorch {machine['torch'].split('+')[0]}: "
        f"bf16 {limits.bf16_gflops:.0f} and float32 {limits.float32_gflops:.0f} GFLOP/s, "
        f"memory {limits.bandwidth_gbs:.0f} GB/s. Peers named inductor are compiled by "
        f"`torch.compile`, which here "
        f"took {min(compiled):.0f} to {max(compiled):.0f} seconds before the first step.\n"
    )


def training_time() -> str:
    """One training step of each spiking workload, beside that of the CNN on the same images."""
    document = read_json(shared.RESULTS / "speed-cpu.json", Benchmark)
    median = {
        row.workload: row.ms.median
        for row in document.rows
        if row.contender == "spikeduel" and row.ms
    }
    cnn = {each.side: name for name, each in document.workloads.items() if each.shape == "cnn"}
    rows = []
    for name, workload in document.workloads.items():
        if ratio := document.ratios[name].get(CNN):
            rows.append(
                [
                    TITLES[workload.shape].format(w=workload),
                    *(_short(median[each]) for each in (name, cnn[workload.side])),
                    f"{ratio.median:.2f} ({ratio.min:.2f} to {ratio.max:.2f})",
                ]
            )
    heads = ["training step", "SNN, ms", "CNN, ms", "SNN / CNN (least to most by round)"]
    return written(heads, rows)


RATIOS = {
    "snn": ("fastest-peer", "fastest-peer+memory", "snntorch-study"),
    "cnn": ("torch-cnn-tuned", "", "torch-cnn"),
}
"""What spikeduel is set against, as the document's `ratios` name it."""

TITLES = {
    "dense": "dense SNN, {w.side}×{w.side}, {w.encoding}, T = {w.num_steps}",
    "conv": "conv SNN, {w.side}×{w.side}, {w.encoding}, T = {w.num_steps}",
    "cnn": "CNN, {w.side}×{w.side}",
}


EDITED = {
    "digit, computed": "a digit of results.json that follows from other files",
    "digit, measured": "a digit of results.json that was measured",
    "answer": "a prediction in predictions.json",
    "split": "an entry of split.csv",
    "copy": "a training image's hash in split.csv, replaced by a test image's",
    "setting": "a setting of experiment.toml",
}


def verified() -> str:
    """Edits that `spikeduel verify` caught, and its seconds."""
    document = shared.read("verify.json")
    columns = ("edits", "caught", "caught_with_right_hashes")
    rows = [
        [said, *(document["edits"][kind][column] for column in columns)]
        for kind, said in EDITED.items()
    ]
    time = document["time"]
    return (
        f"{written(['edited', 'edits', 'caught', 'caught, with the file hash corrected'], rows)}\n"
        f"It takes {statistics.median(time['seconds']):.1f} s of processor time for "
        f"{time['test_images']:,} test images, {time['seeds']} seeds and "
        f"{len(time['contenders'])} contenders (`benchmarks/reliability/verify.py`).\n"
    )


TWINS = ("vgg-lif", "vgg-relu")


def records() -> str:
    """The accuracy of the recipe `strong` after equal training, for both networks."""
    rows = []
    for path in sorted(shared.RESULTS.glob("record-*.json")):
        document = json.loads(path.read_text())
        if document["contenders"].keys() != {*TWINS}:
            continue
        networks = [document["contenders"][name] for name in TWINS]
        title, _, budget = document["title"].rpartition(", ")
        accuracies = [mean(network["accuracies"]) for network in networks]
        rows.append([title, *accuracies, budget.split()[0], len(networks[0]["accuracies"])])
    return written(["data", "SNN, %", "CNN twin, %", "minutes each", "seeds"], rows)


def mean(shares: list[float]) -> str:
    """Their mean in per cent ± the standard deviation, where there are several."""
    spread = f" ± {100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):.2f}{spread}"


def study() -> str:
    """The study redone: accuracy and seconds an epoch."""
    rows, machines = [], set()
    for title, name, encoding in ROWS:
        results = shared.read(f"study-{name}-{encoding}.json", {})
        published = STUDY.get("socofing" if name == "socofing-published" else name)
        # The study trained on direct encoding; its figures say nothing about rate.
        study = ", ".join(published) if published and encoding == "direct" else "–"
        if not results:
            rows.append([title, encoding, *["not measured here"] * 2, study, *[""] * 3])
            continue
        snn, cnn = (
            next(t for t in results["trials"] if t["kind"] == kind) for kind in ("snn", "cnn")
        )
        timed = results["timing"]["epoch_seconds"]
        rows.append(
            [
                *(title, encoding),
                *(f"{100 * trial['test']['accuracy']:.2f}" for trial in (snn, cnn)),
                study,
                ", ".join(f"{statistics.median(timed[t['contender']]):.1f}" for t in (snn, cnn)),
                f"{snn['epochs']}, {cnn['epochs']}",
                f"{snn['test']['n']:,}",
            ]
        )
        environment = results["timing"]["environment"]
        machines.add(
            f"{environment['cpu']}, {environment['threads']} threads, PyTorch "
            f"{environment['torch'].split('+')[0]}, precision "
            f"{results['environment']['precision']} to train, float32 to test"
        )
    heads = [
        *("data", "encoding", "SNN, %", "CNN, %", "study: SNN, CNN", "s/epoch SNN, CNN", "epochs"),
        "test images",
    ]
    commands = "\n".join(
        f"{_as_measured(name, encoding):<97} # {title}, {encoding}"
        for title, name, encoding in ROWS
    )
    return (
        f"{written(heads, rows)}\nOne seed each. Machine: {'; '.join(sorted(machines)) or 'not measured'}. The commands:\n\n"
        f"<!-- not run: hours of training, and data that is not here -->\n\n```bash\n{commands}\n```\n"
    )


def socofing() -> str:
    """Scores on SOCOFing of a nearest neighbour and of the study's networks, by split."""
    rows = []
    for split, title in (("published", "at random over files"), ("by-subject", "by person")):
        probe = shared.read(f"audit-socofing-{split}.json")["probe"]
        trials = shared.read(f"study-socofing-{split}-direct.json")["trials"]
        accuracy = {trial["kind"]: trial["test"]["accuracy"] for trial in trials}
        scores = (probe["accuracy"], accuracy["snn"], accuracy["cnn"], probe["chance_level"])
        rows.append([title, *(f"{100 * score:.1f}" for score in scores)])
    heads = ["split", "nearest neighbour, %", "SNN, %", "CNN, %", "most frequent finger, %"]
    return written(heads, rows)


def _as_measured(name: str, encoding: str) -> str:
    """The command, with the precision of its results where that is not what `auto` would take on
    such a machine.
    """
    command = f"spikeduel compare {name.removesuffix('-by-subject')}"
    command += " --encoding direct" if encoding == "direct" else ""
    command += " --data-dir PATH" if name.startswith("socofing") else ""
    command += " --recipe baseline"
    results = shared.read(f"study-{name}-{encoding}.json", {"environment": {"precision": "auto"}})
    measured = results["environment"]["precision"]
    return f"{command} --precision 32" if measured == "32" else command


MADE: dict[str, tuple[str, Callable[[], str]]] = {
    "records": ("README.md", records),
    "events": ("docs/events.md", events),
    "study": ("docs/study-2023.md", study),
    "socofing": ("docs/study-2023.md", socofing),
    "found": ("docs/claims.md", found),
    "planted_copies": ("docs/audit-method.md", planted_copies),
    "changed_labels": ("docs/audit-method.md", changed_labels),
    "rare_labels": ("docs/audit-method.md", rare_labels),
    "optimism": ("docs/best-epoch.md", optimism),
    "verify": ("docs/claims.md", verified),
    "energy": ("docs/energy.md", energy),
    "counters": ("docs/counting.md", counters),
    "simulated": ("docs/simulated-chip.md", simulated_chip),
    "microcontroller": ("docs/features/export.md", microcontroller),
    "equal_precision": ("docs/features/export.md", equal_precision),
    "speed": ("docs/speed.md", speed),
    "training_time": ("docs/speed.md", training_time),
    "across": ("docs/features/study.md", across),
    "scale": ("docs/scale.md", scale),
    "nir_matrix": ("docs/features/export.md", nir_matrix),
    "nir_conformity": ("docs/features/export.md", nir_conformity),
}
"""Each table: the page that has it, and what makes it."""
if "compression" in FEATURES:
    MADE["frontier"] = ("README.md", frontier)


def main() -> None:
    if "--write" not in sys.argv:
        print("\n".join(table(section) for section in MADE))
        return
    for section, (name, _) in MADE.items():
        page = shared.ROOT / name
        before, rest = page.read_text(encoding="utf-8").split(begin(section))
        _, after = rest.split(end(section))
        page.write_text(
            f"{before}{begin(section)}\n{table(section)}\n{end(section)}{after}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
