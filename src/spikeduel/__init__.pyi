"""Public names, and the modules that they come from."""

from . import data as data
from .comparing import compare as compare, tune as tune
from .counting.counter import Counter as Counter
from .data import DATASETS as DATASETS
from .data.audited import audit as audit
from .exchange.exporting import EXPORTERS as EXPORTERS
from .measuring import MEASURES as MEASURES, Measure as Measure
from .measuring.costing import Cost as Cost, cost as cost
from .networks.building import ARCHITECTURES as ARCHITECTURES
from .networks.cards import ModelCard as ModelCard
from .networks.models import (
    Model as Model,
    StreamState as StreamState,
    Trace as Trace,
    answers_to_recording as answers_to_recording,
    answers_to_stream as answers_to_stream,
    load_model as load_model,
    save_model as save_model,
)
from .reporting import inspect as inspect, report as report
from .results.audit import Audit as Audit
from .results.comparison import Comparison as Comparison, load_run as load_run
from .results.predictions import compare_runs as compare_runs
from .results.significance import (
    Difference as Difference,
    compare_predictions as compare_predictions,
)
from .results.tuned import Range as Range
from .settings import (
    Experiment as Experiment,
    read_experiment as read_experiment,
    recipes as recipes,
)
from .settings.recipes import RECIPES as RECIPES
from .settings.studies import Study as Study
from .spiking import ConstantInput as ConstantInput, kernels as kernels
from .spiking.encoders import ENCODERS as ENCODERS, Encoder as Encoder
from .spiking.kernels.reference import SURROGATES as SURROGATES, Surrogate as Surrogate
from .spiking.neurons import (
    ALIF as ALIF,
    IF as IF,
    LIF as LIF,
    NEURONS as NEURONS,
    PLIF as PLIF,
    LeakyReadout as LeakyReadout,
    Neuron as Neuron,
    carried_state as carried_state,
)
from .spiking.random_keys import RandomKeys as RandomKeys
from .spiking.readouts import (
    LogitReadout as LogitReadout,
    MeanReadout as MeanReadout,
    SpikeCountReadout as SpikeCountReadout,
)
from .studying import read_study as read_study, study as study
from .system import __version__ as __version__
from .system.errors import InputError as InputError, SpikeduelError as SpikeduelError
from .system.progress import Progress as Progress, TerminalProgress as TerminalProgress
from .trials.augmenting import AUGMENTATIONS as AUGMENTATIONS
from .trials.controls import CONTROLS as CONTROLS, Control as Control
from .trials.evaluating import export as export, import_model as import_model
from .trials.jobs import Processes as Processes, Workers as Workers
from .trials.plan import forecast as forecast
from .trials.ray_cluster import Cluster as Cluster
from .trials.tuning import RANGES as RANGES, Tuning as Tuning, read_ranges as read_ranges
