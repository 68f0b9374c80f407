"""spikeduel: should I use a spiking neural network or a CNN for my images?

The public names; each is loaded when it is first used, so that importing spikeduel costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from spikeduel.version import __version__

if TYPE_CHECKING:
    from spikeduel import data, kernels, recipes
    from spikeduel.analysis import Comparison, read_comparison
    from spikeduel.architectures import ARCHITECTURES
    from spikeduel.auditing import Audit, audit
    from spikeduel.augmentations import AUGMENTATIONS
    from spikeduel.comparing import compare, tune
    from spikeduel.constant import Constant
    from spikeduel.costing import Cost, cost
    from spikeduel.data import DATASETS
    from spikeduel.draws import Draw
    from spikeduel.encoders import ENCODERS
    from spikeduel.errors import InputError, SpikeduelError
    from spikeduel.exporting import EXPORTERS, export
    from spikeduel.importing import import_model
    from spikeduel.measuring import MEASURES
    from spikeduel.model_files import load_model, save_model
    from spikeduel.models import Model, ModelCard, StreamState, Trace
    from spikeduel.neurons import ALIF, IF, LIF, NEURONS, PLIF, LeakyReadout, Neuron, carried
    from spikeduel.predictions import test_results
    from spikeduel.progress import Progress, TerminalProgress
    from spikeduel.readouts import Logits, MeanOverSteps, SpikeCount
    from spikeduel.recipes import RECIPES
    from spikeduel.reporting import inspect, report
    from spikeduel.settings import Experiment, read_experiment
    from spikeduel.significance import Difference, test_difference
    from spikeduel.surrogates import SURROGATES
    from spikeduel.tuning import RANGES, Range, Tuning, read_ranges

_MODULE_OF = {
    "ALIF": "neurons",
    "ARCHITECTURES": "architectures",
    "AUGMENTATIONS": "augmentations",
    "Audit": "auditing",
    "Comparison": "analysis",
    "Constant": "constant",
    "Cost": "costing",
    "DATASETS": "data",
    "Difference": "significance",
    "Draw": "draws",
    "ENCODERS": "encoders",
    "EXPORTERS": "exporting",
    "Experiment": "settings",
    "IF": "neurons",
    "InputError": "errors",
    "LIF": "neurons",
    "LeakyReadout": "neurons",
    "Logits": "readouts",
    "MEASURES": "measuring",
    "MeanOverSteps": "readouts",
    "Model": "models",
    "ModelCard": "models",
    "NEURONS": "neurons",
    "Neuron": "neurons",
    "PLIF": "neurons",
    "Progress": "progress",
    "RANGES": "tuning",
    "RECIPES": "recipes",
    "Range": "tuning",
    "SURROGATES": "surrogates",
    "SpikeCount": "readouts",
    "SpikeduelError": "errors",
    "StreamState": "models",
    "TerminalProgress": "progress",
    "Trace": "models",
    "Tuning": "tuning",
    "audit": "auditing",
    "carried": "neurons",
    "compare": "comparing",
    "cost": "costing",
    "export": "exporting",
    "import_model": "importing",
    "inspect": "reporting",
    "load_model": "model_files",
    "read_comparison": "analysis",
    "read_experiment": "settings",
    "read_ranges": "tuning",
    "report": "reporting",
    "save_model": "model_files",
    "test_difference": "significance",
    "test_results": "predictions",
    "tune": "comparing",
}
_SUBMODULES = ("data", "kernels", "recipes")

__all__ = [*sorted(_MODULE_OF), *_SUBMODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"spikeduel.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'spikeduel' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"spikeduel.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
