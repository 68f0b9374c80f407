"""Settings with types, limits, defaults and help; experiments as TOML files."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tomli_w
from msgspec import Meta

from spikeduel.experiment.fields import (
    Count,
    DeviceName,
    Fraction,
    Million,
    NotNegative,
    Positive,
    Steps,
    Text,
    TwoOrMore,
    checked,
    setting,
    setting_of,
)
from spikeduel.experiment.targets import TargetName
from spikeduel.features import providing
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming, unknown
from spikeduel.system.registry import is_own_code

NUMERICS_VERSION = 7
"""Part of every trial's key. Raise it when the same settings give other numbers."""


@dataclass(frozen=True, kw_only=True)
class CoreExperiment:
    """A comparison: data, contenders and how they are trained. All fields are settings.

    `spikeduel settings` lists them with their limits and help. On the command line, `--name value`
    sets a field. The recipes in `sd.recipes` make experiments that are ready to run.

    Raises
    ------
    InputError
        For a value outside its limits.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.recipes.strong("digits", seeds=6).seeds
    6
    """

    dataset: Annotated[
        Text,
        setting(
            "A data set's name; a folder with one sub-folder a class; or a CSV of file and label.",
            "The CSV may also have the columns group and split. `spikeduel data list` shows the "
            "names.",
            metavar="DATASET",
            needs=(),
        ),
    ] = "fashion-mnist-mini"
    recipe: Annotated[
        Text,
        setting(
            "The named experiment to start from: strong, events, baseline, matched, chip, int8.",
            "strong: a convolutional network as good as the time allows, with spiking neurons and "
            "with ReLU, and a residual network. events: for recordings of event cameras. "
            "baseline: the two networks of the 2023 study. matched: small dense and small "
            "convolutional twins. chip: strong, with pooling and reset that NIR and chips have. "
            "int8: strong, with weights of 8 bits.",
            metavar="NAME",
            default="the recipe of the contenders, else strong",
        ),
    ] = "strong"
    contenders: Annotated[
        tuple[Text, ...],
        setting(
            "A network to train; repeatable. Own networks: module:function.",
            "With spikes: vgg-lif, vgg-integer, resnet-integer, conv-lif, dense-lif, dense-snn. "
            "Without: vgg-relu, resnet-silu, conv-relu, dense-relu, small-cnn; of recordings also "
            "vgg-sum, vgg-gru. torchvision:NAME and timm:NAME get a new head and are fine-tuned. A "
            "contender brings the settings of its recipe, unless they are given.",
            metavar="NAME",
            option="--contender",
            default="the recipe's; strong: vgg-lif, vgg-relu, resnet-silu",
        ),
    ] = ("vgg-lif", "vgg-relu", "resnet-silu")
    pretrained: Annotated[
        Literal["auto", "yes", "no"],
        setting(
            "Start torchvision's and timm's networks from pretrained weights. auto: if available.",
            "A pretrained network sees images of the size it was pretrained with: --image-size "
            "224 prepares them so large.",
        ),
    ] = "auto"
    seeds: Annotated[
        int,
        Meta(ge=1, le=10_000),
        setting(
            "Train every contender with N seeds.", metavar="N", needs=("training", "comparing")
        ),
    ] = 1
    target: Annotated[
        TargetName,
        setting(
            "What the recommendation is for: accuracy, inference time, energy per inference, size, "
            "or a device.",
            "accuracy: the most accurate network, or a faster one that is level with it. The "
            "others: the network that leads in speed on this machine, in estimated energy, or in "
            "bytes of weights, unless it loses more accuracy than the tolerance. cpu, gpu: speed "
            "there, measured. cortex-m: operations in int8, as --int8 counts. A device such as "
            "nucleo-u385 or loihi: estimated energy per inference there, of networks that it runs. "
            "Training is the same for all.",
            option="--for",
            needs=("comparing",),
        ),
    ] = "accuracy"
    tolerance: Annotated[
        Annotated[float, Meta(ge=0.0, le=100.0)] | None,
        setting(
            "Points of accuracy that do not matter to you. Unset: one, or a quarter of the better "
            "one's errors and two test images if that is less.",
            metavar="POINTS",
            needs=("comparing",),
        ),
    ] = None
    encoding: Annotated[
        Text,
        setting(
            "Input of a spiking contender: direct, rate or latency; or module:function.",
            "direct: the same grey values at every step. rate: random spikes. latency: one spike "
            "a pixel, earlier where it is brighter. Recordings are given as they are.",
            needs=("training", "images"),
        ),
    ] = "direct"
    num_steps: Annotated[
        Steps,
        setting(
            "Time steps of a spiking contender.", metavar="T", tunable="snn", needs=("framing",)
        ),
    ] = 4
    neuron: Annotated[
        Text,
        setting(
            "Neuron of the spiking contenders: lif, if, plif, alif; or module:function.",
            "Without spikes: relu, quantised-relu.",
        ),
    ] = "lif"
    beta: Annotated[Fraction, setting("Membrane decay per step.", tunable="snn")] = 0.5
    threshold: Annotated[
        Positive, setting("Membrane potential above which a neuron spikes.", tunable="snn")
    ] = 0.5
    reset_mechanism: Annotated[
        Literal["subtract", "zero", "none"], setting("Effect of a spike on the membrane.")
    ] = "subtract"
    surrogate: Annotated[
        Text,
        setting(
            "Gradient of the spike: atan, fast_sigmoid, sigmoid, triangular, "
            "straight_through_estimator; or module:function."
        ),
    ] = "atan"
    hidden: Annotated[Million, setting("Units of the hidden linear layers.")] = 256
    width: Annotated[
        Count | None,
        setting(
            "Strong networks: channels of the first convolution. Unset: 24, or by the minutes."
        ),
    ] = None
    pooling: Annotated[
        Literal["max", "avg"],
        setting("Pooling of conv-lif, conv-relu, vgg-lif and vgg-relu."),
    ] = "max"
    dropout: Annotated[
        Fraction | None,
        setting("Strong networks: dropout before the last layer. Unset: by the size of the set."),
    ] = None

    epochs: Annotated[
        Million | None,
        setting(
            "Train every contender for at most N epochs. Unset: as many as `minutes` allow.",
            metavar="N",
        ),
    ] = None
    minutes: Annotated[
        Positive | None,
        setting(
            "Minutes that all contenders train together, shared equally. Unset: by the size of the "
            "set.",
            "Holds for each seed, fold and tuning trial. Times some steps of each contender, sets "
            "the numbers of epochs, at least one, and prints the expected finish time. It is a "
            "plan, no limit: epochs can take longer than timed. Preparing, measuring and the "
            "report come on top. The same command again "
            "keeps the numbers of epochs.",
            metavar="M",
        ),
    ] = None
    batch_size: Annotated[
        Million | None, setting("Images per training step. Unset: by the size of the set.")
    ] = None
    augmentation: Annotated[
        Text,
        setting(
            "none, or translate, affine, flip, cutout, joined by hyphens. auto: by the set.",
            "Recordings also: eventdrop, jitter. "
            "Concerns training images alone, alike for all contenders. The report names the "
            "choice of auto, and its reason.",
        ),
    ] = "auto"
    optimizer: Annotated[
        Literal["adam", "adamw", "muon"],
        setting(
            "adam: the 2023 study's, at a constant learning rate. adamw, or muon in hidden "
            "layers: the rate rises for a fifth of the training and falls to 0.",
            "Muon leaves the first and the last layer to adamw. Both spread a tenth of each label "
            "over all classes (label smoothing), and give a spiking contender ReLU for its neurons "
            "in the first quarter of its epochs, rounded down. With adam, the weights of the best "
            "validation accuracy are kept, else the last ones.",
        ),
    ] = "muon"
    learning_rate: Annotated[
        Positive, setting("The optimizer's highest learning rate.", tunable="any")
    ] = 0.01
    weight_decay: Annotated[
        NotNegative, setting("Decoupled weight decay of adamw and muon.", tunable="any")
    ] = 0.05
    whitening: Annotated[
        bool,
        setting(
            "Start with a first convolution that whitens patches of training images.",
            "On Fashion-MNIST the twin with ReLU gains 0.4 points; the 0.2 of the spiking one can "
            "be chance.",
            needs=("training", "images"),
        ),
    ] = False
    weight_bits: Annotated[
        Annotated[int, Meta(ge=2, le=8)] | None,
        setting(
            "Weights are whole numbers of N bits, a scale each channel, in training and after.",
            "They are rounded after every step, which goes on from those before rounding; with 8, "
            "--int8 and export --to c round them no further.",
            metavar="N",
        ),
    ] = None
    spike_penalty: Annotated[
        Positive | None,
        setting(
            "Add this times the share of synapses that spikes reach to the loss in training.",
            "With 1, vgg-lif keeps two fifths of its spikes on Fashion-MNIST. CNNs have none.",
            needs=("training",),
        ),
    ] = None
    patience: Annotated[
        Count | None,
        setting(
            "Stop after this many epochs without a validation loss that is 0.01 lower. Unset: "
            "never stop early."
        ),
    ] = None

    folds: Annotated[
        TwoOrMore | None,
        setting(
            "Cross-validate: train K times, each time with another K-th as the test set.",
            "For data without a test set, of which a tenth would be too small.",
            metavar="K",
            needs=("splitting",),
        ),
    ] = None
    limit: Annotated[
        TwoOrMore | None,
        setting(
            "Use only N images for training and validation; the test set stays whole.",
            metavar="N",
            needs=("splitting",),
        ),
    ] = None
    data_dir: Annotated[
        Text | None,
        setting(
            "Folder or zip file with files that you already have.",
            "idx files (gzipped or not) of an MNIST-like set, or SOCOFing's folder or zip file.",
            metavar="PATH",
            needs=(),
        ),
    ] = None
    group_by: Annotated[
        Text | None,
        setting(
            "Keep images that belong together (such as of one person) on one side of the split.",
            "A regular expression whose one pair of parentheses captures the group in an image's "
            "path, as in '([0-9]+)_[0-9]+[.]png'; or a CSV file with the columns path and group.",
            metavar="REGEX|FILE.csv",
            needs=(),
        ),
    ] = None
    skip_unreadable: Annotated[
        bool,
        setting(
            "Leave out files that cannot be read. Else the first one ends the command.",
            "The results count and name them.",
            needs=(),
        ),
    ] = False
    image_size: Annotated[
        Annotated[int, Meta(ge=4, le=4096)] | None,
        setting(
            "Side of the prepared images, for data without a size of their own.",
            metavar="N",
            default="for a folder 64, or less if all images are smaller",
            needs=("preparing",),
        ),
    ] = None
    bin_ms: Annotated[
        Positive | None,
        setting(
            "Recordings: milliseconds of a frame. Events after num_steps frames are left out.",
            metavar="MS",
            default="the recording's length, divided by num_steps",
            needs=("framing", "recordings"),
        ),
    ] = None

    device: Annotated[
        DeviceName,
        setting(
            "Where to compute. auto: a CUDA GPU if there is one, else the CPU.",
            "Apple's mps and Intel's xpu are untested (docs/devices.md).",
            metavar="auto|cpu|cuda|cuda:N|mps|xpu",
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "32", "bf16"],
        setting(
            "Precision of training. auto: bf16 where the hardware has it, else 32.",
            "Concerns matrix products and convolutions. Evaluation is in float32 in any case.",
        ),
    ] = "auto"
    per_contender: Annotated[
        dict[str, dict[str, Any]] | None,
        Meta(title="a table of settings by contender, or unset"),
        setting("Settings of single contenders in place of the common ones. `tune` writes them."),
    ] = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for field_of in dataclasses.fields(self):
            value = checked(field_of.name, getattr(self, field_of.name), field_of.type)
            object.__setattr__(self, field_of.name, value)
        if not self.contenders:
            raise InputError("contenders is empty: name at least one.")
        if len(set(self.contenders)) < len(self.contenders):
            raise InputError(f"a contender is named twice: {', '.join(self.contenders)}.")
        if self.per_contender is not None:
            settings = self._settings_by_contender(self.per_contender)
            object.__setattr__(self, "per_contender", settings or None)

    def without_features(self) -> "Experiment":
        """Return the experiment with every feature at its default."""
        defaults: dict[str, Any] = {name: SETTINGS[name].default for name in FEATURE_SETTINGS}
        return replace(self, **defaults)

    def for_contender(self, contender: str) -> "Experiment":
        """Return the experiment with the contender's `per_contender` settings."""
        return replace(self, per_contender=None, **(self.per_contender or {}).get(contender, {}))

    @property
    def own_settings(self) -> dict[str, dict[str, Any]]:
        """`per_contender` without epochs, which equal times decide."""
        return without_epochs(self.per_contender or {})

    @property
    def num_epochs(self) -> int:
        """Most epochs. Raises `InputError` before `minutes` decided them."""
        if self.epochs is None:
            raise InputError("epochs: not decided yet. Set them, or let `spikeduel.compare`.")
        return self.epochs

    @property
    def decided_batch_size(self) -> int:
        """`batch_size`. Raises `InputError` before it was decided."""
        if self.batch_size is None:
            raise InputError("batch_size: not decided yet. Set it, or let `spikeduel.compare`.")
        return self.batch_size

    @property
    def constant_rate(self) -> bool:
        """True for a constant learning rate: the best epoch's weights are kept, and no epoch has
        ReLU for spiking neurons.
        """
        return self.optimizer == "adam"

    @property
    def label_smoothing(self) -> float:
        """Share of a label that is spread over all classes in training."""
        return 0.0 if self.constant_rate else 0.1

    @property
    def own_code(self) -> tuple[str, ...]:
        """Settings that name the user's code (`module:attribute`)."""
        named = (*self.contenders, self.encoding, self.neuron, self.surrogate, self.augmentation)
        # A data set may be C:\images.
        is_place = files.is_folder(self.dataset) or files.is_file(self.dataset)
        beginning = f"{self.dataset.partition(':')[0]}:"
        is_known = any(beginning in datasets for datasets in providing("DATASETS").values())
        if not is_place and not is_known:
            named = (*named, self.dataset)
        return tuple(filter(is_own_code, named))

    def _settings_by_contender(
        self, tables: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        by_contender = {}
        for contender, settings in tables.items():
            if contender not in self.contenders:
                raise InputError(
                    f"per_contender: '{contender}' is not among the contenders "
                    f"({', '.join(self.contenders)}). Name it there."
                )
            for name in settings:
                if name not in TUNABLE and name != "epochs":  # which equal times decide
                    raise unknown(f"setting of a single contender ({contender})", name, TUNABLE)
            with naming(f"per_contender: {contender}"):
                changed = replace(self, per_contender=None, **settings)
            if cached := {
                name: getattr(changed, name)
                for name, value in settings.items()
                if value is not None
            }:
                by_contender[contender] = cached
        return by_contender


if TYPE_CHECKING:
    Experiment = CoreExperiment
else:

    @dataclass(frozen=True, kw_only=True)
    class Experiment(*reversed(providing("Settings").values()), CoreExperiment):
        """A comparison: data, contenders and how they are trained. All fields are settings.

        `spikeduel settings` lists them with their limits and help. On the command line,
        `--name value` sets a field. The recipes in `sd.recipes` make experiments that are ready
        to run.

        Raises
        ------
        InputError
            For a value outside its limits.

        Examples
        --------
        >>> import spikeduel as sd
        >>> sd.recipes.strong("digits", seeds=6).seeds
        6
        """


SETTINGS = {field_of.name: field_of for field_of in dataclasses.fields(Experiment)}
"""Fields of an experiment by name."""
_CORE = {field_of.name for field_of in dataclasses.fields(CoreExperiment)}
FEATURE_SETTINGS = tuple(name for name in SETTINGS if name not in _CORE)
"""Names of the settings of features."""
COMMAND_OPTIONS = (
    *("jobs", "out", "quiet", "store", "threads", "verbose"),
    *(
        field_of.name
        for kind in providing("Options").values()
        for field_of in dataclasses.fields(kind)
    ),
)
"""Options of commands that are no settings, as they change no result."""
TUNABLE: dict[str, str] = {
    name: whose
    for name, field_of in SETTINGS.items()
    if (whose := setting_of(field_of.type).tunable)
}
"""Settings that `per_contender` may hold: "any" contender's, or "snn" (spiking). The others are
common to all, which keeps the comparison fair.
"""


def unknown_setting(kind: str, name: str) -> InputError:
    """Return the error for a `name` that is no setting, but perhaps a command's option."""
    if name in COMMAND_OPTIONS:
        return InputError(f"{name} is no setting: give the option --{name} to the command.")
    return unknown(kind, name, SETTINGS)


def without_epochs(per_contender: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return `per_contender` without epochs, and without emptied contenders."""
    by_contender = {
        contender: {name: value for name, value in settings.items() if name != "epochs"}
        for contender, settings in per_contender.items()
    }
    return {contender: settings for contender, settings in by_contender.items() if settings}


def read_experiment(path: Path) -> Experiment:
    """Read an experiment from a TOML file or the folder of a run.

    Reading runs no code. A comparison runs the experiment's `own_code`: check a stranger's file
    first.

    Parameters
    ----------
    path : Path
        The file, or a folder with experiment.toml.

    Returns
    -------
    Experiment
        The experiment.

    Raises
    ------
    InputError
        If the file is missing or wrong. The text names the file and the setting.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.read_experiment("runs/digits").dataset
    'digits'
    """
    path = Path(path) / "experiment.toml" if Path(path).is_dir() else path
    content = typed.read_toml(path, dict[str, Any])
    if others := content.keys() - SETTINGS.keys():
        raise unknown_setting(f"setting in {path}", min(others))
    with naming(path):
        return Experiment(**content)


def as_written(experiment: Experiment) -> dict[str, Any]:
    """Return the settings by name, without those of features that are off.

    A run can then be read where these features are not installed.
    """
    off = experiment.without_features()
    return {
        name: value
        for name, value in dataclasses.asdict(experiment).items()
        if name not in FEATURE_SETTINGS or value != getattr(off, name)
    }


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Write `experiment` as TOML, without unset settings, which TOML cannot express."""
    content = {name: value for name, value in as_written(experiment).items() if value is not None}
    files.write_text(path, tomli_w.dumps(content))
