"""Fill the checklist of a comparison from its results: conditions; `findings.toml` has the texts.

Each finding has the value `done`. Leakage is named after the taxonomy of S. Kapoor and
A. Narayanan, "Leakage and the reproducibility crisis in machine-learning-based science", Patterns
4(9), 2023: L1.1 to L3.3.
"""

from collections.abc import Iterator

from spikeduel.auditing.audit_results import LabelCheck
from spikeduel.results.findings import Finding, Values, find, finds, with_id
from spikeduel.results.means import TWINS
from spikeduel.results.run import Results

COPIES = (
    "test_in_training",
    "stretch_test_in_training",
    "near_test_in_training",
    "moved_test_in_training",
    "leaking_near_duplicates",
)
"""Findings of the audit on copies of test images in training."""
TELLING = ("format_tells_class", "statistics_tell_class")
"""Findings of the audit on files that give their class away."""


def checklist(results: Results) -> list[Finding]:
    """Return what was done, and not done, in the order of the table."""
    return find("checklist", results)


def is_done(finding: Finding) -> bool:
    return bool(finding.values["done"])


@finds("seeds_tried")
def seeds_tried(results: Results) -> Iterator[Values]:
    failed = sum(trial.status == "failed" for trial in results.trials)
    seeds = results.experiment.seeds
    yield {"done": seeds > 1, "seeds": seeds, "failed": failed}


@finds("selected_on_validation")
def selected_on_validation(results: Results) -> Iterator[Values]:
    counts = results.dataset.counts
    every_epoch = results.dataset.tested_every_epoch > 0
    trained = [trial for trial in results.trials if trial.best_epoch is not None]
    last = all(trial.best_epoch == trial.epochs - 1 for trial in trained)
    yield {
        "done": True,
        "last": last,
        "num_val": counts.val,
        "num_test": counts.test,
        "every_epoch": every_epoch,
    }


@finds("test_asked")
def test_asked(results: Results) -> Iterator[Values]:
    uses, here = results.dataset.test_uses, results.dataset.test_uses_here
    yield {"done": uses is not None and uses == here, "uses": uses or 0, "here": here or 0}


@finds("tuning_of_each_side")
def tuning_of_each_side(results: Results) -> Iterator[Values]:
    found = with_id(results.comparison.caveats, "tuned")
    number = found[0].values["num_trials"] if found else 0
    own = results.experiment.own_settings
    yield {"done": number > 0, "num_trials": number, "own": list(own or ())}


@finds("equal_training")
def equal_training(results: Results) -> Iterator[Values]:
    yield {"done": not with_id(results.comparison.caveats, "longer_training")}


@finds("trained_to_convergence")
def trained_to_convergence(results: Results) -> Iterator[Values]:
    yield {"done": not with_id(results.comparison.caveats, "epoch_limit")}


@finds("comparisons_adjusted")
def comparisons_adjusted(results: Results) -> Iterator[Values]:
    number = len(results.comparison.pairs)
    yield {"done": number > 0, "pairs": number}


@finds("separate_test")
def separate_test(results: Results) -> Iterator[Values]:
    counts = results.dataset.counts
    yield {
        "done": True,
        "num_train": counts.train,
        "num_test": counts.test,
        "split": results.dataset.split,
        "notes": " ".join(results.dataset.notes),
    }


@finds("preprocessing_apart")
def preprocessing_apart(results: Results) -> Iterator[Values]:
    pretrained = dict.fromkeys(t.contender for t in results.trials if t.pretrained)
    yield {"done": not pretrained, "contenders": list(pretrained)}


@finds("copies_sought")
def copies_sought(results: Results) -> Iterator[Values]:
    audit = results.dataset.audit
    found = with_id(audit.problems if audit else [], *COPIES)
    yield {"done": audit is not None, "problems": len(found)}


@finds("features_legitimate")
def features_legitimate(results: Results) -> Iterator[Values]:
    audit = results.dataset.audit
    telling = with_id(audit.conclusions if audit else (), *TELLING)
    yield {"done": audit is not None, "telling": len(telling)}


@finds("label_issues_checked")
def label_issues_checked(results: Results) -> Iterator[Values]:
    data = results.dataset
    check, suspects = results.suspect_labels()
    labels = (
        check
        or (data.audit and data.audit.labels)
        or LabelCheck(examined=0, agreement=0.0, suspects=0)
    )
    # Those that only neighbours doubt may all be test images.
    most = labels.suspects - sum(suspect.image.split != "test" for suspect in suspects)
    yield {
        "done": labels.examined > 0,
        "suspects": labels.suspects,
        "examined": labels.examined,
        "most": min(most, data.counts.test),
        "share": min(1.0, most / data.counts.test),
    }


@finds("groups_apart")
def groups_apart(results: Results) -> Iterator[Values]:
    data = results.dataset
    yield {
        "done": bool(data.groups) and not data.leaks,
        "groups": bool(data.groups),
        "shared": data.shared_groups,
    }


@finds("order_in_time")
@finds("sample_of_use")
@finds("on_hardware")
def beyond_the_results(results: Results) -> Iterator[Values]:
    yield {"done": False}


@finds("twin_without_spikes")
def twin_without_spikes(results: Results) -> Iterator[Values]:
    yield {"done": bool(results.twins), "pairs": [list(pair) for pair in results.twins]}


@finds("quantised_control")
def quantised_control(results: Results) -> Iterator[Values]:
    measured = dict.fromkeys(
        variant.title
        for trial in results.trials
        for name, variant in trial.controls.items()
        if name in TWINS
    )
    yield {"done": any("quantised" in title for title in measured), "controls": list(measured)}


@finds("machine_idle")
def machine_idle(results: Results) -> Iterator[Values]:
    yield {"done": not with_id(results.comparison.caveats, "busy_machine", "busy_budget")}


@finds("memory_counted")
def memory_counted(results: Results) -> Iterator[Values]:
    energies = [trial.energy for trial in results.trials if trial.energy]
    yield {"done": bool(energies), "tables": len(energies[0].tables) if energies else 0}


@finds("first_layer")
def first_layer(results: Results) -> Iterator[Values]:
    encodings = sorted({trial.encoding for trial in results.trials if trial.encoding})
    counted = any(trial.spiking and trial.operations for trial in results.trials)
    yield {"done": counted, "encodings": encodings}


@finds("beside_no_training")
def beside_no_training(results: Results) -> Iterator[Values]:
    probe = results.dataset.audit.probe if results.dataset.audit else None
    yield {"done": probe is not None, "accuracy": probe.accuracy if probe else None}
