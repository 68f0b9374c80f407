"""Optional parts of a comparison: each is a folder here that can be deleted, with its line below.

A feature is a package with some of these names. The rest of spikeduel asks for a name, and never
imports a feature.

| name | meaning |
|---|---|
| `Settings` | frozen dataclass; its fields are settings of `Experiment`, with options and help |
| `variants(trial, prepared)` | variants of a finished trial to train or test, by name |
| `measures(experiment, progress, title)` | measures of every trained model, by name |
| `after_epoch(experiment)` | function of a model and test batches, called after each epoch |
| `adds(experiment, contenders)` | time steps of the networks that `further_trials` adds, by kind |
| `further_trials(plan, prepared, store, progress)` | trials of trained ones, a `Conclusion` |
| `conclude_outcomes(outcomes, run_data)` | a `Conclusion` or None, from measures and the data |
| `Conclusion` | struct: the feature's entry of `features` in results.json; a `text` is printed |
| `conclude(results, predictions)` | a `Conclusion` or None, from stored values, without torch |
| `conclude_model(name, test, measured)` | the same for one model, for `evaluate` |
| `tables(conclusion)` | tables for the terminal, by title |
| `section(page, conclusion)` | a `Section` of the report, with its charts, or None |
| `derived_files(comparison)` | files of a run's zip file that follow, which `verify` compares |
| `commands` | commands of the program, as `cli.inputs.command` makes them |
| `Options` | frozen dataclass; its fields are options of commands that train, and no settings |
| `progress(options, inner)` | `inner`, or a `Progress` around it; `options` as `Options` |
| `workers(options, jobs, threads)` | `Workers` that train instead of this machine's, or None |
| `before_training(options, experiment, inputs)` | the experiment to compare, and what found it |
| `derived_from_runs(folder)` | paths of runs, name and content of the file made from them |
| `holds(run)` | whether all follows that can be computed; asked before a run is packed |
| `DATASETS` | functions from `DataOptions` to `RawDataset`, by names or beginnings such as "hf:" |
| `READERS` | functions from the bytes of a recording to its `Events`, by ending of files |
| `accountings()` | accountings of energy beside those of the core |
| `TARGETS` | devices that `--for` takes, as `experiment.targets.Target`, by name |
| `energies_on(target, results)` | joules there by contender that runs; None for others' targets |
| `PUBLIC` | names in the package that are names in `spikeduel`, too |

Without a `Conclusion` in the package, `section` gets None for it. With `before_training`, the first
of the `Options` is a number of trials, the `Conclusion` has it as `num_trials`, and what found the
experiment has `conclusions(experiment, prepared, split)`, by feature. Beside them lie
`findings.toml`, whose finders (`results.findings.finds`) stand in the module of `Conclusion`, and
the template of the section, `<name>_section.html.j2`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

FEATURES: dict[str, str] = {
    "disagreement": "spikeduel.features.disagreement",
    "early_exit": "spikeduel.features.early_exit",
    "optimism": "spikeduel.features.optimism",
    "calibration": "spikeduel.features.calibration",
    "robustness": "spikeduel.features.robustness",
    "ablations": "spikeduel.features.ablations",
    "int8": "spikeduel.features.int8",
    "device_energy": "spikeduel.features.device_energy",
    "compression": "spikeduel.features.compression",
    "predicting": "spikeduel.features.predicting",
    "export": "spikeduel.features.export",
    "inspection": "spikeduel.features.inspection",
    "conversion": "spikeduel.features.conversion",
    "network_cost": "spikeduel.features.network_cost",
    "planning": "spikeduel.features.planning",
    "finished_runs": "spikeduel.features.finished_runs",
    "cleaning": "spikeduel.features.cleaning",
    "verification": "spikeduel.features.verification",
    "kit": "spikeduel.features.kit",
    "loggers": "spikeduel.features.loggers",
    "callbacks": "spikeduel.features.callbacks",
    "cluster": "spikeduel.features.cluster",
    "label_issues": "spikeduel.features.label_issues",
    "tuning": "spikeduel.features.tuning",
    "study": "spikeduel.features.study",
    "event_cameras": "spikeduel.features.event_cameras",
    "hub": "spikeduel.features.hub",
}
"""Package of each feature, in the order of options, tables and sections."""


def providing(name: str) -> dict[str, Any]:
    """Return what the features that have `name` call so, by feature."""
    packages = {feature: import_module(package) for feature, package in FEATURES.items()}
    return {
        feature: getattr(package, name)
        for feature, package in packages.items()
        if hasattr(package, name)
    }


def folders() -> dict[str, Path]:
    """Return the folder of each feature."""
    return {
        feature: Path(str(import_module(package).__file__)).parent
        for feature, package in FEATURES.items()
    }
