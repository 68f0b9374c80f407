"""Public names of the core, and the modules that they come from."""

import typing

from . import data as data
from .auditing.audit_results import Audit as Audit
from .comparing import compare as compare
from .data import DATASETS as DATASETS
from .data.audited import audit as audit
from .engine import ConstantInput as ConstantInput, kernels as kernels
from .engine.counting.counter import Counter as Counter
from .engine.encoders import ENCODERS as ENCODERS, Encoder as Encoder
from .engine.kernels.reference import SURROGATES as SURROGATES, Surrogate as Surrogate
from .engine.networks.building import ARCHITECTURES as ARCHITECTURES
from .engine.networks.cards import ModelCard as ModelCard
from .engine.networks.models import (
    Model as Model,
    StreamState as StreamState,
    Trace as Trace,
    load_model as load_model,
    predict_recording as predict_recording,
    predict_stream as predict_stream,
    save_model as save_model,
)
from .engine.neurons import (
    ALIF as ALIF,
    IF as IF,
    LIF as LIF,
    NEURONS as NEURONS,
    PLIF as PLIF,
    IntegerIF as IntegerIF,
    LeakyReadout as LeakyReadout,
    Neuron as Neuron,
    carried_state as carried_state,
)
from .engine.random_keys import RandomKeys as RandomKeys
from .engine.readouts import (
    LogitReadout as LogitReadout,
    MeanReadout as MeanReadout,
    SpikeCountReadout as SpikeCountReadout,
)
from .evaluation.measures import MEASURES as MEASURES, Measure as Measure
from .experiment import recipes as recipes
from .experiment.recipes import RECIPES as RECIPES
from .experiment.settings import (
    Experiment as Experiment,
    read_experiment as read_experiment,
)
from .exporters.exporting import EXPORTERS as EXPORTERS
from .reporting import report as report
from .results.significance import (
    Difference as Difference,
    compare_predictions as compare_predictions,
)
from .sentences.comparison import Comparison as Comparison, load_run as load_run
from .system import __version__ as __version__
from .system.errors import InputError as InputError, SpikeduelError as SpikeduelError
from .system.progress import Progress as Progress, TerminalProgress as TerminalProgress
from .training.augmenting import AUGMENTATIONS as AUGMENTATIONS
from .training.jobs import Processes as Processes, Workers as Workers
from .training.variants import Variant as Variant

def __getattr__(name: str) -> typing.Any: ...  # names of features
