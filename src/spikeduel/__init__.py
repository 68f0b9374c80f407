"""spikeduel: should I use a spiking neural network or a CNN for my images?

The public names; each is loaded when it is first used, so that importing spikeduel costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from spikeduel.system import __version__

if TYPE_CHECKING:
    from spikeduel import data
    from spikeduel.comparing import compare, tune
    from spikeduel.data import DATASETS
    from spikeduel.data.auditing import Audit, audit
    from spikeduel.exchange.exporting import EXPORTERS, export
    from spikeduel.exchange.importing import import_model
    from spikeduel.measuring import MEASURES
    from spikeduel.measuring.costing import Cost, cost
    from spikeduel.networks.architectures import ARCHITECTURES
    from spikeduel.networks.model_files import load_model, save_model
    from spikeduel.networks.models import Model, ModelCard, StreamState, Trace
    from spikeduel.reporting import inspect, report
    from spikeduel.results.comparison import Comparison, read_comparison
    from spikeduel.results.predictions import test_results
    from spikeduel.results.significance import Difference, test_difference
    from spikeduel.settings import Experiment, read_experiment, recipes
    from spikeduel.settings.recipes import RECIPES
    from spikeduel.spiking import kernels
    from spikeduel.spiking.constant import Constant
    from spikeduel.spiking.draws import Draw
    from spikeduel.spiking.encoders import ENCODERS
    from spikeduel.spiking.neurons import ALIF, IF, LIF, NEURONS, PLIF, LeakyReadout, Neuron, carried
    from spikeduel.spiking.readouts import Logits, MeanOverSteps, SpikeCount
    from spikeduel.spiking.surrogates import SURROGATES
    from spikeduel.system.errors import InputError, SpikeduelError
    from spikeduel.system.progress import Progress, TerminalProgress
    from spikeduel.trials.augmentations import AUGMENTATIONS
    from spikeduel.trials.tuning import RANGES, Range, Tuning, read_ranges

_MODULE_OF = {
    "ALIF": "spiking.neurons",
    "ARCHITECTURES": "networks.architectures",
    "AUGMENTATIONS": "trials.augmentations",
    "Audit": "data.auditing",
    "Comparison": "results.comparison",
    "Constant": "spiking.constant",
    "Cost": "measuring.costing",
    "DATASETS": "data",
    "Difference": "results.significance",
    "Draw": "spiking.draws",
    "ENCODERS": "spiking.encoders",
    "EXPORTERS": "exchange.exporting",
    "Experiment": "settings",
    "IF": "spiking.neurons",
    "InputError": "system.errors",
    "LIF": "spiking.neurons",
    "LeakyReadout": "spiking.neurons",
    "Logits": "spiking.readouts",
    "MEASURES": "measuring",
    "MeanOverSteps": "spiking.readouts",
    "Model": "networks.models",
    "ModelCard": "networks.models",
    "NEURONS": "spiking.neurons",
    "Neuron": "spiking.neurons",
    "PLIF": "spiking.neurons",
    "Progress": "system.progress",
    "RANGES": "trials.tuning",
    "RECIPES": "settings.recipes",
    "Range": "trials.tuning",
    "SURROGATES": "spiking.surrogates",
    "SpikeCount": "spiking.readouts",
    "SpikeduelError": "system.errors",
    "StreamState": "networks.models",
    "TerminalProgress": "system.progress",
    "Trace": "networks.models",
    "Tuning": "trials.tuning",
    "audit": "data.auditing",
    "carried": "spiking.neurons",
    "compare": "comparing",
    "cost": "measuring.costing",
    "export": "exchange.exporting",
    "import_model": "exchange.importing",
    "inspect": "reporting",
    "load_model": "networks.model_files",
    "read_comparison": "results.comparison",
    "read_experiment": "settings",
    "read_ranges": "trials.tuning",
    "report": "reporting",
    "save_model": "networks.model_files",
    "test_difference": "results.significance",
    "test_results": "results.predictions",
    "tune": "comparing",
}
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
