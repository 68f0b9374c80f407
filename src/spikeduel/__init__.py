"""spikeduel: should I use a spiking neural network or a CNN for my images?

Public names are loaded when first used: importing spikeduel costs next to nothing.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from spikeduel.system import __version__

# Threads that wait for one another spin 30,000 times before they sleep, not 300,000: beside
# other work, spinning takes the core that the awaited thread needs (benchmarks/busy.py). The number
# is read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

if TYPE_CHECKING:
    from spikeduel import data
    from spikeduel.auditing import Audit, audit
    from spikeduel.comparing import compare, tune
    from spikeduel.counting.counter import Counter
    from spikeduel.data import DATASETS
    from spikeduel.measuring import MEASURES, Measure
    from spikeduel.measuring.costing import Cost, cost
    from spikeduel.networks.architectures import ARCHITECTURES
    from spikeduel.networks.cards import ModelCard
    from spikeduel.networks.models import (
        Model,
        StreamState,
        Trace,
        answers_to_recording,
        answers_to_stream,
        load_model,
        save_model,
    )
    from spikeduel.reporting import inspect, report
    from spikeduel.results.comparison import Comparison, load_run
    from spikeduel.results.predictions import compare_runs
    from spikeduel.results.significance import Difference, compare_predictions
    from spikeduel.settings import Experiment, read_experiment, recipes
    from spikeduel.settings.recipes import RECIPES
    from spikeduel.settings.studies import Study
    from spikeduel.spiking import ConstantInput, kernels
    from spikeduel.spiking.encoders import ENCODERS, Encoder
    from spikeduel.spiking.kernels.reference import SURROGATES, Surrogate
    from spikeduel.spiking.neurons import (
        ALIF,
        IF,
        LIF,
        NEURONS,
        PLIF,
        LeakyReadout,
        Neuron,
        carried_state,
    )
    from spikeduel.spiking.random_keys import RandomKeys
    from spikeduel.spiking.readouts import (
        LogitReadout,
        MeanReadout,
        SpikeCountReadout,
    )
    from spikeduel.studying import read_study, study
    from spikeduel.system.errors import InputError, SpikeduelError
    from spikeduel.system.progress import Progress, TerminalProgress
    from spikeduel.trials.augmenting import AUGMENTATIONS
    from spikeduel.trials.controls import CONTROLS, Control
    from spikeduel.trials.evaluating import export, import_model
    from spikeduel.trials.jobs import Cluster, Processes, Workers
    from spikeduel.trials.plan import forecast
    from spikeduel.trials.tuning import RANGES, Tuning, read_ranges

_NAMES = {
    "comparing": "compare tune",
    "counting.counter": "Counter",
    "data": "DATASETS",
    "auditing": "Audit audit",
    "exchange.exporting": "EXPORTERS",
    "measuring": "MEASURES Measure",
    "measuring.costing": "Cost cost",
    "networks.building": "ARCHITECTURES",
    "networks.cards": "ModelCard",
    "networks.models": "Model StreamState Trace answers_to_recording answers_to_stream "
    "load_model save_model",
    "reporting": "inspect report",
    "results.comparison": "Comparison load_run",
    "results.predictions": "compare_runs",
    "results.tuned": "Range",
    "results.significance": "Difference compare_predictions",
    "settings": "Experiment read_experiment",
    "settings.recipes": "RECIPES",
    "settings.studies": "Study",
    "spiking": "ConstantInput",
    "spiking.encoders": "ENCODERS Encoder",
    "spiking.kernels.reference": "SURROGATES Surrogate",
    "spiking.neurons": "ALIF IF LIF LeakyReadout NEURONS Neuron PLIF carried_state",
    "spiking.random_keys": "RandomKeys",
    "spiking.readouts": "LogitReadout MeanReadout SpikeCountReadout",
    "system.errors": "InputError SpikeduelError",
    "studying": "read_study study",
    "system.progress": "Progress TerminalProgress",
    "trials.augmenting": "AUGMENTATIONS",
    "trials.controls": "CONTROLS Control",
    "trials.evaluating": "export import_model",
    "trials.jobs": "Cluster Processes Workers",
    "trials.plan": "forecast",
    "trials.tuning": "RANGES Tuning read_ranges",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
_SUBMODULES = {"data": "data", "kernels": "spiking.kernels", "recipes": "settings.recipes"}

__all__ = [*sorted(_MODULE_OF), *_SUBMODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"spikeduel.{_SUBMODULES[name]}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'spikeduel' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"spikeduel.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
